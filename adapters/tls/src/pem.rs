//! Certificates and keys, as PEM text (RFC 7468).

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;

/// A part of what is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The certificates of those whose signature is trusted.
    Ca,
    /// The certificate chain that says who one is.
    Certificate,
    /// Its private key.
    Key,
}

impl Part {
    /// Its setting, where it has one of its own.
    #[must_use]
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Certificate => "certificate",
            Self::Key => "key",
        }
    }
}

/// Which part cannot be used, and why: a sentence that goes on after the setting's name. It has nothing of a key in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {why}", part.setting())]
pub struct TlsError {
    /// The part.
    pub part: Part,
    /// Why it cannot be used.
    pub why: String,
}

impl TlsError {
    pub(crate) fn new(part: Part, why: impl Into<String>) -> Self {
        Self { part, why: why.into() }
    }
}

/// The certificates in a text, at least one.
pub(crate) fn certificates(part: Part, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => Err(TlsError::new(part, "contains no certificate in PEM form")),
        Ok(found) => Ok(found),
        Err(error) => Err(TlsError::new(part, format!("is not PEM: {error}"))),
    }
}

/// Those whose signature is trusted, of the certificates in `pem`.
///
/// # Errors
/// If the text has none, or one that cannot be used.
pub(crate) fn roots(pem: &str) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(Part::Ca, pem)? {
        roots.add(certificate).map_err(|_| TlsError::new(Part::Ca, "has a certificate that cannot be read"))?;
    }
    Ok(Arc::new(roots))
}

/// Who one is: a certificate chain with the private key of its first certificate.
#[derive(Clone)]
pub struct Identity(pub(crate) Arc<CertifiedKey>);

impl Identity {
    /// Reads it from two PEM texts.
    ///
    /// # Errors
    /// If one of them has not what it should, or the key is another certificate's.
    pub fn read(chain: &str, key: &str) -> Result<Self, TlsError> {
        let chain = certificates(Part::Certificate, chain)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| TlsError::new(Part::Key, "is not a private key in PEM form, without a passphrase"))?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|_| {
            TlsError::new(Part::Key, "is of a kind that is not known here; use an ECDSA, Ed25519 or RSA key")
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // Of some kinds it cannot be told; then the first handshake tells.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
                Ok(Self(Arc::new(certified)))
            }
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(TlsError::new(Part::Key, "is not the key of the certificate's first entry"))
            }
            Err(_) => Err(TlsError::new(Part::Certificate, "has a certificate that cannot be read")),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}
