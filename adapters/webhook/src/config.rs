//! What a webhook destination is made from.

use crate::secret::Secret;
use laneway_egress::{Blocked, EgressPolicy};
use std::fmt;
use std::time::Duration;
use thiserror::Error;
use url::Url;

/// The default of [`WebhookConfig::timeout`].
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);
/// The default of [`WebhookConfig::max_idle_connections`]: as many as a destination has attempts
/// in flight by default.
const DEFAULT_MAX_IDLE: usize = 64;
/// The default of [`WebhookConfig::idle_timeout`]: shorter than what common servers and balancers
/// keep an idle connection for (nginx 75 s, AWS 60 s, Apache 5 s is the exception), so that a
/// request rarely meets a connection that the other side is just closing.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How a webhook destination is reached. Fill it, and hand it to
/// [`WebhookSink::new`](crate::WebhookSink::new), which checks it.
#[derive(Clone)]
pub struct WebhookConfig {
    /// Where to POST: `http://` or `https://`. A user and password in it are sent as basic
    /// credentials. Neither these nor path and query are ever printed.
    pub url: String,
    /// What requests are signed with: `whsec_` (HMAC) and `whsk_` (ed25519). One signature each,
    /// so that a receiver finds its own during a rotation. At most 8; none: no signature.
    pub secrets: Vec<Secret>,
    /// The most time for one exchange: look-up, connecting, TLS, request, and answer with body.
    pub timeout: Duration,
    /// Further headers of every request. Those that Laneway sets itself, or that belong to the
    /// connection, are refused.
    pub headers: Vec<(String, Secret)>,
    /// What is sent as `authorization`.
    pub credentials: Option<Credentials>,
    /// Statuses (300 to 599) that mean that this event will never be taken: it is given up at once.
    pub reject: Vec<u16>,
    /// Whether each attempt sends a CloudEvents JSON batch instead of one event's data.
    pub batch: bool,
    /// Which addresses may be connected to.
    pub egress: EgressPolicy,
    /// How an `https://` receiver is trusted, and how it may trust us.
    pub tls: TlsOptions,
    /// Which version of HTTP is spoken.
    pub http: HttpVersion,
    /// The most connections kept open while idle. As many as attempts are in flight at once, or each
    /// burst connects anew: 256 in flight with 64 kept were 5,000 connections a second and delays of
    /// seconds under a load that otherwise waits for milliseconds.
    pub max_idle_connections: usize,
    /// How long an idle connection is kept open.
    pub idle_timeout: Duration,
}

impl WebhookConfig {
    /// A destination at `url`, with the defaults everywhere: no secrets, 15 s, no private addresses.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            secrets: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
            headers: Vec::new(),
            credentials: None,
            reject: Vec::new(),
            batch: false,
            egress: EgressPolicy::default(),
            tls: TlsOptions::default(),
            http: HttpVersion::default(),
            max_idle_connections: DEFAULT_MAX_IDLE,
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
        }
    }
}

impl fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = Url::parse(&self.url).map_or_else(|_| "(not a URL)".to_owned(), |url| origin(&url));
        f.debug_struct("WebhookConfig")
            .field("url", &url)
            .field("secrets", &self.secrets)
            .field("timeout", &self.timeout)
            .field("headers", &self.headers)
            .field("credentials", &self.credentials)
            .field("reject", &self.reject)
            .field("batch", &self.batch)
            .field("egress", &self.egress)
            .field("tls", &self.tls)
            .field("http", &self.http)
            .field("max_idle_connections", &self.max_idle_connections)
            .field("idle_timeout", &self.idle_timeout)
            .finish()
    }
}

/// Scheme, host and port: all of a webhook's URL that may be shown, since user, path and query
/// may each be what keeps others from posting there.
pub(crate) fn origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

/// Who Laneway says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// `authorization: Bearer …` (RFC 6750).
    Bearer(Secret),
    /// `authorization: Basic …` (RFC 7617).
    Basic {
        /// The user; must not contain a colon.
        user: String,
        /// The password.
        password: Secret,
    },
}

/// TLS beyond the defaults: the system's root certificates (or Mozilla's, where the system has
/// none), TLS 1.2 and 1.3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Certificates (PEM) to trust *instead of* the system's.
    pub ca: Option<String>,
    /// A certificate chain (PEM) and its private key (PEM), shown to a receiver that asks.
    pub client_certificate: Option<(String, Secret)>,
}

/// Which version of HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    /// `https://`: HTTP/2 if the receiver offers it (ALPN), else HTTP/1.1. `http://`: HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only, over `http://` without asking ("prior knowledge", RFC 9113 section 3.3).
    Http2,
}

/// What is wrong with a webhook destination's settings. Never shows a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WebhookConfigError {
    /// The URL cannot be used.
    #[error("url: {why}")]
    Url {
        /// What is wrong with it.
        why: String,
    },
    /// The URL names an address that may not be connected to.
    #[error("url: {0}")]
    Egress(#[from] Blocked),
    /// A signing secret cannot be used.
    #[error("secret {number}: {why}")]
    Secret {
        /// Which one, from 1.
        number: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There are too many signing secrets.
    #[error("{given} secrets; at most {most} are allowed")]
    TooManySecrets {
        /// How many were given.
        given: usize,
        /// How many there may be.
        most: usize,
    },
    /// A custom header cannot be used.
    #[error("header {name:?}: {why}")]
    Header {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The credentials cannot be used.
    #[error("credentials: {why}")]
    Credentials {
        /// What is wrong with them.
        why: &'static str,
    },
    /// The timeout cannot be used.
    #[error("timeout: must be longer than zero")]
    Timeout,
    /// A status cannot mean that an event is rejected.
    #[error("reject: {status} is not a status from 300 to 599")]
    Reject {
        /// The status.
        status: u16,
    },
    /// The TLS settings cannot be used.
    #[error("tls.{0}")]
    Tls(#[from] laneway_tls::TlsError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_a_config_shows_nothing_that_opens_a_door() {
        let config = WebhookConfig {
            secrets: vec![Secret::new("whsec_topsecret")],
            headers: vec![("x-api-key".into(), Secret::new("topsecret"))],
            credentials: Some(Credentials::Basic { user: "me".into(), password: Secret::new("topsecret") }),
            tls: TlsOptions { ca: None, client_certificate: Some(("cert".into(), Secret::new("topsecret"))) },
            ..WebhookConfig::new("https://me:topsecret@h.example:8443/topsecret?t=topsecret")
        };
        let shown = format!("{config:?}");
        assert!(!shown.contains("topsecret"), "{shown}");
        assert!(shown.contains("https://h.example:8443"), "{shown}");
    }
}
