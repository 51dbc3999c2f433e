//! What every [`Workers`] must do.

use super::Subject;
use super::fixtures::{LONG, assert_refused, worker};
use crate::{MAX_REPORT_BYTES, Present, WorkerId, Workers};
use std::time::Duration;

/// One test per check of [`crate::contract::workers`]. The subject's store must be a [`Workers`].
#[macro_export]
macro_rules! workers_contract {
    ($subject:ty, #[$test:meta]) => {
        $crate::contract_tests! { workers, workers_contract, $subject, #[$test],
            nobody_is_there_at_first
            workers_that_announced_themselves_are_there_in_order_of_their_ids
            a_worker_that_announces_itself_again_is_there_once
            a_worker_whose_time_ran_out_is_gone
            a_worker_that_announces_itself_in_time_stays
            the_last_announcement_says_how_long
            a_worker_that_left_is_gone_at_once
            a_worker_that_left_may_come_back
            leaving_without_having_come_is_no_error
            a_worker_without_a_report_has_an_empty_one
            a_report_is_seen_with_its_worker
            a_report_replaces_the_one_before
            a_report_is_seen_no_longer_than_its_worker
            a_report_of_nobody_is_not_seen
            a_report_of_the_largest_size_is_kept_whole
            a_report_that_is_too_large_is_refused
        }
    };
}

const SHORT: Duration = Duration::from_millis(50);
const LONGER_THAN_SHORT: Duration = Duration::from_millis(60);

fn ids(names: &[&str]) -> Vec<WorkerId> {
    names.iter().map(|name| worker(name)).collect()
}

fn with_reports(reports: &[(&str, &str)]) -> Vec<Present> {
    reports.iter().map(|(name, report)| Present { worker: worker(name), report: (*report).to_owned() }).collect()
}

async fn announce(store: &impl Workers, name: &str) -> Vec<WorkerId> {
    store.announce(&worker(name), LONG).await.unwrap()
}

async fn report(store: &impl Workers, name: &str, report: &str) {
    store.report(&worker(name), report.to_owned()).await.unwrap();
}

/// A new store has no workers.
pub async fn nobody_is_there_at_first<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    assert_eq!(subject.store().present().await.unwrap(), []);
}

/// All that are there, itself included, in ascending order (of the ids' bytes).
pub async fn workers_that_announced_themselves_are_there_in_order_of_their_ids<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    assert_eq!(announce(store, "w2").await, ids(&["w2"]));
    assert_eq!(announce(store, "w10").await, ids(&["w10", "w2"]));
    assert_eq!(announce(store, "größe:1 {x}").await, ids(&["größe:1 {x}", "w10", "w2"]));
    assert_eq!(announce(store, "W").await, ids(&["W", "größe:1 {x}", "w10", "w2"]));
    let present = with_reports(&[("W", ""), ("größe:1 {x}", ""), ("w10", ""), ("w2", "")]);
    assert_eq!(store.present().await.unwrap(), present);
}

/// An announcement prolongs the one before.
pub async fn a_worker_that_announces_itself_again_is_there_once<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    announce(subject.store(), "a").await;
    assert_eq!(announce(subject.store(), "a").await, ids(&["a"]));
}

/// … until `ttl` from now by the store's clock.
pub async fn a_worker_whose_time_ran_out_is_gone<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    store.announce(&worker("a"), SHORT).await.unwrap();
    subject.pass(LONGER_THAN_SHORT).await;
    assert_eq!(announce(store, "b").await, ids(&["b"]));
    assert_eq!(store.present().await.unwrap(), with_reports(&[("b", "")]));
}

/// … and from now each time.
pub async fn a_worker_that_announces_itself_in_time_stays<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    store.announce(&worker("a"), SHORT).await.unwrap();
    announce(store, "a").await;
    subject.pass(LONGER_THAN_SHORT).await;
    assert_eq!(announce(store, "b").await, ids(&["a", "b"]));
}

/// A shorter time counts as well as a longer one.
pub async fn the_last_announcement_says_how_long<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    announce(store, "a").await;
    store.announce(&worker("a"), SHORT).await.unwrap();
    subject.pass(LONGER_THAN_SHORT).await;
    assert_eq!(store.present().await.unwrap(), []);
}

