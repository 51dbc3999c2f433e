//! What every [`Registry`] must do.

mod model;
mod pages;

pub use model::the_registry_is_what_a_naive_one_is;
pub use pages::*;

use super::Subject;
use super::fixtures::{assert_refused, destination};
use crate::{
    JournalEntry, MAX_JOURNAL, MAX_JOURNAL_ENTRY_BYTES, MAX_RECORD_BYTES, MAX_REGISTRY_PAGE, MAX_REVISION,
    MAX_WRITE_BYTES, Registry, RegistryChanges, RegistryHead, RegistryPage, RegistryWrite,
};
use laneway_domain::{DestinationName, Filters, Origin, Registered, Revision, Standing, Timestamp};
use std::time::Duration;

/// One test per check of [`crate::contract::registry`]. The subject's store must be a [`Registry`].
#[macro_export]
macro_rules! registry_contract {
    ($subject:ty, #[$test:meta]) => {
        $crate::contract_tests! { registry, registry_contract, $subject, #[$test],
            a_new_registry_is_empty_and_its_clock_goes
            what_was_written_is_there_after_a_reopen
            a_write_without_records_raises_the_revision
            of_two_writers_who_have_seen_the_same_one_wins_and_nothing_of_the_other_is_written
            a_write_again_is_answered_as_the_first_time_until_another_came
            the_next_revision_is_larger_whatever_the_clock_says
            records_are_found_by_name_each_once
            a_record_is_replaced_as_a_whole
            a_write_that_breaks_a_bound_is_refused_with_the_reason_and_whole
            what_is_as_large_as_can_be_is_kept_whole
            more_names_than_a_page_are_refused
            changes_come_by_revision_and_name_and_upto_goes_on_behind_them
            pages_of_changes_end_with_a_whole_revision
            pages_of_changes_are_bounded_in_bytes
            pages_by_name_leave_out_what_is_deleted
            pages_by_name_are_bounded_in_bytes
            a_name_that_is_there_all_the_time_is_in_one_page_whatever_changes
            a_journal_is_read_from_its_end_and_is_of_one_destination
            a_journal_keeps_its_last_entries
            whoever_waits_learns_of_a_change_by_another
            waiting_for_what_is_there_ends_at_once_and_for_nothing_with_patience
            deleted_records_are_let_go_of_the_earliest_first_and_that_is_told
            many_destinations_are_written_and_read_in_pages
            the_registry_is_what_a_naive_one_is
        }
    };
}

/// A record of the destination with that name.
pub(super) fn record(name: &str, revision: Revision, settings: &str) -> Registered {
    Registered {
        name: destination(name),
        born: revision,
        revision,
        origin: Origin::Api,
        standing: Standing::Present,
        paused: None,
        settings: settings.into(),
        filters: Filters::default(),
        target_since: revision,
        is_first: false,
        takes_over: false,
    }
}

fn deleted(name: &str, revision: Revision) -> Registered {
    Registered { standing: Standing::Deleted, ..record(name, revision, "null") }
}

pub(super) fn entry(name: &str, revision: Revision, what: &str) -> JournalEntry {
    let at = Timestamp::from_millis(revision.0 / 1000);
    JournalEntry { name: destination(name), revision, at, by: "the token büro".into(), what: what.into() }
}

/// A change of these destinations, behind `last`.
fn change(last: Revision, revision: Revision, names: &[&str]) -> RegistryWrite {
    let records = names.iter().map(|name| record(name, revision, &format!("{{\"of\":{revision}}}"))).collect();
    let journal = names.iter().map(|name| entry(name, revision, "url · Größe")).collect();
    RegistryWrite { last, revision, records, journal }
}

pub(super) async fn head(registry: &impl Registry) -> RegistryHead {
    registry.head().await.unwrap()
}

