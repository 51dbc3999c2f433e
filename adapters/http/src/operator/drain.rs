//! Whether this process takes events in. An operator may want it to take none, so that what waits comes to its end: before
//! a store moves, or a machine goes.

use super::Answer;
use super::changes::choice;
use crate::problem::{Kind, Problem};
use crate::wire::{Drain, DrainChoice};
use crate::{Shared, answer};
use axum::extract::{Request, State};
use laneway_domain::MAX_REASON_BYTES;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// When whoever sent an event is to try again: soon enough that nothing is late if the process comes back at once.
const LATER: Duration = Duration::from_secs(5);

/// Since when this process takes nothing in, and why; `None` while it does. It ends with the process: one that is started
/// takes events in.
#[derive(Debug, Default)]
pub(crate) struct Draining(RwLock<Option<Since>>);

#[derive(Clone, Debug)]
struct Since {
    at: jiff::Timestamp,
    reason: String,
}

impl Draining {
    fn now(&self) -> Option<Since> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, since: Option<Since>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Why no event is taken in, if none is.
    pub(crate) fn reason(&self) -> Option<String> {
        self.now().map(|Since { at, reason }| {
            let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            format!("this process takes no events in since {at:.0}{why}")
        })
    }

    /// Nothing, while events are taken in.
    ///
    /// # Errors
    /// With the answer to whoever sends one.
    pub(crate) fn look(&self) -> Result<(), Box<Problem>> {
        match self.reason() {
            Some(reason) => Err(Problem::new(Kind::NotReady, reason).retry_after(LATER)),
            None => Ok(()),
        }
    }

    fn view(&self) -> Drain {
        let since = self.now();
        Drain {
            draining: since.is_some(),
            since: since.as_ref().map(|since| format!("{:.0}", since.at)),
            reason: since.map(|since| since.reason).filter(|reason| !reason.is_empty()),
        }
    }
}

/// `GET /v1/drain`: whether this process takes events in.
pub(crate) async fn show(State(shared): State<Arc<Shared>>) -> Answer {
    answer::ok(&shared.draining.view())
}

/// `PUT /v1/drain`: it takes none from now on. Told twice, it keeps since when, and has the new reason.
pub(crate) async fn begin(State(shared): State<Arc<Shared>>, request: Request) -> Answer {
    if shared.api.log.is_none() {
        let what = "this process takes no events in anyway: ask the one that they are sent to";
        return Err(Problem::new(Kind::Conflict, what));
    }
    let DrainChoice { reason } = choice(&shared, request).await?;
    if reason.len() > MAX_REASON_BYTES {
        let what = format!("a reason has at most {MAX_REASON_BYTES} bytes, and this one {}", reason.len());
        return Err(Problem::new(Kind::Invalid, what).about("reason"));
    }
    let at = shared.draining.now().map_or_else(jiff::Timestamp::now, |since| since.at);
    tracing::info!(reason, "no events are taken in any more: an operator wants what waits to come to its end");
    shared.draining.set(Some(Since { at, reason }));
    answer::ok(&shared.draining.view())
}

/// `DELETE /v1/drain`: it takes events in again.
pub(crate) async fn end(State(shared): State<Arc<Shared>>) -> Answer {
    if shared.draining.now().is_some() {
        tracing::info!("events are taken in again");
    }
    shared.draining.set(None);
    answer::ok(&shared.draining.view())
}
