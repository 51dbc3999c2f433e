//! Tenants that were deleted, as whoever delivers has to know them.

use crate::event::Event;
use crate::lane_key::LaneKey;
use crate::tenant::Tenant;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The tenants that were deleted and whose events may still be in the log: nobody gets those any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletedTenants(Arc<BTreeSet<Tenant>>);

impl DeletedTenants {
    /// Whether there is none, as nearly always.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the tenant is one of them.
    #[must_use]
    pub fn has(&self, tenant: &Tenant) -> bool {
        self.0.contains(tenant)
    }

    /// All of them, by name.
    pub fn names(&self) -> impl Iterator<Item = &Tenant> {
        self.0.iter()
    }

    /// Whether an event is one of theirs.
    #[must_use]
    pub fn had(&self, event: &Event) -> bool {
        !self.is_empty() && event.tenant.as_ref().is_some_and(|tenant| self.has(tenant))
    }

    /// Whether the events of a key are theirs; `None` if the key does not tell whose each of them is.
    #[must_use]
    pub fn have(&self, key: &LaneKey) -> Option<bool> {
        match key {
            LaneKey::Tenant(tenant, _) => Some(self.has(tenant)),
            LaneKey::Key(_) => Some(false),
            LaneKey::Event(_) | LaneKey::All => None,
        }
    }
}

impl FromIterator<Tenant> for DeletedTenants {
    fn from_iter<I: IntoIterator<Item = Tenant>>(tenants: I) -> Self {
        Self(Arc::new(tenants.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, EventType, Key};
    use crate::partition::Offset;
    use bytes::Bytes;

    #[test]
    fn what_is_theirs_is_known_by_its_tenant() {
        let name = |name: &str| Tenant::new(name).unwrap();
        let deleted: DeletedTenants = [name("umbrella"), name("acme")].into_iter().collect();
        assert!(!deleted.is_empty() && DeletedTenants::default().is_empty());
        assert!(deleted.names().map(Tenant::as_str).eq(["acme", "umbrella"]));
        let of = |tenant: Option<&str>| {
            let event = Event::new(EventId::new("e").unwrap(), EventType::new("t").unwrap(), Bytes::new());
            Event { tenant: tenant.map(name), ..event }
        };
        assert!(deleted.had(&of(Some("acme"))) && !deleted.had(&of(Some("other"))) && !deleted.had(&of(None)));
        assert!(!DeletedTenants::default().had(&of(Some("acme"))));
        let key = Key::new("k").unwrap();
        assert_eq!(deleted.have(&LaneKey::of(Some(&name("acme")), &key)), Some(true));
        assert_eq!(deleted.have(&LaneKey::of(Some(&name("other")), &key)), Some(false));
        assert_eq!(deleted.have(&LaneKey::of(None, &key)), Some(false));
        for key in [LaneKey::All, LaneKey::Event(Offset(1))] {
            assert_eq!(deleted.have(&key), None);
        }
    }
}
