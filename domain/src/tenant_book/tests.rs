use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

fn tenant(name: &str) -> Tenant {
    Tenant::new(name).unwrap()
}

fn stamp(revision: u64) -> Stamp {
    Stamp { revision: Revision(revision), at: Timestamp::from_millis(revision * 1_000), by: "the token boss".into() }
}

fn at_most(events: u32) -> TenantLimits {
    TenantLimits { events_per_second: NonZeroU32::new(events), ..TenantLimits::default() }
}

#[test]
fn a_deleted_tenant_has_no_limits_and_gets_none_until_it_is_forgotten() {
    let (mut book, acme) = (TenantBook::default(), tenant("acme"));
    book.limit(&acme, at_most(5), &stamp(1)).unwrap();
    assert_eq!((book.limits_of(&acme), book.is_deleted(&acme)), (at_most(5), false));
    book.delete(&acme, &stamp(2)).unwrap();
    let deleted = book.clone();
    book.delete(&acme, &stamp(3)).unwrap();
    assert_eq!(book, deleted, "once is enough");
    assert_eq!((book.limits_of(&acme), book.is_deleted(&acme)), (TenantLimits::default(), true));
    assert_eq!(book.limit(&acme, at_most(5), &stamp(4)), Err(TenantRefusal::Deleted(acme.clone())));
    assert!(book.deleted().has(&acme) && !book.deleted().has(&tenant("b")));
    let since = |millis| book.deleted_since(Timestamp::from_millis(millis)).has(&acme);
    assert_eq!((since(2_000), since(2_001)), (true, false));
    let (ids, margin) = (Duration::from_secs(100), Duration::from_secs(10));
    // It was deleted at 2 s: its last event was accepted at 12 s at the latest, and its id is forgotten at 112 s.
    for (oldest, now, forgets) in [
        (Some(12_000), 1_000, false),
        (Some(12_001), 112, false),
        (None, 112, false),
        (None, 113, true),
        (Some(12_001), 113, true),
    ] {
        let mut book = book.clone();
        let gone = book.gone(oldest.map(Timestamp::from_millis), ids, margin, stamp(now).at);
        book.forget(&gone, &stamp(now));
        assert_eq!((gone.has(&acme), book.is_deleted(&acme)), (forgets, !forgets), "{oldest:?} {now}");
        assert_eq!(book.revision() == Revision(now), forgets);
        assert_eq!(book.lacking(&deleted, &stamp(2_000)), None, "it is not brought back");
    }
}

#[test]
fn each_forgetting_is_a_change_also_of_who_was_deleted_before_others_that_were_forgotten() {
    let (mut book, acme, b) = (TenantBook::default(), tenant("acme"), tenant("b"));
    book.delete(&acme, &stamp(1)).unwrap();
    book.delete(&b, &stamp(2)).unwrap();
    for (gone, revision) in [(&b, 3), (&acme, 4)] {
        book.forget(&[gone.clone()].into_iter().collect(), &stamp(revision));
        assert_eq!((book.revision(), book.is_deleted(gone)), (Revision(revision), false));
    }
    let before = book.clone();
    book.forget(&[acme].into_iter().collect(), &stamp(5));
    assert_eq!(book, before, "who is not there is not forgotten");
}

#[test]
fn there_are_no_more_than_can_be() {
    let (limits, at) = (TenantLimits::default(), Timestamp::ZERO);
    let record = TenantRecord { limits, deleted: true, revision: Revision(1), at, by: "".into() };
    let mut book = TenantBook { revision: Revision(1), ..TenantBook::default() };
    for n in 0..MAX_TENANT_RECORDS {
        book.tenants.insert(tenant(&format!("t{n}")), record.clone());
    }
    let mut known = TenantBook::default();
    known.delete(&tenant("one-more"), &stamp(2)).unwrap();
    assert_eq!(book.lacking(&known, &stamp(3)), None, "there is no room for what is lost");
    assert_eq!(book.delete(&tenant("one-more"), &stamp(2)), Err(TenantRefusal::Full));
    assert_eq!(book.delete(&tenant("t7"), &stamp(2)), Ok(()));
    assert_eq!(book.check(), Ok(()));
    book.tenants.insert(tenant("one-more"), record);
    assert!(book.check().unwrap_err().contains("20001 tenants"));
}

#[test]
fn a_book_that_no_change_could_have_made_is_found() {
    let mut book = TenantBook::default();
    book.limit(&tenant("acme"), at_most(5), &stamp(5)).unwrap();
    book.check().unwrap();
    type Spoil = fn(&mut TenantBook);
    let spoils: [(Spoil, &str); 3] = [
        (|book| book.revision = Revision(4), "revision 5"),
        (|book| book.forgotten = Revision(6), "revision 6"),
        (|book| book.tenants.get_mut(&tenant("acme")).unwrap().deleted = true, "acme was deleted, and has limits"),
    ];
    for (spoil, said) in spoils {
        let mut spoiled = book.clone();
        spoil(&mut spoiled);
        let what = spoiled.check().unwrap_err();
        assert!(what.contains(said), "{what}");
    }
}

#[test]
#[should_panic(expected = "revision 2, and says that the last one is 1")]
fn a_change_with_an_earlier_revision_than_the_last_one_is_a_broken_invariant() {
    let mut book = TenantBook::default();
    book.limit(&tenant("acme"), at_most(5), &stamp(2)).unwrap();
    book.limit(&tenant("b"), at_most(5), &stamp(1)).unwrap();
}

