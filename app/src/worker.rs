//! The worker: the shell around the dispatcher. It feeds it what happens, does what it says, and
//! sleeps until it wants to be woken. It decides nothing: what goes where and when is the domain's
//! affair, and the simulation drives this very code.

mod ages;
mod ask;
mod calls;
mod clock;
mod deleted;
mod handle;
mod inbox;
mod leave;
mod metered_sink;
mod notices;
mod operational;
mod pace;
mod roster;
mod runners;
mod share;
mod shell;
mod surveys;
mod traced;
mod upkeep;

pub use ask::{ANSWERED_WITHIN, command_all};
pub use clock::Clock;
pub use handle::{Change, Handle};
pub use roster::{REPORT_EVERY, status_of_all};

use crate::telemetry::destinations::DestinationMetrics;
use laneway_domain::{
    ChangedDestination, DestinationChanges, DestinationName, Lags, Operational, OperationalSettings, Settings,
};
use laneway_ports::{KeptHistory, Sink, Spans, Stores, WorkerId};
use operational::{Appender, Teller};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use upkeep::Upkeep;

/// How long a lease lasts. A worker that died is noticed after so long.
pub const LEASE: Duration = Duration::from_secs(5);
/// How often a lease is renewed: two renewals may fail before it runs out. No attempt starts in a
/// lease's last renewal interval.
pub const RENEW_EVERY: Duration = Duration::from_millis(1500);
/// How often a worker says that it is there, and learns who else is.
pub const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);
/// How long a worker is taken to be there after it said so: two announcements may fail before the
/// others think that it is gone. With [`ANNOUNCE_EVERY`] the others know it when the [`LEASE`]s of one
/// that died run out, and with [`laneway_domain::CLAIM_EVERY`] they have taken its partitions over
/// within 7 s. Who is taken to be gone and is not keeps its leases, so that nothing moves.
pub const PRESENT_FOR: Duration = Duration::from_secs(4);

/// Everything that a worker needs.
pub struct Worker {
    /// Tells this process from all others, also from its own earlier runs.
    pub id: WorkerId,
    /// The store that it works on.
    pub stores: Stores,
    /// The destinations, as of a revision.
    pub destinations: DestinationChanges,
    /// The sink of each.
    pub sinks: BTreeMap<DestinationName, Arc<dyn Sink>>,
    /// The dispatcher's bounds.
    pub settings: Settings,
    /// The time.
    pub clock: Clock,
    /// What jitter is drawn from.
    pub seed: u64,
    /// How long settled events are kept.
    pub retain: Duration,
    /// When an operator is told what.
    pub operational: OperationalSettings,
    /// The records of the destinations, as the registry had them: what has just changed is told.
    pub told: Vec<ChangedDestination>,
    /// Where the spans of deliveries go, if anywhere.
    pub spans: Option<Arc<dyn Spans>>,
    /// How much of the history of attempts is kept. Whether any is told is one of `settings`.
    pub history: KeptHistory,
    /// Where attempts are counted, and what waits is told.
    pub metrics: DestinationMetrics,
}

impl Worker {
    /// A way to ask and tell the worker, the worker itself, and its upkeep (trims, retried dead letters,
    /// gauges, what other processes say).
    ///
    /// The worker works while its future is polled, and ends after [`Handle::stop`] when nothing is in
    /// flight, all is committed and the leases are released. Dropped earlier, it stops where it is, like a
    /// crash. The upkeep goes on until it is dropped.
    pub fn start(mut self) -> (Handle, impl Future<Output = ()> + Send, impl Future<Output = ()> + Send) {
        let (handle, requests) = handle::channel(self.id.clone());
        let teller = Teller::new(Operational::new(self.operational, &self.id.0), self.clock);
        let appender = Appender::new(teller.clone(), self.stores.log.clone());
        let first =
            Change { destinations: self.destinations, told: std::mem::take(&mut self.told), ..Change::default() };
        teller.changed(&first);
        self.destinations = first.destinations;
        let lags = Arc::<Mutex<Lags>>::default();
        let upkeep = Upkeep {
            stores: self.stores.clone(),
            worker: handle.clone(),
            clock: self.clock,
            retain: self.retain,
            history: self.history,
            metrics: self.metrics.clone(),
            teller: teller.clone(),
            lags: lags.clone(),
        };
        (handle, appender.beside(shell::Shell::new(self, requests, teller, lags).run()), upkeep.run())
    }
}
