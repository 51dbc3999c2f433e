//! Finds the destinations of one owner that want an event, without asking each of them.
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

/// An index over the filters of one tenant's destinations, or of an operator's. `T` is whatever names a destination; results come in its order.
#[derive(Clone, Debug)]
pub(super) struct OwnersIndex<T> {
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

impl<T> Default for OwnersIndex<T> {
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

impl<T: Copy + Ord> OwnersIndex<T> {
    /// Files all `filters`.
    #[cfg(test)]
    fn new<'a>(filters: impl IntoIterator<Item = (T, &'a Filter)>) -> Self {
        let mut index = Self::default();
        for (name, filter) in filters {
            index.insert(name, filter);
        }
        index
    }

    /// Files a filter, instead of the one that `name` had.
    pub(super) fn insert(&mut self, name: T, filter: &Filter) {
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
    pub(super) fn remove(&mut self, name: T) {
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
    pub(super) fn len(&self) -> usize {
        self.filters.len()
    }

    /// Whether none is filed.
    pub(super) fn is_empty(&self) -> bool {
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

    /// Adds the names of those that want `event`, in no order, and perhaps some of them twice.
    pub(super) fn add_wanted_by(&self, event: &Event, wanted: &mut Vec<T>) {
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
    }

    /// Whether it keeps nothing of what is gone.
    #[cfg(test)]
    pub(super) fn is_clear(&self) -> bool {
        self.is_empty()
            && (self.all.is_empty() && self.by_attribute.is_empty() && self.by_type.is_empty())
            && (self.by_prefix.is_empty() && self.prefix_lengths.is_empty() && self.shared.is_empty())
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

    fn event(event_type: &str, attributes: BTreeMap<String, String>) -> Event {
        Event {
            source: event_type.starts_with("laneway").then(|| crate::OWN_SOURCE.into()),
            content_type: "text/plain".into(),
            attributes: attributes.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
            ..Event::new(EventId::new("e").unwrap(), EventType::new(event_type).unwrap(), Bytes::new())
        }
    }

    #[test]
    fn filters_that_share_an_attribute_are_filed_by_the_rarer_one() {
        let filter = |n: usize| Filter {
            types: vec![TypePattern::new("*").unwrap()],
            tenant: None,
            attributes: [("all".into(), "same".into()), ("tenant".into(), n.to_string().into())].into(),
        };
        let filters: Vec<Filter> = (0..1000).map(filter).collect();
        let index = OwnersIndex::new(filters.iter().enumerate());
        // The first few came when no condition was rarer than the others.
        let ties = index.by_attribute.get("all").map_or(0, |values| values["same"].filters.len());
        assert!(ties < LOOK_AGAIN_AT, "{ties}");
        assert!(index.by_attribute["tenant"].values().all(|drawer| drawer.filters.len() == 1));
    }

    #[test]
    fn what_becomes_common_is_filed_elsewhere() {
        let filter = |n: usize, tenant: usize| Filter {
            types: vec![TypePattern::new(&format!("t{n}")).unwrap()],
            tenant: None,
            attributes: [("tenant".into(), tenant.to_string().into())].into(),
        };
        // Each type is shared by two at first, each tenant is of its own; then all are of one tenant.
        let mut index = OwnersIndex::default();
        for n in 0..200 {
            index.insert(n, &filter(n / 2, n));
        }
        for n in 0..200 {
            index.insert(n, &filter(n / 2, 7));
        }
        let mut wanted = Vec::new();
        index.add_wanted_by(&event("t3", [("tenant".into(), "7".into())].into()), &mut wanted);
        wanted.sort_unstable();
        assert_eq!(wanted, [6, 7]);
        assert!(index.by_attribute["tenant"]["7"].filters.len() < 2 * LOOK_AGAIN_AT);
    }
    #[test]
    fn a_drawer_is_gone_through_when_it_has_eight_filters_and_when_it_has_twice_as_many() {
        let of = |attributes: &[&str]| Filter {
            attributes: attributes.iter().map(|name| ((*name).into(), "1".into())).collect(),
            ..Filter::default()
        };
        let only_a = of(&["a"]);
        let mut index = OwnersIndex::default();
        // While the other attribute is common, what has both lies with `a`. Then the other one is the rarer.
        let file_with_a = |index: &mut OwnersIndex<usize>, name: usize, other: &str| {
            (1000..1100).for_each(|common| index.insert(common, &of(&[other])));
            index.insert(name, &of(&["a", other]));
            (1000..1100).for_each(|common| index.remove(common));
        };
        let with = |index: &OwnersIndex<usize>, name: &str| -> Vec<usize> {
            index.by_attribute[name]["1"].filters.keys().copied().collect()
        };
        file_with_a(&mut index, 100, "b");
        (1..7).for_each(|name| index.insert(name, &only_a));
        assert_eq!(with(&index, "a"), [1, 2, 3, 4, 5, 6, 100], "seven are not gone through");
        index.insert(7, &only_a);
        assert_eq!(with(&index, "a"), [1, 2, 3, 4, 5, 6, 7], "eight are");
        file_with_a(&mut index, 200, "c");
        (8..15).for_each(|name| index.insert(name, &only_a));
        assert_eq!((with(&index, "a").len(), with(&index, "a").last()), (15, Some(&200)), "fifteen are not");
        index.insert(15, &only_a);
        assert_eq!(with(&index, "a"), (1..=15).collect::<Vec<_>>(), "sixteen are");
        assert_eq!((with(&index, "b"), with(&index, "c")), (vec![100], vec![200]));
    }
}
