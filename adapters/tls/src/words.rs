//! What went wrong in TLS, for people. The library says most of it by the names of its own variants
//! (`invalid peer certificate: UnknownIssuer`), which mean nothing to whoever reads a log.

use rustls::{CertificateError, Error as TlsError};
use std::error::Error;
use std::io;

/// The TLS error in `error`, or in what caused it, in words; `None` if it was none.
#[must_use]
pub fn tls_error_in_words(error: &(dyn Error + 'static)) -> Option<String> {
    find(error).map(in_words)
}

/// Whether it is that nobody who is trusted has signed the other side's certificate: also where somebody who is has the
/// name of who did, and another key.
#[must_use]
pub fn is_of_unknown_issuer(error: &(dyn Error + 'static)) -> bool {
    use CertificateError as C;
    let Some(TlsError::InvalidCertificate(why)) = find(error) else { return false };
    matches!(why, C::UnknownIssuer | C::BadSignature | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. })
}

fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<TlsError>() {
            return Some(tls);
        }
        // An I/O error names as its source what is behind the error that it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

fn in_words(error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(why) => certificate(why),
        TlsError::AlertReceived(alert) => {
            format!("it ended the handshake with the alert \"{}\"", words(&format!("{alert:?}")))
        }
        TlsError::PeerIncompatible(why) => {
            format!("it speaks no TLS that is spoken here: {}", words(&format!("{why:?}")))
        }
        TlsError::InvalidMessage(_) => "what it answered is not TLS; is this a port for plain HTTP?".to_owned(),
        TlsError::NoApplicationProtocol => "it speaks none of the offered versions of HTTP".to_owned(),
        TlsError::NoCertificatesPresented => "it showed no certificate".to_owned(),
        other => words(&other.to_string()),
    }
}

fn certificate(why: &CertificateError) -> String {
    const DAY: u64 = 86_400;
    let days = |later: u64, earlier: u64| match later.saturating_sub(earlier) / DAY {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    match why {
        CertificateError::UnknownIssuer => {
            "its certificate was issued by an authority that is not trusted here".to_owned()
        }
        CertificateError::Expired => "its certificate has expired".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            format!("its certificate expired {} ago", days(time.as_secs(), not_after.as_secs()))
        }
        CertificateError::NotValidYet => "its certificate is not valid yet; is the clock of this machine right?".into(),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "its certificate is not valid yet, for {}; is the clock of this machine right?",
            days(not_before.as_secs(), time.as_secs())
        ),
        CertificateError::NotValidForName => "its certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = if presented.is_empty() { "no name at all".to_owned() } else { presented.join(", ") };
            // The library writes names as `DnsName("h.example")`.
            let names = names.replace("DnsName(\"", "").replace("IpAddress(", "").replace("\")", "").replace(')', "");
            format!("its certificate is for {names}, not for {}", expected.to_str())
        }
        CertificateError::Revoked => "its certificate was revoked".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not one for servers".to_owned()
        }
        CertificateError::BadEncoding => "its certificate cannot be read".to_owned(),
        // The verifier's own error, which has no name in rustls.
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "its certificate is an authority's (basicConstraints CA:TRUE), and not a server's".to_owned()
        }
        CertificateError::BadSignature
        // An authority that is trusted has the name of the one that signed, and a key of another kind.
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the signature of its certificate is wrong".to_owned()
        }
        other => format!("its certificate cannot be accepted: {}", words(&other.to_string())),
    }
}

/// Words for a variant's name: `CertificateRequired` becomes `certificate required`.
fn words(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    for c in text.chars() {
        if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
        before = c;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::{ServerName, UnixTime};
    use rustls::{AlertDescription, InvalidMessage, OtherError, PeerIncompatible, PeerMisbehaved};
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn no_variant_of_the_library_is_shown_as_it_is_written_in_code() {
        use CertificateError as C;
        let at = |days: u64| UnixTime::since_unix_epoch(Duration::from_secs(days * 86_400));
        let name = || ServerName::try_from("h.example").unwrap();
        let certificate = TlsError::InvalidCertificate;
        let for_other = C::NotValidForNameContext { expected: name(), presented: vec!["DnsName(\"other\")".into()] };
        for (error, expected) in [
            (certificate(C::UnknownIssuer), "its certificate was issued by an authority that is not trusted here"),
            (certificate(C::ExpiredContext { time: at(12), not_after: at(10) }), "its certificate expired 2 days ago"),
            (
                certificate(C::NotValidYetContext { time: at(1), not_before: at(2) }),
                "its certificate is not valid yet, for 1 day; is the clock of this machine right?",
            ),
            (certificate(for_other), "its certificate is for other, not for h.example"),
            (certificate(C::BadSignature), "the signature of its certificate is wrong"),
            (
                certificate(C::UnhandledCriticalExtension),
                "its certificate cannot be accepted: unhandled critical extension",
            ),
            (
                TlsError::AlertReceived(AlertDescription::CertificateRequired),
                "it ended the handshake with the alert \"certificate required\"",
            ),
            (
                TlsError::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
                "it speaks no TLS that is spoken here: no cipher suites in common",
            ),
            (
                TlsError::PeerMisbehaved(PeerMisbehaved::IllegalMiddleboxChangeCipherSpec),
                "peer misbehaved: illegal middlebox change cipher spec",
            ),
            (
                TlsError::InvalidMessage(InvalidMessage::InvalidContentType),
                "what it answered is not TLS; is this a port for plain HTTP?",
            ),
        ] {
            assert_eq!(in_words(&error), expected);
        }
    }

    #[test]
    fn it_is_found_behind_other_errors_and_nowhere_else() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] io::Error);
        let tls = || io::Error::other(TlsError::InvalidCertificate(CertificateError::Expired));
        assert_eq!(tls_error_in_words(&tls()).unwrap(), "its certificate has expired");
        assert_eq!(tls_error_in_words(&Outer(io::Error::other(Outer(tls())))).unwrap(), "its certificate has expired");
        assert_eq!(tls_error_in_words(&Outer(io::Error::from(io::ErrorKind::ConnectionReset))), None);
        let other = TlsError::Other(OtherError(Arc::new(io::Error::other("said by another"))));
        assert_eq!(tls_error_in_words(&other).unwrap(), "other error: said by another");
    }
}
