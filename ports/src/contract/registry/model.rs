//! A registry against a naive one: whatever is written, again, in vain, deleted, forgotten, and however it ends.

use super::{entry, record};
use crate::contract::Subject;
use crate::contract::fixtures::{Numbers, destination};
use crate::{JournalEntry, Registry, RegistryChanges, RegistryPage, RegistryWrite};
use laneway_domain::{OperatorPause, Registered, Revision, Standing, Timestamp};

const NAMES: [&str; 6] = ["a", "a.b", "b-1", "c_2", "9", "z"];

/// All that was ever written, as lists that are looked through from end to end.
#[derive(Default)]
struct Naive {
    last: Revision,
    records: Vec<Registered>,
    journal: Vec<JournalEntry>,
    forgotten: Revision,
}

impl Naive {
    fn write(&mut self, write: &RegistryWrite) {
        self.records.retain(|record| write.records.iter().all(|changed| changed.name != record.name));
        self.records.extend(write.records.iter().cloned());
        self.journal.extend(write.journal.iter().cloned());
        self.last = write.revision;
    }

    fn changed_since(&self, after: Revision) -> RegistryChanges {
        let mut records: Vec<_> = self.records.iter().filter(|record| record.revision > after).cloned().collect();
        records.sort_by(|a, b| (a.revision, &a.name).cmp(&(b.revision, &b.name)));
        RegistryChanges { records, upto: self.last, more: false, forgotten: self.forgotten }
    }

    fn page(&self, after: &str, most: usize) -> RegistryPage {
        let there = |record: &&Registered| record.standing != Standing::Deleted && record.name.as_str() > after;
        let mut records: Vec<_> = self.records.iter().filter(there).cloned().collect();
        records.sort_by(|a, b| a.name.cmp(&b.name));
        let more = records.len() > most;
        records.truncate(most);
        RegistryPage { records, more }
    }

    fn journal(&self, name: &str, before: Revision) -> Vec<JournalEntry> {
        let of = |entry: &&JournalEntry| entry.name.as_str() == name && entry.revision < before;
        self.journal.iter().rev().filter(of).cloned().collect()
    }

    fn forget_deleted(&mut self, upto: Revision, most: usize) -> usize {
        let mut gone = self.changed_since(Revision::ORIGIN).records;
        gone.retain(|record| record.standing == Standing::Deleted && record.revision <= upto);
        gone.truncate(most);
        for record in &gone {
            self.records.retain(|other| other.name != record.name);
            self.journal.retain(|entry| entry.name != record.name);
            self.forgotten = self.forgotten.max(record.revision);
        }
        gone.len()
    }
}

fn random_record(numbers: &mut Numbers, name: &str, revision: Revision) -> Registered {
    let paused = numbers
        .one_in(4)
        .then(|| OperatorPause {
            since: Timestamp::from_millis(numbers.below(9)), reason: "größer \"✓\"\n".into()
        });
    let settings = format!("{{\"url\":\"https://h/{}\"}}", numbers.below(1000));
    let standing = match numbers.below(4) {
        0 => Standing::Deleted,
        1 => Standing::Left,
        _ => Standing::Present,
    };
    Registered { paused, standing, ..record(name, revision, &settings) }
}

fn random_write(numbers: &mut Numbers, last: Revision, revision: Revision) -> RegistryWrite {
    let mut write = RegistryWrite { last, revision, ..RegistryWrite::default() };
    for name in NAMES {
        if numbers.one_in(3) {
            write.records.push(random_record(numbers, name, revision));
        }
        if numbers.one_in(3) {
            write.journal.push(entry(name, revision, &format!("change {}", numbers.below(100))));
        }
    }
    write
}

async fn assert_same(registry: &impl Registry, naive: &Naive, numbers: &mut Numbers, said: &str) {
    assert_eq!(registry.head().await.unwrap().last, naive.last, "{said}");
    for after in [Revision::ORIGIN, naive.last, Revision(naive.last.0.saturating_sub(numbers.below(9)))] {
        assert_eq!(registry.changed_since(after).await.unwrap(), naive.changed_since(after), "{said}");
    }
    let name = NAMES[usize::try_from(numbers.below(6)).unwrap()];
    let most = usize::try_from(numbers.below(7)).unwrap();
    let after = destination(name);
    assert_eq!(registry.page(name, most).await.unwrap(), naive.page(name, most), "{said}");
    assert_eq!(registry.page("", most).await.unwrap(), naive.page("", most), "{said}");
    let before = Revision(naive.last.0.saturating_sub(numbers.below(9)) + 1);
    let read = registry.journal(&after, Some(before), 100).await.unwrap();
    assert_eq!(read, naive.journal(name, before), "{said}");
    let mut all = naive.records.clone();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(registry.records(&NAMES.map(destination)).await.unwrap(), all, "{said}");
}

/// For any writes, repeated ones, ones that come too late, and reopenings.
pub async fn the_registry_is_what_a_naive_one_is<S: Subject<Store: Registry>>() {
    for seed in 0..6 {
        let mut numbers = Numbers(seed);
        let mut subject = S::create(1).await;
        let mut naive = Naive::default();
        let mut before = None;
        for step in 0..40 {
            let said = format!("seed {seed}, step {step}");
            let next = Revision(naive.last.0 + 1 + numbers.below(3));
            match numbers.below(10) {
                0 => {
                    let (upto, most) = (Revision(numbers.below(naive.last.0 + 1)), 2);
                    let gone = subject.store().forget_deleted(upto, most).await.unwrap();
                    assert_eq!(gone, naive.forget_deleted(upto, most), "{said}");
                }
                1 => {
                    let late = Revision(naive.last.0.wrapping_sub(1 + numbers.below(3)) & 0xFFFF);
                    let write = random_write(&mut numbers, late, Revision(next.0.max(late.0 + 1)));
                    assert!(!subject.store().write(&write).await.unwrap(), "{said}");
                }
                2 => {
                    let Some((write, came_last)) = &before else { continue };
                    assert_eq!(subject.store().write(write).await.unwrap(), *came_last == naive.last, "{said}");
                }
                3 => subject = subject.reopen().await,
                _ => {
                    let write = random_write(&mut numbers, naive.last, next);
                    assert!(subject.store().write(&write).await.unwrap(), "{said}");
                    naive.write(&write);
                    // Now and then the one before that is kept: it is no longer the last then.
                    if !numbers.one_in(3) {
                        before = Some((write, next));
                    }
                }
            }
            assert_same(subject.store(), &naive, &mut numbers, &said).await;
        }
    }
}
