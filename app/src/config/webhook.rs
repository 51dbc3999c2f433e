//! `http:` and `https:` destinations: secrets, headers, credentials, TLS.

use super::reader::Section;
use super::sink::{Common, Kind, MAX_TIMEOUT, SinkConfig, read_timeout};
use super::tls::Pem;
use laneway_domain::DestinationName;
use laneway_ports::Sink;
use laneway_webhook::{Credentials, HttpVersion, Secret, TlsOptions, WebhookConfig, WebhookSink};
use std::sync::Arc;
use std::time::Duration;

pub(super) const KIND: Kind = Kind {
    name: "webhook",
    schemes: &["http", "https"],
    keys: &[
        "timeout",
        "reject",
        "secrets",
        "headers",
        "bearer",
        "basic",
        "tls",
        "http",
        "max_idle_connections",
        "idle_timeout",
    ],
    read,
};

fn read(section: &mut Section<'_, '_>, common: &Common<'_>) -> Option<Arc<dyn SinkConfig>> {
    let default = WebhookConfig::new(common.url);
    // With fewer kept than attempts are under way, each burst would connect anew.
    let in_flight = common.destination.max_in_flight.get();
    let idle = usize::try_from(in_flight).unwrap_or(default.max_idle_connections);
    let config = WebhookConfig {
        timeout: read_timeout(section, default.timeout),
        reject: section.list("reject"),
        secrets: read_secrets(section),
        headers: section.map("headers").into_iter().collect(),
        credentials: read_credentials(section),
        batch: common.destination.batch.max_events > 1,
        egress: common.egress.clone(),
        tls: read_tls(section.section("tls")),
        http: section.choice("http", HttpVersion::Auto, &VERSIONS),
        max_idle_connections: section.within("max_idle_connections", idle, 0..=10_000),
        idle_timeout: section.within("idle_timeout", default.idle_timeout, Duration::from_secs(1)..=MAX_TIMEOUT),
        ..default
    };
    match url::Url::parse(common.url) {
        Ok(url) if url.has_host() => check(section, &config),
        Ok(_) => section.problem("url", "has no host; write for instance \"https://example.com/hook\""),
        Err(e) => section.problem("url", format!("is not a URL: {e}")),
    }
    Some(Arc::new(config))
}

impl SinkConfig for WebhookConfig {
    fn shown(&self) -> String {
        url::Url::parse(&self.url).map_or_else(|_| "webhook".to_owned(), |url| url.origin().ascii_serialization())
    }

    fn build(&self, _: &DestinationName) -> Result<Arc<dyn Sink>, String> {
        Ok(Arc::new(WebhookSink::new(self.clone()).map_err(|error| error.to_string())?))
    }
}

const VERSIONS: [(&str, HttpVersion); 3] =
    [("auto", HttpVersion::Auto), ("1.1", HttpVersion::Http1), ("2", HttpVersion::Http2)];

fn read_credentials(section: &mut Section<'_, '_>) -> Option<Credentials> {
    let bearer = section.get::<Secret>("bearer");
    let has_basic = section.has("basic");
    let mut basic = section.section("basic");
    let user = basic.get::<String>("user");
    let password = basic.get::<Secret>("password");
    if has_basic && !(basic.has("user") && basic.has("password")) {
        section.problem("basic", "needs both user and password");
    }
    basic.finish();
    if has_basic && section.has("bearer") {
        section.problem("basic", "is one way to authenticate and bearer another; keep one of them");
    }
    match (bearer, user, password) {
        (Some(token), _, _) => Some(Credentials::Bearer(token)),
        (None, Some(user), Some(password)) => Some(Credentials::Basic { user, password }),
        _ => None,
    }
}

/// The signing secrets that can be used. Each that cannot is reported at its place.
fn read_secrets(section: &mut Section<'_, '_>) -> Vec<Secret> {
    let written = section.numbered_list::<Secret>("secrets");
    let usable = written.into_iter().filter_map(|(index, secret)| match secret.check_signing() {
        Ok(()) => Some(secret),
        Err(why) => {
            section.problem_in("secrets", index, why);
            None
        }
    });
    usable.collect()
}

fn read_tls(mut section: Section<'_, '_>) -> TlsOptions {
    let Pem { ca, identity, .. } = Pem::read(&mut section, "ca");
    section.finish();
    TlsOptions { ca, client_certificate: identity }
}

/// Lets the sink judge what only it knows (signing secrets, certificates, addresses).
fn check(section: &Section<'_, '_>, config: &WebhookConfig) {
    use laneway_webhook::WebhookConfigError as E;
    let Err(error) = WebhookSink::new(config.clone()) else { return };
    let (key, what) = match error {
        E::Secret { number, why } => return section.problem_in("secrets", number - 1, why),
        E::Url { why } => ("url", why),
        E::Egress(blocked) => ("url", blocked.to_string()),
        E::Header { name, why } => ("headers", format!("{name:?} {why}")),
        E::Credentials { why } => (if section.has("basic") { "basic" } else { "bearer" }, why.to_owned()),
        E::Tls(error) => ("tls", error.to_string()),
        E::Timeout => ("timeout", error.to_string()),
        E::Reject { .. } => ("reject", error.to_string()),
        E::TooManySecrets { .. } => ("secrets", error.to_string()),
    };
    // The sink names the setting itself; here it stands before.
    let named = what.strip_prefix(key).map(|rest| rest.trim_start_matches([':', '.', ' ']));
    section.problem(key, named.unwrap_or(&what));
}