#[test]
fn a_store_that_has_lost_what_a_tenant_may_is_told_again() {
    let (mut store, acme, b) = (TenantBook::default(), tenant("acme"), tenant("b"));
    store.limit(&acme, at_most(1), &stamp(1)).unwrap();
    let mut known = store.clone();
    known.limit(&acme, at_most(5), &stamp(2)).unwrap();
    known.limit(&b, at_most(7), &stamp(3)).unwrap();
    let whole = store.lacking(&known, &stamp(9)).expect("two changes are lost");
    assert_eq!([&acme, &b].map(|of| whole.limits_of(of)), [at_most(5), at_most(7)]);
    assert_eq!(whole.revision(), Revision(9));
    assert_eq!(known.lacking(&store, &stamp(9)), None, "what came later stands");
}

#[test]
fn whoever_knows_of_a_deletion_that_was_forgotten_leaves_the_next_tenant_of_that_name_alone() {
    let (mut book, acme) = (TenantBook::default(), tenant("acme"));
    book.limit(&acme, at_most(1), &stamp(1)).unwrap();
    let before = book.clone();
    book.delete(&acme, &stamp(50)).unwrap();
    let deleted = book.clone();
    book.forget(&[acme.clone()].into_iter().collect(), &stamp(80));
    book.limit(&acme, at_most(5), &stamp(100)).unwrap();
    assert_eq!(book.lacking(&deleted, &stamp(200)), None, "it has missed that the name was free");
    // A failover has lost that it was, and what came after.
    let whole = deleted.lacking(&book, &stamp(200)).expect("the next tenant is lost");
    assert_eq!((whole.is_deleted(&acme), whole.limits_of(&acme)), (false, at_most(5)));
    assert_eq!(whole.lacking(&deleted, &stamp(300)), None, "and nobody else deletes it again");
    // One that was written before the deletion is not the next one.
    let stands = TenantBook { forgotten: Revision(60), revision: Revision(60), ..before };
    assert!(stands.lacking(&deleted, &stamp(200)).expect("the deletion is lost").is_deleted(&acme));
}

/// What changes a book.
#[derive(Clone, Copy, Debug)]
enum Change {
    Limit,
    Delete,
    /// As it happens: long after the deletion.
    Forget,
}

fn changes() -> impl Strategy<Value = Vec<(u8, Change)>> {
    let change = prop::sample::select(vec![Change::Limit, Change::Delete, Change::Forget]);
    prop::collection::vec((0_u8..4, change), 0..6)
}

proptest! {
    /// Whatever the last moments that a store lost were, what a process knew is there again, and no deletion is undone.
    #[test]
    fn what_a_store_has_lost_is_written_again(
        before in changes(), lost in changes(), after in changes(),
    ) {
        let mut revision = 0;
        // Returns what was forgotten, each with the revision of its deletion: those up to `until` are old enough.
        let mut change = |book: &mut TenantBook, changes: &[(u8, Change)], until: u64| {
            let mut forgotten = BTreeSet::new();
            for (of, change) in changes {
                revision += 1;
                let (of, stamp) = (tenant(&format!("t{of}")), stamp(revision));
                let old = book.tenants().get(&of).filter(|record| record.deleted && record.revision <= Revision(until));
                match (change, old.map(|record| record.revision)) {
                    // One that was deleted takes no limits.
                    (Change::Limit, _) => _ = book.limit(&of, at_most(revision as u32), &stamp),
                    (Change::Delete, _) => book.delete(&of, &stamp).unwrap(),
                    (Change::Forget, Some(deleted)) => {
                        book.forget(&[of.clone()].into_iter().collect(), &stamp);
                        forgotten.insert((of, deleted));
                    }
                    (Change::Forget, None) => {}
                }
            }
            (forgotten, revision)
        };
        let mut stored = TenantBook::default();
        let (_, until) = change(&mut stored, &before, u64::MAX);
        let mut known = stored.clone();
        let (forgotten, _) = change(&mut known, &lost, until);
        let (forgotten_in_store, _) = change(&mut stored, &after, until);
        let whole = stored.lacking(&known, &stamp(1_000)).unwrap_or_else(|| stored.clone());
        prop_assert_eq!(whole.check(), Ok(()));
        prop_assert_eq!(whole.lacking(&known, &stamp(2_000)), None);
        for of in known.tenants().keys().chain(stored.tenants().keys()) {
            let (known, stored) = (known.tenants().get(of), stored.tenants().get(of));
            // A deletion that was forgotten is none any more; for the store's, somebody has to have the name.
            let is_in = |forgotten: &BTreeSet<_>, record: &TenantRecord| {
                record.deleted && forgotten.contains(&(of.clone(), record.revision))
            };
            let has_name = known.is_some_and(|record| !record.deleted);
            let known = known.filter(|record| !is_in(&forgotten_in_store, record));
            let stored = stored.filter(|record| !has_name || !is_in(&forgotten, record));
            let last = [known, stored].into_iter().flatten().max_by_key(|record| (record.deleted, record.revision));
            prop_assert_eq!(whole.tenants().get(of), last);
        }
    }
}
