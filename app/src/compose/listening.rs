//! Where a process answers over HTTP: at one address, or for producers and for operators at one each.

use super::Role;
use crate::config::Config;
use laneway_http::{CurrentLimits, Ended, Limits, Router, serve_with, starting};
use laneway_tls::CurrentServer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long whoever comes during a start waits for its end. Nearly every start is over by then, and an answer would only
/// send them away.
const SHORT_START: Duration = Duration::from_secs(1);
/// How long the answers of a start may take to be read once it is over: they are short, and events are waiting.
const START_GRACE: Duration = Duration::from_secs(1);

/// The listeners of a process.
pub(super) struct Doors {
    /// Everything; or, with another door for operators, what producers and health checks need.
    main: Arc<TcpListener>,
    operators: Option<Arc<TcpListener>>,
    scheme: &'static str,
}

/// What is served.
pub(super) struct Served {
    /// Everything, with the console.
    pub(super) everything: Router,
    /// What producers and health checks need.
    pub(super) for_producers: Router,
}

impl Doors {
    /// Listens where the configuration says.
    ///
    /// # Errors
    /// Says which address cannot be had, and why.
    pub(super) async fn open(config: &Config, role: Role) -> Result<Self, String> {
        let (address, setting) = role.listen(config);
        let main = bind(address, setting).await?;
        let operators = match role.operator_listen(config) {
            None => None,
            Some((address, setting)) => Some(bind(address, setting).await?),
        };
        let scheme = if config.server.tls.is_some() { "https" } else { "http" };
        Ok(Self { main, operators, scheme })
    }

    /// Where it listens first.
    pub(super) fn place(&self) -> String {
        self.at(&self.main)
    }

    /// Where operators are let in.
    pub(super) fn operators_place(&self) -> String {
        self.at(self.operators.as_ref().unwrap_or(&self.main))
    }

    fn at(&self, listener: &TcpListener) -> String {
        let scheme = self.scheme;
        listener.local_addr().map_or_else(|_| scheme.to_owned(), |address| format!("{scheme}://{address}"))
    }

    /// Says what is to be had where.
    pub(super) fn announce(&self, config: &Config, role: Role) {
        let names: Vec<&str> = config.destinations.iter().map(|d| d.destination.name.as_str()).collect();
        // A list of thousands helps nobody.
        let destinations = if names.len() <= 10 { names.join(", ") } else { format!("{} of them", names.len()) };
        let (store, partitions, place) = (&config.store.url, config.store.partitions, self.place());
        match role {
            Role::Ingest => tracing::info!(%store, partitions, "accepting events on {place}"),
            Role::Worker => tracing::info!(%store, partitions, %destinations, "delivering events; status on {place}"),
            Role::Both => tracing::info!(%store, partitions, %destinations, "listening on {place}"),
        }
        if self.operators.is_some() {
            tracing::info!("operators are let in on {}", self.operators_place());
        }
        if config.server.console {
            tracing::info!("the console is at {}/console", self.operators_place());
        }
    }

    /// Says that the process waits for its store, once a start takes longer than most; until `started`.
    pub(super) fn answer_meanwhile(
        &self,
        limits: &Limits,
        tls: Option<CurrentServer>,
        started: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + 'static {
        const WHY: &str = "the process starts, and waits for its store; its log says why";
        let doors = Self { main: self.main.clone(), operators: self.operators.clone(), scheme: self.scheme };
        let served = Served { everything: starting(WHY), for_producers: starting(WHY) };
        let limits = CurrentLimits::from(Limits { grace: START_GRACE, ..limits.clone() });
        async move {
            let mut over = started.clone();
            if timeout(SHORT_START, over.wait_for(|started| *started)).await.is_err() {
                doors.serve(served, limits, tls, started).await;
            }
        }
    }

    /// Serves until `stop`, and then what is under way.
    pub(super) async fn serve(
        self,
        served: Served,
        limits: CurrentLimits,
        tls: Option<CurrentServer>,
        stop: watch::Receiver<bool>,
    ) -> Ended {
        let stopped = || {
            let mut stop = stop.clone();
            // A sender that is gone stops just as well.
            async move { drop(stop.wait_for(|stop| *stop).await) }
        };
        let Some(operators) = self.operators else {
            return serve_with(self.main, served.everything, limits, tls, stopped()).await;
        };
        let main = serve_with(self.main, served.for_producers, limits.clone(), tls.clone(), stopped());
        let (main, operators) = tokio::join!(main, serve_with(operators, served.everything, limits, tls, stopped()));
        Ended { cut_off: main.cut_off + operators.cut_off }
    }
}

async fn bind(address: SocketAddr, setting: &str) -> Result<Arc<TcpListener>, String> {
    let bound = TcpListener::bind(address).await.map(Arc::new);
    bound.map_err(|error| format!("cannot listen on {address} ({setting}): {error}{}", hint(&error)))
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "; another process has that address: stop it, or choose another port",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege: choose a higher one",
        _ => "",
    }
}
