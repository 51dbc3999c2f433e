//! Links that sign somebody in to the console: how they are written, signed and read.
//!
//! What a link opens stands in itself, so that every process that has the key can read it, and none keeps it. It is a
//! bearer token as others are, with a prefix of its own, by which people and scanners for leaked secrets recognise it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use laneway_domain::{Link, Links, Roles, Tenant, Timestamp, TokenDigest};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq as _;

/// How the secret of every link begins.
pub const LINK_PREFIX: &str = "lwp_";
/// The bytes of the key.
pub const LINK_KEY_BYTES: usize = 32;
/// The most characters of a link's secret: the longest tenant's and token's names, encoded, are half of that.
const MAX_CHARACTERS: usize = 2048;
/// The bytes by which the token is recognised that made a link: nobody finds another one with the same.
const MARK_BYTES: usize = 16;

/// What is signed, so that nothing that may once be signed with the same key passes for it.
const LINK: &[u8] = b"laneway console link 1\0";
/// The same of the mark of a token.
const MAKER: &[u8] = b"laneway console link 1, maker\0";

/// What links are signed with.
#[derive(Clone)]
pub struct LinkKey(Hmac<Sha256>);

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(…)")
    }
}

/// By what the token is recognised that made a link. Without the key it says nothing of the token.
type Mark = [u8; MARK_BYTES];

/// A link as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    tenant: Tenant,
    roles: Roles,
    made: Timestamp,
    expires: Timestamp,
    maker: Box<str>,
    mark: String,
}

impl LinkKey {
    /// The key with these bytes, which have to be random; `None` if they are too few or too many.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let key = <[u8; LINK_KEY_BYTES]>::try_from(bytes).ok()?;
        Hmac::new_from_slice(&key).ok().map(Self)
    }

    fn keyed(&self, purpose: &[u8], text: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(purpose);
        mac.update(text);
        mac
    }

    fn mark(&self, maker: &TokenDigest) -> Mark {
        let whole: [u8; 32] = self.keyed(MAKER, &maker.0).finalize().into_bytes().into();
        std::array::from_fn(|at| whole[at])
    }

    /// The secret of a link that the token with the digest `maker` makes; `None` if a name in it cannot be written,
    /// which every name can.
    #[must_use]
    pub fn sign(&self, link: &Link, maker: &TokenDigest) -> Option<String> {
        let Link { tenant, roles, made, expires, maker: name } = link.clone();
        let mark = URL_SAFE_NO_PAD.encode(self.mark(maker));
        let written = serde_json::to_vec(&Written { tenant, roles, made, expires, maker: name, mark }).ok()?;
        let signature = self.keyed(LINK, &written).finalize().into_bytes();
        Some(format!("{LINK_PREFIX}{}.{}", URL_SAFE_NO_PAD.encode(written), URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The link with this secret, and the mark of the token that made it; `None` if nobody has signed it with this key.
    fn read(&self, presented: &[u8]) -> Option<(Link, Vec<u8>)> {
        let text = presented.strip_prefix(LINK_PREFIX.as_bytes()).filter(|_| presented.len() <= MAX_CHARACTERS)?;
        let (written, signature) = std::str::from_utf8(text).ok()?.split_once('.')?;
        let (written, signature) = (URL_SAFE_NO_PAD.decode(written).ok()?, URL_SAFE_NO_PAD.decode(signature).ok()?);
        // In constant time, and before anything of it is looked at.
        self.keyed(LINK, &written).verify_slice(&signature).ok()?;
        let Written { tenant, roles, made, expires, maker, mark } = serde_json::from_slice(&written).ok()?;
        Some((Link { tenant, roles, made, expires, maker }, URL_SAFE_NO_PAD.decode(mark).ok()?))
    }
}

/// The key of links, and which of them were ended.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) key: LinkKey,
    pub(crate) kept: Links,
}

/// A link that was read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) link: Link,
    mark: Vec<u8>,
}