/// Writes what `make` gives for the next revision.
pub(super) async fn written(registry: &impl Registry, make: impl FnOnce(Revision) -> Vec<Registered>) -> Revision {
    let head = head(registry).await;
    let revision = head.next();
    let records = make(revision);
    assert!(registry.write(&RegistryWrite { last: head.last, revision, records, journal: Vec::new() }).await.unwrap());
    revision
}

pub(super) async fn put(registry: &impl Registry, names: &[&str]) -> Revision {
    written(registry, |revision| names.iter().map(|name| record(name, revision, "{}")).collect()).await
}

pub(super) async fn delete(registry: &impl Registry, names: &[&str]) -> Revision {
    written(registry, |revision| names.iter().map(|name| deleted(name, revision)).collect()).await
}

/// Names of that many destinations, ascending.
pub(super) fn many(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("destination-{n:06}")).collect()
}

pub(super) async fn put_many(registry: &impl Registry, names: &[String]) -> Revision {
    put(registry, &names.iter().map(String::as_str).collect::<Vec<_>>()).await
}

pub(super) fn names(records: &[Registered]) -> Vec<String> {
    records.iter().map(|record| record.name.to_string()).collect()
}

/// All changes since `after`, page by page, and how many records each page had.
pub(super) async fn all_changes(registry: &impl Registry, mut after: Revision) -> (Vec<Registered>, Vec<usize>) {
    let (mut found, mut pages) = (Vec::new(), Vec::new());
    loop {
        let RegistryChanges { records, upto, more, .. } = registry.changed_since(after).await.unwrap();
        assert!(upto > after || !more, "reading stands still at {after}");
        pages.push(records.len());
        found.extend(records);
        after = upto;
        if !more {
            assert_eq!(after, head(registry).await.last);
            return (found, pages);
        }
    }
}

/// All that are not deleted, page by page.
pub(super) async fn all_by_name(registry: &impl Registry, most: usize) -> Vec<Registered> {
    let (mut found, mut after): (Vec<Registered>, String) = (Vec::new(), String::new());
    loop {
        let RegistryPage { records, more } = registry.page(&after, most).await.unwrap();
        assert!(records.len() <= most.min(MAX_REGISTRY_PAGE));
        after = records.last().map_or(after, |record| record.name.to_string());
        assert!(!more || !records.is_empty(), "reading stands still");
        found.extend(records);
        if !more {
            return found;
        }
    }
}

/// [`Revision::ORIGIN`], and no records.
pub async fn a_new_registry_is_empty_and_its_clock_goes<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let registry = subject.store();
    let before = head(registry).await;
    assert_eq!(before.last, Revision::ORIGIN);
    // In microseconds: after 2020, and before 2255.
    assert!((1_577_836_800_000_000..MAX_REVISION.0).contains(&before.clock), "{before:?}");
    subject.pass(Duration::from_millis(20)).await;
    let after = head(registry).await;
    assert!(after.clock >= before.clock + 20_000, "{after:?} after {before:?}");
    assert_eq!(registry.changed_since(Revision::ORIGIN).await.unwrap(), RegistryChanges::default());
    assert_eq!(registry.page("", 10).await.unwrap(), RegistryPage::default());
    assert_eq!(registry.records(&[destination("a")]).await.unwrap(), []);
    assert_eq!(registry.journal(&destination("a"), None, 10).await.unwrap(), []);
}

/// Durable when it resolves.
pub async fn what_was_written_is_there_after_a_reopen<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let first = head(subject.store()).await.next();
    let write = change(Revision::ORIGIN, first, &["b", "a"]);
    assert!(subject.store().write(&write).await.unwrap());
    let subject = subject.reopen().await;
    let registry = subject.store();
    assert_eq!(head(registry).await.last, first);
    let mut expected = write.records.clone();
    expected.reverse();
    let changes = registry.changed_since(Revision::ORIGIN).await.unwrap();
    let whole = RegistryChanges { records: expected.clone(), upto: first, ..RegistryChanges::default() };
    assert_eq!(changes, whole);
    assert_eq!(registry.page("", 10).await.unwrap().records, expected);
    assert_eq!(registry.records(&[destination("a"), destination("b")]).await.unwrap(), expected);
    assert_eq!(registry.journal(&destination("b"), None, 10).await.unwrap(), write.journal[..1]);
    assert!(head(registry).await.next() > first);
}

