//! The tasks that make attempts.
//!
//! A task for each attempt would be made and thrown away some ten thousand times a second. These stay, and the one that
//! was busy last gets the next attempt.

use super::Clock;
use super::metered_sink::MeteredSink;
use laneway_domain::{Cause, DestinationName, Met, Outcome};
use laneway_ports::Delivery;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::task::{AbortHandle, JoinSet};

/// The most tasks that are kept without an attempt: what a few busy destinations have under way.
const MAX_IDLE: usize = 1024;

/// An attempt that has not ended.
struct UnderWay<A> {
    attempt: Option<A>,
    events: usize,
    place: usize,
    to_us: UnboundedSender<(usize, Ended<A>)>,
}

impl<A> UnderWay<A> {
    /// Whether there is still somebody who could hear of it.
    fn ends(&mut self, outcomes: Vec<Outcome>, met: Met) -> bool {
        let ended = self.attempt.take().map(|attempt| Ended { attempt, outcomes, met });
        ended.is_some_and(|ended| self.to_us.send((self.place, ended)).is_ok())
    }
}

/// Whatever becomes of an attempt, it ends.
impl<A> Drop for UnderWay<A> {
    fn drop(&mut self) {
        if self.attempt.is_some() {
            self.ends(vec![Outcome::NotTried; self.events], Met::default());
        }
    }
}

/// An attempt to be made.
struct Job<A> {
    under_way: UnderWay<A>,
    destination: DestinationName,
    /// `None`: this process has none for the destination.
    sink: Option<Arc<MeteredSink>>,
    delivery: Delivery,
}

/// An attempt that has ended.
pub(super) struct Ended<A> {
    pub(super) attempt: A,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) met: Met,
}

/// A task.
struct Runner<A> {
    /// What hands it an attempt. The task ends when that is dropped.
    jobs: Sender<Job<A>>,
    /// What it has under way, as far as was heard.
    attempt: Option<A>,
    abort: AbortHandle,
    is_broken_off: bool,
}

/// Makes attempts side by side, each named by an `A`. Dropping it ends them.
pub(super) struct Runners<A> {
    clock: Clock,
    /// A task that has ended leaves an empty place.
    all: Vec<Option<Runner<A>>>,
    /// Those without an attempt; the last one was busy last.
    idle: Vec<usize>,
    empty: Vec<usize>,
    tasks: JoinSet<()>,
    to_us: UnboundedSender<(usize, Ended<A>)>,
    /// Holds no more than there are attempts under way, which the dispatcher bounds.
    ended: UnboundedReceiver<(usize, Ended<A>)>,
}

impl<A: Copy + Ord + Send + 'static> Runners<A> {
    pub(super) fn new(clock: Clock) -> Self {
        let (to_us, ended) = mpsc::unbounded_channel();
        Self { clock, all: Vec::new(), idle: Vec::new(), empty: Vec::new(), tasks: JoinSet::new(), to_us, ended }
    }

    /// Begins an attempt.
    ///
    /// # Panics
    /// If a task that has none under way does not take it.
    pub(super) fn begin(
        &mut self,
        attempt: A,
        destination: &DestinationName,
        sink: Option<Arc<MeteredSink>>,
        delivery: Delivery,
    ) {
        let place = self.idle.pop().unwrap_or_else(|| self.another());
        let (events, to_us) = (delivery.events.len(), self.to_us.clone());
        let under_way = UnderWay { attempt: Some(attempt), events, place, to_us };
        let job = Job { under_way, destination: destination.clone(), sink, delivery };
        let taken = self.all[place].as_mut().is_some_and(|runner| {
            runner.attempt = Some(attempt);
            runner.jobs.try_send(job).is_ok()
        });
        assert!(taken, "a task without an attempt takes one");
    }

    /// Breaks these attempts off where they stand. Each ends all the same: as not tried, if it had not ended by itself.
    pub(super) fn abandon(&mut self, attempts: &[A]) {
        let attempts: BTreeSet<&A> = attempts.iter().collect();
        for runner in self.all.iter_mut().flatten() {
            if runner.attempt.as_ref().is_some_and(|attempt| attempts.contains(attempt)) {
                runner.abort.abort();
                runner.is_broken_off = true;
            }
        }
    }

    /// Waits for an attempt to end. Never ends while none is under way.
    pub(super) async fn next(&mut self) -> Ended<A> {
        match self.ended.recv().await {
            Some(ended) => self.done(ended),
            // There is a sender here.
            None => std::future::pending().await,
        }
    }

    /// One that has ended, if one has.
    pub(super) fn try_next(&mut self) -> Option<Ended<A>> {
        let ended = self.ended.try_recv().ok()?;
        Some(self.done(ended))
    }

    fn done(&mut self, (place, ended): (usize, Ended<A>)) -> Ended<A> {
        match &mut self.all[place] {
            Some(runner) if !runner.is_broken_off && self.idle.len() < MAX_IDLE => {
                runner.attempt = None;
                self.idle.push(place);
            }
            of_no_use => {
                *of_no_use = None;
                self.empty.push(place);
            }
        }
        ended
    }

    /// One more task, and its place.
    fn another(&mut self) -> usize {
        // Those that were not needed any more.
        while self.tasks.try_join_next().is_some() {}
        let (jobs, taken) = mpsc::channel(1);
        let place = self.empty.pop().unwrap_or(self.all.len());
        let abort = self.tasks.spawn(run(taken, self.clock));
        let runner = Some(Runner { jobs, attempt: None, abort, is_broken_off: false });
        if place == self.all.len() {
            self.all.push(runner);
        } else {
            self.all[place] = runner;
        }
        place
    }
}

