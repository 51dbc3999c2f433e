//! What the events of a lane are ordered by.

use crate::event::Key;
use crate::partition::Offset;
use crate::tenant::{TENANT_SEPARATOR, Tenant};
use std::fmt;

/// What the events of a lane are ordered by, and so what can fall behind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LaneKey {
    /// An event by itself: it has no key, or the destination's ordering is `none`.
    Event(Offset),
    /// The events of one key that no tenant has.
    Key(Key),
    /// The events of one key of a tenant. Another tenant's events of the same key have nothing to do with them.
    Tenant(Tenant, Key),
    /// The whole lane: the destination's ordering is `strict`.
    All,
}

impl LaneKey {
    /// What events of this key and tenant are ordered by, where keys have an order.
    #[must_use]
    pub fn of(tenant: Option<&Tenant>, key: &Key) -> Self {
        match tenant {
            None => Self::Key(key.clone()),
            Some(tenant) => Self::Tenant(tenant.clone(), key.clone()),
        }
    }

    /// The key of the events; `None` if they are ordered by none.
    #[must_use]
    pub const fn key(&self) -> Option<&Key> {
        match self.owner_and_key() {
            Some((_, key)) => Some(key),
            None => None,
        }
    }

    /// The key of the events, and whose it is; `None` if they are ordered by none.
    #[must_use]
    pub const fn owner_and_key(&self) -> Option<(Option<&Tenant>, &Key)> {
        match self {
            Self::Key(key) => Some((None, key)),
            Self::Tenant(tenant, key) => Some((Some(tenant), key)),
            Self::Event(_) | Self::All => None,
        }
    }

    /// Reads what [`fmt::Display`] wrote: `event:<offset>`, `key:<key>`, `tenant:<tenant>:<key>` or `all`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some(("event", offset)) => offset.parse().ok().map(|offset| Self::Event(Offset(offset))),
            Some(("key", key)) => Key::new(key).ok().map(Self::Key),
            Some(("tenant", both)) => {
                let (tenant, key) = both.split_once(TENANT_SEPARATOR)?;
                Some(Self::Tenant(Tenant::new(tenant).ok()?, Key::new(key).ok()?))
            }
            _ => (text == "all").then_some(Self::All),
        }
    }
}

impl fmt::Display for LaneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(offset) => write!(f, "event:{offset}"),
            Self::Key(key) => write!(f, "key:{key}"),
            Self::Tenant(tenant, key) => write!(f, "tenant:{tenant}{TENANT_SEPARATOR}{key}"),
            Self::All => f.write_str("all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_says_what_its_events_are_ordered_by_and_whose_they_are() {
        let (key, tenant) = (Key::new("k").unwrap(), Tenant::new("acme").unwrap());
        for (of, whose) in [(LaneKey::of(None, &key), None), (LaneKey::of(Some(&tenant), &key), Some(&tenant))] {
            assert_eq!((of.key(), of.owner_and_key()), (Some(&key), Some((whose, &key))));
        }
        for of in [LaneKey::All, LaneKey::Event(Offset(1))] {
            assert_eq!((of.key(), of.owner_and_key()), (None, None));
        }
    }

    proptest! {
        #[test]
        fn a_lane_key_survives_a_round_trip(text in "[^\\p{Cc}]{1,40}", tenant in "[a-z][a-z._-]{0,8}", offset: u64) {
            let (key, tenant) = (Key::new(&text).unwrap(), Tenant::new(&tenant).unwrap());
            let of_tenant = LaneKey::Tenant(tenant, key.clone());
            for key in [LaneKey::Key(key), of_tenant, LaneKey::Event(Offset(offset)), LaneKey::All] {
                prop_assert_eq!(LaneKey::parse(&key.to_string()), Some(key));
            }
        }

        #[test]
        fn reading_a_lane_key_never_panics(text: String) {
            let _ = LaneKey::parse(&text);
        }
    }
}