/// Whoever follows learns of it, and does not ask for the same again.
pub async fn a_write_without_records_raises_the_revision<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let registry = subject.store();
    let first = put(registry, &["a"]).await;
    let second = written(registry, |_| Vec::new()).await;
    let changes = registry.changed_since(first).await.unwrap();
    assert_eq!(changes, RegistryChanges { upto: second, ..RegistryChanges::default() });
    assert_eq!(head(subject.reopen().await.store()).await.last, second);
}

/// Also where both come to the same revision, because the clock stands still.
pub async fn of_two_writers_who_have_seen_the_same_one_wins_and_nothing_of_the_other_is_written<
    S: Subject<Store: Registry>,
>() {
    let subject = S::create(1).await;
    let registry = subject.store();
    let mut last = put(registry, &["before"]).await;
    for round in 0..6_u64 {
        let own = [last.0 + 1, last.0 + 1 + round % 2].map(Revision);
        let writes = [("a", own[0]), ("b", own[1])].map(|(of, revision)| change(last, revision, &[of, "both"]));
        let (a, b) = tokio::join!(registry.write(&writes[0]), registry.write(&writes[1]));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_ne!(a, b, "round {round}: one of them wins");
        let (won, lost) = if a { (&writes[0], &writes[1]) } else { (&writes[1], &writes[0]) };
        assert_eq!(head(registry).await.last, won.revision);
        assert_eq!(registry.changed_since(last).await.unwrap().records, won.records);
        let said = registry.journal(&destination("both"), None, 1).await.unwrap();
        assert_eq!(said, won.journal[1..]);
        // Neither does it win by coming again.
        assert!(!registry.write(lost).await.unwrap(), "round {round}");
        last = won.revision;
    }
}

/// After an answer that was lost, the same may be written again.
pub async fn a_write_again_is_answered_as_the_first_time_until_another_came<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let first = head(subject.store()).await.next();
    let write = change(Revision::ORIGIN, first, &["a", "b"]);
    for _ in 0..2 {
        assert!(subject.store().write(&write).await.unwrap());
    }
    let subject = subject.reopen().await;
    let registry = subject.store();
    assert!(registry.write(&write).await.unwrap());
    assert_eq!(registry.journal(&destination("a"), None, 10).await.unwrap().len(), 1);
    assert_eq!(registry.changed_since(Revision::ORIGIN).await.unwrap().records, write.records);
    // The same revision, and something else is meant by it.
    let mut others = [write.clone(), write.clone(), write.clone()];
    others[0].records[1].settings = "{}".into();
    others[1].records.pop();
    others[2].journal[0].what = "something else".into();
    for other in &others {
        assert!(!registry.write(other).await.unwrap(), "{other:?}");
    }
    put(registry, &["c"]).await;
    assert!(!registry.write(&write).await.unwrap());
}

/// A clock that stands still, or went back behind a change, gives none twice.
pub async fn the_next_revision_is_larger_whatever_the_clock_says<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let registry = subject.store();
    let ahead = Revision(head(registry).await.clock + 3_600_000_000);
    let write = RegistryWrite { last: Revision::ORIGIN, revision: ahead, ..RegistryWrite::default() };
    assert!(registry.write(&write).await.unwrap());
    let mut last = ahead;
    for _ in 0..3 {
        let next = put(registry, &["a"]).await;
        assert_eq!(next, Revision(last.0 + 1));
        last = next;
    }
    assert_eq!(registry.changed_since(ahead).await.unwrap().records, [record("a", last, "{}")]);
}