impl Signed {
    /// The link with this secret, whether it stands or not; `None` if there never was one.
    pub(crate) fn open(&self, presented: &[u8]) -> Option<Opened> {
        let (link, mark) = self.key.read(presented)?;
        Some(Opened { link, mark })
    }

    /// Whether the token with this digest has made the link.
    pub(crate) fn is_made_by(&self, opened: &Opened, maker: &TokenDigest) -> bool {
        self.key.mark(maker)[..].ct_eq(&opened.mark).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(of: u8) -> LinkKey {
        LinkKey::new(&[of; LINK_KEY_BYTES]).unwrap()
    }

    fn link() -> Link {
        let made = Timestamp::from_millis(1_700_000_000_000);
        let (tenant, expires) = (Tenant::new("acme").unwrap(), Timestamp::from_millis(1_700_003_600_000));
        Link { tenant, roles: Roles::ALL, made, expires, maker: "boss".into() }
    }

    const MAKER_DIGEST: TokenDigest = TokenDigest([7; 32]);

    #[test]
    fn a_link_is_read_as_it_was_signed_and_by_its_own_key_only() {
        let secret = key(1).sign(&link(), &MAKER_DIGEST).unwrap();
        assert!(secret.starts_with("lwp_") && secret.bytes().all(|b| b.is_ascii_graphic()), "{secret}");
        assert!(secret.len() < MAX_CHARACTERS / 2, "{}", secret.len());
        let signed = Signed { key: key(1), kept: Links::new("k", laneway_domain::Revision(1)) };
        let opened = signed.open(secret.as_bytes()).unwrap();
        assert_eq!(opened.link, link());
        assert!(signed.is_made_by(&opened, &MAKER_DIGEST));
        assert!(!signed.is_made_by(&opened, &TokenDigest([8; 32])));
        assert!(key(2).read(secret.as_bytes()).is_none());
        // What stands in it tells nothing by which the maker's token could be guessed.
        let written = URL_SAFE_NO_PAD.decode(secret[4..].split('.').next().unwrap()).unwrap();
        let mark = key(2).sign(&link(), &MAKER_DIGEST).unwrap();
        assert_ne!(String::from_utf8(written).unwrap(), mark);
        assert_eq!(format!("{signed:?}").matches('…').count(), 2, "{signed:?}");
        assert!(LinkKey::new(&[1; 31]).is_none());
    }

    #[test]
    fn the_longest_names_have_room() {
        let long = format!("{}:{}", "t".repeat(64), "m".repeat(64));
        let one = Link { tenant: Tenant::new(&"t".repeat(64)).unwrap(), maker: long.into(), ..link() };
        let secret = key(1).sign(&one, &MAKER_DIGEST).unwrap();
        assert_eq!(key(1).read(secret.as_bytes()).unwrap().0, one);
    }

    #[test]
    fn a_signature_of_something_else_is_none_of_a_link() {
        let written = serde_json::to_vec(&serde_json::json!({"tenant": "acme"})).unwrap();
        for purpose in [MAKER, b"laneway"] {
            let signature = key(1).keyed(purpose, &written).finalize().into_bytes();
            let text = format!("lwp_{}.{}", URL_SAFE_NO_PAD.encode(&written), URL_SAFE_NO_PAD.encode(signature));
            assert!(key(1).read(text.as_bytes()).is_none());
        }
    }

    proptest! {
        #[test]
        fn one_character_anywhere_spoils_it(at: prop::sample::Index, to in "[ -~]") {
            let secret = key(1).sign(&link(), &MAKER_DIGEST).unwrap();
            let at = at.index(secret.len());
            let spoiled = format!("{}{to}{}", &secret[..at], &secret[at + 1..]);
            prop_assume!(spoiled != secret);
            prop_assert!(key(1).read(spoiled.as_bytes()).is_none());
        }

        #[test]
        fn whatever_is_sent_is_no_link(text: Vec<u8>) {
            prop_assert!(key(1).read(&text).is_none());
            prop_assert!(key(1).read(&[LINK_PREFIX.as_bytes(), &text].concat()).is_none());
        }
    }
}
