//! Whether this process takes events in. An operator may want it to take none, so that what waits comes to its end:
//! before a store moves, or a machine goes.

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

/// Whether events are taken in. A process that is started takes them in.
#[derive(Debug, Default)]
pub(crate) struct Draining {
    /// Since when none is, and why; `None` while they are.
    since: RwLock<Option<Since>>,
    /// Read-locked by every request that appends: whoever begins a drain waits until those have ended.
    appending: tokio::sync::RwLock<()>,
}

#[derive(Clone, Debug)]
struct Since {
    at: jiff::Timestamp,
    reason: String,
}

impl Draining {
    fn now(&self) -> Option<Since> {
        self.since.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, since: Option<Since>) {
        *self.since.write().unwrap_or_else(PoisonError::into_inner) = since;
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

    /// The same for whoever is about to append: as long as they hold what this returns, no drain has begun.
    ///
    /// # Errors
    /// With the answer to whoever sends one.
    pub(crate) async fn enter(&self) -> Result<tokio::sync::RwLockReadGuard<'_, ()>, Box<Problem>> {
        let appending = self.appending.read().await;
        self.look().map(|()| appending)
    }

    /// Takes none in from now on. Resolves when all that came before are stored, or refused.
    async fn begin(&self, since: Since) {
        self.set(Some(since));
        drop(self.appending.write().await);
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

/// `PUT /v1/drain`: it takes none from now on, and the answer comes when what came before is stored. Told twice, it
/// keeps since when, and has the new reason.
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
    shared.draining.begin(Since { at, reason }).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    #[tokio::test]
    async fn a_drain_has_begun_when_all_that_came_before_is_stored() {
        let draining = Draining::default();
        let appending = draining.enter().await.unwrap();
        let since = Since { at: jiff::Timestamp::UNIX_EPOCH, reason: String::new() };
        let mut begins = std::pin::pin!(draining.begin(since));
        let mut looks = Context::from_waker(Waker::noop());
        assert!(begins.as_mut().poll(&mut looks).is_pending(), "an append is under way");
        assert!(draining.look().is_err(), "and whoever comes is sent away at once");
        drop(appending);
        assert_eq!(begins.as_mut().poll(&mut looks), Poll::Ready(()));
        assert!(draining.enter().await.is_err());
    }
}
