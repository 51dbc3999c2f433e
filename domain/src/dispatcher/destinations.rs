//! The destinations: which there are, each with its gate, and who wants an event.
//!
//! They change one by one. A destination that has gone keeps its place while attempts at it are in flight, and
//! leaves nothing here when the last has ended; its place is given to another one.

use crate::destination::{Destination, DestinationIndex, DestinationName};
use crate::event::Event;
use crate::filter::FilterIndex;
use crate::gate::Gate;
use crate::io::DestinationChanges;
use crate::partition::Partition;
use crate::revision::Revision;
use crate::shares::Groups;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// All destinations that there are, and those that have gone while attempts at them are in flight.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    /// The last change that is known here.
    revision: Revision,
    gates: Gates,
    /// Those that there are now.
    present: BTreeMap<DestinationName, DestinationIndex>,
    indices: BTreeSet<DestinationIndex>,
    /// Those that have gone, while attempts at them are in flight.
    gone: BTreeSet<DestinationIndex>,
    /// Of those, the ones that left the configuration. Should one come back meanwhile, it finds its attempts.
    left: BTreeMap<DestinationName, DestinationIndex>,
    filters: FilterIndex<DestinationIndex>,
    /// Whose they are: of all that have a gate.
    groups: Groups,
}

/// What a change of the destinations means for lanes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Their lanes go, and everything that waits for them.
    pub(super) deleted: Vec<Deleted>,
    /// Their lanes go, and their progress stays.
    pub(super) left: Vec<DestinationIndex>,
    /// They are new here.
    pub(super) added: Vec<DestinationIndex>,
    /// Those whose ordering is another one: their lanes are made anew.
    pub(super) reordered: Vec<DestinationIndex>,
    /// Those whose filter is another one from this revision on.
    pub(super) refiltered: Vec<DestinationIndex>,
    /// Those that were made anew since the registry had lost them, and go on where they are.
    pub(super) remade: Vec<DestinationIndex>,
    /// Those that send to another place.
    pub(super) moved: Vec<DestinationIndex>,
    /// Those that were paused, and are not any more.
    pub(super) unpaused: Vec<DestinationIndex>,
    /// Those whose events may wait for longer, or shorter, than before.
    pub(super) aged: Vec<DestinationIndex>,
}

/// A destination that was deleted.
#[derive(Debug)]
pub(super) struct Deleted {
    pub(super) name: DestinationName,
    /// Where it was, if it was there. One that was not may have progress all the same.
    pub(super) index: Option<DestinationIndex>,
}

impl Destinations {
    /// Takes a change over.
    pub(super) fn change(&mut self, change: DestinationChanges) -> Changes {
        let mut changes = Changes::default();
        self.revision = self.revision.max(change.revision);
        for name in change.deleted {
            self.delete(name, &mut changes);
        }
        for name in change.left {
            // Whoever tells need not know what is known here.
            let Some(index) = self.take_out(&name) else { continue };
            self.left.insert(name, index);
            changes.left.push(index);
        }
        for destination in change.present {
            self.put(destination, &mut changes);
        }
        changes
    }

    fn put(&mut self, destination: Destination, changes: &mut Changes) {
        let name = destination.name.clone();
        // Another one that had the name is gone, also if nobody has told that it was deleted.
        if self.present.get(&name).is_some_and(|index| !destination.goes_on_from(self.get(*index).born)) {
            self.delete(name.clone(), changes);
        }
        if self.left.get(&name).is_some_and(|index| !destination.goes_on_from(self.get(*index).born)) {
            self.left.remove(&name);
        }
        let index = if let Some(index) = self.present.get(&name).copied() {
            self.compare(index, &destination, changes);
            self.gate_mut(index).reconfigure(destination);
            index
        } else {
            let index = match self.left.remove(&name) {
                Some(index) => {
                    self.gone.remove(&index);
                    self.gate_mut(index).reconfigure(destination);
                    index
                }
                None => {
                    let group = self.groups.join(name.tenant());
                    self.gates.add(Gate::new(destination, group))
                }
            };
            self.present.insert(name, index);
            self.indices.insert(index);
            changes.added.push(index);
            index
        };
        let filter = &self.gates.get(index).destination.filters.current;
        self.filters.insert(index, filter);
    }

    /// What is another one about a destination that stays.
    fn compare(&self, index: DestinationIndex, now: &Destination, changes: &mut Changes) {
        let before = self.get(index);
        if before.ordering != now.ordering {
            changes.reordered.push(index);
        } else if before.filters.since != now.filters.since {
            changes.refiltered.push(index);
        }
        if before.born != now.born {
            changes.remade.push(index);
        }
        if before.target_since != now.target_since {
            changes.moved.push(index);
        }
        if before.paused.is_some() && now.paused.is_none() {
            changes.unpaused.push(index);
        }
        if before.max_age != now.max_age {
            changes.aged.push(index);
        }
    }

    fn delete(&mut self, name: DestinationName, changes: &mut Changes) {
        let index = self.take_out(&name);
        if index.is_none() {
            self.left.remove(&name);
        }
        changes.deleted.push(Deleted { name, index });
    }

    fn take_out(&mut self, name: &DestinationName) -> Option<DestinationIndex> {
        let index = self.present.remove(name)?;
        self.indices.remove(&index);
        self.gone.insert(index);
        self.filters.remove(index);
        Some(index)
    }

