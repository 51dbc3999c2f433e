//! An authority that signs certificates for tests.

use crate::names::{Names, names_of};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::sync::atomic::{AtomicU32, Ordering};

/// An authority of its own name, whose certificates hold until 2090.
///
/// Its functions panic where a certificate cannot be made: they are for tests.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate chain and its private key, both PEM.
pub type Certified = (String, String);

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

#[allow(clippy::missing_panics_doc, clippy::unwrap_used)]
impl Authority {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        // Two authorities of one name would be told apart by their signatures only.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(2090, 1, 1);
        let name = format!("authority {}", NUMBER.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate (PEM).
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Its own private key (PEM).
    #[must_use]
    pub fn key(&self) -> String {
        self.0.key().serialize_pem()
    }

    /// A certificate for these hosts and addresses.
    #[must_use]
    pub fn certificate(&self, hosts: &[&str]) -> Certified {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        self.signed(CertificateParams::new(hosts).unwrap())
    }

    /// A certificate (PEM) for these hosts that ends with that year.
    #[must_use]
    pub fn certificate_until(&self, hosts: &[&str], last_year: i32) -> String {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.not_after = date_time_ymd(last_year, 12, 31);
        params.signed_by(&KeyPair::generate().unwrap(), &self.0).unwrap().pem()
    }

    /// Whom a certificate for these hosts names.
    #[must_use]
    pub fn names(&self, hosts: &[&str]) -> Names {
        if hosts.is_empty() {
            return Names::default();
        }
        let (chain, _) = self.certificate(hosts);
        names_of(&CertificateDer::from_pem_slice(chain.as_bytes()).unwrap())
    }

    /// A client's certificate that names a URI, as SPIFFE has it.
    #[must_use]
    pub fn uri(&self, uri: &str) -> Certified {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        self.signed(params)
    }

    /// A client's certificate with nothing but a common name.
    #[must_use]
    pub fn common_name(&self, name: &str) -> Certified {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        self.signed(params)
    }

    fn signed(&self, mut params: CertificateParams) -> Certified {
        params.not_after = date_time_ymd(2090, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}
