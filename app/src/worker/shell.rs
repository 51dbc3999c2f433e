//! The loop: what happens goes into the dispatcher, what it says is done.

mod membership;

use super::calls::{Call, Calls, Done};
use super::handle::{Change, Listing, Request, Told};
use super::leave::LeaseEnd;
use super::metered_sink::MeteredSink;
use super::notices::Reporter;
use super::operational::{Committing, Teller};
use super::runners::{Ended, Runners};
use super::share::Share;
use super::surveys::Surveys;
use super::traced::TracedCommits;
use super::{Clock, Worker};
use crate::telemetry::destinations::DestinationMetrics;
use crate::telemetry::metrics as names;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use laneway_domain::{
    AttemptId, Attempted, CommandId, DestinationName, Dispatcher, Input, Lags, Offset, Output, Partition, Revision,
    StatusReport, Timestamp,
};
use laneway_ports::{Delivery, Lease, Spans};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep_until};

/// Ended attempts taken in before the other sources get their turn.
const ATTEMPTS_A_TURN: usize = 64;

/// Instants that are closer than this are of the same time, which has whole milliseconds.
const SAME_ALARM: Duration = Duration::from_micros(500);

/// A partition that this process works on.
struct Owned {
    lease: Lease,
    /// Until when what is delivered of it may be sent.
    leave: Arc<LeaseEnd>,
    /// The log's end that was last heard of.
    end: Offset,
}

pub(super) struct Shell {
    dispatcher: Dispatcher,
    /// The last revision of the destinations that the dispatcher knows.
    known: watch::Sender<Revision>,
    clock: Clock,
    stores: Calls,
    sinks: BTreeMap<DestinationName, Arc<MeteredSink>>,
    metrics: DestinationMetrics,
    spans: Option<Arc<dyn Spans>>,
    traced: TracedCommits,
    owned: BTreeMap<Partition, Owned>,
    share: Share,
    calls: FuturesUnordered<Call>,
    /// The call of the register of workers. There is always one; when it ends, the next begins.
    register: Call,
    /// Calls that were done at once.
    done: VecDeque<Done>,
    attempts: Runners<AttemptId>,
    requests: mpsc::Receiver<Request>,
    /// Who waits for the answer to a command.
    commands: BTreeMap<CommandId, oneshot::Sender<Told>>,
    surveys: Surveys,
    last_command: u64,
    reporter: Reporter,
    teller: Teller,
    committing: Committing,
    commit_seconds: Histogram,
    commits_failed: Counter,
    leased: Gauge,
    stopping: bool,
    /// Whether the other workers were told that this one stops.
    left: bool,
}

impl Shell {
    pub(super) fn new(
        worker: Worker,
        requests: mpsc::Receiver<Request>,
        teller: Teller,
        lags: Arc<Mutex<Lags>>,
    ) -> Self {
        let Worker { id, stores, destinations, sinks, settings, clock, seed, metrics, spans, .. } = worker;
        let metered = |(name, sink): (DestinationName, _)| {
            let sink = Arc::new(MeteredSink::new(name.clone(), sink, &metrics, spans.clone()));
            (name, sink)
        };
        let sinks = sinks.into_iter().map(metered).collect();
        let mut dispatcher = Dispatcher::new(settings, seed);
        let (known, _) = watch::channel(destinations.revision);
        dispatcher.handle(Input::Destinations(destinations), clock.now());
        let share = Share::new(id.clone(), stores.log.partitions());
        let stores = Calls { stores, clock, lags, pace: Arc::default() };
        Self {
            register: stores.announce(id, true),
            dispatcher,
            known,
            clock,
            stores,
            sinks,
            metrics,
            traced: TracedCommits::new(spans.clone()),
            spans,
            owned: BTreeMap::new(),
            share,
            calls: FuturesUnordered::new(),
            done: VecDeque::new(),
            attempts: Runners::new(clock),
            requests,
            commands: BTreeMap::new(),
            surveys: Surveys::default(),
            last_command: 0,
            reporter: Reporter::new(),
            teller,
            committing: Committing::default(),
            commit_seconds: histogram!(names::COMMIT_SECONDS),
            commits_failed: counter!(names::COMMITS_FAILED),
            leased: gauge!(names::PARTITIONS_LEASED),
            stopping: false,
            left: false,
        }
    }