    /// Lets go of a destination that has gone, once nothing of it is in flight.
    pub(super) fn forget_if_gone(&mut self, index: DestinationIndex) {
        // Almost always none has gone.
        if !self.gone.contains(&index) || self.gate(index).in_flight > 0 {
            return;
        }
        self.gone.remove(&index);
        let name = self.get(index).name.clone();
        if self.left.get(&name) == Some(&index) {
            self.left.remove(&name);
        }
        self.groups.leave(&name.tenant());
        self.gates.remove(index);
    }

    /// Nothing of a partition waits at a gate any more: a gate may stay closed for long, and the partition come and go.
    pub(super) fn forget_waiting(&mut self, partition: Partition) {
        for gate in self.gates.iter_mut() {
            gate.waiting.retain(|(of, _)| *of != partition);
        }
    }

    /// The last change that is known here.
    pub(super) const fn revision(&self) -> Revision {
        self.revision
    }

    /// The one of this name.
    pub(super) fn named(&self, name: &DestinationName) -> Option<DestinationIndex> {
        self.present.get(name).copied()
    }

    pub(super) fn is_present(&self, index: DestinationIndex) -> bool {
        self.indices.contains(&index)
    }

    pub(super) fn present(&self) -> impl Iterator<Item = DestinationIndex> + '_ {
        self.indices.iter().copied()
    }

    /// The same, by name, behind this one.
    pub(super) fn present_after(&self, name: Option<&DestinationName>) -> impl Iterator<Item = DestinationIndex> + '_ {
        let after = name.map_or(Bound::Unbounded, Bound::Excluded);
        self.present.range::<DestinationName, _>((after, Bound::Unbounded)).map(|(_, index)| *index)
    }

    /// The gates of those that have gone, while attempts at them are in flight.
    pub(super) fn gone(&self) -> impl Iterator<Item = &Gate> {
        self.gone.iter().map(|index| self.gate(*index))
    }

    pub(super) fn get(&self, index: DestinationIndex) -> &Destination {
        &self.gates.get(index).destination
    }

    pub(super) fn gate(&self, index: DestinationIndex) -> &Gate {
        self.gates.get(index)
    }

    pub(super) fn gate_mut(&mut self, index: DestinationIndex) -> &mut Gate {
        self.gates.get_mut(index)
    }

    /// The gate, if the destination has not gone: timers outlive it.
    pub(super) fn find_gate(&mut self, index: DestinationIndex) -> Option<&mut Gate> {
        self.gates.find_mut(index)
    }

    /// Puts those that want an event into `wanted`, by the filters that stand now.
    pub(super) fn wanted_by(&self, event: &Event, wanted: &mut Vec<DestinationIndex>) {
        self.filters.wanted_by(event, wanted);
    }

    /// Their gates, with their indices.
    pub(super) fn gates(&self) -> impl Iterator<Item = (DestinationIndex, &Gate)> {
        self.gates.iter()
    }

    /// See [`super::Dispatcher::check`].
    pub(super) fn check(&self) {
        let indices: BTreeSet<_> = self.present.values().copied().collect();
        assert_eq!(self.indices, indices, "which destinations there are");
        assert_eq!(self.filters.len(), indices.len(), "whose filters are filed");
        let mut members = BTreeMap::new();
        self.gates().for_each(|(_, gate)| *members.entry(gate.destination.name.tenant()).or_default() += 1);
        self.groups.check(&members);
        for (index, gate) in self.gates() {
            let gone = !indices.contains(&index);
            assert_eq!(gone, self.gone.contains(&index), "whether {} has gone", gate.destination.name);
            assert!(!gone || gate.in_flight > 0, "{} has gone, and is kept", gate.destination.name);
        }
    }
}

/// Gates by index. Places are given out again.
#[derive(Debug, Default)]
struct Gates {
    places: Vec<Option<Box<Gate>>>,
    free: Vec<DestinationIndex>,
}

impl Gates {
    fn add(&mut self, gate: Gate) -> DestinationIndex {
        if let Some(index) = self.free.pop() {
            self.places[index.0] = Some(Box::new(gate));
            return index;
        }
        self.places.push(Some(Box::new(gate)));
        DestinationIndex(self.places.len() - 1)
    }

    fn remove(&mut self, index: DestinationIndex) {
        self.places[index.0] = None;
        self.free.push(index);
    }

    fn find(&self, index: DestinationIndex) -> Option<&Gate> {
        self.places.get(index.0)?.as_deref()
    }

    fn find_mut(&mut self, index: DestinationIndex) -> Option<&mut Gate> {
        self.places.get_mut(index.0)?.as_deref_mut()
    }

    fn get(&self, index: DestinationIndex) -> &Gate {
        self.find(index).unwrap_or_else(|| panic!("there is no destination {}", index.0))
    }

    fn get_mut(&mut self, index: DestinationIndex) -> &mut Gate {
        self.find_mut(index).unwrap_or_else(|| panic!("there is no destination {}", index.0))
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Gate> {
        self.places.iter_mut().filter_map(Option::as_deref_mut)
    }

    fn iter(&self) -> impl Iterator<Item = (DestinationIndex, &Gate)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(n, place)| Some((DestinationIndex(n), place.as_deref()?)))
    }
}
