//! The proof, in every form, that it was made by this server for this browser (cross-site request forgery).
//!
//! It is a keyed hash of the browser's cookie. The key is made when the process starts, so that nothing has to be
//! remembered for each page.

use crate::cookie::Cookie;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The name of the field.
pub(crate) const FIELD: &str = "csrf";

/// Makes proofs and checks them.
pub(crate) struct Forms {
    key: [u8; 32],
}

impl Forms {
    pub(crate) fn new() -> Self {
        Self { key: rand::random() }
    }

    fn mac(&self, cookie: &Cookie) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(cookie.as_bytes());
        Some(mac)
    }

    /// What the forms of this browser carry.
    pub(crate) fn proof(&self, cookie: &Cookie) -> String {
        self.mac(cookie).map(|mac| URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())).unwrap_or_default()
    }

    /// Whether a form of this browser was made here.
    pub(crate) fn is_ours(&self, cookie: &Cookie, proof: &str) -> bool {
        let Ok(proof) = URL_SAFE_NO_PAD.decode(proof) else { return false };
        // In constant time.
        self.mac(cookie).is_some_and(|mac| mac.verify_slice(&proof).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_its_browser_and_its_process_only() {
        let (forms, cookie) = (Forms::new(), Cookie::random(&http::HeaderMap::new()));
        let proof = forms.proof(&cookie);
        assert!(forms.is_ours(&cookie, &proof));
        assert!(!forms.is_ours(&Cookie::random(&http::HeaderMap::new()), &proof));
        assert!(!Forms::new().is_ours(&cookie, &proof));
        for other in ["", "AAAA", &proof[1..], &format!("{proof}A"), "ü"] {
            assert!(!forms.is_ours(&cookie, other), "{other}");
        }
    }
}
