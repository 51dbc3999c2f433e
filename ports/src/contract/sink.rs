//! What every [`Sink`] must do.

use super::fixtures::keyed;
use crate::{Attempted, Delivery, Leave, Sink};
use async_trait::async_trait;
use laneway_domain::{Event, EventId, LoggedEvent, Offset, Outcome, Partition, Timestamp};
use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;

/// How the scripted destination answers an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It takes it.
    Take,
    /// It fails, in a way that may pass.
    Fail,
    /// It breaks off without an answer, or answers so late that the sink's deadline is over.
    Hang,
}

/// A sink under test, with a destination that does what a script says.
#[async_trait]
pub trait SinkSubject: Sized + Send + Sync {
    /// The sink.
    type Sink: Sink;

    /// Whether a batch is one exchange, which fails as a whole. Then an event may share the
    /// failure of another event's key.
    const ONE_EXCHANGE: bool = false;

    /// A sink whose destination answers as `script` says, and takes what is not in it. Its
    /// deadline should be short.
    async fn create(script: BTreeMap<EventId, Answer>) -> Self;

    /// The sink.
    fn sink(&self) -> &Self::Sink;

    /// What the destination was handed and took, in that order.
    async fn taken(&self) -> Vec<Event>;
}

/// One test per check of [`crate::contract::sink`].
#[macro_export]
macro_rules! sink_contract {
    ($subject:ty, #[$test:meta]) => {
        $crate::contract_tests! { sink, sink_contract, $subject, #[$test],
            a_delivered_event_is_at_the_destination
            each_event_has_one_outcome_in_its_place
            a_key_stops_at_its_first_failure
            a_failing_key_does_not_hold_its_neighbour
            what_is_unclear_is_not_delivered
            the_next_delivery_is_not_disturbed_by_a_failure
            what_may_no_longer_be_sent_is_not_tried
        }
    };
}

fn delivery(events: &[(&str, &str)]) -> Delivery {
    let attempted = |(n, (id, key)): (usize, &(&str, &str))| {
        let event = LoggedEvent {
            partition: Partition(0),
            offset: Offset(n as u64),
            accepted_at: Timestamp::from_millis(1_700_000_000_000),
            event: keyed(id, key).event,
        };
        Attempted { event: Arc::new(event), attempt: 1, redrive: false, replay: None, fresh: false }
    };
    Delivery::of(events.iter().enumerate().map(attempted).collect())
}

fn script(answers: &[(&str, Answer)]) -> BTreeMap<EventId, Answer> {
    answers.iter().map(|(id, answer)| (EventId::new(id).unwrap(), *answer)).collect()
}

async fn deliver<S: SinkSubject>(subject: &S, events: &[(&str, &str)]) -> Vec<Outcome> {
    let outcomes = subject.sink().deliver(&delivery(events)).await.outcomes;
    assert_eq!(outcomes.len(), events.len(), "one outcome per event: {outcomes:?}");
    outcomes
}

async fn taken_ids<S: SinkSubject>(subject: &S) -> Vec<String> {
    subject.taken().await.iter().map(|event| event.id.to_string()).collect()
}

/// What the destination confirmed is delivered, byte for byte.
pub async fn a_delivered_event_is_at_the_destination<S: SinkSubject>() {
    let subject = S::create(script(&[])).await;
    assert_eq!(deliver(&subject, &[("a", "k")]).await, [Outcome::Delivered]);
    let taken = subject.taken().await;
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].data, keyed("a", "k").event.data);
}

/// In their order.
pub async fn each_event_has_one_outcome_in_its_place<S: SinkSubject>() {
    let subject = S::create(script(&[("b", Answer::Fail)])).await;
    let outcomes = deliver(&subject, &[("a", "1"), ("b", "2"), ("c", "3")]).await;
    assert_ne!(outcomes[1], Outcome::Delivered);
    let taken = taken_ids(&subject).await;
    for (id, outcome) in ["a", "b", "c"].into_iter().zip(&outcomes) {
        assert_eq!(*outcome == Outcome::Delivered, taken.iter().any(|t| t == id), "{id}: {outcome:?}");
    }
}

/// Later events of that key in the batch are not tried.
pub async fn a_key_stops_at_its_first_failure<S: SinkSubject>() {
    let subject = S::create(script(&[("b", Answer::Fail)])).await;
    let outcomes = deliver(&subject, &[("a", "k"), ("b", "k"), ("c", "k"), ("d", "k")]).await;
    assert!(outcomes[1..].iter().all(|outcome| *outcome != Outcome::Delivered), "{outcomes:?}");
    let taken = taken_ids(&subject).await;
    assert!(!taken.iter().any(|id| id == "c" || id == "d"), "after the failure came {taken:?}");
}

/// Other keys go on.
pub async fn a_failing_key_does_not_hold_its_neighbour<S: SinkSubject>() {
    let subject = S::create(script(&[("b", Answer::Fail)])).await;
    let outcomes = deliver(&subject, &[("b", "bad"), ("x", "good"), ("c", "bad"), ("y", "good")]).await;
    if !S::ONE_EXCHANGE {
        assert_eq!([&outcomes[1], &outcomes[3]], [&Outcome::Delivered; 2]);
        assert_eq!(taken_ids(&subject).await, ["x", "y"]);
    }
    assert!(matches!(outcomes[0], Outcome::Retry { .. }), "{outcomes:?}");
}

/// A lost answer is a retry; and the sink ends within its own deadline.
pub async fn what_is_unclear_is_not_delivered<S: SinkSubject>() {
    let subject = S::create(script(&[("a", Answer::Hang)])).await;
    let outcomes = deliver(&subject, &[("a", "k")]).await;
    assert!(matches!(outcomes[0], Outcome::Retry { .. }), "{outcomes:?}");
}

/// Must not retry by itself, nor carry a failure over.
pub async fn the_next_delivery_is_not_disturbed_by_a_failure<S: SinkSubject>() {
    let subject = S::create(script(&[("a", Answer::Fail), ("h", Answer::Hang)])).await;
    deliver(&subject, &[("a", "k")]).await;
    deliver(&subject, &[("h", "k")]).await;
    assert_eq!(deliver(&subject, &[("b", "k")]).await, [Outcome::Delivered]);
    assert_eq!(taken_ids(&subject).await, ["b"]);
}

/// A leave that has ended.
#[derive(Debug)]
struct Ended;

#[async_trait]
impl Leave for Ended {
    fn holds(&self) -> bool {
        false
    }

    async fn ended(&self) {
        ready(()).await;
    }
}

/// Its worker's lease is over. The destination hears nothing of it, and of what comes next it hears all.
pub async fn what_may_no_longer_be_sent_is_not_tried<S: SinkSubject>() {
    let subject = S::create(script(&[])).await;
    for events in [&[("a", "k")][..], &[("a", "k"), ("b", "l"), ("c", "k")]] {
        let late = delivery(events).with_leave(Arc::new(Ended));
        assert_eq!(subject.sink().deliver(&late).await.outcomes, vec![Outcome::NotTried; events.len()]);
    }
    assert_eq!(deliver(&subject, &[("d", "k")]).await, [Outcome::Delivered]);
    assert_eq!(taken_ids(&subject).await, ["d"]);
}
