//! Whom a certificate names.

use crate::pem::{Part, certificates};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Whom a certificate names: every DNS name, URI (as SPIFFE has them) and e-mail address that it is for; where it has
/// none of those (`subjectAltName`), the common name of its subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    /// Each of them, as [`plain_name`] writes it.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// A name as it is compared: URIs and e-mail addresses to the letter, all others in lower case.
#[must_use]
pub fn plain_name(name: &str) -> String {
    if name.contains([':', '@']) { name.to_owned() } else { name.to_ascii_lowercase() }
}

/// Until when a certificate chain (PEM) holds, in seconds since 1970: as long as all of it does. `None` if one of it
/// cannot be read.
#[must_use]
pub fn valid_until(chain: &str) -> Option<i64> {
    let chain = certificates(Part::Certificate, chain).ok()?;
    let ends: Option<Vec<i64>> = chain.iter().map(|der| Some(read(der)?.validity().not_after.timestamp())).collect();
    ends?.into_iter().min()
}

fn read<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(certificate).ok().map(|(_, certificate)| certificate)
}

/// Whom a certificate names, which has been verified. Of one that cannot be read that is nobody.
#[must_use]
pub fn names_of(certificate: &CertificateDer<'_>) -> Names {
    let Some(certificate) = read(certificate) else { return Names::default() };
    let Ok(alternative) = certificate.subject_alternative_name() else { return Names::default() };
    let Some(alternative) = alternative else {
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        return Names(common.map(plain_name).collect());
    };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) | GeneralName::RFC822Name(name) => Some(plain_name(name)),
        _ => None,
    };
    Names(alternative.value.general_names.iter().filter_map(name).collect())
}
