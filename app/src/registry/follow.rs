//! Follows the registry: whoever changes a destination, in whichever process, this process' worker hears of it within
//! a second.

use super::lost::Recent;
use super::read::{Read, Reader};
use crate::worker::{Change, Handle};
use laneway_domain::{ChangedDestination, Destination, DestinationName, Registered, Revision, Standing};
use laneway_ports::{MAX_REGISTRY_PAGE, Registry, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// How long a notification is waited for. One that was missed is made up for after so long.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often it is looked whether the registry has lost a change: a few reads, and only of what changed lately.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long after the registry could not be read it is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Where each destination sends to, for people.
#[derive(Debug, Default)]
pub struct Targets(RwLock<BTreeMap<DestinationName, String>>);

impl Targets {
    /// Where the destination sends to, if that is known here.
    #[must_use]
    pub fn of(&self, name: &DestinationName) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The destination sends to there now; `None`: that is not known, or it has gone.
    pub fn set(&self, name: &DestinationName, to: Option<String>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match to {
            Some(to) => drop(all.insert(name.clone(), to)),
            None => drop(all.remove(name)),
        }
    }
}

/// Tells a worker of every change.
pub struct Follower {
    registry: Arc<dyn Registry>,
    reader: Arc<Reader>,
    targets: Arc<Targets>,
    worker: Handle,
    /// The last revision that the worker was told of.
    known: Revision,
    /// A destination that goes when a first one comes.
    stand_in: Option<DestinationName>,
    /// Destinations to read anew, although the registry says nothing new of them.
    refresh: watch::Sender<BTreeSet<DestinationName>>,
    recent: Recent,
    /// When it is looked for lost changes again.
    look_at: Instant,
}

impl Follower {
    /// One for a worker that knows of everything that there was when it began.
    #[must_use]
    pub fn new(
        registry: Arc<dyn Registry>,
        reader: Arc<Reader>,
        targets: Arc<Targets>,
        worker: Handle,
        heard: Heard,
    ) -> Self {
        let Heard { upto: known, recent } = heard;
        Self {
            registry,
            reader,
            targets,
            worker,
            known,
            stand_in: None,
            refresh: watch::Sender::default(),
            recent,
            look_at: Instant::now() + LOOK_EVERY,
        }
    }

    /// The same, which also reads anew whatever is named there.
    #[must_use]
    pub fn refreshed_by(self, refresh: watch::Sender<BTreeSet<DestinationName>>) -> Self {
        Self { refresh, ..self }
    }

    /// The same, where a destination stands in until there is another.
    #[must_use]
    pub fn in_place_of(self, stand_in: Option<DestinationName>) -> Self {
        Self { stand_in, ..self }
    }

    /// Follows until the worker has ended, it is dropped, or it cannot know any more what it has missed.
    pub async fn run(mut self) {
        let mut unread = false;
        loop {
            match self.follow().await {
                Ok(true) => unread = false,
                Ok(false) => return,
                Err(error) => {
                    if !std::mem::replace(&mut unread, true) {
                        tracing::warn!(%error, "the registry of destinations cannot be read; trying again, and deliveries go on as it was last known");
                    }
                    sleep(AGAIN_AFTER).await;
                }
            }
        }
    }

    /// Waits for a change, and tells of it. `false` when there is nothing more to follow: the worker has ended, or it
    /// is no longer known what was missed.
    async fn follow(&mut self) -> Result<bool, StoreError> {
        let mut refresh = self.refresh.subscribe();
        let last = tokio::select! {
            last = self.registry.wait(self.known, PATIENCE) => last?,
            _ = refresh.wait_for(|names| !names.is_empty()) => self.known,
        };
        let names: Vec<_> = self.refresh.borrow().iter().cloned().collect();
        for names in names.chunks(MAX_REGISTRY_PAGE) {
            let records = self.registry.records(names).await?;
            let mut change = change(&records, &self.reader, &self.targets);
            // What is newer than what the worker knows comes with everything else that is.
            change.destinations.revision = self.known;
            if !self.worker.change(change).await {
                return Ok(false);
            }
            self.refresh.send_modify(|all| all.retain(|name| !names.contains(name)));
        }
        if last <= self.known {
            return self.look_for_losses().await.map(|()| true);
        }
        loop {
            let page = self.registry.changed_since(self.known).await?;
            if page.forgotten > self.known {
                tracing::error!(
                    "this process could not read the registry of destinations for so long that deletions may have been \
                     forgotten meanwhile"
                );
                return Ok(false);
            }
            self.recent.remember(&page.records);
            let mut change = change(&page.records, &self.reader, &self.targets);
            // Also a change that has left no record is one to follow: others may have stored that partitions do.
            self.known = page.upto;
            change.destinations.revision = page.upto;
            if !change.destinations.present.is_empty()
                && let Some(stand_in) = self.stand_in.take()
            {
                tracing::info!(destination = %stand_in, "it stood in while there was no destination, and goes now");
                change.destinations.deleted.push(stand_in);
            }
            if !self.worker.change(change).await {
                return Ok(false);
            }
            if !page.more {
                return self.look_for_losses().await.map(|()| true);
            }
        }
    }

    /// Writes back what the registry has lost. Only when everything was followed that it says: whoever was away for
    /// long would take deletions that were forgotten meanwhile for losses.
    async fn look_for_losses(&mut self) -> Result<(), StoreError> {
        if Instant::now() < self.look_at {
            return Ok(());
        }
        self.look_at = Instant::now() + LOOK_EVERY;
        let written = self.recent.write_back(&*self.registry).await?;
        if written > 0 {
            tracing::warn!(written, "the registry of destinations had lost changes, and they were written back");
        }
        Ok(())
    }
}

/// What a process has heard of the registry so far.
#[derive(Debug, Default)]
pub struct Heard {
    /// The last revision.
    pub upto: Revision,
    /// The records, to be written back should the registry lose them.
    pub recent: Recent,
}

/// Everything that there is now, for a worker that starts.
///
/// # Errors
/// If the registry cannot be read, or secrets in it are sealed with a key that this process lacks.
pub async fn all(registry: &dyn Registry, reader: &Reader, targets: &Targets) -> Result<(Change, Heard), StoreError> {
    let (mut all, mut heard) = (Change::default(), Heard::default());
    loop {
        let page = registry.changed_since(all.destinations.revision).await?;
        all.destinations.revision = page.upto;
        heard.recent.remember(&page.records);
        // Of what is gone a worker that starts knows nothing.
        let present: Vec<_> = page.records.into_iter().filter(|record| record.standing == Standing::Present).collect();
        present.iter().try_for_each(|record| reader.check_keys(record)).map_err(StoreError::refused)?;
        let change = change(&present, reader, targets);
        all.destinations.present.extend(change.destinations.present);
        all.sinks.extend(change.sinks);
        all.told.extend(change.told);
        if !page.more {
            heard.upto = all.destinations.revision;
            return Ok((all, heard));
        }
    }
}

/// Checks the key of a process that takes changes of destinations in and delivers nothing: what it seals others have to
/// open. One without any key seals nothing.
///
/// # Errors
/// If the registry cannot be read, or secrets in it are sealed with another key.
pub async fn check_keys(registry: &dyn Registry, reader: &Reader) -> Result<(), StoreError> {
    if reader.keys().ids().is_empty() {
        return Ok(());
    }
    let mut known = Revision::ORIGIN;
    loop {
        let page = registry.changed_since(known).await?;
        known = page.upto;
        can_be_opened(&page.records, reader).map_err(StoreError::refused)?;
        if !page.more {
            return Ok(());
        }
    }
}

/// Whether the secrets of these can be opened here, as far as they are present; where there is no key, nothing is asked.
///
/// # Errors
/// Says of which destination the key is missing, and what to do.
pub fn can_be_opened(records: &[Registered], reader: &Reader) -> Result<(), String> {
    if reader.keys().ids().is_empty() {
        return Ok(());
    }
    let mut present = records.iter().filter(|record| record.standing == Standing::Present);
    present.try_for_each(|record| reader.check_keys(record))
}

/// What records that have changed mean for a worker.
fn change(records: &[Registered], reader: &Reader, targets: &Targets) -> Change {
    let mut change = Change { told: records.iter().map(ChangedDestination::from).collect(), ..Change::default() };
    let destinations = &mut change.destinations;
    for record in records {
        destinations.revision = destinations.revision.max(record.revision);
        match record.standing {
            Standing::Deleted => destinations.deleted.push(record.name.clone()),
            Standing::Left => destinations.left.push(record.name.clone()),
            Standing::Present => {
                let Read { destination, sink, to } = reader.read(record);
                targets.set(&record.name, to);
                destinations.present.push(match sink {
                    Ok(sink) => {
                        change.sinks.insert(record.name.clone(), sink);
                        destination
                    }
                    Err(why) => unreadable(destination, &why),
                });
                continue;
            }
        }
        targets.set(&record.name, None);
    }
    change
}

/// Nothing is delivered to a destination whose settings cannot be used here; its events wait.
fn unreadable(destination: Destination, why: &str) -> Destination {
    tracing::error!(destination = %destination.name, %why, "a destination cannot be delivered to; its events wait");
    Destination { paused: destination.paused.or_else(|| Some(why.into())), ..destination }
}