    pub(super) async fn run(mut self) {
        let mut alarm = Box::pin(sleep_until(tokio::time::Instant::now()));
        while !(self.stopping && self.left && self.owned.is_empty()) {
            self.set_alarm(&mut alarm);
            tokio::select! {
                biased;
                Some(request) = self.requests.recv() => self.request(request),
                ended = self.attempts.next() => self.attempt_ended(ended),
                Some(done) = self.calls.next(), if !self.calls.is_empty() => self.done(done),
                done = &mut self.register => self.done(done),
                () = &mut alarm => {
                    self.drain();
                    self.rebalance();
                }
                // The next piece is looked at in this turn.
                () = yield_now(), if self.surveys.is_asked() => {}
            }
            self.turn();
        }
    }

    /// Takes in what is there already, a bounded number of each kind, so that none starves another.
    fn turn(&mut self) {
        for _ in 0..ATTEMPTS_A_TURN {
            let Some(ended) = self.attempts.try_next() else { break };
            self.attempt_ended(ended);
        }
        while let Some(done) = self.done.pop_front() {
            self.done(done);
        }
        if let Some((report, answers)) = self.surveys.go_on(&self.dispatcher, self.clock.now()) {
            self.stores.answer(report, answers);
        }
        let mut cx = Context::from_waker(Waker::noop());
        // Only looks: the next turn's select registers for what is not ready.
        if let Poll::Ready(Some(done)) = self.calls.poll_next_unpin(&mut cx) {
            self.done(done);
        }
    }

    fn set_alarm(&self, alarm: &mut std::pin::Pin<Box<Sleep>>) {
        let wakeups = [self.dispatcher.next_wakeup(), self.share.next_wakeup()];
        let at = self.clock.instant(wakeups.into_iter().flatten().min().unwrap_or(Timestamp::MAX));
        // Those of one time differ by what lies between the readings of two clocks.
        let set = alarm.deadline();
        if set.max(at) - set.min(at) >= SAME_ALARM {
            alarm.as_mut().reset(at);
        }
    }

    fn feed(&mut self, input: Input) {
        self.dispatcher.handle(input, self.clock.now());
        self.drain();
    }

    fn drain(&mut self) {
        let now = self.clock.now();
        while let Some(output) = self.dispatcher.poll(now) {
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Attempt { attempt, destination, events } => self.attempt(attempt, &destination, events),
            Output::Abandon { attempts } => self.attempts.abandon(&attempts),
            Output::Read { read, partition, from, most, most_bytes, unhurried } => {
                let call = if unhurried {
                    self.stores.read_unhurried(read, partition, from, most, most_bytes)
                } else {
                    self.stores.read(read, partition, from, most, most_bytes)
                };
                self.begin(call);
            }
            Output::ReadEnd { read, partition } => {
                let call = self.stores.read_end(read, partition);
                self.begin(call);
            }
            Output::ReadDeadLetter { read, partition, offset, destination } => {
                self.calls.push(self.stores.read_dead_letter(read, partition, offset, destination));
            }
            Output::Commit { partition, commit } => {
                if let Some(owned) = self.owned.get(&partition) {
                    self.traced.begin(partition);
                    self.committing.begin(partition, &commit);
                    self.calls.push(self.stores.commit(owned.lease.clone(), commit));
                }
            }
            Output::Released(partition) => {
                if let Some(owned) = self.owned.get(&partition) {
                    self.calls.push(self.stores.release(owned.lease.clone()));
                }
            }
            Output::CommandDone { id, acted } => {
                // Whoever asked may have gone; then nobody misses the answer.
                if let Some(answer) = self.commands.remove(&id) {
                    let _ = answer.send(Told { acted, partitions: self.owned.keys().copied().collect() });
                }
            }
            Output::Notice(notice) => {
                self.reporter.notice(&notice);
                self.teller.notice(&notice);
            }
        }
    }