/// Makes one attempt after the other.
async fn run<A>(mut jobs: Receiver<Job<A>>, clock: Clock) {
    while let Some(Job { mut under_way, destination, sink, delivery }) = jobs.recv().await {
        let (outcomes, met) = match sink {
            Some(sink) => sink.deliver(delivery, clock).await,
            None => {
                let reason = format!("destination {destination} has no sink in this process");
                (vec![Outcome::retry(Cause::Broken, reason); delivery.events.len()], Met::default())
            }
        };
        if !under_way.ends(outcomes, met) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::destinations::DestinationMetrics;
    use bytes::Bytes;
    use laneway_domain::{Attempted, Event, EventId, EventType, LoggedEvent, Offset, Partition, Timestamp};
    use laneway_ports::{DeliveryReport, Sink};

    fn runners() -> (Runners<usize>, DestinationName) {
        (Runners::new(Clock::starting_at(Timestamp::ZERO)), DestinationName::new("a").unwrap())
    }

    #[tokio::test]
    async fn a_task_that_is_free_makes_the_next_attempt() {
        let (mut runners, name) = runners();
        for n in 0..5 {
            runners.begin(n, &name, None, Delivery::of(Vec::new()));
            assert_eq!(runners.next().await.attempt, n);
        }
        assert_eq!((runners.all.len(), runners.idle.len()), (1, 1));
    }

    fn attempted() -> Attempted {
        let event = Event::new(EventId::new("a").unwrap(), EventType::new("t").unwrap(), Bytes::new());
        let event =
            Arc::new(LoggedEvent { partition: Partition(0), offset: Offset(0), accepted_at: Timestamp::ZERO, event });
        Attempted { event, attempt: 1, redrive: false, replay: None, fresh: false }
    }

    /// Never answers, and tells when it is called.
    struct Silent(UnboundedSender<()>);

    #[async_trait::async_trait]
    impl Sink for Silent {
        async fn deliver(&self, _: &Delivery) -> DeliveryReport {
            self.0.send(()).unwrap();
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn what_is_broken_off_ends_as_not_tried_whether_it_was_begun_or_not_and_the_others_go_on() {
        let (mut runners, name) = runners();
        let (called, mut calls) = mpsc::unbounded_channel();
        let metrics = DestinationMetrics::new().unwrap();
        let sink = Arc::new(MeteredSink::new(name.clone(), Arc::new(Silent(called)), &metrics, None));
        for n in 0..2 {
            runners.begin(n, &name, Some(sink.clone()), Delivery::of(Vec::new()));
            calls.recv().await.unwrap();
        }
        // One that its task has not taken, and one that has ended without anybody having heard of it.
        runners.begin(2, &name, Some(sink.clone()), Delivery::of(Vec::new()));
        runners.begin(3, &name, None, Delivery::of(vec![attempted()]));
        while runners.ended.is_empty() {
            tokio::task::yield_now().await;
        }
        runners.begin(4, &name, Some(sink), Delivery::of(vec![attempted(), attempted()]));
        runners.abandon(&[0, 2, 3, 4, 5]);
        let mut ended = Vec::new();
        for _ in 0..4 {
            let Ended { attempt, outcomes, .. } = runners.next().await;
            ended.push((attempt, outcomes.iter().map(Outcome::label).collect::<Vec<_>>()));
        }
        ended.sort_unstable();
        assert_eq!(ended, [(0, vec![]), (2, vec![]), (3, vec!["retry"]), (4, vec!["not-tried"; 2])]);
        // Their places are of use again, and the one that hangs is as it was.
        for n in 6..16 {
            runners.begin(n, &name, None, Delivery::of(Vec::new()));
            assert_eq!(runners.next().await.attempt, n);
        }
        assert!(runners.all.len() <= 5 && runners.try_next().is_none());
    }

    #[tokio::test]
    async fn no_more_tasks_are_kept_than_was_said_and_their_places_are_used_again() {
        let (mut runners, name) = runners();
        let most = MAX_IDLE + 10;
        for round in 0..2 {
            (0..most).for_each(|n| runners.begin(n, &name, None, Delivery::of(Vec::new())));
            for _ in 0..most {
                runners.next().await;
            }
            assert!(runners.try_next().is_none());
            assert_eq!((runners.all.len(), runners.idle.len(), runners.empty.len()), (most, MAX_IDLE, 10), "{round}");
        }
    }
}
