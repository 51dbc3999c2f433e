//! The destinations of a process that delivers: its file goes into the registry, and what the registry says is worked on.

use crate::config::{Config, DestinationConfig, StoreUrl};
use crate::registry::{Follower, Heard, Keyring, Reader, Targets, all, apply};
use crate::worker::{Change, Handle};
use laneway_domain::{Destination, DestinationName};
use laneway_ports::{StoreError, Stores};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// What a process knows of destinations.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) reader: Arc<Reader>,
    pub(super) targets: Arc<Targets>,
    /// Destinations of the file to read anew, although the registry says nothing new of them.
    refresh: watch::Sender<BTreeSet<DestinationName>>,
}

impl Known {
    /// With the keys that belong to the store, and what the file says.
    pub(super) fn of(config: &Config) -> Result<Self, String> {
        let keys = Arc::new(keyring(config)?);
        let reader = Reader::new(config.egress.clone(), keys, named(config).into_values().cloned().collect());
        let targets = Arc::new(Targets::default());
        for known in &config.destinations {
            targets.set(&known.destination.name, Some(known.sink.shown()));
        }
        Ok(Self { reader: Arc::new(reader), targets, refresh: watch::Sender::default() })
    }

    /// Makes the registry say what the file says, and reads all of it: for a worker that starts.
    ///
    /// # Errors
    /// If the store cannot say what there is, or refuses what the file says.
    pub(super) async fn begin(&self, config: &Config, stores: &Stores) -> Result<Begun, StoreError> {
        self.apply(config, stores).await?;
        let (mut change, heard) = all(&*stores.registry, &self.reader, &self.targets).await?;
        let stand_in = config.stands_in().filter(|_| change.destinations.present.is_empty());
        if let Some(stand_in) = stand_in {
            let sink = stand_in.sink.build(&stand_in.destination.name).map_err(StoreError::refused)?;
            let destination = Destination { is_kept: false, ..stand_in.destination.clone() };
            change.sinks.insert(destination.name.clone(), sink);
            change.destinations.present.push(destination);
        }
        Ok(Begun { change, heard, stand_in: stand_in.map(|stand_in| stand_in.destination.name.clone()) })
    }

    async fn apply(&self, config: &Config, stores: &Stores) -> Result<(), StoreError> {
        let by = config.file.as_deref().map_or_else(|| "no configuration file".to_owned(), |f| f.display().to_string());
        let applied = apply(stores, &by, &named(config)).await.map_err(|error| {
            error.told(|what| format!("the destinations of the configuration cannot be registered: {what}"))
        })?;
        for (name, why) in applied.refused {
            tracing::warn!(destination = %name, "not taken from the configuration file: {why}");
        }
        if applied.changed > 0 {
            tracing::info!(changed = applied.changed, "the destinations of the configuration file have been applied");
        }
        Ok(())
    }

    /// The file says something else now: it goes into the registry, and what the registry does not tell (secrets) to
    /// the worker.
    pub(super) async fn reload(&self, before: &Config, now: &Config, stores: &Stores) -> Result<(), String> {
        super::sinks::check(now)?;
        let (old, new) = (named(before), named(now));
        self.reader.set_file(new.values().copied().cloned().collect());
        if let Err(why) = self.apply(now, stores).await {
            // What the registry still says is what the file said before.
            self.reader.set_file(old.values().copied().cloned().collect());
            return Err(why.to_string());
        }
        let changed =
            new.iter().filter(|(name, config)| old.get(*name).is_none_or(|was| was.written != config.written));
        self.refresh.send_modify(|names| names.extend(changed.map(|(name, _)| name.clone())));
        Ok(())
    }

    /// Tells the worker of every change from `begun` on.
    pub(super) fn follow(&self, stores: &Stores, worker: Handle, begun: Begun) -> Follower {
        let Begun { heard, stand_in, .. } = begun;
        let follower = Follower::new(stores.registry.clone(), self.reader.clone(), self.targets.clone(), worker, heard);
        follower.in_place_of(stand_in).refreshed_by(self.refresh.clone())
    }
}

/// What a worker begins with.
pub(super) struct Begun {
    pub(super) change: Change,
    /// What was heard of the registry for it.
    pub(super) heard: Heard,
    /// The destination that goes when a first one comes.
    pub(super) stand_in: Option<DestinationName>,
}

/// The file's destinations, but for the one that stands in where it names none.
fn named(config: &Config) -> BTreeMap<DestinationName, &Arc<DestinationConfig>> {
    if config.stands_in().is_some() {
        return BTreeMap::new();
    }
    config.destinations.iter().map(|known| (known.destination.name.clone(), known)).collect()
}

/// The keys that seal secrets in the store: those that are configured, or one in a file beside the database.
fn keyring(config: &Config) -> Result<Keyring, String> {
    let keys = config.store.key_bytes();
    match &config.store.url {
        _ if !keys.is_empty() => Keyring::of(&keys).map_err(|error| error.to_string()),
        StoreUrl::Sqlite(path) => Keyring::beside(&key_file(path)).map_err(|error| error.to_string()),
        StoreUrl::Redis(_) => Ok(Keyring::none()),
    }
}

/// Where the key of a database is.
fn key_file(database: &Path) -> std::path::PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".key");
    name.into()
}
