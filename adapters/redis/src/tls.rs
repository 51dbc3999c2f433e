//! TLS towards Redis.

use fred::types::config::{TlsConfig, TlsConnector, TlsHostMapping};
use laneway_ports::StoreError;
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use std::sync::Arc;

/// TLS beyond the defaults, which are the system's root certificates and no certificate of one's own.
#[derive(Clone, Default)]
pub struct RedisTls {
    /// Certificates (PEM) to trust *instead of* the system's.
    pub ca: Option<String>,
    /// A certificate chain (PEM) and its private key (PEM), for a Redis that asks who comes (`tls-auth-clients`).
    pub client_certificate: Option<(String, String)>,
}

impl RedisTls {
    /// Whether everything is as it would be without.
    pub(crate) const fn is_default(&self) -> bool {
        self.ca.is_none() && self.client_certificate.is_none()
    }

    /// Checks that it can be used.
    ///
    /// # Errors
    /// Names the setting that cannot be used (`ca`, `certificate` or `key`), and says why.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        self.client_config().map(|_| ())
    }

    /// As the client of Redis wants it.
    ///
    /// # Errors
    /// Names the setting that cannot be used, and why.
    pub(crate) fn config(&self) -> Result<TlsConfig, StoreError> {
        let config = self.client_config();
        let config = config.map_err(|(setting, why)| StoreError::refused(format!("store.tls.{setting}: {why}")))?;
        Ok(TlsConfig { connector: TlsConnector::from(config), hostnames: TlsHostMapping::None })
    }

    fn client_config(&self) -> Result<ClientConfig, (&'static str, String)> {
        let roots = match &self.ca {
            Some(pem) => custom_roots(pem)?,
            None => system_roots()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ("ca", error.to_string()))?
            .with_root_certificates(roots);
        self.with_client_certificate(builder)
    }

    fn with_client_certificate(
        &self,
        builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    ) -> Result<ClientConfig, (&'static str, String)> {
        let Some((chain, key)) = &self.client_certificate else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(chain).map_err(|why| ("certificate", why))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| ("key", "is not a private key in PEM form".to_owned()))?;
        builder.with_client_auth_cert(chain, key).map_err(|error| ("certificate", error.to_string()))
    }
}

fn custom_roots(pem: &str) -> Result<RootCertStore, (&'static str, String)> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem).map_err(|why| ("ca", why))? {
        roots.add(certificate).map_err(|error| ("ca", error.to_string()))?;
    }
    Ok(roots)
}

/// The system's root certificates.
fn system_roots() -> Result<RootCertStore, (&'static str, String)> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(("ca", "is needed: the system has no root certificates".to_owned()));
    }
    Ok(roots)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => Err("contains no certificate in PEM form".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}
