//! What all pages share.

use crate::csrf::Forms;
use crate::held::Held;
use crate::hour::{EVERY, Hour};
use crate::interface::{Interface, problem};
use crate::places::Places;
use crate::session::{Outcome, Outcomes, Sessions};
use crate::snapshot::{NoSnapshot, Snapshot, Snapshots};
use crate::visit::Visit;
use axum::Router;
use axum::response::{IntoResponse as _, Redirect, Response};
use laneway_domain::{DestinationName, Role};
use laneway_http::Api;
use laneway_http::wire::Problem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// What all pages share.
pub(crate) struct Site {
    pub(crate) api: Api,
    /// The interface that the console stands in front of.
    router: Router,
    pub(crate) sessions: Sessions,
    pub(crate) outcomes: Outcomes,
    pub(crate) forms: Forms,
    pub(crate) snapshots: Snapshots,
    /// How many bytes of forms are held that come in.
    pub(crate) held: Held,
    /// The pages that are kept up to date.
    pub(crate) open_pages: Places,
    /// Whether the server stops.
    pub(crate) stopping: watch::Receiver<bool>,
    hour: Mutex<Hour>,
}

impl Site {
    pub(crate) fn new(api: Api, router: Router, stopping: watch::Receiver<bool>) -> Arc<Self> {
        let snapshots = Snapshots::new(api.operations.clone(), api.dead_letters.clone());
        Arc::new(Self {
            api,
            router,
            sessions: Sessions::default(),
            outcomes: Outcomes::default(),
            forms: Forms::new(),
            snapshots,
            held: Held::default(),
            open_pages: Places::default(),
            stopping,
            hour: Mutex::new(Hour::new()),
        })
    }

    /// Notes the numbers of the last hour, until the server stops.
    pub(crate) async fn keep_the_hour(self: Arc<Self>) {
        let mut ticks = interval(EVERY);
        // After a standstill they go on from then, instead of all at once.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = self.stopping.clone();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
            let now = self.snapshots.now().await;
            match now {
                Ok(snapshot) => self.hour().note(&snapshot),
                Err(_) => self.hour().skip(),
            }
        }
    }

    /// The numbers of the last hour.
    pub(crate) fn hour(&self) -> MutexGuard<'_, Hour> {
        self.hour.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The interface as this visitor may use it.
    pub(crate) fn interface(&self, visit: &Visit) -> Interface {
        Interface::new(self.router.clone(), visit.token().cloned())
    }

    /// What there is to see now, for whoever may read it.
    pub(crate) async fn snapshot(&self, visit: &Visit) -> Result<Arc<Snapshot>, Box<Problem>> {
        visit.needs(Role::Read)?;
        let now = self.snapshots.now().await.map_err(|why| match why {
            NoSnapshot::NoWorker => {
                let what = "This process takes events in and cannot ask the workers. Ask the address of a worker.";
                problem("no-worker", 501, "No worker can be asked here", what)
            }
            NoSnapshot::NotReady => {
                let what = "The worker is starting or stopping, or the store cannot be read. Try again in a moment.";
                problem("not-ready", 503, "Not ready", what)
            }
            NoSnapshot::Store(error) => {
                problem("store-unavailable", 503, "The dead letters cannot be counted", &error.to_string())
            }
        })?;
        Ok(match visit.tenant() {
            Some(tenant) => Arc::new(now.of_tenant(tenant)),
            None => now,
        })
    }

    /// What somebody did has come to this, which the page `to` shows, as things are then.
    pub(crate) fn came_to(&self, visit: &Visit, is_good: bool, what: String, to: &str) -> Response {
        self.snapshots.changed();
        self.outcomes.put(visit.cookie.known(), Outcome { is_good, what });
        Redirect::to(to).into_response()
    }

    /// Where a destination sends to, without what may be secret.
    pub(crate) fn target(&self, name: &DestinationName) -> Option<String> {
        self.snapshots.target(name)
    }
}
