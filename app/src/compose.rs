//! Puts the parts of a process together.

use crate::config::{Config, Durability, SinkConfig, Store, StoreUrl};
use crate::telemetry::metrics;
use crate::worker::{Clock, Handle, Upkeep, Worker};
use async_trait::async_trait;
use laneway_console::ConsoleSink;
use laneway_domain::{Command, DestinationName, StatusReport};
use laneway_http::{Api, router};
use laneway_ports::{Operations, Sink, WorkerId};
use laneway_sqlite::{Options, SqliteStore};
use laneway_webhook::WebhookSink;
use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

/// How often the metrics' histograms are tidied, as their recorder wants it.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Runs the server until a signal ends it: ingest and worker in one process.
///
/// # Errors
/// Says what kept it from starting or going on.
pub async fn serve(config: Config) -> Result<(), String> {
    let rendering = metrics::install()?;
    let mut stop = stop_signal()?;
    let sinks = sinks(&config)?;
    let store = Arc::new(open(&config.store)?);
    let listen = config.server.listen;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|e| format!("cannot listen on {listen} (server.listen): {e}{}", hint(&e)))?;
    let clock = Clock::system();
    let (handle, working) = Worker {
        id: WorkerId(format!("{}-{:08x}", std::process::id(), rand::random::<u32>())),
        log: store.clone(),
        progress: store.clone(),
        dead_letters: store.clone(),
        destinations: config.destinations.iter().map(|d| d.destination.clone()).collect(),
        sinks,
        settings: config.worker.settings.clone(),
        clock,
        seed: rand::random(),
    }
    .start();
    let upkeep = Upkeep {
        log: store.clone(),
        dead_letters: store.clone(),
        worker: handle.clone(),
        clock,
        retain: config.store.retain,
    };
    let render = rendering.clone();
    let api = Api {
        log: Some(store.clone()),
        dead_letters: store.clone(),
        progress: store.clone(),
        operations: Some(Arc::new(Health { worker: handle.clone(), store })),
        metrics: Arc::new(move || render.render()),
        limits: config.server.limits.clone(),
        tokens: config.server.tokens.clone(),
    };
    let mut worker = tokio::spawn(working);
    let upkeep = tokio::spawn(upkeep.run());
    let tidying = tokio::spawn(async move {
        loop {
            tokio::time::sleep(METRICS_UPKEEP).await;
            rendering.run_upkeep();
        }
    });
    announce(&config, &listener);
    let mut stopping = stop.clone();
    let stopped = async move { drop(stopping.wait_for(|stop| *stop).await) };
    let serving = laneway_http::serve(listener, router(api), config.server.limits.clone(), stopped);
    let mut serving = tokio::spawn(serving);
    tokio::select! {
        // First: told to stop, the HTTP side ends too.
        biased;
        _ = stop.wait_for(|stop| *stop) => {}
        // Neither ends by itself but by a defect; then it is better to say so and be started again.
        _ = &mut worker => return Err("the worker has ended by itself; please report this with the log".to_owned()),
        _ = &mut serving => return Err("the HTTP side has ended by itself; please report this with the log".to_owned()),
    }
    tracing::info!("stopping: no further requests; what is in flight is finished and committed");
    upkeep.abort();
    tidying.abort();
    let finished = tokio::join!(serving, finish(&handle, worker, config.worker.grace));
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

/// Lets the worker finish, for at most `grace`. `false` if it took longer.
async fn finish(handle: &Handle, worker: tokio::task::JoinHandle<()>, grace: Duration) -> bool {
    handle.stop().await;
    let abort = worker.abort_handle();
    let in_time = timeout(grace, worker).await.is_ok();
    abort.abort();
    in_time
}

/// Becomes `true` at the first SIGTERM or SIGINT. A second one ends the process at once.
fn stop_signal() -> Result<watch::Receiver<bool>, String> {
    let listen = |kind| signal(kind).map_err(|e| format!("signals cannot be received: {e}"));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if !first {
                tracing::warn!("told twice to stop: ending at once");
                // 128 + SIGINT, as shells count a process that a signal ended.
                std::process::exit(130);
            }
            stop.send_replace(true);
        }
        pending::<()>().await;
    });
    Ok(stopped)
}

fn announce(config: &Config, listener: &TcpListener) {
    let address = listener.local_addr().unwrap_or(config.server.listen);
    let names: Vec<&str> = config.destinations.iter().map(|d| d.destination.name.as_str()).collect();
    // A list of thousands helps nobody.
    let destinations = if names.len() <= 10 { names.join(", ") } else { format!("{} of them", names.len()) };
    tracing::info!(store = %config.store.url, partitions = config.store.partitions, %destinations, "listening on http://{address}");
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "; another process has that address: stop it, or choose another port",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege: choose a higher one",
        _ => "",
    }
}

fn sinks(config: &Config) -> Result<BTreeMap<DestinationName, Arc<dyn Sink>>, String> {
    let mut sinks: BTreeMap<DestinationName, Arc<dyn Sink>> = BTreeMap::new();
    for destination in &config.destinations {
        let name = destination.destination.name.clone();
        let sink: Arc<dyn Sink> = match &destination.sink {
            SinkConfig::Console => Arc::new(ConsoleSink::new(name.clone())),
            SinkConfig::Webhook(webhook) => {
                let sink = WebhookSink::new((**webhook).clone());
                Arc::new(sink.map_err(|e| format!("destination {name}: {e}"))?)
            }
        };
        sinks.insert(name, sink);
    }
    Ok(sinks)
}

fn open(store: &Store) -> Result<SqliteStore, String> {
    let StoreUrl::Sqlite(path) = &store.url;
    let options = Options {
        duplicate_window: store.duplicate_window,
        durability: match store.durability {
            Durability::Full => laneway_sqlite::Durability::Full,
            Durability::Relaxed => laneway_sqlite::Durability::Relaxed,
        },
        ..Options::new(path, store.partitions)
    };
    SqliteStore::open(options).map_err(|e| e.to_string())
}

/// The worker's operations, with the store's health added to what is not ready.
struct Health {
    worker: Handle,
    store: Arc<SqliteStore>,
}

#[async_trait]
impl Operations for Health {
    async fn status(&self) -> Option<StatusReport> {
        self.worker.status().await
    }

    async fn command(&self, command: Command) -> Result<bool, String> {
        self.worker.command(command).await
    }

    async fn not_ready(&self) -> Vec<String> {
        let mut reasons = self.worker.not_ready().await;
        reasons.extend(self.store.health().err());
        reasons
    }
}

/// Checks the store without changing it, and says what is there. Reads all of it.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_store(store: &Store) -> Result<String, String> {
    let StoreUrl::Sqlite(path) = &store.url;
    if !path.try_exists().map_err(|e| format!("{} cannot be looked at: {e}", path.display()))? {
        return Ok(format!("{} will be made, with {} partitions", path.display(), store.partitions));
    }
    let report = laneway_sqlite::check(path).map_err(|e| e.to_string())?;
    if !report.findings.is_empty() {
        return Err(format!("{} is damaged:\n  {}", path.display(), report.findings.join("\n  ")));
    }
    if report.partitions != store.partitions {
        let made = report.partitions;
        return Err(format!(
            "{} was made with {made} partitions, and that cannot change; set store.partitions = {made}",
            path.display()
        ));
    }
    Ok(format!("{} events in {} partitions, all sound", report.events, report.partitions))
}
