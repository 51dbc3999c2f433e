//! Which node of a Cluster has which slot.

use fred::types::Value;
use fred::types::config::Server;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};
use tokio::sync::Notify;

/// As the Cluster has said last.
#[derive(Debug, Default)]
pub(crate) struct Map {
    known: RwLock<Known>,
    /// Somebody found it wrong, or a node away.
    doubted: Notify,
}

#[derive(Debug, Default)]
struct Known {
    slots: Slots,
    /// What single nodes have said since: who has a slot that they have not.
    moved: BTreeMap<u16, Server>,
}

/// Ranges of slots, by their first: the last, and the primary that has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slots(BTreeMap<u16, (u16, Server)>);

impl Map {
    /// The primary that has the slot, as far as is known.
    pub(crate) fn owner(&self, slot: u16) -> Option<Server> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.moved.get(&slot).or_else(|| known.slots.owner(slot)).cloned()
    }

    /// All nodes that have slots.
    pub(crate) fn primaries(&self) -> BTreeSet<Server> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.slots.0.values().map(|(_, server)| server).chain(known.moved.values()).cloned().collect()
    }

    /// The Cluster has said this.
    pub(crate) fn set(&self, slots: Slots) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Known { slots, moved: BTreeMap::new() };
    }

    /// A node has said who has a slot now.
    pub(crate) fn note_moved(&self, slot: u16, server: Server) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).moved.insert(slot, server);
        self.doubt();
    }

    /// It may be wrong.
    pub(crate) fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// Resolves when it may be.
    pub(crate) async fn is_doubted(&self) {
        self.doubted.notified().await;
    }
}

impl Slots {
    /// From the answer to CLUSTER SLOTS of the node at `asked`. Nothing if it has none.
    pub(crate) fn parse(answer: Value, asked: &Server) -> Option<Self> {
        let ranges = answer.into_array();
        let slots: BTreeMap<_, _> = ranges.into_iter().filter_map(|range| range_of(range, asked)).collect();
        (!slots.is_empty()).then_some(Self(slots))
    }

    fn owner(&self, slot: u16) -> Option<&Server> {
        let (_, (last, server)) = self.0.range(..=slot).next_back()?;
        (slot <= *last).then_some(server)
    }
}

/// First slot, last slot, primary, replicas.
fn range_of(range: Value, asked: &Server) -> Option<(u16, (u16, Server))> {
    let mut parts = range.into_array().into_iter();
    let mut slot = || parts.next()?.as_u64().and_then(|slot| u16::try_from(slot).ok());
    let (first, last) = (slot()?, slot()?);
    let mut primary = parts.next()?.into_array().into_iter();
    let host = primary.next()?.into_string().unwrap_or_default();
    let port = u16::try_from(primary.next()?.as_u64()?).ok()?;
    Some((first, (last, server(&host, port, asked)?)))
}

/// Where a node is of which another one, at `asked`, says this. Without a host it is the same one.
fn server(host: &str, port: u16, asked: &Server) -> Option<Server> {
    match host {
        // The node does not know its own name.
        "?" => None,
        "" => Some(Server::new(asked.host.clone(), port)),
        host => Some(Server::new(host.to_owned(), port)),
    }
}

/// From `MOVED 3999 127.0.0.1:6381`, or the same with ASK, said by the node at `asked`: the slot, and who has it.
pub(crate) fn parse_redirection(text: &str, asked: Option<&Server>) -> Option<(u16, Server)> {
    let mut words = text.split_ascii_whitespace().skip(1);
    let slot = words.next()?.parse().ok()?;
    let (host, port) = words.next()?.rsplit_once(':')?;
    Some((slot, server(host, port.parse().ok()?, asked?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, last: i64, host: &str, port: i64) -> Value {
        let node = Value::Array(vec![host.into(), port.into(), "id".into(), Value::Array(Vec::new())]);
        Value::Array(vec![first.into(), last.into(), node.clone(), node])
    }

    #[test]
    fn a_slot_is_found_and_one_that_moved_too() {
        let asked = Server::new("a", 1);
        let answer = Value::Array(vec![range(0, 99, "", 2), range(200, 16_383, "b", 3), range(100, 150, "?", 4)]);
        let map = Map::default();
        map.set(Slots::parse(answer, &asked).unwrap());
        assert_eq!(map.owner(99), Some(Server::new("a", 2)));
        assert_eq!((map.owner(100), map.owner(160)), (None, None));
        assert_eq!(map.owner(16_383), Some(Server::new("b", 3)));
        let (slot, server) = parse_redirection("MOVED 99 c:4", Some(&asked)).unwrap();
        map.note_moved(slot, server);
        assert_eq!(map.owner(99), Some(Server::new("c", 4)));
        assert_eq!(map.owner(98), Some(Server::new("a", 2)));
        assert_eq!(map.primaries().len(), 3);
    }

    #[test]
    fn what_says_nothing_is_nothing() {
        let asked = Server::new("a", 1);
        assert_eq!(Slots::parse(Value::Array(Vec::new()), &asked), None);
        assert_eq!(Slots::parse(Value::Null, &asked), None);
        assert_eq!(parse_redirection("ASK 7 :5", Some(&asked)), Some((7, Server::new("a", 5))));
        for text in ["", "MOVED", "MOVED x a:1", "MOVED 7 a", "MOVED 7 ?:1"] {
            assert_eq!(parse_redirection(text, Some(&asked)), None, "{text}");
        }
    }
}
