//! TLS towards receivers.

use crate::config::{HttpVersion, TlsOptions, WebhookConfigError};
use laneway_tls::{Identity, Trust, client_config as client, system_roots};
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, OnceLock};

/// The settings of one destination's TLS connections.
///
/// # Errors
/// Names the setting that cannot be used, and why.
pub(crate) fn client_config(options: &TlsOptions, http: HttpVersion) -> Result<Arc<ClientConfig>, WebhookConfigError> {
    let trust = match &options.ca {
        Some(pem) => Trust::only(pem)?,
        None => Trust::of(public_roots()),
    };
    let identity = options.client_certificate.as_ref();
    let identity = identity.map(|(chain, key)| Identity::read(chain, key.expose())).transpose()?;
    let mut config = client(&trust, identity.as_ref());
    config.alpn_protocols = match http {
        HttpVersion::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        HttpVersion::Http1 => vec![b"http/1.1".to_vec()],
        HttpVersion::Http2 => vec![b"h2".to_vec()],
    };
    Ok(Arc::new(config))
}

/// The system's root certificates; Mozilla's where it has none (small containers).
fn public_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let mozillas = || {
        tracing::warn!("the system has no root certificates; using Mozilla's, as built in");
        Arc::new(RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()))
    };
    ROOTS.get_or_init(|| system_roots().unwrap_or_else(mozillas)).clone()
}
