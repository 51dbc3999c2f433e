//! The tasks that make attempts.
//!
//! A task for each attempt would be made and thrown away some ten thousand times a second. These stay, and the one that
//! was busy last gets the next attempt.

use super::Clock;
use super::metered_sink::MeteredSink;
use laneway_domain::{AttemptId, Attempted, Cause, DestinationName, Met, Outcome};
use std::sync::Arc;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;

/// The most tasks that are kept without an attempt: what a few busy destinations have under way. Each takes about a KiB.
const MAX_IDLE: usize = 1024;

/// An attempt to be made.
struct Job {
    attempt: AttemptId,
    destination: DestinationName,
    /// `None`: this process has none for the destination.
    sink: Option<Arc<MeteredSink>>,
    events: Vec<Attempted>,
}

/// An attempt that has ended.
pub(super) struct Ended {
    pub(super) attempt: AttemptId,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) met: Met,
}

/// Makes attempts side by side. Dropping it ends them.
pub(super) struct Runners {
    clock: Clock,
    /// What hands an attempt to each task. A task ends when that is dropped, and leaves an empty place.
    all: Vec<Option<Sender<Job>>>,
    /// Those without an attempt; the last one was busy last.
    idle: Vec<usize>,
    empty: Vec<usize>,
    tasks: JoinSet<()>,
    to_us: UnboundedSender<(usize, Ended)>,
    /// Holds no more than there are attempts under way, which the dispatcher bounds.
    ended: UnboundedReceiver<(usize, Ended)>,
}

impl Runners {
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
        attempt: AttemptId,
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
    pub(super) async fn next(&mut self) -> Ended {
        match self.ended.recv().await {
            Some(ended) => self.done(ended),
            // There is a sender here.
            None => std::future::pending().await,
        }
    }

    /// One that has ended, if one has.
    pub(super) fn try_next(&mut self) -> Option<Ended> {
        let ended = self.ended.try_recv().ok()?;
        Some(self.done(ended))
    }

    fn done(&mut self, (place, ended): (usize, Ended)) -> Ended {
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
async fn run(place: usize, mut jobs: Receiver<Job>, clock: Clock, ended: UnboundedSender<(usize, Ended)>) {
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
