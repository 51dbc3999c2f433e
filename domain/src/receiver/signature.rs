//! The two kinds of signature of Standard Webhooks, and the keys that check them.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use ed25519_compact::{PublicKey, Signature};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use thiserror::Error;

/// The most secrets of one verifier; as many as a destination may have.
pub const MAX_SECRETS: usize = 8;
/// How long a `whsec_` secret may be, in bytes before base64 (Standard Webhooks: 192 to 512 bits).
const HMAC_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Base64 as people paste it: with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret that cannot be used. Never shows it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidSecret {
    /// There is none: everything would be refused.
    #[error("a verifier needs at least one secret")]
    None,
    /// There are more than [`MAX_SECRETS`].
    #[error("{0} secrets; at most {MAX_SECRETS} are allowed")]
    TooMany(usize),
    /// One of them is no secret.
    #[error("secret {number}: {why}")]
    Wrong {
        /// Which one, from 1.
        number: usize,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// What one secret checks.
#[derive(Clone)]
pub(super) enum VerifyingKey {
    /// `v1`: the state after the key block, so that the key is hashed once.
    Hmac(Hmac<Sha256>),
    /// `v1a`.
    Ed25519(PublicKey),
}

impl VerifyingKey {
    /// Reads `whsec_…` (a shared secret) or `whpk_…` (an ed25519 public key).
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        if let Some(encoded) = text.strip_prefix("whsec_") {
            let key = LENIENT.decode(encoded).map_err(|_| "what follows whsec_ is not base64")?;
            if !HMAC_BYTES.contains(&key.len()) {
                return Err("a whsec_ secret must be 24 to 64 bytes long before base64 (Standard Webhooks)");
            }
            Hmac::new_from_slice(&key).map(Self::Hmac).map_err(|_| "it cannot be used")
        } else if let Some(encoded) = text.strip_prefix("whpk_") {
            let key = LENIENT.decode(encoded).map_err(|_| "what follows whpk_ is not base64")?;
            PublicKey::from_slice(&key).map(Self::Ed25519).map_err(|_| "a whpk_ key must be a 32 byte ed25519 key")
        } else {
            Err("it must begin with whsec_ (a shared secret) or whpk_ (an ed25519 public key)")
        }
    }

    /// Whether one of `signatures` (each: version, comma, base64) is this key's over `message`, the
    /// parts of which follow each other. Takes the same time wherever a wrong one differs.
    pub(super) fn signed(&self, message: &[&[u8]], signatures: &[&str]) -> bool {
        match self {
            Self::Hmac(keyed) => {
                let mut mac = keyed.clone();
                message.iter().for_each(|part| mac.update(part));
                tags(signatures, "v1,").any(|tag| mac.clone().verify_slice(&tag).is_ok())
            }
            Self::Ed25519(key) => {
                let message = message.concat();
                let mut tags = tags(signatures, "v1a,");
                tags.any(|tag| Signature::from_slice(&tag).is_ok_and(|tag| key.verify(&message, &tag).is_ok()))
            }
        }
    }
}

/// The signatures of one version, as bytes. What is of another version, or nonsense, is not ours.
fn tags<'s>(signatures: &'s [&str], version: &'s str) -> impl Iterator<Item = Vec<u8>> + 's {
    signatures.iter().filter_map(move |signature| STANDARD.decode(signature.strip_prefix(version)?).ok())
}
