//! Puts the parts of a process together.

mod backup;
mod certificates;
mod checking;
mod destinations;
mod listening;
mod operations;
mod reload;
mod signals;
mod sinks;
mod spans;
mod starting;
mod stores;
mod systemd;
mod tasks;

pub use backup::{BackupReport, Progressed, RestoreOptions, Restored, backup, restore};
pub use certificates::ReadAgain;
pub use checking::check;
pub use signals::EXIT_TOLD_TWICE;
pub use stores::Checked;

use crate::config::Config;
use crate::lookup::{Finder, StoreSetup};
use crate::registry::Destinations;
use crate::telemetry::destinations::DestinationMetrics;
use crate::telemetry::metrics;
use crate::tenants::{Everything, KnownTenants, Tenants, forget_deleted};
use crate::tokens::MadeTokens;
use crate::worker::{Clock, Handle, Worker};
use certificates::Certificates;
use destinations::{Begun, Known};
use laneway_http::{Api, Application, CurrentLimits, Tokens};
use laneway_ports::{KeptHistory, Operator, Spans, Stores, WorkerId};
use listening::{Doors, Served};
use operations::Shared;
use reload::{Reloading, TenantsNow};
use spans::Exporting;
use starting::Begin;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use systemd::ServiceManager;
use tasks::Tasks;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How often the metrics' histograms are tidied, as their recorder wants it.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// What is said when one of the tasks beside the HTTP side and the worker has ended.
const NO_TOKENS: &str = "the tokens made over HTTP are no longer followed; please report this with the log";
const NO_TENANTS: &str = "limits and deletions of tenants are no longer followed; please report this with the log";
const NO_FORGETTING: &str =
    "what is left of deleted tenants is no longer looked after; please report this with the log";
const NO_TELLING: &str = "the worker is no longer told which tenants were deleted; please report this with the log";
const NO_DESTINATIONS: &str =
    "changes of destinations can no longer be followed, for the reason in the log: start the process again";
const NO_UPKEEP: &str = "the log is no longer trimmed, dead letters are no longer retried, and no worker hears of \
    another; please report this with the log";
const NO_TIDYING: &str = "the metrics are no longer tidied; please report this with the log";
const NO_SIGNS: &str = "the service manager gets no sign of life any more; please report this with the log";
const NO_CONSOLE: &str = "the console's numbers are no longer kept; please report this with the log";

/// Which half of Laneway a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `laneway serve`: events in and events out.
    Both,
    /// `ingest`: events in.
    Ingest,
    /// `worker`: events out.
    Worker,
}

impl Role {
    /// Whether it takes events in.
    #[must_use]
    pub fn takes_in(self) -> bool {
        self != Self::Worker
    }

    /// Whether it delivers.
    #[must_use]
    pub fn delivers(self) -> bool {
        self != Self::Ingest
    }

    /// What it is called, for people.
    fn name(self) -> &'static str {
        match self {
            Self::Both => "serve",
            Self::Ingest => "ingest",
            Self::Worker => "worker",
        }
    }

    /// Where it listens, and the setting that says so.
    fn listen(self, config: &Config) -> (SocketAddr, &'static str) {
        if self.takes_in() { (config.server.listen, "server.listen") } else { (config.worker.listen, "worker.listen") }
    }

    /// Where it lets operators in, if that is an address of its own, and the setting that says so.
    fn operator_listen(self, config: &Config) -> Option<(SocketAddr, &'static str)> {
        let address = config.server.operator_listen.filter(|_| self.takes_in())?;
        Some((address, "server.operator_listen"))
    }
}

/// The delivering half, as far as a process has it.
struct Delivering {
    id: WorkerId,
    handle: Handle,
    working: JoinHandle<()>,
}