/// In ascending order, however they were asked for; deleted ones too.
pub async fn records_are_found_by_name_each_once<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let registry = subject.store();
    put(registry, &["a", "a.b", "a-b", "z", "9"]).await;
    let gone = delete(registry, &["z"]).await;
    let asked = ["z", "never", "a.b", "9", "a.b"].map(destination);
    let found = registry.records(&asked).await.unwrap();
    assert_eq!(names(&found), ["9", "a.b", "z"]);
    assert_eq!(found[2], deleted("z", gone));
    assert_eq!(registry.records(&[]).await.unwrap(), []);
}

/// Of a record there is the last state, at the last revision.
pub async fn a_record_is_replaced_as_a_whole<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let registry = subject.store();
    put(registry, &["a", "b"]).await;
    let second = delete(registry, &["a"]).await;
    assert_eq!(registry.changed_since(Revision::ORIGIN).await.unwrap().records[1], deleted("a", second));
    let third = written(registry, |revision| vec![record("a", revision, "{\"anew\":\"✓\"}")]).await;
    assert_eq!(registry.changed_since(second).await.unwrap().records, [record("a", third, "{\"anew\":\"✓\"}")]);
    assert_eq!(names(&registry.page("", 10).await.unwrap().records), ["a", "b"]);
}

/// Settings with which a record has exactly so many bytes.
pub(super) fn settings_for(name: &str, revision: Revision, bytes: usize) -> String {
    let rest = serde_json::to_string(&record(name, revision, "")).unwrap().len();
    "x".repeat(bytes - rest)
}

/// With nothing written.
pub async fn a_write_that_breaks_a_bound_is_refused_with_the_reason_and_whole<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let registry = subject.store();
    let last = put(registry, &["a"]).await;
    let next = Revision(last.0 + 10);
    let whole = change(last, next, &["a", "b"]);
    let names = many(MAX_REGISTRY_PAGE + 1);
    let of = |names: &[String]| change(last, next, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let large = |bytes| record("large", next, &settings_for("large", next, bytes));
    let third = MAX_WRITE_BYTES / MAX_RECORD_BYTES;
    let all_large = (0..=third).map(|n| {
        let name = format!("large-{n}");
        record(&name, next, &settings_for(&name, next, MAX_RECORD_BYTES))
    });
    let twice = change(last, next, &["a", "twice", "twice"]);
    let said = |entry: JournalEntry| RegistryWrite { journal: vec![entry], ..whole.clone() };
    let cases = [
        (RegistryWrite { revision: last, ..whole.clone() }, "is not larger than"),
        (RegistryWrite { revision: Revision(last.0 - 1), ..whole.clone() }, "is not larger than"),
        (change(last, Revision(MAX_REVISION.0 + 1), &["a"]), "beyond"),
        (RegistryWrite { journal: Vec::new(), ..of(&names) }, "records of 1001 destinations: at most 1000"),
        (RegistryWrite { records: Vec::new(), ..of(&names) }, "journal of 1001 destinations: at most 1000"),
        (RegistryWrite { records: vec![large(MAX_RECORD_BYTES + 1)], ..whole.clone() }, "record of large has 262145"),
        (RegistryWrite { records: all_large.collect(), ..whole.clone() }, "change fewer at a time"),
        (RegistryWrite { journal: Vec::new(), ..twice.clone() }, "records of twice twice"),
        (RegistryWrite { records: Vec::new(), ..twice }, "journal of twice twice"),
        (RegistryWrite { records: vec![record("a", last, "{}")], ..whole.clone() }, "records of a with revision"),
        (said(entry("a", last, "old")), "journal of a with revision"),
        (said(entry("a", next, &"x".repeat(MAX_JOURNAL_ENTRY_BYTES))), "change of a has"),
    ];
    for (write, reason) in cases {
        let result = registry.write(&write).await;
        assert_refused(&result, reason);
        let what = result.unwrap_err().to_string();
        assert!(what.contains(reason), "{what}");
        assert_eq!(head(registry).await.last, last, "{reason}");
    }
    assert_eq!(registry.changed_since(Revision::ORIGIN).await.unwrap().records.len(), 1);
    assert!(registry.write(&whole).await.unwrap());
}