/// The others need not wait until its time has run out.
pub async fn a_worker_that_left_is_gone_at_once<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    announce(store, "a").await;
    announce(store, "b").await;
    store.leave(&worker("a")).await.unwrap();
    assert_eq!(store.present().await.unwrap(), with_reports(&[("b", "")]));
    assert_eq!(announce(store, "b").await, ids(&["b"]));
}

/// As if it came for the first time.
pub async fn a_worker_that_left_may_come_back<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    announce(store, "a").await;
    report(store, "a", "before").await;
    store.leave(&worker("a")).await.unwrap();
    assert_eq!(announce(store, "a").await, ids(&["a"]));
    assert_eq!(store.present().await.unwrap(), with_reports(&[("a", "")]));
}

/// Also the second time.
pub async fn leaving_without_having_come_is_no_error<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    announce(store, "a").await;
    store.leave(&worker("b")).await.unwrap();
    store.leave(&worker("b")).await.unwrap();
    assert_eq!(store.present().await.unwrap(), with_reports(&[("a", "")]));
}

/// Empty if nothing yet.
pub async fn a_worker_without_a_report_has_an_empty_one<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    announce(store, "a").await;
    announce(store, "b").await;
    report(store, "b", "{}").await;
    assert_eq!(store.present().await.unwrap(), with_reports(&[("a", ""), ("b", "{}")]));
}

/// Each worker has its own, exactly as it was left.
pub async fn a_report_is_seen_with_its_worker<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    announce(store, "b").await;
    announce(store, "a").await;
    report(store, "b", "line 1\r\nline 2 \0 \"größe\"").await;
    report(store, "a", "of a").await;
    let expected = with_reports(&[("a", "of a"), ("b", "line 1\r\nline 2 \0 \"größe\"")]);
    assert_eq!(store.present().await.unwrap(), expected);
}

/// Instead of what it left before; an announcement leaves it as it is.
pub async fn a_report_replaces_the_one_before<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    announce(store, "a").await;
    report(store, "a", "a first and long one").await;
    report(store, "a", "second").await;
    announce(store, "a").await;
    assert_eq!(store.present().await.unwrap(), with_reports(&[("a", "second")]));
    report(store, "a", "").await;
    assert_eq!(store.present().await.unwrap(), with_reports(&[("a", "")]));
}

/// Only for as long as the worker is announced.
pub async fn a_report_is_seen_no_longer_than_its_worker<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    store.announce(&worker("a"), SHORT).await.unwrap();
    report(store, "a", "of a").await;
    subject.pass(LONGER_THAN_SHORT).await;
    assert_eq!(store.present().await.unwrap(), []);
    announce(store, "b").await;
    report(store, "b", "of b").await;
    store.leave(&worker("b")).await.unwrap();
    assert_eq!(store.present().await.unwrap(), []);
}

/// A report does not announce.
pub async fn a_report_of_nobody_is_not_seen<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    report(store, "ghost", "boo").await;
    assert_eq!(store.present().await.unwrap(), []);
    assert_eq!(announce(store, "a").await, ids(&["a"]));
}

/// Up to [`MAX_REPORT_BYTES`].
pub async fn a_report_of_the_largest_size_is_kept_whole<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    announce(store, "a").await;
    let largest = "x".repeat(MAX_REPORT_BYTES);
    report(store, "a", &largest).await;
    let present = store.present().await.unwrap();
    assert_eq!(present.len(), 1);
    assert!(present[0].report == largest, "the report has {} bytes", present[0].report.len());
}

/// More than [`MAX_REPORT_BYTES`]: what was there before stays.
pub async fn a_report_that_is_too_large_is_refused<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    announce(store, "a").await;
    report(store, "a", "small").await;
    let result = store.report(&worker("a"), "x".repeat(MAX_REPORT_BYTES + 1)).await;
    assert_refused(&result, "a report beyond the bound");
    assert_eq!(store.present().await.unwrap(), with_reports(&[("a", "small")]));
}
