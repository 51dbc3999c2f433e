//! Where Redis is: the URL, as it is given and as it may be shown.

use crate::tls::RedisTls;
use fred::types::config::Config;
use laneway_ports::StoreError;
use url::Url;

const SCHEMES: &str = "redis://, rediss:// (TLS), redis-cluster://, rediss-cluster://, redis-sentinel:// or \
                       rediss-sentinel://";

/// The URL as it may be shown: without user, password and query.
pub(crate) fn without_secrets(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut url) => {
            // Neither can fail where there is a host; where there is none, there is no user.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.set_fragment(None);
            url.to_string().trim_end_matches('/').to_owned()
        }
        Err(_) => "store.url".to_owned(),
    }
}

/// The same with how TLS is spoken.
pub(crate) fn config_with(url: &str, tls: Option<&RedisTls>) -> Result<Config, StoreError> {
    let mut config = config(url)?;
    if let Some(tls) = tls {
        if config.tls.is_none() {
            let shown = without_secrets(url);
            let what = format!("store.tls has no effect at store.url = \"{shown}\": one with TLS begins with rediss");
            return Err(StoreError::refused(what));
        }
        config.tls = Some(tls.config());
    }
    Ok(config)
}

/// Understands the URL of a store.
pub(crate) fn config(url: &str) -> Result<Config, StoreError> {
    let shown = without_secrets(url);
    let parsed = Url::parse(url).map_err(|error| {
        StoreError::refused(format!("store.url is not a URL ({error}); write one that begins with {SCHEMES}"))
    })?;
    let known = ["redis", "rediss"].iter().any(|base| {
        let rest = parsed.scheme().strip_prefix(base);
        matches!(rest, Some("" | "-cluster" | "-sentinel"))
    });
    if !known {
        return Err(StoreError::refused(format!(
            "store.url = \"{shown}\" is not a Redis URL; it must begin with {SCHEMES}"
        )));
    }
    Config::from_url(url).map_err(|error| StoreError::refused(format!("store.url = \"{shown}\": {}", error.details())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::RedisOptions;

    #[test]
    fn a_password_is_never_shown() {
        let url = "rediss-sentinel://user:s3cret@h:26379?sentinelServiceName=m&sentinelPassword=s3cret";
        assert_eq!(without_secrets(url), "rediss-sentinel://h:26379");
        let options = RedisOptions::new(url, 1);
        assert!(!format!("{options:?}").contains("s3cret"), "{options:?}");
        let wrong = config("redis-sentinel://user:s3cret@h:26379").unwrap_err().to_string();
        assert!(wrong.contains("sentinel") && !wrong.contains("s3cret"), "{wrong}");
    }

    #[test]
    fn a_url_of_something_else_is_refused_and_says_what_would_be_right() {
        for url in ["mysql://h", "redis-unix://h", "redis", "redisx://h"] {
            let wrong = config(url).unwrap_err().to_string();
            assert!(wrong.contains("redis-cluster://"), "{url}: {wrong}");
        }
        assert!(config("redis-cluster://h:7000?node=h:7001").is_ok());
    }
}
