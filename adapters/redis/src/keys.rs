//! The names of everything that the store has in Redis.
//!
//! All of a partition lies in one hash slot, because of the hash tag `{<prefix>:<p>}`: so one
//! function call can change it in one atomic step, on a Cluster too.

use crate::numbers::Numbers;
use laneway_domain::{DestinationName, Partition};
use laneway_ports::WorkerId;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// How many bytes of an id's SHA-256 name its key. Half of it: 2^64 ids before two of them are
/// likely to meet by chance, and nobody can make one that meets another's on purpose, which would
/// be an event lost as a "duplicate".
const ID_HASH_BYTES: usize = 16;

/// The keys of one store.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: Box<str>,
    numbers: Numbers,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into(), numbers: Numbers::default() }
    }

    /// The same of a store that was restored.
    pub(crate) fn numbered(self, numbers: Numbers) -> Self {
        Self { numbers, ..self }
    }

    /// What offsets are in Redis: entries, scores and dead letters are named by them.
    pub(crate) fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// A key of the partition.
    pub(crate) fn of(&self, partition: Partition, what: &str) -> String {
        format!("{{{}:{partition}}}:{what}", self.prefix)
    }

    /// The stream of events.
    pub(crate) fn log(&self, partition: Partition) -> String {
        self.of(partition, "log")
    }

    /// The log's generation: a number, 1 while there is no such key.
    pub(crate) fn generation(&self, partition: Partition) -> String {
        self.of(partition, "generation")
    }

    /// What a reader writes behind the entries that it has read, to see that replicas have them.
    pub(crate) fn mark(&self, partition: Partition) -> String {
        self.of(partition, "mark")
    }

    /// What was found to be lost: a hash, by generation.
    pub(crate) fn lost(&self, partition: Partition) -> String {
        self.of(partition, "lost")
    }

    /// Progress: a hash.
    pub(crate) fn progress(&self, partition: Partition) -> String {
        self.of(partition, "progress")
    }

    /// From which offset on the partition follows which revision of the destinations: a sorted set.
    pub(crate) fn cuts(&self, partition: Partition) -> String {
        self.of(partition, "cuts")
    }

    /// The keys that are behind at a destination.
    pub(crate) fn behind(&self, partition: Partition, destination: &DestinationName) -> String {
        self.of(partition, &format!("behind:{destination}"))
    }

    /// Lanes that hold the trim by themselves: a sorted set by the lowest offset they need.
    pub(crate) fn lowest(&self, partition: Partition) -> String {
        self.of(partition, "lowest")
    }

    /// Dead letters.
    pub(crate) fn dead(&self, partition: Partition) -> String {
        self.of(partition, "dead")
    }

    /// What attempts met: a hash, and the order of its records.
    pub(crate) fn history(&self, partition: Partition) -> [String; 2] {
        [self.of(partition, "history"), self.of(partition, "history:order")]
    }

    /// The lease: a hash with `epoch`, and `worker` and `until` while someone has it.
    pub(crate) fn lease(&self, partition: Partition) -> String {
        self.of(partition, "lease")
    }

    /// Where the event that is remembered as `id` went.
    pub(crate) fn id(&self, partition: Partition, id: &str) -> String {
        let mut key = self.of(partition, "id:");
        for byte in Sha256::digest(id.as_bytes()).iter().take(ID_HASH_BYTES) {
            // Writing to a string does not fail.
            let _ = write!(key, "{byte:02x}");
        }
        key
    }

    /// A pattern of SCAN for the ids of all partitions, and perhaps of a store whose prefix begins like this one's.
    pub(crate) fn all_ids(&self) -> String {
        format!("{{{}:*}}:id:*", self.prefix)
    }

    /// The partition and the name of an id's key, if it is one of this store's.
    pub(crate) fn parse_id<'k>(&self, key: &'k str) -> Option<(Partition, &'k str)> {
        let rest = key.strip_prefix('{')?.strip_prefix(&*self.prefix)?.strip_prefix(':')?;
        let (partition, name) = rest.split_once("}:id:")?;
        Some((Partition(partition.parse().ok()?), name))
    }

    /// The key of the id of that name.
    pub(crate) fn id_named(&self, partition: Partition, name: &str) -> String {
        self.of(partition, "id:") + name
    }

    /// Patterns of SCAN for all keys of the store, and perhaps some of a store whose prefix begins like this one's.
    pub(crate) fn all(&self) -> [String; 2] {
        [format!("{{{}}}:*", self.prefix), format!("{{{}:*}}:*", self.prefix)]
    }

    /// Whether the key is one of this store's.
    pub(crate) fn is_own(&self, key: &str) -> bool {
        let rest = key.strip_prefix('{').and_then(|rest| rest.strip_prefix(&*self.prefix));
        let Some((hash_tag, what)) = rest.and_then(|rest| rest.split_once("}:")) else { return false };
        // A partition of a store and the keys of no partition of another may have one hash tag: `a` with partition 7, and
        // `a:7`.
        let what = what.split_once(':').map_or(what, |(what, _)| what);
        let is_of_all = ["store", "workers", "processes", "reports", "inbox", "answers"].contains(&what);
        match hash_tag.strip_prefix(':') {
            None => hash_tag.is_empty() && is_of_all,
            // What is of all belongs to a store whose prefix ends like that: `a:registry`.
            Some("registry" | "tokens" | "tenants") => !is_of_all,
            Some(partition) => partition.parse::<u32>().is_ok() && !is_of_all,
        }
    }

    /// The register of workers, in a slot of its own.
    pub(crate) fn workers(&self) -> String {
        format!("{{{}}}:workers", self.prefix)
    }

    /// The register of processes, in the same slot.
    pub(crate) fn processes(&self) -> String {
        format!("{{{}}}:processes", self.prefix)
    }

    /// What each process reads and writes, in the same slot.
    pub(crate) fn process_formats(&self) -> String {
        format!("{{{}}}:processes:formats", self.prefix)
    }

    /// What the workers say of themselves, in the same slot.
    pub(crate) fn reports(&self) -> String {
        format!("{{{}}}:reports", self.prefix)
    }

    /// What others tell a worker, in the same slot.
    pub(crate) fn inbox(&self, worker: &WorkerId) -> String {
        format!("{{{}}}:inbox:{worker}", self.prefix)
    }

    /// What workers answer to a question, in the same slot.
    pub(crate) fn answers(&self, question: &str) -> String {
        format!("{{{}}}:answers:{question}", self.prefix)
    }

    /// A part of the registry of destinations, in a slot of its own. (No partition has this name, which is no number.)
    pub(crate) fn registry(&self, what: &str) -> String {
        format!("{{{}:registry}}:{what}", self.prefix)
    }

    /// The tokens that are made over the HTTP interface, in a slot of their own: a hash.
    pub(crate) fn tokens(&self) -> String {
        format!("{{{}:tokens}}:book", self.prefix)
    }

    /// What is known of tenants beside what they own, in a slot of its own: a hash.
    pub(crate) fn tenants(&self) -> String {
        format!("{{{}:tenants}}:book", self.prefix)
    }

    /// What the store was made with, and in which versions it was written: a hash, in the same slot.
    pub(crate) fn store(&self) -> String {
        format!("{{{}}}:store", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Partition = Partition(7);

    fn slot(key: &str) -> u16 {
        fred::util::redis_keyslot(key.as_bytes())
    }

    #[test]
    fn all_of_a_partition_is_in_one_slot() {
        let keys = Keys::new("laneway");
        assert_eq!(keys.log(P), "{laneway:7}:log");
        let name = DestinationName::new("billing").unwrap();
        let all = [
            keys.generation(P),
            keys.lost(P),
            keys.mark(P),
            keys.progress(P),
            keys.behind(P, &name),
            keys.dead(P),
            keys.lease(P),
            keys.id(P, "evt_1"),
        ];
        assert!(all.iter().all(|key| slot(key) == slot("laneway:7")), "{all:?}");
    }

    #[test]
    fn a_key_is_told_from_those_of_a_store_with_a_longer_prefix() {
        let (keys, longer) = (Keys::new("a"), Keys::new("a:b"));
        let id = keys.id(P, "evt");
        let (partition, name) = keys.parse_id(&id).unwrap();
        assert_eq!((partition, keys.id_named(partition, name)), (P, id.clone()));
        assert_eq!(keys.parse_id(&longer.id(P, "evt")), None);
        let all = ["a", "a:b", "a:7", "ab", "a:registry", "a:tokens", "a:tenants"].map(Keys::new);
        for (nth, of) in all.iter().enumerate() {
            let some = [
                of.log(P),
                of.store(),
                of.workers(),
                of.processes(),
                of.process_formats(),
                of.reports(),
                of.inbox(&WorkerId("w:1".into())),
                of.answers("q"),
                of.registry("head"),
                of.tokens(),
                of.tenants(),
                of.id(P, "evt"),
            ];
            for key in some {
                let owners: Vec<usize> = (0..all.len()).filter(|owner| all[*owner].is_own(&key)).collect();
                assert_eq!(owners, [nth], "{key}");
            }
        }
    }

    #[test]
    fn an_id_is_named_by_a_hash_of_fixed_length() {
        let keys = Keys::new("x");
        assert_eq!(keys.id(P, "").len(), keys.id(P, &"long".repeat(1000)).len());
        // The first half of the SHA-256 of no input (FIPS 180-4).
        assert_eq!(keys.id(P, ""), "{x:7}:id:e3b0c44298fc1c149afbf4c8996fb924");
    }
}
