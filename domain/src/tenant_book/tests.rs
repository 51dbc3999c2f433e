use super::*;
use proptest::prelude::*;
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
    let mut book = TenantBook::default();
    for n in 0..MAX_TENANT_RECORDS {
        book.tenants.insert(
            tenant(&format!("t{n}")),
            TenantRecord {
                limits: TenantLimits::default(),
                deleted: true,
                revision: Revision(1),
                at: Timestamp::ZERO,
                by: "".into(),
            },
        );
    }
    book.revision = Revision(1);
    assert_eq!(book.delete(&tenant("one-more"), &stamp(2)), Err(TenantRefusal::Full));
    assert_eq!(book.delete(&tenant("t7"), &stamp(2)), Ok(()));
    assert_eq!(book.check(), Ok(()));
}

proptest! {
    /// Whatever the last moments that a store lost were, what a process knew is there again, and no deletion is undone.
    #[test]
    fn what_a_store_has_lost_is_written_again(
        before in prop::collection::vec((0_u8..4, any::<bool>()), 0..6),
        lost in prop::collection::vec((0_u8..4, any::<bool>()), 0..6),
        after in prop::collection::vec((0_u8..4, any::<bool>()), 0..6),
    ) {
        let mut revision = 0;
        let mut change = |book: &mut TenantBook, changes: &[(u8, bool)]| {
            for (of, deletes) in changes {
                revision += 1;
                let (of, stamp) = (tenant(&format!("t{of}")), stamp(revision));
                // One that was deleted takes no limits.
                let _ = if *deletes { book.delete(&of, &stamp) } else { book.limit(&of, at_most(revision as u32), &stamp) };
            }
        };
        let mut stored = TenantBook::default();
        change(&mut stored, &before);
        let mut known = stored.clone();
        change(&mut known, &lost);
        change(&mut stored, &after);
        let whole = stored.lacking(&known, &stamp(1_000)).unwrap_or_else(|| stored.clone());
        prop_assert_eq!(whole.check(), Ok(()));
        prop_assert_eq!(whole.lacking(&known, &stamp(2_000)), None);
        for of in known.tenants().keys().chain(stored.tenants().keys()) {
            prop_assert_eq!(whole.is_deleted(of), known.is_deleted(of) || stored.is_deleted(of));
            let records = [known.tenants().get(of), stored.tenants().get(of)];
            let last = records.into_iter().flatten().max_by_key(|record| (record.deleted, record.revision));
            prop_assert_eq!(whole.tenants().get(of), last);
        }
    }
}
