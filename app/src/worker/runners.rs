//! The tasks that make attempts.
//!
//! A task for each attempt would be made and thrown away some ten thousand times a second. These stay, and the one that
//! was busy last gets the next attempt.

use super::Clock;
use super::metered_sink::MeteredSink;
use laneway_domain::{Attempted, Cause, DestinationName, Met, Outcome};
use std::sync::Arc;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;

/// The most tasks that are kept without an attempt: what a few busy destinations have under way.
const MAX_IDLE: usize = 1024;

/// An attempt to be made.
struct Job<A> {
    attempt: A,
    destination: DestinationName,
    /// `None`: this process has none for the destination.
    sink: Option<Arc<MeteredSink>>,
    events: Vec<Attempted>,
}

/// An attempt that has ended.
pub(super) struct Ended<A> {
    pub(super) attempt: A,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) met: Met,
}

/// Makes attempts side by side, each named by an `A`. Dropping it ends them.
pub(super) struct Runners<A> {
    clock: Clock,
    /// What hands an attempt to each task. A task ends when that is dropped, and leaves an empty place.
    all: Vec<Option<Sender<Job<A>>>>,
    /// Those without an attempt; the last one was busy last.
    idle: Vec<usize>,
    empty: Vec<usize>,
    tasks: JoinSet<()>,
    to_us: UnboundedSender<(usize, Ended<A>)>,
    /// Holds no more than there are attempts under way, which the dispatcher bounds.
    ended: UnboundedReceiver<(usize, Ended<A>)>,
}

impl<A: Send + 'static> Runners<A> {
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
        events: Vec<Attempted>,
    ) {
        let place = self.idle.pop().unwrap_or_else(|| self.another());
        let job = Job { attempt, destination: destination.clone(), sink, events };
        let taken = self.all[place].as_ref().is_some_and(|runner| runner.try_send(job).is_ok());
        assert!(taken, "a task without an attempt takes one");
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
        if self.idle.len() < MAX_IDLE {
            self.idle.push(place);
        } else {
            self.all[place] = None;
            self.empty.push(place);
        }
        ended
    }

    /// One more task, and its place.
    fn another(&mut self) -> usize {
        // Those that were not needed any more.
        while self.tasks.try_join_next().is_some() {}
        let (runner, jobs) = mpsc::channel(1);
        let place = self.empty.pop().unwrap_or(self.all.len());
        self.tasks.spawn(run(place, jobs, self.clock, self.to_us.clone()));
        if place == self.all.len() {
            self.all.push(Some(runner));
        } else {
            self.all[place] = Some(runner);
        }
        place
    }
}

/// Makes one attempt after the other.
async fn run<A>(place: usize, mut jobs: Receiver<Job<A>>, clock: Clock, ended: UnboundedSender<(usize, Ended<A>)>) {
    while let Some(Job { attempt, destination, sink, events }) = jobs.recv().await {
        let (outcomes, met) = match sink {
            Some(sink) => sink.deliver(events, clock).await,
            None => {
                let reason = format!("destination {destination} has no sink in this process");
                (vec![Outcome::retry(Cause::Broken, reason); events.len()], Met::default())
            }
        };
        if ended.send((place, Ended { attempt, outcomes, met })).is_err() {
            // Nobody is there any more who could hear of it.
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::Timestamp;

    fn runners() -> (Runners<usize>, DestinationName) {
        (Runners::new(Clock::starting_at(Timestamp::ZERO)), DestinationName::new("a").unwrap())
    }

    #[tokio::test]
    async fn a_task_that_is_free_makes_the_next_attempt() {
        let (mut runners, name) = runners();
        for n in 0..5 {
            runners.begin(n, &name, None, Vec::new());
            assert_eq!(runners.next().await.attempt, n);
        }
        assert_eq!((runners.all.len(), runners.idle.len()), (1, 1));
    }

    #[tokio::test]
    async fn no_more_tasks_are_kept_than_was_said_and_their_places_are_used_again() {
        let (mut runners, name) = runners();
        let most = MAX_IDLE + 10;
        for round in 0..2 {
            (0..most).for_each(|n| runners.begin(n, &name, None, Vec::new()));
            for _ in 0..most {
                runners.next().await;
            }
            assert!(runners.try_next().is_none());
            assert_eq!((runners.all.len(), runners.idle.len(), runners.empty.len()), (most, MAX_IDLE, 10), "{round}");
        }
    }
}
