//! Standard Webhooks signatures: `v1` (HMAC-SHA256) and `v1a` (ed25519).

use crate::config::WebhookConfigError;
use crate::secret::Secret;
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use http::HeaderValue;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// The most secrets of one destination: two are enough for a rotation, and every one of them adds
/// about 90 bytes to a header and a pass over the data.
pub const MAX_SECRETS: usize = 8;
/// How long a `whsec_` secret may be, in bytes before base64 (Standard Webhooks: 192 to 512 bits).
const HMAC_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Base64 as people paste it: with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

enum SigningKey {
    /// Keyed once: what is cloned per signature is the state after the key block.
    Hmac(hmac::Key),
    Ed25519(Box<Ed25519KeyPair>),
}

/// Signs with all secrets of a destination.
pub(crate) struct Signer {
    keys: Vec<SigningKey>,
}

impl Signer {
    /// Reads the secrets.
    ///
    /// # Errors
    /// Says which of them (from 1) is wrong and how, never its text.
    pub(crate) fn new(secrets: &[Secret]) -> Result<Self, WebhookConfigError> {
        if secrets.len() > MAX_SECRETS {
            return Err(WebhookConfigError::TooManySecrets { given: secrets.len(), most: MAX_SECRETS });
        }
        let keys = secrets.iter().enumerate().map(|(index, secret)| {
            signing_key(secret.expose()).map_err(|why| WebhookConfigError::Secret { number: index + 1, why })
        });
        Ok(Self { keys: keys.collect::<Result<_, _>>()? })
    }

    /// The value of `webhook-signature` for a message; `None` without secrets.
    pub(crate) fn sign(&self, id: &[u8], timestamp: u64, body: &[u8]) -> Option<HeaderValue> {
        if self.keys.is_empty() {
            return None;
        }
        let timestamp = timestamp.to_string();
        let message = [id, b".", timestamp.as_bytes(), b".", body];
        let mut value = String::with_capacity(self.keys.len() * 96);
        for key in &self.keys {
            if !value.is_empty() {
                value.push(' ');
            }
            append_signature(key, &message, &mut value);
        }
        HeaderValue::try_from(value).ok()
    }
}

fn append_signature(key: &SigningKey, message: &[&[u8]], value: &mut String) {
    match key {
        SigningKey::Hmac(key) => {
            let mut context = hmac::Context::with_key(key);
            message.iter().for_each(|part| context.update(part));
            value.push_str("v1,");
            STANDARD.encode_string(context.sign(), value);
        }
        SigningKey::Ed25519(key) => {
            value.push_str("v1a,");
            STANDARD.encode_string(key.sign(&message.concat()), value);
        }
    }
}

impl Secret {
    /// Whether requests can be signed with it.
    ///
    /// # Errors
    /// Says what is wrong with it, and never repeats its text.
    pub fn check_signing(&self) -> Result<(), &'static str> {
        signing_key(self.expose()).map(drop)
    }
}

fn signing_key(text: &str) -> Result<SigningKey, &'static str> {
    if let Some(encoded) = text.strip_prefix("whsec_") {
        let key = LENIENT.decode(encoded).map_err(|_| "has something behind whsec_ that is not base64")?;
        if !HMAC_BYTES.contains(&key.len()) {
            return Err("must be 24 to 64 bytes long before base64 (Standard Webhooks)");
        }
        Ok(SigningKey::Hmac(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    } else if let Some(encoded) = text.strip_prefix("whsk_") {
        let key = LENIENT.decode(encoded).map_err(|_| "has something behind whsk_ that is not base64")?;
        ed25519_key(&key).map(|pair| SigningKey::Ed25519(Box::new(pair)))
    } else {
        Err("must begin with whsec_ (a shared secret) or whsk_ (an ed25519 private key)")
    }
}

/// An ed25519 key as it is found in the wild: the 32 bytes of the seed, or these followed by the
/// 32 bytes of the public key.
fn ed25519_key(bytes: &[u8]) -> Result<Ed25519KeyPair, &'static str> {
    const REFUSED: &str = "must be a 32 byte ed25519 seed behind whsk_, or the seed followed by its public key";
    let (seed, public) = bytes.split_at_checked(32).ok_or(REFUSED)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| REFUSED)?;
    if public.is_empty() || public == pair.public_key().as_ref() { Ok(pair) } else { Err(REFUSED) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ED25519, UnparsedPublicKey};

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn signed(secrets: &[&str], body: &[u8]) -> String {
        let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::new(*text)).collect();
        let value = Signer::new(&secrets).unwrap().sign(b"msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553, body);
        value.unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn the_vector_of_the_reference_library_holds() {
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        assert_eq!(signed(&[SECRET], body), "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    #[test]
    fn an_ed25519_signature_is_verified_by_its_public_key() {
        let seed = [7_u8; 32];
        let key = format!("whsk_{}", STANDARD.encode(seed));
        let value = signed(&[SECRET, &key], b"data");
        let (hmac, ed25519) = value.split_once(' ').unwrap();
        assert!(hmac.starts_with("v1,"));
        let signature = STANDARD.decode(ed25519.strip_prefix("v1a,").unwrap()).unwrap();
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let message = b"msg_27UH4WbU6Z5A5EzD8u03UvzRbpk.1649367553.data";
        UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref()).verify(message, &signature).unwrap();
        let long = [seed.as_slice(), pair.public_key().as_ref()].concat();
        assert_eq!(signed(&[&format!("whsk_{}", STANDARD.encode(long))], b"data"), ed25519);
    }

    #[test]
    fn without_secrets_nothing_is_signed() {
        assert!(Signer::new(&[]).unwrap().sign(b"id", 1, b"").is_none());
    }

    #[test]
    fn a_wrong_secret_is_named_by_its_number_and_not_shown() {
        let short = format!("whsec_{}", STANDARD.encode([1; 23]));
        let wrong_half = format!("whsk_{}", STANDARD.encode([1; 64]));
        for bad in ["", "hunter2", "whsec_", "whsec_!!", &short, "whsk_AAAA", &wrong_half] {
            let secrets = [Secret::new(SECRET), Secret::new(bad)];
            let error = Signer::new(&secrets).err().unwrap().to_string();
            assert!(error.contains("secret 2"), "{error}");
            assert!(bad.len() < 7 || !error.contains(bad), "{error}");
        }
        assert!(Signer::new(&vec![Secret::new(SECRET); MAX_SECRETS + 1]).is_err());
    }
}
