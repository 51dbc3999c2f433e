//! A client whose certificates change while its connections go on: they are renewed long before a process ends.

use crate::client::{Trust, provider, versions};
use crate::pem::{Identity, Part, TlsError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::sync::{Arc, PoisonError, RwLock};

/// Whom a client trusts and who it is, as of now. A new connection goes by what was said last.
#[derive(Clone, Debug)]
pub struct Replaceable(Arc<RwLock<Now>>);

#[derive(Clone, Debug)]
struct Now {
    /// rustls' own: what it lets pass is all that this lets pass.
    verifier: Arc<WebPkiServerVerifier>,
    identity: Option<Identity>,
}

impl Now {
    fn of(trust: &Trust, identity: Option<Identity>) -> Result<Self, TlsError> {
        let builder = WebPkiServerVerifier::builder_with_provider(trust.0.clone(), provider());
        let verifier = builder.build().map_err(|error| TlsError::new(Part::Ca, format!("cannot be used: {error}")))?;
        Ok(Self { verifier, identity })
    }
}

impl Replaceable {
    /// A client that trusts these and is that one, for now.
    ///
    /// # Errors
    /// If they cannot be trusted.
    pub fn new(trust: &Trust, identity: Option<Identity>) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(RwLock::new(Now::of(trust, identity)?))))
    }

    /// From now on new connections go by what the other one goes by now.
    pub fn replace(&self, by: &Self) {
        let now = by.now();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// The client, which goes by whatever is said last.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        let (verifier, resolver) = (Arc::new(self.clone()), Arc::new(self.clone()));
        let builder = versions(ClientConfig::builder_with_provider(provider()));
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = builder.with_client_cert_resolver(resolver);
        // A session that is resumed is not verified anew.
        config.resumption = Resumption::disabled();
        config
    }

    fn now(&self) -> Now {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Replaceable {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.now().verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.now().verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.now().verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.now().verifier.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}

impl ResolvesClientCert for Replaceable {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let identity = self.now().identity?;
        identity.0.key.choose_scheme(schemes).map(|_| identity.0)
    }

    fn has_certs(&self) -> bool {
        self.now().identity.is_some()
    }
}
