//! The destinations of a process that delivers: its file goes into the registry, and what the registry says is worked on.

use crate::config::{Config, DestinationConfig, StoreUrl};
use crate::registry::{Follower, Heard, Keyring, NotApplied, Reader, Targets, all, apply};
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
        let reader = Reader::new(config.egress.clone(), keys, named(config).into_values().cloned().collect())
            .opening_to_tenants(config.tenants.egress_allow.clone());
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
        self.apply(config, stores).await.map_err(|not_applied| not_applied.error)?;
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

    async fn apply(&self, config: &Config, stores: &Stores) -> Result<(), NotApplied> {
        let by = config.file.as_deref().map_or_else(|| "no configuration file".to_owned(), |f| f.display().to_string());
        let applied = apply(stores, &by, &named(config)).await.map_err(|NotApplied { error, in_part }| {
            let told = |what| format!("the destinations of the configuration cannot be registered: {what}");
            NotApplied { error: error.told(told), in_part }
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
    ///
    /// # Errors
    /// Says why not all of it is in force, and whether a part may be.
    pub(super) async fn reload(&self, now: &Config, stores: &Stores) -> Result<(), NotReloaded> {
        super::sinks::check(now).map_err(NotReloaded::Nothing)?;
        let file = named(now);
        let differ = self.reader.add_file(file.values().copied().cloned().collect());
        let applied = self.apply(now, stores).await;
        match &applied {
            Ok(()) => self.reader.settle_file(),
            Err(NotApplied { in_part: false, .. }) => self.reader.withdraw_file(),
            // Of each destination the registry may say either, now or when the store answers again.
            Err(NotApplied { in_part: true, .. }) => {}
        }
        // Also when nothing was applied: the follower may have read some of the new file meanwhile.
        let of_file = differ.into_iter().filter(|name| file.contains_key(name));
        self.refresh.send_modify(|names| names.extend(of_file));
        applied.map_err(|NotApplied { error, in_part }| {
            if in_part { NotReloaded::Rest(error.to_string()) } else { NotReloaded::Nothing(error.to_string()) }
        })
    }

    /// The file says something else now, and the workers of other processes put it into the registry.
    pub(super) fn read_again(&self, now: &Config) {
        let file = named(now);
        // Before they have, the registry says what the file said before.
        let differ = self.reader.add_file(file.values().copied().cloned().collect());
        for name in differ {
            self.targets.set(&name, file.get(&name).map(|known| known.sink.shown()));
        }
    }

    /// Tells the worker of every change from `begun` on.
    pub(super) fn follow(&self, stores: &Stores, worker: Handle, begun: Begun) -> Follower {
        let Begun { heard, stand_in, .. } = begun;
        let follower = Follower::new(stores.registry.clone(), self.reader.clone(), self.targets.clone(), worker, heard);
        follower.in_place_of(stand_in).refreshed_by(self.refresh.clone())
    }
}

/// Why a configuration that was read again is not in force.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotReloaded {
    /// Nothing of it is.
    Nothing(String),
    /// Destinations may be as it says, some or all of them. The rest is as before.
    Rest(String),
}

impl From<String> for NotReloaded {
    fn from(why: String) -> Self {
        Self::Nothing(why)
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
