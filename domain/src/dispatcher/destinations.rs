//! The destinations: which are configured, each with its gate, and who wants an event.

use crate::destination::{Destination, DestinationIndex, DestinationName};
use crate::event::Event;
use crate::filter::FilterIndex;
use crate::gate::Gate;
use std::collections::{BTreeMap, BTreeSet};

/// All destinations that are configured, or were since the process started.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    /// By index. One that has left keeps its place and its gate: attempts may be in flight.
    gates: Vec<Gate>,
    names: BTreeMap<DestinationName, DestinationIndex>,
    /// Those that are configured now.
    configured: BTreeSet<DestinationIndex>,
    filters: FilterIndex<DestinationIndex>,
}

/// What a changed configuration means for lanes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) removed: Vec<DestinationIndex>,
    pub(super) added: Vec<DestinationIndex>,
    /// Those whose ordering is another one: their lanes are made anew.
    pub(super) reordered: Vec<DestinationIndex>,
}

impl Destinations {
    /// These are configured from now on.
    pub(super) fn configure(&mut self, destinations: Vec<Destination>) -> Changes {
        let before = std::mem::take(&mut self.configured);
        let mut reordered = Vec::new();
        for destination in destinations {
            let index = match self.names.get(&destination.name) {
                Some(&index) => {
                    if self.get(index).ordering != destination.ordering && before.contains(&index) {
                        reordered.push(index);
                    }
                    self.gate_mut(index).reconfigure(destination);
                    index
                }
                None => {
                    let index = DestinationIndex(self.gates.len());
                    self.names.insert(destination.name.clone(), index);
                    self.gates.push(Gate::new(destination));
                    index
                }
            };
            self.configured.insert(index);
        }
        let filters = self.configured.iter().map(|index| (*index, &self.gates[index.0].destination.filters.current));
        self.filters = FilterIndex::new(filters);
        Changes {
            removed: before.difference(&self.configured).copied().collect(),
            added: self.configured.difference(&before).copied().collect(),
            reordered,
        }
    }

    /// The one of this name, if it is or was configured.
    pub(super) fn named(&self, name: &DestinationName) -> Option<DestinationIndex> {
        self.names.get(name).copied()
    }

    /// The one of this name, if it is configured now.
    pub(super) fn configured_named(&self, name: &DestinationName) -> Option<DestinationIndex> {
        self.named(name).filter(|index| self.is_configured(*index))
    }

    pub(super) fn is_configured(&self, index: DestinationIndex) -> bool {
        self.configured.contains(&index)
    }

    pub(super) fn configured(&self) -> impl Iterator<Item = DestinationIndex> + '_ {
        self.configured.iter().copied()
    }

    pub(super) fn get(&self, index: DestinationIndex) -> &Destination {
        &self.gates[index.0].destination
    }

    pub(super) fn gate(&self, index: DestinationIndex) -> &Gate {
        &self.gates[index.0]
    }

    pub(super) fn gate_mut(&mut self, index: DestinationIndex) -> &mut Gate {
        &mut self.gates[index.0]
    }

    /// Puts those that want an event into `wanted`.
    pub(super) fn wanted_by(&self, event: &Event, wanted: &mut Vec<DestinationIndex>) {
        self.filters.wanted_by(event, wanted);
    }

    /// Their gates, with their indices.
    pub(super) fn gates(&self) -> impl Iterator<Item = (DestinationIndex, &Gate)> {
        self.gates.iter().enumerate().map(|(n, gate)| (DestinationIndex(n), gate))
    }
}
