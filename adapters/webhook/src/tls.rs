//! TLS towards receivers.

use crate::config::{HttpVersion, TlsOptions, WebhookConfigError};
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use std::sync::{Arc, OnceLock};

/// The settings of one destination's TLS connections.
///
/// # Errors
/// Names the setting that cannot be used, and why.
pub(crate) fn client_config(options: &TlsOptions, http: HttpVersion) -> Result<Arc<ClientConfig>, WebhookConfigError> {
    let roots = match &options.ca {
        Some(pem) => Arc::new(custom_roots(pem)?),
        None => system_roots(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| tls_error("versions", error.to_string()))?
        .with_root_certificates(roots);
    let mut config = with_client_certificate(builder, options)?;
    config.alpn_protocols = match http {
        HttpVersion::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        HttpVersion::Http1 => vec![b"http/1.1".to_vec()],
        HttpVersion::Http2 => vec![b"h2".to_vec()],
    };
    Ok(Arc::new(config))
}

fn with_client_certificate(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    options: &TlsOptions,
) -> Result<ClientConfig, WebhookConfigError> {
    const SETTING: &str = "client_certificate";
    let Some((chain, key)) = &options.client_certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(SETTING, chain)?;
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
        .map_err(|_| tls_error(SETTING, "the key is not a private key in PEM form"))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| tls_error(SETTING, error.to_string()))
}

fn custom_roots(pem: &str) -> Result<RootCertStore, WebhookConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca", pem)? {
        roots.add(certificate).map_err(|error| tls_error("ca", error.to_string()))?;
    }
    Ok(roots)
}

fn certificates(setting: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, WebhookConfigError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => Err(tls_error(setting, "contains no certificate in PEM form")),
        Ok(found) => Ok(found),
        Err(error) => Err(tls_error(setting, error.to_string())),
    }
}

/// The system's root certificates, read once; Mozilla's where it has none (small containers).
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            tracing::warn!("the system has no root certificates; using Mozilla's, as built in");
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Arc::new(roots)
    };
    Arc::clone(ROOTS.get_or_init(read))
}

fn tls_error(setting: &'static str, why: impl Into<String>) -> WebhookConfigError {
    WebhookConfigError::Tls { setting, why: why.into() }
}
