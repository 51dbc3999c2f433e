//! What a client needs: whom it trusts, and who it is.

use crate::pem::{Identity, TlsError, roots};
use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use std::sync::{Arc, OnceLock};

/// Whom a client trusts.
#[derive(Clone, Debug)]
pub struct Trust(pub(crate) Arc<RootCertStore>);

impl Trust {
    /// Those whose certificates are in the text, and nobody else.
    ///
    /// # Errors
    /// If the text has none, or one that cannot be used.
    pub fn only(pem: &str) -> Result<Self, TlsError> {
        roots(pem).map(Self)
    }

    /// Nobody.
    #[must_use]
    pub fn nobody() -> Self {
        Self(Arc::new(RootCertStore::empty()))
    }

    /// These.
    #[must_use]
    pub const fn of(roots: Arc<RootCertStore>) -> Self {
        Self(roots)
    }
}

/// The system's root certificates, read once; `None` where it has none (small containers).
#[must_use]
pub fn system_roots() -> Option<Arc<RootCertStore>> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        // A certificate among them that cannot be read is nobody's whom one could trust.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    };
    Some(ROOTS.get_or_init(read)).filter(|roots| !roots.is_empty()).cloned()
}

/// A client that trusts these, and shows who it is where a server asks.
#[must_use]
pub fn client_config(trust: &Trust, identity: Option<&Identity>) -> ClientConfig {
    let builder = versions(ClientConfig::builder_with_provider(provider())).with_root_certificates(trust.0.clone());
    with_identity(builder, identity)
}

pub(crate) fn with_identity(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    identity: Option<&Identity>,
) -> ClientConfig {
    match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let resolver = rustls::sign::SingleCertAndKey::from(identity.0.clone());
            builder.with_client_cert_resolver(Arc::new(resolver))
        }
    }
}

/// The one that all of this uses.
pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    static PROVIDER: OnceLock<Arc<rustls::crypto::CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())).clone()
}

/// TLS 1.2 and 1.3.
pub(crate) fn versions<Side: rustls::ConfigSide>(
    builder: ConfigBuilder<Side, rustls::WantsVersions>,
) -> ConfigBuilder<Side, rustls::WantsVerifier> {
    builder.with_safe_default_protocol_versions().unwrap_or_else(|error| panic!("ring knows TLS 1.2 and 1.3: {error}"))
}
