//! Finds the destinations that want an event without asking each of them.
//!
//! Every filter is filed under the one of its conditions that the fewest others share: an
//! attribute with its value, its exact types, or the literal beginnings of its globs. An event
//! looks into the drawers that its own type and attributes name, and only what lies there is
//! checked in full. The cost of an event depends on what it meets, not on who does not want it.
//!
//! Filters come and go one by one. Which condition is the rarest changes with that, so a drawer is gone
//! through whenever it has doubled, and what is better filed elsewhere by now moves. That costs each filter
//! a constant number of moves, and leaves no drawer full of what could lie elsewhere.

use super::Filter;
use crate::event::Event;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A drawer is gone through when it holds so many, and whenever that has doubled.
const LOOK_AGAIN_AT: usize = 8;

/// Where a filter lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// With an attribute of this name and value.
    Attribute(Box<str>, Box<str>),
    /// With this exact type.
    Type(Box<str>),
    /// With a glob that begins so.
    Prefix(Box<str>),
}

/// What lies in one place.
#[derive(Clone, Debug)]
struct Drawer<T> {
    filters: BTreeMap<T, Arc<Filter>>,
    /// How many there may be before it is gone through.
    look_again_at: usize,
}

impl<T> Default for Drawer<T> {
    fn default() -> Self {
        Self { filters: BTreeMap::new(), look_again_at: LOOK_AGAIN_AT }
    }
}

/// An index over filters. `T` is whatever names a destination; results come in its order.
#[derive(Clone, Debug)]
pub struct FilterIndex<T> {
    /// Every filter, and where it lies; nowhere if it wants everything.
    filters: BTreeMap<T, (Arc<Filter>, Vec<Place>)>,
    /// Filters with neither types nor attributes.
    all: BTreeSet<T>,
    /// By attribute name, then value.
    by_attribute: BTreeMap<Box<str>, BTreeMap<Box<str>, Drawer<T>>>,
    /// By exact type.
    by_type: BTreeMap<Box<str>, Drawer<T>>,
    /// By the literal beginning of a glob.
    by_prefix: BTreeMap<Box<str>, Drawer<T>>,
    /// The lengths of those beginnings, ascending, and how many have them: each is one look-up per event.
    prefix_lengths: BTreeMap<usize, usize>,
    /// How many filters share each condition.
    shared: BTreeMap<Place, usize>,
}

impl<T> Default for FilterIndex<T> {
    fn default() -> Self {
        Self {
            filters: BTreeMap::new(),
            all: BTreeSet::new(),
            by_attribute: BTreeMap::new(),
            by_type: BTreeMap::new(),
            by_prefix: BTreeMap::new(),
            prefix_lengths: BTreeMap::new(),
            shared: BTreeMap::new(),
        }
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
        let filter = Arc::new(filter.clone());
        for condition in conditions(&filter) {
            *self.shared.entry(condition).or_default() += 1;
        }
        let places = self.rarest(&filter);
        if places.is_empty() {
            self.all.insert(name);
        }
        self.filters.insert(name, (filter.clone(), places.clone()));
        for place in places {
            self.put(&place, name, filter.clone());
            self.look_again(&place);
        }
    }

    /// Takes out the filter of `name`, if it has one.
    pub fn remove(&mut self, name: T) {
        let Some((filter, places)) = self.filters.remove(&name) else { return };
        self.all.remove(&name);
        for place in &places {
            self.take(place, name);
        }
        for condition in conditions(&filter) {
            if let Some(count) = self.shared.get_mut(&condition) {
                *count -= 1;
                if *count == 0 {
                    self.shared.remove(&condition);
                }
            }
        }
    }

