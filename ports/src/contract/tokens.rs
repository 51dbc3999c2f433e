//! What every [`TokenStore`] must do.

use super::Subject;
use super::fixtures::assert_refused;
use crate::{MAX_REVISION, TokenStore, TokensSeen};
use laneway_domain::{MAX_TOKENS, Revision, Role, Roles, Stamp, Timestamp, TokenBook, TokenDigest, TokenName};
use std::time::Duration;

/// One test per check of [`crate::contract::tokens`]. The subject's store must be a [`TokenStore`].
#[macro_export]
macro_rules! tokens_contract {
    ($subject:ty, #[$test:meta]) => {
        $crate::contract_tests! { tokens, tokens_contract, $subject, #[$test],
            a_new_store_has_no_tokens_and_its_clock_goes
            tokens_that_were_written_are_there_after_a_reopen_and_for_others
            tokens_that_are_known_already_are_not_read_again
            of_two_writers_of_tokens_one_wins_and_nothing_of_the_other_is_written
            tokens_written_again_are_answered_as_the_first_time_until_another_came
            tokens_beyond_a_bound_are_refused_with_nothing_written
            as_many_tokens_as_there_can_be_are_kept_whole
        }
    };
}

fn name(name: &str) -> TokenName {
    TokenName::new(name).unwrap()
}

fn digest(number: u64) -> TokenDigest {
    let mut digest = [7; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    TokenDigest(digest)
}

fn stamp(revision: Revision) -> Stamp {
    Stamp { revision, at: Timestamp::from_millis(revision.0 / 1000), by: "the token büro".into() }
}

/// The same with one more, which the change at `revision` makes.
fn with(book: &TokenBook, of: &str, revision: Revision) -> TokenBook {
    let mut book = book.clone();
    book.create(&name(of), digest(revision.0), Roles::of([Role::Read]), &stamp(revision)).unwrap();
    book
}

async fn seen(store: &impl TokenStore) -> TokensSeen {
    store.tokens(Revision(1)).await.unwrap()
}

/// None, at [`Revision::ORIGIN`].
pub async fn a_new_store_has_no_tokens_and_its_clock_goes<S: Subject<Store: TokenStore>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    let first = store.tokens(Revision::ORIGIN).await.unwrap();
    assert_eq!((first.revision, first.book), (Revision::ORIGIN, None));
    let other = seen(store).await;
    assert_eq!((other.revision, other.book), (Revision::ORIGIN, Some(TokenBook::default())));
    subject.pass(Duration::from_millis(20)).await;
    let later = seen(store).await.clock;
    assert!(later >= first.clock + 20_000, "{} and {later}", first.clock);
    // After 2020 and before 2255: microseconds.
    assert!((1_577_836_800_000_000..MAX_REVISION.0).contains(&later), "{later}");
}

/// By the process that wrote them, one that opens the store later, and one that has it open too.
pub async fn tokens_that_were_written_are_there_after_a_reopen_and_for_others<S: Subject<Store: TokenStore>>() {
    let subject = S::create(1).await;
    let other = subject.another().await;
    let first = Revision::ORIGIN.next(seen(subject.store()).await.clock);
    let mut book = with(&TokenBook::default(), "a", first);
    assert!(subject.store().write_tokens(Revision::ORIGIN, &book).await.unwrap());
    let second = first.next(0);
    book = with(&book, "b", second);
    book.revoke(&name("a"), false, &stamp(second)).unwrap();
    assert!(subject.store().write_tokens(first, &book).await.unwrap());
    for store in other.iter().chain([subject.store()]) {
        let seen = store.tokens(Revision::ORIGIN).await.unwrap();
        assert_eq!((seen.revision, seen.book.as_ref()), (second, Some(&book)));
    }
    drop(other);
    let subject = subject.reopen().await;
    let seen = subject.store().tokens(first).await.unwrap();
    assert_eq!((seen.revision, seen.book), (second, Some(book)));
}