/// A record and an entry at their bounds, and as many as can be.
pub async fn what_is_as_large_as_can_be_is_kept_whole<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let revision = head(subject.store()).await.next();
    let names = many(MAX_REGISTRY_PAGE);
    let mut write = change(Revision::ORIGIN, revision, &names.iter().map(String::as_str).collect::<Vec<_>>());
    write.records[0].settings = settings_for(&names[0], revision, MAX_RECORD_BYTES).into();
    let by = write.journal[0].by.len();
    write.journal[0].what = "y".repeat(MAX_JOURNAL_ENTRY_BYTES - by).into();
    assert!(subject.store().write(&write).await.unwrap());
    let subject = subject.reopen().await;
    let registry = subject.store();
    assert_eq!(registry.records(&[destination(&names[0])]).await.unwrap(), write.records[..1]);
    assert_eq!(registry.journal(&destination(&names[0]), None, 1).await.unwrap(), write.journal[..1]);
    let changes = registry.changed_since(Revision::ORIGIN).await.unwrap();
    assert_eq!((changes.records, changes.more), (write.records, false));
}

/// Must refuse more than [`MAX_REGISTRY_PAGE`].
pub async fn more_names_than_a_page_are_refused<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let names: Vec<DestinationName> = many(MAX_REGISTRY_PAGE + 1).iter().map(|name| destination(name)).collect();
    let result = subject.store().records(&names).await;
    assert_refused(&result, "too many names");
    assert!(result.unwrap_err().to_string().contains("1001"));
    assert_eq!(subject.store().records(&names[1..]).await.unwrap(), []);
}

/// The latest first; over deletions.
pub async fn a_journal_is_read_from_its_end_and_is_of_one_destination<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let registry = subject.store();
    let mut said = Vec::new();
    for what in ["made", "url", "deleted", "made again"] {
        let RegistryHead { last, .. } = head(registry).await;
        let revision = head(registry).await.next();
        let records = vec![if what == "deleted" { deleted("a", revision) } else { record("a", revision, "{}") }];
        let journal = vec![entry("a", revision, what), entry("b", revision, "not that")];
        said.insert(0, journal[0].clone());
        assert!(registry.write(&RegistryWrite { last, revision, records, journal }).await.unwrap());
    }
    let subject = subject.reopen().await;
    let read = async |before, most| subject.store().journal(&destination("a"), before, most).await.unwrap();
    assert_eq!(read(None, MAX_JOURNAL).await, said);
    assert_eq!(read(None, 2).await, said[..2]);
    assert_eq!(read(Some(said[1].revision), 10).await, said[2..]);
    assert_eq!(read(Some(said[3].revision), 10).await, []);
    assert_eq!(read(None, 0).await, []);
}

/// [`MAX_JOURNAL`] of each destination; the oldest go.
pub async fn a_journal_keeps_its_last_entries<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let registry = subject.store();
    let mut last = Revision::ORIGIN;
    for n in 0..MAX_JOURNAL as u64 + 7 {
        let revision = Revision(1000 + n);
        // One changes always, the other only at first.
        let names: &[&str] = if n < 3 { &["a", "b"] } else { &["a"] };
        assert!(registry.write(&change(last, revision, names)).await.unwrap());
        last = revision;
    }
    let revisions = async |name| {
        let said = registry.journal(&destination(name), None, 2 * MAX_JOURNAL).await.unwrap();
        said.iter().map(|entry| entry.revision.0).collect::<Vec<_>>()
    };
    let kept = 1007..1007 + MAX_JOURNAL as u64;
    assert_eq!(revisions("a").await, kept.rev().collect::<Vec<_>>());
    assert_eq!(revisions("b").await, [1002, 1001, 1000]);
    assert_eq!(registry.journal(&destination("a"), Some(Revision(1007)), 10).await.unwrap(), []);
}

