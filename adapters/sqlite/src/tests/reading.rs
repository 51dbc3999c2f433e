//! Reads from memory and from disk.

use super::{InDirectory, P, append_all, event};
use laneway_domain::{LoggedEvent, Offset};
use laneway_ports::contract::Subject;
use laneway_ports::{EventLog, LogRecord};
use proptest::prelude::*;
use std::sync::Arc;

fn whole(records: &[LogRecord]) -> Vec<Arc<LoggedEvent>> {
    let event = |record: &LogRecord| match record {
        LogRecord::Event(event) => event.clone(),
        LogRecord::Corrupt { reason, .. } => panic!("{reason}"),
    };
    records.iter().map(event).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is in memory, reading with it and without gives the same.
    #[test]
    fn the_tail_and_the_disk_agree(
        calls in prop::collection::vec(prop::collection::vec(0_usize..3000, 1..20), 1..8),
        tail_bytes in 0_usize..20_000,
        reads in prop::collection::vec((0_u64..160, 0_usize..40, 0_usize..20_000), 1..30),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let subject = InDirectory::new(1, |options| options.tail_bytes = tail_bytes);
            for (count, sizes) in calls.iter().enumerate() {
                let new = sizes.iter().enumerate().map(|(n, size)| event(&format!("e{count}-{n}"), *size)).collect();
                append_all(subject.store(), new).await;
            }
            let mut with_tail = Vec::new();
            for (from, events, bytes) in &reads {
                with_tail.push(subject.store().read(P, Offset(*from), *events, *bytes).await.unwrap());
            }
            let subject = subject.reopen().await;
            for ((from, events, bytes), expected) in reads.iter().zip(with_tail) {
                let chunk = subject.store().read(P, Offset(*from), *events, *bytes).await.unwrap();
                assert_eq!(whole(&chunk.records), whole(&expected.records));
                assert_eq!(chunk.next, expected.next);
            }
        });
    }
}

#[tokio::test]
async fn the_tail_keeps_to_its_bytes() {
    let subject = InDirectory::new(1, |options| options.tail_bytes = 10_000);
    append_all(subject.store(), super::events(100, 744)).await;
    let shared = &subject.store().shared;
    assert!(shared.tail.read(P, Offset(89), 1, 0).is_none(), "more than 10 events of 1,000 bytes are kept");
    assert!(shared.tail.read(P, Offset(90), 1, 0).is_some());
}

#[tokio::test]
async fn an_event_is_not_copied_on_its_way_through_the_tail() {
    let subject = InDirectory::new(1, |_| ());
    let new = event("e", 10_000);
    let data = new.event.data.clone();
    append_all(subject.store(), vec![new]).await;
    let chunk = subject.store().read(P, Offset(0), 1, 1).await.unwrap();
    assert_eq!(whole(&chunk.records)[0].event.data.as_ptr(), data.as_ptr());
}