/// Only that there is nothing new.
pub async fn tokens_that_are_known_already_are_not_read_again<S: Subject<Store: TokenStore>>() {
    let subject = S::create(1).await;
    let book = with(&TokenBook::default(), "a", Revision(5));
    assert!(subject.store().write_tokens(Revision::ORIGIN, &book).await.unwrap());
    let seen = subject.store().tokens(Revision(5)).await.unwrap();
    assert_eq!((seen.revision, seen.book), (Revision(5), None));
    // Also whoever knows of more than there is: a failover may have lost it.
    for known in [0, 4, 6] {
        let seen = subject.store().tokens(Revision(known)).await.unwrap();
        assert_eq!((seen.revision, seen.book.as_ref()), (Revision(5), Some(&book)), "{known}");
    }
}

/// Whoever lost looks again.
pub async fn of_two_writers_of_tokens_one_wins_and_nothing_of_the_other_is_written<S: Subject<Store: TokenStore>>() {
    let subject = S::create(1).await;
    let other = subject.another().await;
    let (one, two) = (subject.store(), other.as_ref().unwrap_or(subject.store()));
    let mut last = Revision::ORIGIN;
    let mut book = TokenBook::default();
    for round in 0..6_u64 {
        // At the same revision too.
        let books = [("a", 1), ("b", 1 + round % 2)]
            .map(|(of, ahead)| with(&book, &format!("{of}{round}"), Revision(last.0 + ahead)));
        let (a, b) = tokio::join!(one.write_tokens(last, &books[0]), two.write_tokens(last, &books[1]));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_ne!(a, b, "round {round}: one of them wins");
        let [first, second] = books;
        let (won, lost) = if a { (first, second) } else { (second, first) };
        assert_eq!(one.tokens(last).await.unwrap().book.as_ref(), Some(&won));
        assert!(!two.write_tokens(last, &lost).await.unwrap(), "round {round}: nor by coming again");
        (last, book) = (won.revision(), won);
    }
}

/// After an answer that was lost, the same may be written again.
pub async fn tokens_written_again_are_answered_as_the_first_time_until_another_came<S: Subject<Store: TokenStore>>() {
    let subject = S::create(1).await;
    let book = with(&TokenBook::default(), "a", Revision(5));
    for _ in 0..2 {
        assert!(subject.store().write_tokens(Revision::ORIGIN, &book).await.unwrap());
    }
    let subject = subject.reopen().await;
    let store = subject.store();
    assert!(store.write_tokens(Revision::ORIGIN, &book).await.unwrap());
    assert!(!store.write_tokens(Revision::ORIGIN, &with(&TokenBook::default(), "b", Revision(5))).await.unwrap());
    let next = with(&book, "b", Revision(6));
    assert!(store.write_tokens(Revision(5), &next).await.unwrap());
    assert!(!store.write_tokens(Revision::ORIGIN, &book).await.unwrap());
    assert_eq!(seen(store).await.book, Some(next));
}

/// See [`crate::encoded_book`].
pub async fn tokens_beyond_a_bound_are_refused_with_nothing_written<S: Subject<Store: TokenStore>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    let book = with(&TokenBook::default(), "a", Revision(5));
    assert!(store.write_tokens(Revision::ORIGIN, &book).await.unwrap());
    let beyond = with(&book, "b", Revision(MAX_REVISION.0 + 1));
    for (last, book) in [(Revision(5), &book), (Revision(6), &book), (Revision(5), &beyond)] {
        assert_refused(&store.write_tokens(last, book).await, "a revision that cannot follow");
    }
    assert_eq!(seen(store).await.book, Some(book));
}

/// With names at their bound.
pub async fn as_many_tokens_as_there_can_be_are_kept_whole<S: Subject<Store: TokenStore>>() {
    let subject = S::create(1).await;
    // Made one after the other, each would be checked with all before it.
    let last = MAX_REVISION.0;
    let token = |n: usize| {
        let token =
            serde_json::json!({"digest": digest(n as u64), "roles": Roles::ALL, "made_at": last, "at": 7, "by": "x"});
        (format!("{n:064}"), token)
    };
    let tokens: serde_json::Map<String, serde_json::Value> = (0..MAX_TOKENS).map(token).collect();
    let book = serde_json::json!({"revision": last, "tokens": tokens, "revoked": {}, "forgotten": 0, "changes": []});
    let book: TokenBook = serde_json::from_value(book).unwrap();
    assert!(subject.store().write_tokens(Revision::ORIGIN, &book).await.unwrap());
    let subject = subject.reopen().await;
    assert_eq!(seen(subject.store()).await.book, Some(book));
}