/// Runs the process until a signal ends it.
///
/// # Errors
/// Says what kept it from starting or going on.
pub async fn serve(config: Config, role: Role, read_again: ReadAgain<'_>) -> Result<(), String> {
    let rendering = metrics::install()?;
    let mut stop = signals::stop_signal()?;
    signals::ignore_what_means_nothing()?;
    let mut reload = signals::reload_signal()?;
    // The store is opened last, because opening makes it: a start that fails leaves nothing behind.
    if role.delivers() {
        sinks::check(&config)?;
    }
    let known = Known::of(&config)?;
    let doors = Doors::open(&config, role).await?;
    let id = process_id();
    let mut certificates = Certificates::of(&config)?;
    let (started, starting) = watch::channel(false);
    let meanwhile = doors.answer_meanwhile(&config.server.limits, certificates.server(), starting);
    let meanwhile = tokio::spawn(meanwhile);
    let bounds = TenantsNow::of(&config.tenants);
    let (stores, begin) = {
        let tls = certificates.store();
        // Boxed: the compiler would else lose itself in how large the future of a whole process is.
        let mut beginning = Box::pin(async {
            let stores = stores::open(&config, tls, role, &id).await?;
            let begin = Begin::read(&config, role, &known, bounds.bounds.clone(), &stores).await?;
            Ok::<_, String>((stores, begin))
        });
        // It may wait for a store that other machines have, and perhaps for a certificate.
        loop {
            tokio::select! {
                begun = &mut beginning => break begun?,
                _ = stop.wait_for(|told| *told) => return Ok(()),
                () = certificates.changed() => certificates.renew(read_again),
            }
        }
    };
    started.send_replace(true);
    meanwhile.await.map_err(|error| format!("the answers during the start ended in a panic: {error}"))?;
    let of_destinations = DestinationMetrics::new()?;
    let known_tenants = begin.tenants;
    let exporting = Exporting::begin(&config.telemetry, &id, role)?;
    let spans = exporting.as_ref().map(Exporting::spans);
    let mut tasks = Tasks::default();
    let mut delivering = match begin.destinations {
        Some(begun) => {
            let known = (&known, begun, &*known_tenants);
            Some(deliver(id, &config, &stores, known, (&of_destinations, spans.clone()), &mut tasks).await)
        }
        None => None,
    };
    let own = delivering.as_ref().map(|delivering| (delivering.id.clone(), delivering.handle.clone()));
    let render = rendering.clone();
    let tokens = Tokens::of(config.server.tokens.clone());
    let limits = CurrentLimits::from(config.server.limits.clone());
    let made = Arc::new(
        MadeTokens::new(stores.tokens.clone(), tokens.clone())
            .sealing(known.reader.keys().clone())
            .knowing(known_tenants.clone()),
    );
    made.begin().await;
    tasks.watch(NO_TOKENS, tokio::spawn(made.clone().follow()));
    let workers = Arc::new(Shared { own, stores: stores.clone(), targets: known.targets.clone() });
    let destinations = Arc::new(
        Destinations::new(stores.clone(), workers.clone(), known.reader.clone())
            .bounding(bounds.bounds.clone())
            .knowing(known_tenants.clone()),
    );
    let everything = Everything { destinations: destinations.clone(), tokens: made.clone() };
    let tenants = Arc::new(Tenants::new(stores.clone(), known_tenants.clone(), everything));
    tasks.watch(NO_TENANTS, tokio::spawn(tenants.clone().follow()));
    let told_of = if config.history.enabled { config.history.max_age } else { Duration::ZERO };
    let forgetting = forget_deleted(tenants.clone(), config.store.duplicate_window.max(told_of));
    tasks.watch(NO_FORGETTING, tokio::spawn(forgetting));
    let finder = Finder::new(stores.clone(), setup_of(&config)).hiding(known_tenants.deleted());
    let api = Api {
        log: role.takes_in().then(|| stores.log.clone()),
        dead_letters: stores.dead_letters.clone(),
        lookup: Some(Arc::new(finder)),
        operations: Some(Arc::new(Operator::new(workers, stores.clone()))),
        destinations: Some(destinations),
        token_admin: Some(made),
        tenant_admin: Some(tenants),
        tenant_door: Some(known_tenants),
        metrics: Arc::new(move || render.render() + &of_destinations.render()),
        spans,
        limits: limits.clone(),
        tenants: bounds.limits.clone(),
        tokens: tokens.clone(),
        hosts: config.server.hosts.clone(),
    };
    let tidying = async move {
        loop {
            tokio::time::sleep(METRICS_UPKEEP).await;
            rendering.run_upkeep();
        }
    };
    tasks.watch(NO_TIDYING, tokio::spawn(tidying));
    doors.announce(&config, role);
    let manager = ServiceManager::named_by(|name| std::env::var_os(name));
    let watched = delivering.as_ref().map(|delivering| delivering.handle.clone());
    tasks.watch_for_panics(NO_SIGNS, tokio::spawn(manager.clone().keep_alive(watched)));
    manager.ready(&format!("listening on {}", doors.place()));
    let application = Application::of(api.clone());
    let mut served = Served { everything: application.everything(), for_producers: application.for_producers() };
    if config.server.console {
        let (console, keeping) = laneway_web::with_console(served.everything, api, stop.clone());
        served.everything = console;
        tasks.watch_for_panics(NO_CONSOLE, tokio::spawn(keeping));
    }
    let mut serving = tokio::spawn(doors.serve(served, limits.clone(), certificates.server(), stop.clone()));
    let grace = config.worker.grace;
    let mut reloading = Reloading {
        read: read_again,
        started: config,
        known,
        stores,
        tokens,
        limits,
        tenants: bounds,
        certificates,
        role,
    };
    let (mut http_ended, told) = (None, stop.clone());
    loop {
        tokio::select! {
            // First: told to stop, the HTTP side ends too.
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            // Neither ends by itself but by a defect; then it is better to say so and be started again.
            () = worker_ended(&mut delivering) => {
                return Err("the worker has ended by itself; please report this with the log".to_owned());
            }
            what = tasks.ended() => return Err(what.to_owned()),
            // It may hear of the stop, and end, just after it was looked for above.
            ended = &mut serving => {
                if *told.borrow() {
                    http_ended = Some(ended);
                    break;
                }
                return Err("the HTTP side has ended by itself; please report this with the log".to_owned());
            }
            // It may wait for a store that is away.
            _ = reload.recv() => {
                if signals::unless_told(told.clone(), reloading.reload()).await.is_none() {
                    break;
                }
            }
            () = reloading.certificates.changed() => reloading.certificates.renew(reloading.read),
        }
    }
    tracing::info!("stopping: no further requests; what is in flight is finished and committed");
    manager.stopping();
    tasks.abort();
    let serving = async {
        match http_ended {
            Some(ended) => ended,
            None => serving.await,
        }
    };
    let finished = tokio::join!(serving, finish(delivering, grace));
    if let Some(exporting) = exporting {
        exporting.finish().await;
    }
    match finished {
        (Ok(ended), true) if ended.cut_off == 0 => tracing::info!("stopped"),
        (ended, in_time) => tracing::warn!(
            requests_cut_off = ended.map_or(0, |ended| ended.cut_off),
            attempts_cut_off = !in_time,
            "stopped before everything was finished; what was in flight may be delivered again"
        ),
    }
    Ok(())
}

