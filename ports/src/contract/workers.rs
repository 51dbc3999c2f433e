//! What every [`Workers`] must do.

use super::Subject;
use super::fixtures::{LONG, assert_refused, worker};
use crate::{
    ANSWERS_KEPT, MAX_MESSAGE_BYTES, MAX_QUESTION_BYTES, MAX_REPORT_BYTES, MAX_WAITING_MESSAGES, MESSAGE_KEPT, Present,
    StoreError, WorkerId, Workers,
};
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
            messages_are_taken_once_in_the_order_in_which_they_came
            a_message_is_for_the_worker_that_it_was_left_for
            a_message_to_nobody_is_not_left
            a_message_is_not_taken_after_its_worker_has_left
            a_message_that_nobody_takes_does_not_wait_forever
            a_message_of_the_largest_size_is_kept_whole
            a_message_that_is_too_large_is_refused
            no_more_messages_wait_than_are_allowed
            a_question_without_answers_has_none
            answers_are_seen_by_whoever_asked_in_order_of_the_workers_ids
            an_answer_replaces_the_one_before
            an_answer_is_of_one_question
            an_answer_that_is_too_large_is_refused
            answers_are_not_kept_forever
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

async fn tell(store: &impl Workers, to: &str, message: &str) -> bool {
    store.tell(&worker(to), message.to_owned()).await.unwrap()
}

async fn inbox(store: &impl Workers, name: &str) -> Vec<String> {
    store.inbox(&worker(name)).await.unwrap()
}

async fn answer(store: &impl Workers, question: &str, name: &str, answer: &str) {
    store.answer(question, &worker(name), answer.to_owned()).await.unwrap();
}

async fn answers(store: &impl Workers, question: &str) -> Vec<(String, String)> {
    let answers = store.answers(question).await.unwrap();
    answers.into_iter().map(|(worker, answer)| (worker.0, answer)).collect()
}

fn said(answers: &[(&str, &str)]) -> Vec<(String, String)> {
    answers.iter().map(|(worker, answer)| ((*worker).to_owned(), (*answer).to_owned())).collect()
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

/// Each at most once, exactly as it was left.
pub async fn messages_are_taken_once_in_the_order_in_which_they_came<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    announce(store, "a").await;
    assert_eq!(inbox(store, "a").await, [""; 0]);
    let messages = ["z", "1 line\r\nand 2 \0 \"größe\"", "", "z"];
    for message in messages {
        assert!(tell(store, "a", message).await);
    }
    announce(store, "a").await;
    assert_eq!(inbox(store, "a").await, messages);
    assert_eq!(inbox(store, "a").await, [""; 0]);
    assert!(tell(store, "a", "later").await);
    assert_eq!(inbox(store, "a").await, ["later"]);
}

/// … and for no other.
pub async fn a_message_is_for_the_worker_that_it_was_left_for<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    for name in ["a", "größe:1 {x}", "b"] {
        announce(store, name).await;
    }
    assert!(tell(store, "größe:1 {x}", "to x").await);
    assert!(tell(store, "a", "to a").await);
    assert_eq!(inbox(store, "b").await, [""; 0]);
    assert_eq!(inbox(store, "a").await, ["to a"]);
    assert_eq!(inbox(store, "größe:1 {x}").await, ["to x"]);
}

/// Neither to one that never came, nor to one that is gone.
pub async fn a_message_to_nobody_is_not_left<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    assert!(!tell(store, "ghost", "boo").await);
    assert_eq!(inbox(store, "ghost").await, [""; 0]);
    announce(store, "ghost").await;
    assert_eq!(inbox(store, "ghost").await, [""; 0]);
    store.announce(&worker("a"), SHORT).await.unwrap();
    subject.pass(LONGER_THAN_SHORT).await;
    assert!(!tell(store, "a", "too late").await);
    store.leave(&worker("ghost")).await.unwrap();
    assert!(!tell(store, "ghost", "too late").await);
}

/// Nor by one that comes back under its name.
pub async fn a_message_is_not_taken_after_its_worker_has_left<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    announce(store, "a").await;
    assert!(tell(store, "a", "before").await);
    store.leave(&worker("a")).await.unwrap();
    assert_eq!(inbox(store, "a").await, [""; 0]);
    announce(store, "a").await;
    assert_eq!(inbox(store, "a").await, [""; 0]);
}

/// Not longer than [`MESSAGE_KEPT`], however many come after it.
pub async fn a_message_that_nobody_takes_does_not_wait_forever<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    announce(store, "a").await;
    assert!(tell(store, "a", "first").await);
    subject.pass(MESSAGE_KEPT / 2).await;
    assert!(tell(store, "a", "second").await);
    subject.pass(MESSAGE_KEPT / 2 + LONGER_THAN_SHORT).await;
    assert_eq!(inbox(store, "a").await, ["second"]);
    assert!(tell(store, "a", "third").await);
    subject.pass(MESSAGE_KEPT + LONGER_THAN_SHORT).await;
    assert_eq!(inbox(store, "a").await, [""; 0]);
}

