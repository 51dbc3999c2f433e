//! Tokens that are made over the HTTP interface: what is kept of each, and what a change makes of all of them.

mod book;
mod links;

pub use book::{MAX_REVOKED_TOKENS, MAX_TOKEN_CHANGES, Stamp, TokenBook, TokenRefusal};
pub use links::{DEFAULT_LINK_LASTS, Link, LinkOver, Links, MAX_ENDED_LINKS, MAX_LINK_LASTS};

use crate::revision::Revision;
use crate::role::Roles;
use crate::tenant::{TENANT_SEPARATOR, Tenant, split, tenant_of};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// The most tokens that are made over the HTTP interface: two for each of 10,000 tenants. Every process keeps all of
/// them in memory, and each change writes all of them.
pub const MAX_TOKENS: usize = 20_000;
/// The most bytes of a token's name, its tenant's aside: it stands in logs.
pub const MAX_TOKEN_NAME_BYTES: usize = 64;

/// A token's name: 1 to 64 of `a`–`z`, `0`–`9`, `-`, `_` and `.`. That of a tenant's token has the tenant before it, and a
/// colon: `acme:shop`. So whoever can read the name knows whose the token is, and nobody takes it for an operator's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenName(Arc<str>);

/// Why a text cannot be a token's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no name; use 1 to {MAX_TOKEN_NAME_BYTES} of a-z, 0-9, \"-\", \"_\", \".\"")]
pub struct InvalidTokenName(pub String);

impl TokenName {
    /// Checks `name`.
    ///
    /// # Errors
    /// If it is empty, too long, or has other characters.
    pub fn new(name: &str) -> Result<Self, InvalidTokenName> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
        let (tenant, own) = split(name);
        let is_own = !own.is_empty() && own.len() <= MAX_TOKEN_NAME_BYTES && own.bytes().all(allowed);
        if is_own && tenant.is_none_or(|tenant| Tenant::new(tenant).is_ok()) {
            Ok(Self(name.into()))
        } else {
            Err(InvalidTokenName(name.into()))
        }
    }

    /// The name of the tenant's token that is called `own`.
    ///
    /// # Errors
    /// If `own` can be no name, or has a tenant already.
    pub fn of(tenant: &Tenant, own: &str) -> Result<Self, InvalidTokenName> {
        if own.contains(TENANT_SEPARATOR) {
            return Err(InvalidTokenName(own.into()));
        }
        Self::new(&format!("{tenant}{TENANT_SEPARATOR}{own}")).map_err(|_| InvalidTokenName(own.into()))
    }

    /// Whose token it is; `None`: an operator's.
    #[must_use]
    pub fn tenant(&self) -> Option<Tenant> {
        tenant_of(&self.0)
    }

    /// Whether it is a token of this tenant; of `None`: an operator's.
    #[must_use]
    pub fn is_of(&self, tenant: Option<&Tenant>) -> bool {
        split(&self.0).0 == tenant.map(Tenant::as_str)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// They are ordered as texts are, so that those of a tenant lie together.
impl Borrow<str> for TokenName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TokenName {
    type Error = InvalidTokenName;
    fn try_from(name: String) -> Result<Self, InvalidTokenName> {
        Self::new(&name)
    }
}

impl From<TokenName> for String {
    fn from(name: TokenName) -> Self {
        name.0.as_ref().into()
    }
}

/// The SHA-256 of a token's text, which is all that is kept of it. Written down as 64 hexadecimal digits.
///
/// No slow hash (Argon2 and the like) is needed: those are for passwords, which can be guessed. A token has 256 random
/// bits, so that whoever has the digest cannot find it by trying, and every request is checked with one fast hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenDigest(pub [u8; 32]);

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

impl From<TokenDigest> for String {
    fn from(digest: TokenDigest) -> Self {
        digest
            .0
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|half| char::from(b"0123456789abcdef"[half as usize]))
            .collect()
    }
}

impl TryFrom<String> for TokenDigest {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        const WRONG: &str = "a digest has 64 hexadecimal digits";
        let mut digest = [0; 32];
        if text.len() != 64 {
            return Err(WRONG);
        }
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let half = |digit: u8| char::from(digit).to_digit(16).and_then(|half| u8::try_from(half).ok());
            *byte = half(pair[0]).ok_or(WRONG)? << 4 | half(pair[1]).ok_or(WRONG)?;
        }
        Ok(Self(digest))
    }
}

/// What is kept of a token that was made over the HTTP interface.
///
/// A field that changes what a token opens (a tenant, say) needs a new format of what stores keep: whoever does not
/// know the field must not take the token for one without it. So unknown fields are errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredToken {
    /// What its text is recognised by.
    pub digest: TokenDigest,
    /// What it opens.
    pub roles: Roles,
    /// The change that made it.
    pub made_at: Revision,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// Who: the name of a token.
    pub by: Box<str>,
}

/// Who made or revoked a token, and when: for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenChange {
    /// The change.
    pub revision: Revision,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// The token.
    pub name: TokenName,
    /// Who: the name of a token.
    pub by: Box<str>,
    /// What, in a few words.
    pub what: Box<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_the_configuration_file() {
        let longest = "x".repeat(MAX_TOKEN_NAME_BYTES);
        for good in ["a", "shop", "-", "web-shop_2.eu", "acme:shop", "acme:-", &longest] {
            assert_eq!(TokenName::new(good).unwrap().to_string(), good);
        }
        for bad in ["", "Shop", "a b", "ü", "a/b", "a\n", ":a", "a:", "-:a", "a:b:c", "A:b", &format!("{longest}x")] {
            assert_eq!(TokenName::new(bad), Err(InvalidTokenName(bad.to_owned())));
        }
        let tenant = Tenant::new("acme").unwrap();
        let name = TokenName::of(&tenant, "shop").unwrap();
        assert_eq!((name.as_str(), name.tenant()), ("acme:shop", Some(tenant.clone())));
        assert_eq!(TokenName::new("acme").unwrap().tenant(), None);
        for bad in ["", "acme:shop", "other:shop", "S"] {
            assert_eq!(TokenName::of(&tenant, bad), Err(InvalidTokenName(bad.to_owned())));
        }
    }

    #[test]
    fn a_digest_is_written_as_hexadecimal_digits_and_does_not_print_itself() {
        let digest = TokenDigest(std::array::from_fn(|n| u8::try_from(n * 8).unwrap()));
        let text = String::from(digest);
        assert!(text.starts_with("0008101820") && text.len() == 64, "{text}");
        assert_eq!(TokenDigest::try_from(text.clone()).unwrap(), digest);
        assert_eq!(TokenDigest::try_from(text.to_uppercase()).unwrap(), digest);
        for bad in ["", &text[..63], &format!("{text}0"), &text.replace('0', "g"), &"é".repeat(32)] {
            assert!(TokenDigest::try_from((*bad).to_owned()).is_err(), "{bad}");
        }
        assert_eq!(format!("{digest:?}"), "TokenDigest(…)");
    }
}
