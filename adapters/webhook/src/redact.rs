//! Keeps secrets out of what a receiver says: some echo a request's headers into their errors.

use crate::config::{Credentials, WebhookConfig};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

/// Shorter texts are not looked for: they would turn up in everything.
const MIN_REDACTED_BYTES: usize = 4;
/// Shorter paths, and parts of paths, are not what keeps others from posting there: `/hook` may be
/// shown, and is needed to understand a 404. What services put into a path for that is longer.
const MIN_SECRET_PATH_BYTES: usize = 16;
/// What stands where a secret stood.
const REDACTED: &str = "[secret]";

/// The texts of one destination that may appear in no reason and no log.
pub(crate) struct Redactor {
    /// The longest first, so that one that contains another is replaced whole.
    hidden: Vec<String>,
}

impl Redactor {
    /// Collects what is secret in `config`, in the forms in which it goes over the wire.
    pub(crate) fn new(config: &WebhookConfig, url: &Url, credentials: Option<&Credentials>) -> Self {
        let mut hidden: Vec<String> = config.secrets.iter().map(|secret| secret.expose().to_owned()).collect();
        hidden.extend(config.headers.iter().map(|(_, value)| value.expose().to_owned()));
        match credentials {
            Some(Credentials::Bearer(token)) => hidden.push(token.expose().to_owned()),
            Some(Credentials::Basic { user, password }) => {
                hidden.push(password.expose().to_owned());
                hidden.push(STANDARD.encode(format!("{user}:{}", password.expose())));
            }
            None => {}
        }
        hidden.extend(of_path(url.path()));
        hidden.extend(url.query().map(str::to_owned));
        hidden.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
        // JSON may be written with `\/` for `/`.
        let escaped: Vec<_> = hidden.iter().filter(|text| text.contains('/')).map(|t| t.replace('/', "\\/")).collect();
        hidden.extend(escaped);
        hidden.retain(|text| text.len() >= MIN_REDACTED_BYTES);
        hidden.sort_by_key(|text| std::cmp::Reverse(text.len()));
        hidden.dedup();
        Self { hidden }
    }

    /// `text` without the secrets.
    pub(crate) fn clean(&self, text: String) -> String {
        self.hidden.iter().fold(text, |text, hidden| {
            if text.contains(hidden.as_str()) { text.replace(hidden.as_str(), REDACTED) } else { text }
        })
    }
}

/// A path, and its parts, as they may be echoed: as they are sent, and decoded.
fn of_path(path: &str) -> impl Iterator<Item = String> {
    let parts = std::iter::once(path).chain(path.split('/')).map(str::to_owned);
    let spellings = parts.flat_map(|part| [percent_decode_str(&part).decode_utf8_lossy().into_owned(), part]);
    spellings.filter(|text| text.len() >= MIN_SECRET_PATH_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn every_form_in_which_a_secret_is_sent_is_hidden() {
        let config = WebhookConfig {
            secrets: vec![Secret::new("whsec_abc/def")],
            headers: vec![("x-key".into(), Secret::new("k3y/k3y")), ("x-short".into(), Secret::new("1"))],
            ..WebhookConfig::new("")
        };
        let url = Url::parse("https://h.example/p?token=quux1&n=1").unwrap();
        let basic = Credentials::Basic { user: "me".into(), password: Secret::new("hunter2") };
        let redactor = Redactor::new(&config, &url, Some(&basic));
        let said = r#"{"authorization":"Basic bWU6aHVudGVyMg==","x":"k3y\/k3y","p":"hunter2 whsec_abc/def 1","q":"?token=quux1&n=1","v":"quux1"}"#;
        let shown = redactor.clean(said.to_owned());
        for hidden in ["bWU6", "k3y", "hunter2", "abc", "quux1"] {
            assert!(!shown.contains(hidden), "{hidden} in {shown}");
        }
        assert!(shown.contains(" 1\""), "{shown}");
    }

    #[test]
    fn a_path_that_may_be_a_secret_is_hidden_and_a_short_one_is_not() {
        let shown = |path: &str, said: &str| {
            let url = Url::parse(&format!("https://h.example{path}")).unwrap();
            Redactor::new(&WebhookConfig::new(""), &url, None).clean(said.to_owned())
        };
        let path = "/services/T0/0123456789abcdef0123";
        assert_eq!(shown(path, &format!("no {path} here")), "no [secret] here");
        assert_eq!(shown(path, &path.replace('/', "\\/")), "[secret]");
        assert_eq!(shown(path, "no token 0123456789abcdef0123"), "no token [secret]");
        assert_eq!(shown("/0123%20456789%2Fabcdef", "\"0123 456789/abcdef\""), "\"[secret]\"");
        assert_eq!(shown("/hook", "cannot POST /hook"), "cannot POST /hook");
    }
}
