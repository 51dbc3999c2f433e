//! A client of one server, whose very certificate it knows.

use crate::client::{provider, versions, with_identity};
use crate::pem::{Identity, Part, TlsError, certificates};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// A certificate that is known, whatever it names and whoever has signed it. The server proves that it has the key.
#[derive(Clone, Debug)]
pub struct Pinned(CertificateDer<'static>);

impl Pinned {
    /// To the first certificate of a chain (PEM).
    ///
    /// # Errors
    /// If the text has none.
    pub fn to(chain: &str) -> Result<Self, TlsError> {
        let first = certificates(Part::Certificate, chain)?.into_iter().next();
        first.map(Self).ok_or_else(|| TlsError::new(Part::Certificate, "is missing"))
    }
}

/// A client that trusts this certificate alone.
#[must_use]
pub fn pinned_config(pinned: Pinned, identity: Option<&Identity>) -> ClientConfig {
    let builder = versions(ClientConfig::builder_with_provider(provider()));
    with_identity(builder.dangerous().with_custom_certificate_verifier(Arc::new(pinned)), identity)
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.0 {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
