//! A change of the registry that is being put together.

use super::{JournalEntry, MAX_RECORD_BYTES, MAX_REGISTRY_PAGE, MAX_WRITE_BYTES, RegistryHead, RegistryWrite};
use laneway_domain::{DestinationName, Registered, Revision, Timestamp};

/// The most bytes of who made a change, in its journal: a token's name, or the path of a file.
const MAX_BY: usize = 512;

/// The most bytes of what was done: a name, a key, and some words.
const MAX_NOTE: usize = 2048;

/// A write that takes records in as long as they fit.
#[derive(Clone, Debug)]
pub struct WriteDraft {
    write: RegistryWrite,
    bytes: usize,
    at: Timestamp,
}

/// Whether a record went into a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Drafted {
    /// It did.
    Taken,
    /// It is one for the next write: this one has as much as a write may have.
    Full,
    /// No write takes it: it has so many bytes, more than [`MAX_RECORD_BYTES`].
    TooLarge(usize),
}

impl WriteDraft {
    /// An empty write at `revision` (at least [`RegistryHead::next`]) over a registry that is at `head`.
    #[must_use]
    pub fn new(head: &RegistryHead, revision: Revision) -> Self {
        let write = RegistryWrite { last: head.last, revision, ..RegistryWrite::default() };
        Self { write, bytes: 0, at: Timestamp::from_millis(head.clock / 1_000) }
    }

    /// Takes in what a change makes of a destination (at this write's revision, whatever its own says), and what its
    /// journal says of that: who did it, and what.
    pub fn add(&mut self, record: Registered, by: &str, what: &str) -> Drafted {
        let record = Registered { revision: self.write.revision, ..record };
        // Of what cannot be written the store says why.
        let bytes = serde_json::to_string(&record).map_or(0, |json| json.len());
        if bytes > MAX_RECORD_BYTES {
            return Drafted::TooLarge(bytes);
        }
        if self.write.records.len() == MAX_REGISTRY_PAGE || self.bytes + bytes > MAX_WRITE_BYTES {
            return Drafted::Full;
        }
        self.bytes += bytes;
        let (name, revision, at) = (record.name.clone(), record.revision, self.at);
        let by = by[..by.floor_char_boundary(MAX_BY)].into();
        self.write.journal.push(JournalEntry { name, revision, at, by, what: what.into() });
        self.write.records.push(record);
        Drafted::Taken
    }

    /// Takes in what somebody has done at a destination that is no change of it, for its journal alone. What of it is
    /// too long is left out.
    pub fn note(&mut self, name: &DestinationName, by: &str, what: &str) {
        let (revision, at) = (self.write.revision, self.at);
        let by = by[..by.floor_char_boundary(MAX_BY)].into();
        let what = what[..what.floor_char_boundary(MAX_NOTE)].into();
        self.write.journal.push(JournalEntry { name: name.clone(), revision, at, by, what });
    }

    /// The write; `None` if nothing was taken in.
    #[must_use]
    pub fn finish(self) -> Option<RegistryWrite> {
        let is_empty = self.write.records.is_empty() && self.write.journal.is_empty();
        (!is_empty).then_some(self.write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::{Edit, Filter, Origin};

    fn record(n: usize, bytes: usize) -> Registered {
        let name = DestinationName::new(&format!("d{n}")).unwrap();
        let settings = "x".repeat(bytes).into();
        let edit = Edit::Put { origin: Origin::Api, settings, filter: Filter::default(), moved: false, adopt: false };
        Registered::edited(None, &name, edit, Revision(1), false).unwrap().unwrap()
    }

    /// As many as fit, by number and by bytes; and whatever the draft takes, a store takes.
    #[test]
    fn a_draft_takes_what_a_write_may_have() {
        let head = RegistryHead { last: Revision(3), clock: 5_000 };
        for bytes in [0, 20_000, MAX_RECORD_BYTES - 1_000] {
            let mut draft = WriteDraft::new(&head, head.next());
            let taken =
                (0..).take_while(|n| draft.add(record(*n, bytes), &"é".repeat(4_000), "made") == Drafted::Taken);
            let taken = taken.count();
            let expected = if bytes == 0 { MAX_REGISTRY_PAGE } else { MAX_WRITE_BYTES / (bytes + 1_000) };
            assert!(taken >= expected && taken <= MAX_REGISTRY_PAGE, "{taken} of {bytes} bytes");
            let write = draft.finish().unwrap();
            assert_eq!((write.records.len(), write.records[0].revision), (taken, head.next()));
            write.encoded().unwrap();
        }
        let mut draft = WriteDraft::new(&head, head.next());
        assert!(matches!(draft.add(record(0, MAX_RECORD_BYTES), "", ""), Drafted::TooLarge(_)));
        assert_eq!(draft.finish(), None);
        let mut draft = WriteDraft::new(&head, head.next());
        draft.note(&record(0, 0).name, &"é".repeat(4_000), &"é".repeat(4_000));
        let write = draft.finish().unwrap();
        assert_eq!((write.records.len(), write.journal.len()), (0, 1));
        write.encoded().unwrap();
    }
}
