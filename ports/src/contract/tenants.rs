//! What every [`TenantStore`] must do.

use super::Subject;
use super::fixtures::assert_refused;
use crate::{MAX_REVISION, TenantStore};
use laneway_domain::{Revision, Stamp, Tenant, TenantBook, TenantLimits, Timestamp};
use std::num::NonZeroU32;

/// One test per check of [`crate::contract::tenants`]. The subject's store must be a [`TenantStore`].
#[macro_export]
macro_rules! tenants_contract {
    ($subject:ty, #[$test:meta]) => {
        $crate::contract_tests! { tenants, tenants_contract, $subject, #[$test],
            what_is_known_of_tenants_is_there_after_a_reopen_and_for_others
            of_two_who_write_of_tenants_one_wins_and_nothing_of_the_other_is_written
            what_cannot_be_written_of_tenants_is_refused_with_nothing_written
        }
    };
}

fn tenant(name: &str) -> Tenant {
    Tenant::new(name).unwrap()
}

/// The same with one more, which the change at `revision` makes.
fn with(book: &TenantBook, of: &str, revision: Revision) -> TenantBook {
    let mut book = book.clone();
    let stamp = Stamp { revision, at: Timestamp::from_millis(revision.0 / 1000), by: "the token büro".into() };
    let limits = TenantLimits { events_per_second: NonZeroU32::new(7), ..TenantLimits::default() };
    book.limit(&tenant(of), limits, &stamp).unwrap();
    book
}

/// By the process that wrote it, one that opens the store later, and one that has it open too. What is known already is not
/// read again.
pub async fn what_is_known_of_tenants_is_there_after_a_reopen_and_for_others<S: Subject<Store: TenantStore>>() {
    let subject = S::create(1).await;
    let new = subject.store().tenants(Revision::ORIGIN).await.unwrap();
    assert_eq!((new.revision, new.book), (Revision::ORIGIN, None));
    let other = subject.another().await;
    let first = Revision::ORIGIN.next(new.clock);
    let mut book = with(&TenantBook::default(), "acme", first);
    // An answer that was lost: the same again is the same.
    for _ in 0..2 {
        assert!(subject.store().write_tenants(Revision::ORIGIN, &book).await.unwrap());
    }
    let second = first.next(0);
    book = with(&book, "b", second);
    let at = Timestamp::from_millis(second.0 / 1000);
    book.delete(&tenant("b"), &Stamp { revision: second, at, by: "x".into() }).unwrap();
    assert!(subject.store().write_tenants(first, &book).await.unwrap());
    for store in other.iter().chain([subject.store()]) {
        // Also whoever knows of more than there is: a failover may have lost it.
        for known in [Revision::ORIGIN, first, second.next(0)] {
            let seen = store.tenants(known).await.unwrap();
            assert_eq!((seen.revision, seen.book.as_ref()), (second, Some(&book)));
        }
    }
    drop(other);
    let subject = subject.reopen().await;
    let seen = subject.store().tenants(first).await.unwrap();
    assert_eq!((seen.revision, seen.book), (second, Some(book)));
    let again = subject.store().tenants(second).await.unwrap();
    assert_eq!((again.revision, again.book), (second, None));
}

/// Whoever lost looks again.
pub async fn of_two_who_write_of_tenants_one_wins_and_nothing_of_the_other_is_written<
    S: Subject<Store: TenantStore>,
>() {
    let subject = S::create(1).await;
    let other = subject.another().await;
    let (one, two) = (subject.store(), other.as_ref().unwrap_or(subject.store()));
    let (mut last, mut book) = (Revision::ORIGIN, TenantBook::default());
    for round in 0..6_u64 {
        // At the same revision too.
        let books = [("a", 1), ("b", 1 + round % 2)]
            .map(|(of, ahead)| with(&book, &format!("{of}{round}"), Revision(last.0 + ahead)));
        let (a, b) = tokio::join!(one.write_tenants(last, &books[0]), two.write_tenants(last, &books[1]));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_ne!(a, b, "round {round}: one of them wins");
        let [first, second] = books;
        let (won, lost) = if a { (first, second) } else { (second, first) };
        assert_eq!(one.tenants(last).await.unwrap().book.as_ref(), Some(&won));
        assert!(!two.write_tenants(last, &lost).await.unwrap(), "round {round}: nor by coming again");
        (last, book) = (won.revision(), won);
    }
}

/// See [`crate::encoded_book`].
pub async fn what_cannot_be_written_of_tenants_is_refused_with_nothing_written<S: Subject<Store: TenantStore>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    let book = with(&TenantBook::default(), "a", Revision(5));
    assert!(store.write_tenants(Revision::ORIGIN, &book).await.unwrap());
    let beyond = with(&book, "b", Revision(MAX_REVISION.0 + 1));
    for (last, book) in [(Revision(5), &book), (Revision(6), &book), (Revision(5), &beyond)] {
        assert_refused(&store.write_tenants(last, book).await, "a revision that cannot follow");
    }
    assert_eq!(store.tenants(Revision::ORIGIN).await.unwrap().book, Some(book));
}
