//! Finds the destinations that want an event, by whose it is first.
//!
//! The filters of each tenant are an index of their own, and so are those of the operator, who wants everybody's events.
//! So an event looks at the operator's and at those of its own tenant, and what other tenants have costs it nothing.

use super::Filter;
use super::index::OwnersIndex;
use crate::event::Event;
use crate::tenant::Tenant;
use std::collections::BTreeMap;

/// An index over filters. `T` is whatever names a destination; results come in its order.
#[derive(Clone, Debug)]
pub struct FilterIndex<T> {
    /// The operator's.
    operators: OwnersIndex<T>,
    /// Of each tenant that has any.
    tenants: BTreeMap<Tenant, OwnersIndex<T>>,
    /// Whose those of tenants are.
    owners: BTreeMap<T, Tenant>,
}

impl<T> Default for FilterIndex<T> {
    fn default() -> Self {
        Self { operators: OwnersIndex::default(), tenants: BTreeMap::new(), owners: BTreeMap::new() }
    }
}

impl<T: Copy + Ord> FilterIndex<T> {
    /// Files all `filters`.
    pub fn new<'a>(filters: impl IntoIterator<Item = (T, &'a Filter)>) -> Self {
        let mut index = Self::default();
        for (name, filter) in filters {
            index.insert(name, filter);
        }
        index
    }

    /// Files a filter, instead of the one that `name` had.
    pub fn insert(&mut self, name: T, filter: &Filter) {
        self.remove(name);
        match &filter.tenant {
            None => self.operators.insert(name, filter),
            Some(tenant) => {
                self.tenants.entry(tenant.clone()).or_default().insert(name, filter);
                self.owners.insert(name, tenant.clone());
            }
        }
    }

    /// Takes out the filter of `name`, if it has one.
    pub fn remove(&mut self, name: T) {
        let Some(tenant) = self.owners.remove(&name) else {
            self.operators.remove(name);
            return;
        };
        let Some(filters) = self.tenants.get_mut(&tenant) else { panic!("{tenant} owns a filter and has no index") };
        filters.remove(name);
        if filters.is_empty() {
            self.tenants.remove(&tenant);
        }
    }

    /// How many filters are filed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operators.len() + self.owners.len()
    }

    /// Whether none is filed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts the names of those that want `event` into `wanted` (which is cleared), ascending and each once.
    pub fn wanted_by(&self, event: &Event, wanted: &mut Vec<T>) {
        wanted.clear();
        self.operators.add_wanted_by(event, wanted);
        if let Some(filters) = event.tenant.as_ref().and_then(|tenant| self.tenants.get(tenant)) {
            filters.add_wanted_by(event, wanted);
        }
        if wanted.len() > 1 {
            wanted.sort_unstable();
            wanted.dedup();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventId, EventType, TypePattern};
    use bytes::Bytes;
    use proptest::prelude::*;

    /// One of two tenants, or the operator.
    fn owners() -> impl Strategy<Value = Option<Tenant>> {
        prop::option::of(prop::sample::select(vec!["a", "b"]).prop_map(|name| Tenant::new(name).unwrap()))
    }

    fn filters() -> impl Strategy<Value = Vec<Filter>> {
        let own = prop::sample::select(vec!["laneway.*", "laneway.a*", "laneway.a", "laneway*", "l*", "*a"]);
        let pattern = prop_oneof![3 => "[ab.*]{1,5}", 1 => own.prop_map(str::to_owned)];
        let types = prop::collection::vec(pattern, 0..3);
        let attributes = prop::collection::btree_map("[xyz]", "[01]", 0..3);
        let filter = (owners(), types, attributes).prop_map(|(tenant, types, attributes)| Filter {
            tenant,
            types: types.iter().map(|t| TypePattern::new(t).unwrap()).collect(),
            attributes: attributes.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
        });
        prop::collection::vec(filter, 0..20)
    }

    /// Types of events, Laneway's own among them.
    fn event_types() -> impl Strategy<Value = String> {
        prop_oneof![3 => "[ab.é]{1,6}", 1 => "laneway\\.[ab]{1,2}", 1 => Just("laneway.test".to_owned())]
    }

    fn event(tenant: Option<Tenant>, event_type: &str, attributes: BTreeMap<String, String>) -> Event {
        Event {
            tenant,
            source: event_type.starts_with("laneway").then(|| crate::OWN_SOURCE.into()),
            attributes: attributes.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
            ..Event::new(EventId::new("e").unwrap(), EventType::new(event_type).unwrap(), Bytes::new())
        }
    }

    proptest! {
        #[test]
        fn the_index_gives_what_scanning_every_destination_gives(
            filters in filters(),
            tenant in owners(),
            event_type in event_types(),
            attributes in prop::collection::btree_map("[xyz]", "[01]", 0..4),
        ) {
            let event = event(tenant, &event_type, attributes);
            let index = FilterIndex::new(filters.iter().enumerate());
            let mut found = vec![99];
            index.wanted_by(&event, &mut found);
            let scanned: Vec<usize> =
                filters.iter().enumerate().filter(|(_, filter)| filter.wants(&event)).map(|(n, _)| n).collect();
            prop_assert_eq!(found, scanned);
        }

        /// One that filters came to and went from is one that was made of what is left, and keeps nothing else.
        #[test]
        fn filters_come_and_go(
            steps in prop::collection::vec((0_usize..12, prop::option::weighted(0.7, any::<prop::sample::Index>())), 0..80),
            filters in filters(),
            tenant in owners(),
            event_type in event_types(),
            attributes in prop::collection::btree_map("[xyz]", "[01]", 0..4),
        ) {
            prop_assume!(!filters.is_empty());
            let (mut index, mut there) = (FilterIndex::default(), BTreeMap::new());
            for (name, filter) in steps {
                match filter {
                    Some(which) => {
                        let filter = which.get(&filters);
                        index.insert(name, filter);
                        there.insert(name, filter);
                    }
                    None => {
                        index.remove(name);
                        there.remove(&name);
                    }
                }
            }
            let event = event(tenant, &event_type, attributes);
            let mut found = Vec::new();
            index.wanted_by(&event, &mut found);
            let scanned: Vec<usize> =
                there.iter().filter(|(_, filter)| filter.wants(&event)).map(|(name, _)| *name).collect();
            prop_assert_eq!(found, scanned);
            prop_assert_eq!((index.len(), index.is_empty()), (there.len(), there.is_empty()));
            for name in there.into_keys() {
                index.remove(name);
            }
            prop_assert!(index.is_empty());
            prop_assert!(index.operators.is_clear() && index.tenants.is_empty() && index.owners.is_empty());
        }
    }

    #[test]
    fn what_other_tenants_have_is_not_looked_at() {
        let of = |name: &str| Filter { tenant: Some(Tenant::new(name).unwrap()), ..Filter::default() };
        let filters: Vec<Filter> = (0..1000).map(|n| of(&format!("t{n}"))).collect();
        let index = FilterIndex::new(filters.iter().enumerate());
        assert!(index.operators.is_empty() && index.tenants.values().all(|filters| filters.len() == 1));
    }
}