    /// How many filters are filed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filters.len()
    }

    /// Whether none is filed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Where a filter lies best now.
    fn rarest(&self, filter: &Filter) -> Vec<Place> {
        let count = |place: &Place| self.shared.get(place).copied().unwrap_or(0);
        let types: BTreeSet<Place> = by_types(filter).collect();
        let attribute = by_attributes(filter).min_by_key(count);
        match attribute {
            Some(place) if types.is_empty() || count(&place) <= types.iter().map(count).sum() => vec![place],
            _ => types.into_iter().collect(),
        }
    }

    fn drawer(&mut self, place: &Place) -> &mut Drawer<T> {
        match place {
            Place::Attribute(name, value) => {
                self.by_attribute.entry(name.clone()).or_default().entry(value.clone()).or_default()
            }
            Place::Type(of) => self.by_type.entry(of.clone()).or_default(),
            Place::Prefix(of) => self.by_prefix.entry(of.clone()).or_default(),
        }
    }

    fn put(&mut self, place: &Place, name: T, filter: Arc<Filter>) {
        if let Place::Prefix(prefix) = place
            && !self.by_prefix.contains_key(prefix)
        {
            *self.prefix_lengths.entry(prefix.len()).or_default() += 1;
        }
        self.drawer(place).filters.insert(name, filter);
    }

    fn take(&mut self, place: &Place, name: T) {
        let drawer = self.drawer(place);
        drawer.filters.remove(&name);
        if !drawer.filters.is_empty() {
            return;
        }
        match place {
            Place::Attribute(name, value) => {
                if let Some(values) = self.by_attribute.get_mut(name) {
                    values.remove(value);
                    if values.is_empty() {
                        self.by_attribute.remove(name);
                    }
                }
            }
            Place::Type(of) => drop(self.by_type.remove(of)),
            Place::Prefix(of) => {
                self.by_prefix.remove(of);
                if let Some(count) = self.prefix_lengths.get_mut(&of.len()) {
                    *count -= 1;
                    if *count == 0 {
                        self.prefix_lengths.remove(&of.len());
                    }
                }
            }
        }
    }

    /// Goes through a drawer that has doubled, and moves what lies better elsewhere by now.
    fn look_again(&mut self, place: &Place) {
        let drawer = self.drawer(place);
        if drawer.filters.len() < drawer.look_again_at {
            return;
        }
        drawer.look_again_at = drawer.filters.len() * 2;
        let there: Vec<(T, Arc<Filter>)> =
            drawer.filters.iter().map(|(name, filter)| (*name, filter.clone())).collect();
        for (name, filter) in there {
            let places = self.rarest(&filter);
            let Some((_, before)) = self.filters.get_mut(&name) else { continue };
            if *before == places {
                continue;
            }
            for old in std::mem::replace(before, places.clone()) {
                self.take(&old, name);
            }
            for new in places {
                self.put(&new, name, filter.clone());
            }
        }
    }

    /// Puts the names of those that want `event` into `wanted` (which is cleared), ascending and
    /// each once.
    pub fn wanted_by(&self, event: &Event, wanted: &mut Vec<T>) {
        wanted.clear();
        // What says nothing of types does not ask for Laneway's own events.
        if !event.is_operational() {
            wanted.extend(self.all.iter());
        }
        let mut look = |drawer: Option<&Drawer<T>>| {
            let filters = drawer.into_iter().flat_map(|drawer| &drawer.filters);
            wanted.extend(filters.filter(|(_, filter)| filter.wants(event)).map(|(name, _)| *name));
        };
        let event_type = event.event_type.as_str();
        look(self.by_type.get(event_type));
        for &length in self.prefix_lengths.keys() {
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

/// Every condition of a filter, each once.
fn conditions(filter: &Filter) -> BTreeSet<Place> {
    by_attributes(filter).chain(by_types(filter)).collect()
}

fn by_attributes(filter: &Filter) -> impl Iterator<Item = Place> {
    filter.attributes.iter().map(|(name, value)| Place::Attribute(name.clone(), value.clone()))
}

fn by_types(filter: &Filter) -> impl Iterator<Item = Place> {
    filter.types.iter().map(|pattern| {
        let prefix = pattern.literal_prefix().into();
        if pattern.is_exact() { Place::Type(prefix) } else { Place::Prefix(prefix) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventId, EventType, TypePattern};
    use bytes::Bytes;
    use proptest::prelude::*;

    fn filters() -> impl Strategy<Value = Vec<Filter>> {
        let own = prop::sample::select(vec!["laneway.*", "laneway.a*", "laneway.a", "laneway*", "l*", "*a"]);
        let pattern = prop_oneof![3 => "[ab.*]{1,5}", 1 => own.prop_map(str::to_owned)];
        let types = prop::collection::vec(pattern, 0..3);
        let attributes = prop::collection::btree_map("[xyz]", "[01]", 0..3);
        let filter = (types, attributes).prop_map(|(types, attributes)| Filter {
            types: types.iter().map(|t| TypePattern::new(t).unwrap()).collect(),
            attributes: attributes.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
        });
        prop::collection::vec(filter, 0..20)
    }

    /// Types of events, Laneway's own among them.
    fn event_types() -> impl Strategy<Value = String> {
        prop_oneof![3 => "[ab.é]{1,6}", 1 => "laneway\\.[ab]{1,2}", 1 => Just("laneway.test".to_owned())]
    }

    fn event(event_type: &str, attributes: BTreeMap<String, String>) -> Event {
        Event {
            source: event_type.starts_with("laneway").then(|| crate::OWN_SOURCE.into()),
            content_type: "text/plain".into(),
            attributes: attributes.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
            ..Event::new(EventId::new("e").unwrap(), EventType::new(event_type).unwrap(), Bytes::new())
        }
    }

    proptest! {
        #[test]
        fn the_index_gives_what_scanning_every_destination_gives(
            filters in filters(),
            event_type in event_types(),
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

        /// One that filters came to and went from is one that was made of what is left, and keeps nothing else.
        #[test]
        fn filters_come_and_go(
            steps in prop::collection::vec((0_usize..12, prop::option::weighted(0.7, any::<prop::sample::Index>())), 0..80),
            filters in filters(),
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
            let event = event(&event_type, attributes);
            let mut found = Vec::new();
            index.wanted_by(&event, &mut found);
            let scanned: Vec<usize> =
                there.iter().filter(|(_, filter)| filter.wants(&event)).map(|(name, _)| *name).collect();
            prop_assert_eq!(found, scanned);
            prop_assert_eq!(index.len(), there.len());
            for name in there.into_keys() {
                index.remove(name);
            }
            let left = (index.shared.len(), index.by_attribute.len(), index.by_type.len(), index.by_prefix.len());
            prop_assert_eq!((left, index.prefix_lengths.len(), index.all.len()), ((0, 0, 0, 0), 0, 0));
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
        // The first few came when no condition was rarer than the others.
        let ties = index.by_attribute.get("all").map_or(0, |values| values["same"].filters.len());
        assert!(ties < LOOK_AGAIN_AT, "{ties}");
        assert!(index.by_attribute["tenant"].values().all(|drawer| drawer.filters.len() == 1));
    }

    #[test]
    fn what_becomes_common_is_filed_elsewhere() {
        let filter = |n: usize, tenant: usize| Filter {
            types: vec![TypePattern::new(&format!("t{n}")).unwrap()],
            attributes: [("tenant".into(), tenant.to_string().into())].into(),
        };
        // Each type is shared by two at first, each tenant is of its own; then all are of one tenant.
        let mut index = FilterIndex::default();
        for n in 0..200 {
            index.insert(n, &filter(n / 2, n));
        }
        for n in 0..200 {
            index.insert(n, &filter(n / 2, 7));
        }
        let mut wanted = Vec::new();
        index.wanted_by(&event("t3", [("tenant".into(), "7".into())].into()), &mut wanted);
        assert_eq!(wanted, [6, 7]);
        assert!(index.by_attribute["tenant"]["7"].filters.len() < 2 * LOOK_AGAIN_AT);
    }
}
