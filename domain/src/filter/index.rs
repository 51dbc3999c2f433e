//! Finds the destinations that want an event without asking each of them.
//!
//! Every filter is filed under the one of its conditions that the fewest others share: an
//! attribute with its value, its exact types, or the literal beginnings of its globs. An event
//! looks into the drawers that its own type and attributes name, and only what lies there is
//! checked in full. The cost of an event depends on what it meets, not on who does not want it.

use super::Filter;
use crate::event::Event;
use std::collections::BTreeMap;

type Drawer<T> = BTreeMap<Box<str>, Vec<Entry<T>>>;

/// An index over filters. `T` is whatever names a destination; results come in its order.
#[derive(Clone, Debug)]
pub struct FilterIndex<T> {
    /// Filters with neither types nor attributes.
    all: Vec<T>,
    /// By attribute name, then value.
    by_attribute: BTreeMap<Box<str>, Drawer<T>>,
    /// By exact type.
    by_type: Drawer<T>,
    /// By the literal beginning of a glob.
    by_prefix: Drawer<T>,
    /// The lengths of those beginnings, ascending: each is one look-up per event.
    prefix_lengths: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    filter: Filter,
    name: T,
}

impl<T> Default for FilterIndex<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            by_attribute: BTreeMap::new(),
            by_type: BTreeMap::new(),
            by_prefix: BTreeMap::new(),
            prefix_lengths: Vec::new(),
        }
    }
}

impl<T: Copy + Ord> FilterIndex<T> {
    /// Files all `filters`.
    pub fn new<'a>(filters: impl IntoIterator<Item = (T, &'a Filter)>) -> Self {
        let filters: Vec<(T, &Filter)> = filters.into_iter().collect();
        let shared = Shared::count(&filters);
        let mut index = Self::default();
        for (name, filter) in filters {
            index.file(name, filter, &shared);
        }
        let mut lengths: Vec<usize> = index.by_prefix.keys().map(|prefix| prefix.len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        index.prefix_lengths = lengths;
        index
    }

    fn file(&mut self, name: T, filter: &Filter, shared: &Shared<'_>) {
        let entry = || Entry { filter: filter.clone(), name };
        let rarest = filter.attributes.iter().min_by_key(|(n, v)| shared.attributes[&(n.as_ref(), v.as_ref())]);
        let by_types: usize = filter.types.iter().map(|pattern| shared.types[pattern.literal_prefix()]).sum();
        match rarest {
            Some((n, v)) if filter.types.is_empty() || shared.attributes[&(n.as_ref(), v.as_ref())] <= by_types => {
                self.by_attribute.entry(n.clone()).or_default().entry(v.clone()).or_default().push(entry());
            }
            _ if filter.types.is_empty() => self.all.push(name),
            _ => {
                for pattern in &filter.types {
                    let map = if pattern.is_exact() { &mut self.by_type } else { &mut self.by_prefix };
                    map.entry(pattern.literal_prefix().into()).or_default().push(entry());
                }
            }
        }
    }

    /// Puts the names of those that want `event` into `wanted` (which is cleared), ascending and
    /// each once.
    pub fn wanted_by(&self, event: &Event, wanted: &mut Vec<T>) {
        wanted.clear();
        wanted.extend_from_slice(&self.all);
        let mut look = |entries: Option<&Vec<Entry<T>>>| {
            let entries = entries.into_iter().flatten();
            wanted.extend(entries.filter(|entry| entry.filter.wants(event)).map(|entry| entry.name));
        };
        let event_type = event.event_type.as_str();
        look(self.by_type.get(event_type));
        for &length in &self.prefix_lengths {
            if let Some(prefix) = event_type.get(..length) {
                look(self.by_prefix.get(prefix));
            }
        }
        if !self.by_attribute.is_empty() {
            for (name, value) in &event.attributes {
                look(self.by_attribute.get(name).and_then(|values| values.get(&*value.text())));
            }
        }
        if wanted.len() > 1 {
            wanted.sort_unstable();
            wanted.dedup();
        }
    }
}

/// How many filters share each condition.
struct Shared<'a> {
    attributes: BTreeMap<(&'a str, &'a str), usize>,
    types: BTreeMap<&'a str, usize>,
}

impl<'a> Shared<'a> {
    fn count<T>(filters: &[(T, &'a Filter)]) -> Self {
        let mut shared = Self { attributes: BTreeMap::new(), types: BTreeMap::new() };
        for (_, filter) in filters {
            for (name, value) in &filter.attributes {
                *shared.attributes.entry((name, value)).or_default() += 1;
            }
            for pattern in &filter.types {
                *shared.types.entry(pattern.literal_prefix()).or_default() += 1;
            }
        }
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventId, EventType, TypePattern};
    use bytes::Bytes;
    use proptest::prelude::*;

    fn filters() -> impl Strategy<Value = Vec<Filter>> {
        let types = prop::collection::vec("[ab.*]{1,5}", 0..3);
        let attributes = prop::collection::btree_map("[xyz]", "[01]", 0..3);
        let filter = (types, attributes).prop_map(|(types, attributes)| Filter {
            types: types.iter().map(|t| TypePattern::new(t).unwrap()).collect(),
            attributes: attributes.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
        });
        prop::collection::vec(filter, 0..20)
    }

    fn event(event_type: &str, attributes: BTreeMap<String, String>) -> Event {
        Event {
            content_type: "text/plain".into(),
            attributes: attributes.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
            ..Event::new(EventId::new("e").unwrap(), EventType::new(event_type).unwrap(), Bytes::new())
        }
    }

    proptest! {
        #[test]
        fn the_index_gives_what_scanning_every_destination_gives(
            filters in filters(),
            event_type in "[ab.é]{1,6}",
            attributes in prop::collection::btree_map("[xyz]", "[01]", 0..4),
        ) {
            let event = event(&event_type, attributes);
            let index = FilterIndex::new(filters.iter().enumerate());
            let mut found = vec![99];
            index.wanted_by(&event, &mut found);
            let scanned: Vec<usize> =
                filters.iter().enumerate().filter(|(_, filter)| filter.wants(&event)).map(|(n, _)| n).collect();
            prop_assert_eq!(found, scanned);
        }
    }

    #[test]
    fn filters_that_share_an_attribute_are_filed_by_the_rarer_one() {
        let filter = |n: usize| Filter {
            types: vec![TypePattern::new("*").unwrap()],
            attributes: [("all".into(), "same".into()), ("tenant".into(), n.to_string().into())].into(),
        };
        let filters: Vec<Filter> = (0..1000).map(filter).collect();
        let index = FilterIndex::new(filters.iter().enumerate());
        assert!(index.by_attribute["tenant"].values().all(|entries| entries.len() == 1));
        assert!(!index.by_attribute.contains_key("all"));
    }
}