/// Up to [`MAX_MESSAGE_BYTES`], of a message and of an answer.
pub async fn a_message_of_the_largest_size_is_kept_whole<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    announce(store, "a").await;
    let (largest, question) = ("x".repeat(MAX_MESSAGE_BYTES), "q".repeat(MAX_QUESTION_BYTES));
    assert!(tell(store, "a", &largest).await);
    assert!(inbox(store, "a").await == [largest.as_str()], "the message is not what was left");
    answer(store, &question, "a", &largest).await;
    assert!(answers(store, &question).await == said(&[("a", &largest)]), "the answer is not what was left");
}

/// More than [`MAX_MESSAGE_BYTES`]: nothing is left.
pub async fn a_message_that_is_too_large_is_refused<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    announce(store, "a").await;
    let result = store.tell(&worker("a"), "x".repeat(MAX_MESSAGE_BYTES + 1)).await;
    assert_refused(&result, "a message beyond the bound");
    assert_eq!(inbox(store, "a").await, [""; 0]);
}

/// [`MAX_WAITING_MESSAGES`] for each worker; once they are taken there is room again.
pub async fn no_more_messages_wait_than_are_allowed<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    announce(store, "a").await;
    announce(store, "b").await;
    for n in 0..MAX_WAITING_MESSAGES {
        assert!(tell(store, "a", &n.to_string()).await);
    }
    let result = store.tell(&worker("a"), "one more".to_owned()).await;
    assert!(matches!(result, Err(StoreError::RetryLater { .. })), "{result:?}");
    assert!(tell(store, "b", "another's").await);
    let expected: Vec<String> = (0..MAX_WAITING_MESSAGES).map(|n| n.to_string()).collect();
    assert_eq!(inbox(store, "a").await, expected);
    assert!(tell(store, "a", "again").await);
    assert_eq!(inbox(store, "a").await, ["again"]);
}

/// As of one that nobody has asked.
pub async fn a_question_without_answers_has_none<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    assert_eq!(answers(subject.store(), "q").await, []);
}

/// Also of workers that are gone, and as often as they are looked at.
pub async fn answers_are_seen_by_whoever_asked_in_order_of_the_workers_ids<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    announce(store, "w2").await;
    answer(store, "q", "w2", "line 1\r\nline 2 \0 \"größe\"").await;
    answer(store, "q", "w10", "").await;
    store.leave(&worker("w2")).await.unwrap();
    let expected = said(&[("w10", ""), ("w2", "line 1\r\nline 2 \0 \"größe\"")]);
    assert_eq!(answers(store, "q").await, expected);
    assert_eq!(answers(store, "q").await, expected);
}

/// Of the same worker to the same question.
pub async fn an_answer_replaces_the_one_before<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    answer(store, "q", "a", "a first and long one").await;
    answer(store, "q", "a", "second").await;
    assert_eq!(answers(store, "q").await, said(&[("a", "second")]));
}

/// … and not seen with another.
pub async fn an_answer_is_of_one_question<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    answer(store, "q1", "a", "1").await;
    answer(store, "q2", "a", "2").await;
    assert_eq!(answers(store, "q1").await, said(&[("a", "1")]));
    assert_eq!(answers(store, "q2").await, said(&[("a", "2")]));
}

/// More than [`MAX_MESSAGE_BYTES`], or to a question with a name of more than [`MAX_QUESTION_BYTES`].
pub async fn an_answer_that_is_too_large_is_refused<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    let result = store.answer("q", &worker("a"), "x".repeat(MAX_MESSAGE_BYTES + 1)).await;
    assert_refused(&result, "an answer beyond the bound");
    assert_eq!(answers(store, "q").await, []);
    let result = store.answer(&"q".repeat(MAX_QUESTION_BYTES + 1), &worker("a"), "x".to_owned()).await;
    assert_refused(&result, "a question's name beyond the bound");
}

/// Not longer than [`ANSWERS_KEPT`] after the last, which keeps those before it.
pub async fn answers_are_not_kept_forever<S: Subject<Store: Workers>>() {
    let subject = S::create(1).await;
    let store = subject.store();
    answer(store, "q", "a", "1").await;
    subject.pass(ANSWERS_KEPT * 3 / 4).await;
    answer(store, "q", "b", "2").await;
    subject.pass(ANSWERS_KEPT * 3 / 4).await;
    assert_eq!(answers(store, "q").await, said(&[("a", "1"), ("b", "2")]));
    subject.pass(ANSWERS_KEPT).await;
    assert_eq!(answers(store, "q").await, []);
}