    /// Begins a call that is often done at once: a read of what is in memory.
    fn begin(&mut self, mut call: Call) {
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => self.done.push_back(done),
            Poll::Pending => self.calls.push(call),
        }
    }

    fn attempt(&mut self, attempt: AttemptId, destination: &DestinationName, events: Vec<Attempted>) {
        self.traced.attempt(attempt, destination, &events);
        let sink = self.sinks.get(destination).cloned();
        let partition = events.first().map(|first| first.event.partition);
        let owned = partition.and_then(|partition| self.owned.get(&partition));
        let owned = owned.unwrap_or_else(|| panic!("{attempt:?} is of {partition:?}, which this worker does not hold"));
        let delivery = Delivery::of(events).with_leave(owned.leave.clone());
        self.attempts.begin(attempt, destination, sink, delivery);
    }

    fn attempt_ended(&mut self, Ended { attempt, outcomes, met }: Ended<AttemptId>) {
        self.traced.attempt_ended(attempt, &outcomes);
        self.feed(Input::AttemptEnded { attempt, outcomes, met });
    }

    /// Whether a call was made under the lease that is held now.
    fn holds(&self, lease: &Lease) -> bool {
        self.owned.get(&lease.partition).is_some_and(|owned| owned.lease.epoch == lease.epoch)
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Read(input) => self.feed(input),
            Done::NotRead(read, error) => {
                tracing::warn!(%error, "the store could not be read; trying again");
                self.feed(Input::ReadFailed(read));
            }
            Done::Announced(answer) => self.announced(answer),
            Done::Ends(ends, answer) => self.status(ends, answer),
            Done::Left => self.has_left(),
            Done::Claimed(claimed) => self.claimed(*claimed),
            Done::NotClaimed(partition, error) => {
                self.share.not_claimed(partition, error);
                self.rebalance();
            }
            done => self.done_under_lease(done),
        }
    }

    fn done_under_lease(&mut self, done: Done) {
        match done {
            Done::Renewed(lease, until) if self.holds(&lease) => {
                let partition = lease.partition;
                if let Some(owned) = self.owned.get(&partition) {
                    owned.leave.renewed(until);
                }
                self.calls.push(self.stores.renew(lease, Calls::renewal_of(until)));
                self.feed(Input::LeaseRenewed { partition, until });
            }
            Done::NotRenewed(lease, error) if self.holds(&lease) => {
                tracing::warn!(partition = lease.partition.0, %error, "a lease could not be renewed; trying again");
                self.calls.push(self.stores.renew(lease, self.stores.renewal_again()));
            }
            Done::Grew(lease, end) if self.holds(&lease) => {
                let partition = lease.partition;
                if let Some(owned) = self.owned.get_mut(&partition) {
                    owned.end = end;
                }
                let watch = self.stores.watch(lease, end, false);
                self.calls.push(watch);
                self.feed(Input::Grew { partition, end });
            }
            Done::NotWatched(lease, error) if self.holds(&lease) => {
                tracing::warn!(partition = lease.partition.0, %error, "the log could not be watched; trying again");
                let seen = self.owned.get(&lease.partition).map_or(Offset::ZERO, |owned| owned.end);
                self.calls.push(self.stores.watch(lease, seen, true));
            }
            Done::Committed(lease, took) if self.holds(&lease) => {
                self.commit_seconds.record(took.as_secs_f64());
                self.traced.stored(lease.partition);
                if let Some(commit) = self.committing.stored(lease.partition) {
                    self.teller.committed(lease.partition, &commit);
                }
                self.feed(Input::Committed(lease.partition));
            }
            Done::NotCommitted(lease, error) if self.holds(&lease) => {
                self.commits_failed.increment(1);
                tracing::warn!(partition = lease.partition.0, %error, "progress could not be committed; trying again");
                self.feed(Input::CommitFailed(lease.partition));
            }
            Done::Fenced(lease) if self.holds(&lease) => self.lost(lease.partition),
            Done::Released(lease) if self.holds(&lease) => {
                self.owned.remove(&lease.partition);
                self.traced.lost(lease.partition);
                self.teller.lost(lease.partition);
                self.count_leases();
                self.share.released(lease.partition);
                self.rebalance();
            }
            // Of a lease that is not held any more.
            _ => {}
        }
    }

    fn lost(&mut self, partition: Partition) {
        self.stores.tell_loss(partition);
        self.owned.remove(&partition);
        self.traced.lost(partition);
        self.committing.stored(partition);
        self.teller.lost(partition);
        self.count_leases();
        self.feed(Input::LeaseLost(partition));
        self.share.lost(partition);
        self.rebalance();
    }

    #[allow(clippy::cast_precision_loss)]
    fn count_leases(&self) {
        self.leased.set(self.owned.len() as f64);
    }

    fn request(&mut self, request: Request) {
        match request {
            // Whoever asked may have gone; then nobody misses the answer.
            Request::Status(answer) => {
                let leases = self.owned.values().map(|owned| owned.lease.clone()).collect();
                let call = self.stores.ends(leases, answer);
                self.begin(call);
            }
            Request::Report(listing, answer) => self.surveys.ask(listing, answer),
            Request::NotReady(answer) => drop(answer.send(self.share.not_ready())),
            Request::Partitions(answer) => drop(answer.send(self.dispatcher.partitions().collect())),
            Request::Filters(name, answer) => drop(answer.send(self.dispatcher.filters(&name))),
            Request::Command(command, answer) => {
                self.last_command += 1;
                let id = CommandId(self.last_command);
                self.commands.insert(id, answer);
                self.feed(Input::Command { id, command });
            }
            Request::Redrive(partition, requests) => {
                self.feed(Input::Redrive { partition, requests });
            }
            Request::DeletedTenants(deleted) => self.feed(Input::DeletedTenants(deleted)),
            Request::Trimmed(partition, start) => self.feed(Input::Trimmed { partition, start }),
            Request::Change(change, answer) => {
                self.change(change);
                // Whoever asked may have gone; then nobody misses the answer.
                let _ = answer.send(());
            }
            Request::Stop => self.stop(),
        }
    }

    /// Destinations have come, changed or gone. What is under way keeps the sink that it has.
    fn change(&mut self, change: Change) {
        self.teller.changed(&change);
        let Change { destinations, sinks, .. } = change;
        for gone in &destinations.left {
            self.sinks.remove(gone);
            self.metrics.left(gone);
        }
        for gone in &destinations.deleted {
            self.sinks.remove(gone);
            self.metrics.forget(gone);
        }
        for (name, sink) in sinks {
            let sink = Arc::new(MeteredSink::new(name.clone(), sink, &self.metrics, self.spans.clone()));
            self.sinks.insert(name, sink);
        }
        let revision = destinations.revision;
        self.feed(Input::Destinations(destinations));
        self.known.send_if_modified(|known| std::mem::replace(known, revision.max(*known)) < revision);
    }

    /// Answers with a status that knows of these ends: the watchers may have yet to tell of them.
    fn status(&mut self, ends: Vec<(Lease, Offset)>, answer: oneshot::Sender<StatusReport>) {
        for (lease, end) in ends {
            if self.holds(&lease) && self.owned.get(&lease.partition).is_some_and(|owned| owned.end < end) {
                self.feed(Input::Grew { partition: lease.partition, end });
            }
        }
        self.surveys.ask(Listing::Keys, answer);
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.leave();
        let partitions: Vec<Partition> = self.owned.keys().copied().collect();
        for partition in partitions {
            self.feed(Input::Release(partition));
        }
    }
}
