//! Tenants: the customers of whoever runs Laneway. Each sees, breaks and fills only its own.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// The most bytes of a tenant's name; it is a part of the names of its destinations and tokens.
pub const MAX_TENANT_BYTES: usize = 64;
/// What stands between a tenant and what it calls something. No name of either has one.
pub const TENANT_SEPARATOR: char = ':';

/// A tenant's name: 1 to 64 of `a`–`z`, `0`–`9`, `-`, `_` and `.`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tenant(Arc<str>);

/// Why a text cannot be a tenant's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} cannot be a tenant's name: use 1 to {MAX_TENANT_BYTES} of a-z, 0-9, '-', '_' and '.', beginning with a \
     letter or digit"
)]
pub struct InvalidTenant(pub String);

impl Tenant {
    /// Checks `name`.
    ///
    /// # Errors
    /// If it is empty, too long, or has other characters.
    pub fn new(name: &str) -> Result<Self, InvalidTenant> {
        if is_name(name, MAX_TENANT_BYTES) { Ok(Self(name.into())) } else { Err(InvalidTenant(name.into())) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The tenant that stands before a name, and the name without it. Whether the two can be that is not asked.
pub(crate) fn split(name: &str) -> (Option<&str>, &str) {
    name.split_once(TENANT_SEPARATOR).map_or((None, name), |(tenant, own)| (Some(tenant), own))
}

/// The tenant of a name that was checked when it was made.
pub(crate) fn tenant_of(name: &str) -> Option<Tenant> {
    split(name).0.map(|tenant| Tenant(tenant.into()))
}

/// Whether a text can be a name that may follow a tenant's, or be one: of at most `max` bytes, and without
/// [`TENANT_SEPARATOR`].
pub(crate) fn is_name(text: &str, max: usize) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    let begins_well = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    begins_well && text.len() <= max && text.bytes().all(allowed)
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Tenant {
    type Error = InvalidTenant;
    fn try_from(name: String) -> Result<Self, InvalidTenant> {
        Self::new(&name)
    }
}

impl From<Tenant> for String {
    fn from(tenant: Tenant) -> Self {
        tenant.0.as_ref().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_named_as_destinations_are() {
        for good in ["acme", "0", "eu-1.acme_2", &"x".repeat(MAX_TENANT_BYTES)] {
            assert_eq!(Tenant::new(good).unwrap().to_string(), good);
            assert_eq!(String::from(Tenant::new(good).unwrap()), good);
        }
        for bad in ["", "-a", ".a", "Acme", "a b", "a/b", "a:b", "ü", &"x".repeat(MAX_TENANT_BYTES + 1)] {
            assert_eq!(Tenant::new(bad), Err(InvalidTenant(bad.to_owned())));
        }
    }
}
