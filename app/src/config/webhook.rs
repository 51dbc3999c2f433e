//! What only webhook destinations have: secrets, headers, credentials, TLS.

use super::destination::Kind;
use super::reader::Section;
use laneway_domain::Destination;
use laneway_egress::EgressPolicy;
use laneway_webhook::{Credentials, HttpVersion, Secret, TlsOptions, WebhookConfig, WebhookSink};
use std::time::Duration;

/// The longest time for one exchange. Attempts that hang longer are better tried again.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
/// The settings of a webhook that mean nothing to other sinks.
const KEYS: [&str; 10] = [
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
];

/// The kind of sink that a URL asks for. Messages must not repeat the URL: it may hold a password.
pub(super) fn kind_of(url: &str) -> Result<Kind, String> {
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err("is not a URL; write for instance \"https://example.com/hook\" or \"console:\"".to_owned());
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => match url::Url::parse(url) {
            Ok(url) if url.has_host() => Ok(Kind::Webhook),
            Ok(_) => Err("has no host; write for instance \"https://example.com/hook\"".to_owned()),
            Err(e) => Err(format!("is not a URL: {e}")),
        },
        "console" if rest.is_empty() => Ok(Kind::Console),
        "console" => Err("\"console:\" is the whole URL; nothing may follow it".to_owned()),
        "mongodb" | "mongodb+srv" => Ok(Kind::Mongo),
        _ => Err(format!("{scheme:?} is not a kind of destination; use http:, https:, mongodb: or console:")),
    }
}

/// The one of `keys` that a message begins with, so that it can be put in its place.
pub(super) fn first_word<'k>(message: &str, keys: &[&'k str]) -> &'k str {
    let word = message.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
    keys.iter().find(|key| **key == word).copied().unwrap_or(keys[0])
}

/// Reads the settings of a webhook and, if that is the kind, checks them all together.
pub(super) fn read(
    section: &mut Section<'_, '_>,
    kind: Option<Kind>,
    url: String,
    egress: &EgressPolicy,
    destination: &Destination,
) -> WebhookConfig {
    let default = WebhookConfig::new(url);
    // With fewer kept than attempts are under way, each burst would connect anew.
    let idle = usize::try_from(destination.max_in_flight.get()).unwrap_or(default.max_idle_connections);
    let timeout = section.within("timeout", default.timeout, Duration::from_millis(10)..=MAX_TIMEOUT);
    let config = WebhookConfig {
        timeout,
        reject: section.list("reject"),
        secrets: section.list("secrets"),
        headers: section.map("headers").into_iter().collect(),
        credentials: read_credentials(section),
        batch: destination.batch.max_events > 1,
        egress: egress.clone(),
        tls: read_tls(section.section("tls")),
        http: section.choice("http", HttpVersion::Auto, &VERSIONS),
        max_idle_connections: section.within("max_idle_connections", idle, 0..=10_000),
        idle_timeout: section.within("idle_timeout", default.idle_timeout, Duration::from_secs(1)..=MAX_TIMEOUT),
        ..default
    };
    match kind {
        Some(Kind::Webhook) => check(section, &config),
        Some(Kind::Console) => refuse(section, &KEYS, "console:"),
        // An exchange with MongoDB has a timeout too.
        Some(Kind::Mongo) => refuse(section, &KEYS[1..], "mongodb:"),
        None => {}
    }
    config
}

/// Says of settings that are there that they mean nothing at that kind of destination.
pub(super) fn refuse(section: &Section<'_, '_>, keys: &[&str], kind: &str) {
    for key in keys.iter().filter(|key| section.has(key)) {
        section.problem(key, format!("has no effect at a {kind} destination; remove it"));
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

/// Certificates are PEM, as secrets are: in place, `env:NAME` or `file:PATH`.
fn read_tls(mut section: Section<'_, '_>) -> TlsOptions {
    let ca = section.get::<Secret>("ca").map(|pem| pem.expose().to_owned());
    let certificate = section.get::<Secret>("certificate");
    let key = section.get::<Secret>("key");
    if section.has("certificate") != section.has("key") {
        let (there, missing) = if section.has("key") { ("key", "certificate") } else { ("certificate", "key") };
        section.problem(there, format!("has no effect without tls.{missing}"));
    }
    section.finish();
    let client_certificate = certificate.zip(key).map(|(certificate, key)| (certificate.expose().to_owned(), key));
    TlsOptions { ca, client_certificate }
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
        E::Tls { setting, why } => ("tls", format!("{setting} {why}")),
        E::Timeout => ("timeout", error.to_string()),
        E::Reject { .. } => ("reject", error.to_string()),
        E::TooManySecrets { .. } => ("secrets", error.to_string()),
    };
    section.problem(key, what);
}