/// By another process, if the store can have one; within a second.
pub async fn whoever_waits_learns_of_a_change_by_another<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let other = subject.another().await;
    let (waiting, writing) = (subject.store(), other.as_ref().unwrap_or(subject.store()));
    let mut last = put(writing, &["a"]).await;
    for turn in 0..4 {
        let wait = waiting.wait(last, Duration::from_secs(60));
        let write = async {
            subject.pass(Duration::from_millis(turn * 70)).await;
            put(writing, &["a"]).await
        };
        let both = futures_util::future::join(wait, write);
        let seen = tokio::time::timeout(Duration::from_secs(20), both).await.expect("nobody told of the change");
        assert_eq!(seen.0.unwrap(), seen.1);
        assert_eq!(waiting.changed_since(last).await.unwrap().records, [record("a", seen.1, "{}")]);
        last = seen.1;
    }
}

/// Neither waits for what is there, nor for ever.
pub async fn waiting_for_what_is_there_ends_at_once_and_for_nothing_with_patience<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let registry = subject.store();
    let long = Duration::from_secs(3600);
    let first = put(registry, &["a"]).await;
    assert_eq!(registry.wait(Revision::ORIGIN, long).await.unwrap(), first);
    assert_eq!(registry.wait(Revision(first.0 - 1), long).await.unwrap(), first);
    for after in [first, Revision(first.0 + 5)] {
        assert_eq!(registry.wait(after, Duration::from_millis(30)).await.unwrap(), first);
    }
    assert_eq!(registry.wait(first, Duration::ZERO).await.unwrap(), first);
    let subject = subject.reopen().await;
    assert_eq!(subject.store().wait(Revision::ORIGIN, long).await.unwrap(), first);
}

/// With their journals. Who was away can tell that something may be missing.
pub async fn deleted_records_are_let_go_of_the_earliest_first_and_that_is_told<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let registry = subject.store();
    let first = head(registry).await.next();
    assert!(registry.write(&change(Revision::ORIGIN, first, &["a", "b", "c", "d", "e"])).await.unwrap());
    let mut gone = Vec::new();
    for name in ["c", "b", "d", "a"] {
        gone.push(delete(registry, &[name]).await);
    }
    // It came back: there is nothing to let go of.
    let back = put(registry, &["d"]).await;
    assert_eq!(registry.forget_deleted(Revision(gone[0].0 - 1), 10).await.unwrap(), 0);
    assert_eq!(registry.changed_since(Revision::ORIGIN).await.unwrap().forgotten, Revision::ORIGIN);
    assert_eq!(registry.forget_deleted(MAX_REVISION, 1).await.unwrap(), 1);
    assert_eq!(registry.changed_since(Revision::ORIGIN).await.unwrap().forgotten, gone[0]);
    assert_eq!(registry.forget_deleted(gone[2], 10).await.unwrap(), 1);
    assert_eq!(registry.forget_deleted(gone[2], 10).await.unwrap(), 0);
    let subject = subject.reopen().await;
    let registry = subject.store();
    let changes = registry.changed_since(Revision::ORIGIN).await.unwrap();
    assert_eq!((changes.upto, changes.forgotten), (back, gone[1]));
    assert_eq!(names(&changes.records), ["e", "a", "d"]);
    assert_eq!(registry.journal(&destination("b"), None, 10).await.unwrap(), []);
    assert_eq!(registry.journal(&destination("a"), None, 10).await.unwrap().len(), 1);
    assert_eq!(registry.records(&["b", "c"].map(destination)).await.unwrap(), []);
    assert_eq!(registry.forget_deleted(MAX_REVISION, 10).await.unwrap(), 1);
    assert_eq!(registry.changed_since(Revision::ORIGIN).await.unwrap().forgotten, gone[3]);
    assert_eq!(head(registry).await.last, back);
    assert_eq!(names(&all_by_name(registry, 10).await), ["d", "e"]);
}