/// Starts the delivering half.
async fn deliver(
    id: WorkerId,
    config: &Config,
    stores: &Stores,
    (known, mut begun, tenants): (&Known, Begun, &KnownTenants),
    (metrics, spans): (&DestinationMetrics, Option<Arc<dyn Spans>>),
    tasks: &mut Tasks,
) -> Delivering {
    let sinks = std::mem::take(&mut begun.change.sinks);
    let told = std::mem::take(&mut begun.change.told);
    let (handle, working, upkeep) = Worker {
        id: id.clone(),
        stores: stores.clone(),
        destinations: std::mem::take(&mut begun.change.destinations),
        sinks,
        settings: config.worker.settings.clone(),
        clock: Clock::system(),
        seed: rand::random(),
        retain: config.store.retain,
        operational: config.operational,
        told,
        spans,
        history: kept_history(config),
        metrics: metrics.clone(),
    }
    .start();
    // Before it begins: nothing of them is delivered.
    let mut deleted = tenants.deleted();
    handle.delete_tenants(deleted.borrow_and_update().clone()).await;
    let told = handle.clone();
    let telling = async move {
        while deleted.changed().await.is_ok() {
            let now = deleted.borrow_and_update().clone();
            told.delete_tenants(now).await;
        }
    };
    tasks.watch(NO_TELLING, tokio::spawn(telling));
    tasks.watch(NO_DESTINATIONS, tokio::spawn(known.follow(stores, handle.clone(), begun).run()));
    tasks.watch(NO_UPKEEP, tokio::spawn(upkeep));
    Delivering { id, handle, working: tokio::spawn(working) }
}

/// Tells this process from all others and from its own earlier runs, and an operator where it is.
fn process_id() -> WorkerId {
    // Where there is no such file, the rest is still unique.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    WorkerId(format!("{}-{}-{:08x}", host.trim(), std::process::id(), rand::random::<u32>()))
}

/// Resolves when the worker ends; never where there is none.
async fn worker_ended(delivering: &mut Option<Delivering>) {
    match delivering {
        // How it has ended is in the log.
        Some(delivering) => drop((&mut delivering.working).await),
        None => std::future::pending().await,
    }
}

/// Lets the worker finish, for at most `grace`. `false` if it took longer.
async fn finish(delivering: Option<Delivering>, grace: Duration) -> bool {
    let Some(Delivering { handle, working, .. }) = delivering else { return true };
    handle.stop().await;
    let abort = working.abort_handle();
    let in_time = timeout(grace, working).await.is_ok();
    abort.abort();
    in_time
}

const fn kept_history(config: &Config) -> KeptHistory {
    KeptHistory { max_age: config.history.max_age, max_bytes: config.history.max_bytes }
}

/// What is set about the store, for whoever looks it up.
fn setup_of(config: &Config) -> StoreSetup {
    StoreSetup {
        place: config.store.url.to_string(),
        retain: config.store.retain,
        duplicate_window: config.store.duplicate_window,
        history: config.history.enabled.then(|| kept_history(config)),
    }
}
