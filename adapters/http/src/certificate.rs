//! What stands for the token of whoever is known by a certificate.

/// With what it begins. No header can carry it, so that nobody can send such a token.
const CERTIFICATE: &[u8] = b"\0certificate\0";

/// What stands for the token of whoever has a certificate of this name.
pub(crate) fn secret_of(name: &str) -> Vec<u8> {
    [CERTIFICATE, name.as_bytes()].concat()
}

/// The name in a certificate that was presented, if that is what it was.
pub(crate) fn name_in(presented: &[u8]) -> Option<&str> {
    std::str::from_utf8(presented.strip_prefix(CERTIFICATE)?).ok()
}
