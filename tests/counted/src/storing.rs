//! Events into the SQLite store, in groups, and out of its file again.

use crate::sample;
use laneway_domain::{Event, NewEvent, Offset, Partition};
use laneway_ports::{EventLog as _, LogRecord};
use laneway_sqlite::{Clock, Options, SqliteStore};

/// How many events are appended at once, which the store writes as one group.
const GROUP: usize = 16;

pub(crate) fn run(events: usize) -> usize {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options {
        // What is read comes from the file, and not from memory.
        tail_bytes: 0,
        clock: Clock::new(|| laneway_domain::Timestamp::from_millis(1_769_860_800_000)),
        ..Options::new(folder.path().join("counted.db"), 1)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let store = SqliteStore::open(options).expect("the store can be opened");
        let all: Vec<Event> = (0..events).map(sample::event).collect();
        for group in all.chunks(GROUP) {
            let group = group.iter().map(|event| NewEvent { event: event.clone(), id_given: true }).collect();
            assert!(store.append(group).await.iter().all(Result::is_ok), "an event was not stored");
        }
        let (mut from, mut same) = (Offset::ZERO, 0);
        loop {
            let chunk = store.read(Partition(0), from, 256, usize::MAX).await.expect("the store can be read");
            if chunk.records.is_empty() {
                return same;
            }
            let is_same = |(record, event): &(&LogRecord, &Event)| match record {
                LogRecord::Event(logged) => logged.event == **event,
                LogRecord::Corrupt { .. } => false,
            };
            same += chunk.records.iter().zip(&all[same..]).filter(is_same).count();
            from = chunk.next;
        }
    })
}
