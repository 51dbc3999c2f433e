//! What somebody shows of who they are: a text, or the name in a certificate. The two are told apart by type, so that
//! no text that anybody sends, in a header or a form, ever passes for a certificate.

use laneway_domain::TokenDigest;
use sha2::{Digest as _, Sha256};

/// What the digest of a certificate's name begins with, so that it is not that of a token of the same text.
const CERTIFICATE: &[u8] = b"\0certificate\0";

/// What somebody shows of who they are. It is not printed: a text is a secret.
#[derive(Clone, Copy)]
pub(crate) enum Presented<'a> {
    /// A text that was sent: a token's, or a link's secret.
    Bearer(&'a [u8]),
    /// A name in a client's certificate, which TLS has verified.
    Certificate(&'a str),
}

impl<'a> Presented<'a> {
    /// By what it is recognised, among others of its kind.
    pub(crate) fn digest(self) -> TokenDigest {
        match self {
            Self::Bearer(text) => digest_of(text),
            Self::Certificate(name) => digest_of(&[CERTIFICATE, name.as_bytes()].concat()),
        }
    }

    /// Whether it is a name in a certificate.
    pub(crate) const fn is_certificate(self) -> bool {
        matches!(self, Self::Certificate(_))
    }

    /// The text that was sent, if one was that can be a token's or a link's: visible ASCII only.
    pub(crate) fn text(self) -> Option<&'a [u8]> {
        match self {
            Self::Bearer(text) => is_sendable(text).then_some(text),
            Self::Certificate(_) => None,
        }
    }
}

/// Whether a text can be a token's: such as any header can carry.
pub(crate) fn is_sendable(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_graphic)
}

/// The digest by which a token is recognised.
#[must_use]
pub fn digest_of(token: &[u8]) -> TokenDigest {
    TokenDigest(Sha256::digest(token).into())
}
