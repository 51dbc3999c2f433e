//! The sink: what performs a delivery.

use async_trait::async_trait;
pub use laneway_domain::Attempted;
use laneway_domain::{Answered, Outcome};
use std::fmt;
use std::future::pending;
use std::sync::Arc;

/// Whether an error of the operating system says that this machine lacks something for an attempt that others
/// may give back: file descriptors, memory, buffers ([`laneway_domain::Cause::Shortage`]).
///
/// A missing local address is not one of them: it is also what an address family that is switched off looks
/// like, which no waiting mends.
#[must_use]
pub fn is_shortage(error: &std::io::Error) -> bool {
    /// `ENFILE`, `EMFILE` (the same on every Unix), and `ENOBUFS` on Linux.
    const NUMBERS: [i32; 3] = [23, 24, 105];
    error.kind() == std::io::ErrorKind::OutOfMemory
        || error.raw_os_error().is_some_and(|number| NUMBERS.contains(&number))
}

/// Until when a worker may send what it has begun to deliver: while it holds the lease of the events' partition.
///
/// Beyond that another worker may deliver the same events and those after them. What came from this one then might reach
/// the destination behind a later event of its key.
#[async_trait]
pub trait Leave: fmt::Debug + Send + Sync {
    /// Whether it still may.
    fn holds(&self) -> bool;

    /// Waits until it no longer may. Dropping the future gives up waiting, and nothing else.
    async fn ended(&self);
}

/// What is to be delivered in one attempt: a single event, or a batch.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The events; those of one key stand in their order. Never empty.
    pub events: Vec<Attempted>,
    /// Until when they may be sent. `None`: at any time, as nobody else delivers them.
    leave: Option<Arc<dyn Leave>>,
}

impl Delivery {
    /// Events that may be sent at any time.
    #[must_use]
    pub const fn of(events: Vec<Attempted>) -> Self {
        Self { events, leave: None }
    }

    /// The same events, that may be sent as long as `leave` says.
    #[must_use]
    pub fn with_leave(self, leave: Arc<dyn Leave>) -> Self {
        Self { leave: Some(leave), ..self }
    }

    /// Whether they may be sent now.
    #[must_use]
    pub fn may_be_sent(&self) -> bool {
        self.leave.as_ref().is_none_or(|leave| leave.holds())
    }

    /// Waits until they may no longer be sent; for ever, if they always may.
    pub async fn leave_ended(&self) {
        match &self.leave {
            Some(leave) => leave.ended().await,
            None => pending().await,
        }
    }
}

/// What became of a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryReport {
    /// One outcome per event, in their order.
    pub outcomes: Vec<Outcome>,
    /// What the destination answered, for the history: once for all events, or once for each; empty where a
    /// destination answers nothing worth telling.
    pub answers: Vec<Answered>,
}

impl From<Vec<Outcome>> for DeliveryReport {
    fn from(outcomes: Vec<Outcome>) -> Self {
        Self { outcomes, answers: Vec::new() }
    }
}

/// What a delivery met that somebody makes to see whether a destination works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestReport {
    /// What it would have meant for an event.
    pub outcome: Outcome,
    /// What the receiver answered, where it speaks HTTP and has answered.
    pub answer: Option<TestedAnswer>,
}

/// An answer as people may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestedAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The start of the body: one line of at most a thousand characters, without the destination's secrets.
    pub body: String,
}

/// A destination's way out: a webhook, a collection, the console.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Delivers the events, and says what became of each: one outcome per event, in their order.
    ///
    /// - Must say [`Outcome::Delivered`] only of what the destination has confirmed. Whatever is
    ///   unclear (a lost answer, an unacknowledged write) is [`Outcome::Retry`].
    /// - Must stop at a key's first failure: later events of that key in the batch are
    ///   [`Outcome::NotTried`] (or part of the same failure). Other keys go on.
    /// - Must send nothing once [`Delivery::may_be_sent`] says no, also of what has waited for a connection until then:
    ///   it is [`Outcome::NotTried`]. What is on its way to the destination goes on.
    /// - Must end within its own deadline, whatever the destination does; must not panic.
    /// - Must not retry by itself: when and how often is the dispatcher's decision.
    /// - May be called concurrently, also for different events of one batch size; must not be
    ///   called concurrently for one key.
    async fn deliver(&self, delivery: &Delivery) -> DeliveryReport;

    /// Delivers one event as [`deliver`](Self::deliver) does, and says more of what it met. Nothing depends on it but
    /// what people are shown, so a sink whose destination answers nothing worth showing leaves it as it is.
    async fn test(&self, event: Attempted) -> TestReport {
        let DeliveryReport { outcomes, .. } = self.deliver(&Delivery::of(vec![event])).await;
        TestReport { outcome: outcomes.into_iter().next().unwrap_or(Outcome::NotTried), answer: None }
    }
}
