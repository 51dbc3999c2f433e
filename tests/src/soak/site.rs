//! The processes of the soak on one store, and what is done to them.

mod configuration;
mod place;
mod redis;
mod watched;

pub use configuration::{Destinations, secret};
pub use place::Place;
pub use watched::Watched;

use super::book::Book;
use crate::faults::preload::Preload;
use crate::server::{Half, Installation};
use laneway_servers::redis_sentinel::RedisSentinel;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::block_in_place;

/// How long settled events are kept: short, so that events are trimmed all the time.
pub const KEPT: Duration = Duration::from_secs(60);
/// How long ids and the history are kept: longer than a producer needs to send an event again, and short enough to come
/// and go many times in an hour.
pub const REMEMBERED: Duration = Duration::from_secs(120);
/// Where a backup is made.
const BACKUP: &str = "copy.backup";

/// Which store a soak is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// One process and its file.
    Sqlite,
    /// Two ingests and two workers, and Redis with a replica and a Sentinel.
    Redis,
}

impl Store {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Redis => "redis",
        }
    }
}

/// The processes of the soak on one store.
pub struct Site {
    /// Which store that is.
    pub store: Store,
    folder: PathBuf,
    /// Where processes run.
    pub places: Vec<Place>,
    /// Where an operator's commands run.
    operator: Installation,
    /// What the destinations are.
    pub destinations: Destinations,
    sentinel: Option<RedisSentinel>,
    /// What fails writes of the SQLite store.
    pub preload: Option<Preload>,
    /// How often the store was restored: the number of the store.
    pub number: u64,
    /// What is looked at from time to time.
    pub watched: Arc<Watched>,
}

fn folder(of: &Path, name: &str) -> PathBuf {
    let folder = of.join(name);
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

impl Site {
    /// Prepares everything; no process of Laneway is started. `primary` is the number of the Redis server that has the
    /// data, and `number` that of the store.
    ///
    /// # Errors
    /// If there is no Redis.
    pub async fn prepare(
        store: Store,
        state: &Path,
        destinations: Destinations,
        primary: usize,
        number: u64,
    ) -> Result<Self, String> {
        let of_store = folder(state, "store");
        let sentinel = match store {
            Store::Sqlite => None,
            Store::Redis => Some(redis::start(&of_store, primary).await?),
        };
        let preload = (store == Store::Sqlite).then(|| Preload::new(&of_store, "store-"));
        let halves: &[(Half, &'static str)] = match store {
            Store::Sqlite => &[(Half::Both, "server")],
            Store::Redis => &[
                (Half::Ingest, "ingest-0"),
                (Half::Ingest, "ingest-1"),
                (Half::Worker, "worker-0"),
                (Half::Worker, "worker-1"),
            ],
        };
        let place = |(half, name): &(Half, &'static str)| Place::new(&folder(state, name), *half, name);
        let places = halves.iter().map(place).collect();
        let operator = Installation::member(&folder(state, "operator"), Half::Both, "", "");
        let watched = Arc::new(Watched::new(of_store.clone(), sentinel.as_ref()));
        let site = Self { store, folder: of_store, places, operator, destinations, sentinel, preload, number, watched };
        site.configure();
        Ok(site)
    }

    /// The lines of `[store]` that depend on where it is.
    fn store_lines(&self) -> String {
        match &self.sentinel {
            None => format!("url = \"sqlite:{}\"\n", self.database(self.number).display()),
            Some(sentinel) => {
                format!("url = \"{}\"\nkey_prefix = \"{}\"\nreplicas = 1\n", sentinel.url(), redis::prefix(self.number))
            }
        }
    }

    fn database(&self, number: u64) -> PathBuf {
        self.folder.join(format!("store-{number:04}.db"))
    }

    /// Writes every configuration anew.
    pub fn configure(&self) {
        for at in self.places.iter().map(|place| &place.installation).chain([&self.operator]) {
            at.write_config(&configuration::text(at.address(), &self.store_lines(), &self.destinations));
        }
    }

    /// The addresses that events are sent to.
    #[must_use]
    pub fn ingests(&self) -> Vec<SocketAddr> {
        let takes_in = |place: &&Place| place.half != Half::Worker;
        self.places.iter().filter(takes_in).map(|place| place.installation.address()).collect()
    }

    /// Starts the process of one place, and waits until it is ready.
    pub async fn start(&mut self, place: usize) {
        let variables = self.preload.as_ref().map(Preload::variables).unwrap_or_default();
        // What a power cut would undo is not asked here, and would be written down for ever.
        let variables: Vec<_> = variables.into_iter().filter(|(name, _)| *name != "FAULTS_LOG").collect();
        self.places[place].start(&variables).await;
        self.watch();
    }

    /// Starts all.
    pub async fn start_all(&mut self) {
        for place in 0..self.places.len() {
            self.start(place).await;
        }
    }

    /// Stops the process of one place gently.
    pub fn stop(&mut self, place: usize) {
        block_in_place(|| self.places[place].stop());
        self.watch();
    }

    /// Stops all, those that take events in first.
    pub fn stop_all(&mut self) {
        (0..self.places.len()).for_each(|place| self.stop(place));
    }

    /// Kills the process of one place.
    pub fn kill(&mut self, place: usize) {
        block_in_place(|| self.places[place].kill());
        self.watch();
    }

    fn watch(&self) {
        self.watched.processes(self.places.iter().filter_map(Place::process).collect());
    }

    /// Has every process read its configuration again, and waits until each has said so.
    ///
    /// # Errors
    /// What a process says if it does not.
    pub async fn reload(&self) -> Result<(), String> {
        self.configure();
        let before: Vec<u64> = self.places.iter().map(Place::said_so_far).collect();
        self.places.iter().for_each(|place| place.signal("HUP"));
        for (place, before) in self.places.iter().zip(before) {
            place.reloaded(before).await?;
        }
        Ok(())
    }

    /// Runs a command of the operator's to its end, and returns what it says.
    ///
    /// # Errors
    /// What it says, if it fails.
    pub fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = block_in_place(|| self.operator.run(arguments));
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            Ok(said)
        } else {
            Err(format!("laneway {}: {}", arguments.join(" "), said.trim()))
        }
    }

    /// Makes a backup while everything runs.
    ///
    /// # Errors
    /// What the command says.
    pub fn back_up(&self) -> Result<(), String> {
        self.run(&["backup", BACKUP]).map(drop)
    }

    /// Restores the backup into a new place, while nothing runs, and removes the store that was.
    ///
    /// # Errors
    /// What the command says.
    pub async fn restore(&mut self) -> Result<(), String> {
        let old = self.number;
        self.number += 1;
        self.configure();
        self.run(&["restore", BACKUP])?;
        std::fs::remove_file(self.operator.folder().join(BACKUP)).map_err(|error| error.to_string())?;
        match &self.sentinel {
            Some(sentinel) => redis::remove(sentinel, old).await,
            None => self.remove_files(old),
        }
    }

    fn remove_files(&self, number: u64) -> Result<(), String> {
        let begin = format!("store-{number:04}.db");
        for entry in std::fs::read_dir(&self.folder).map_err(|error| error.to_string())? {
            let entry = entry.map_err(|error| error.to_string())?;
            if entry.file_name().to_string_lossy().starts_with(&begin) {
                std::fs::remove_file(entry.path()).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Kills the primary of Redis, waits until the replica has taken over, and brings the other one back as its
    /// replica. Returns the number of the new primary's folder.
    ///
    /// # Errors
    /// What does not come about.
    pub async fn fail_over(&mut self) -> Result<usize, String> {
        let sentinel = self.sentinel.as_mut().ok_or("there is no Redis")?;
        let old = sentinel.primary().await?;
        sentinel.server_mut(old).kill();
        let new = sentinel.wait_failover(old).await?;
        sentinel.server_mut(old).restart().await?;
        sentinel.wait_replicated().await?;
        Ok(redis::number_of(&sentinel.servers()[new]))
    }

    /// Has `laneway check` look at the store when nothing runs: it reads all of an SQLite file. What it finds is a
    /// violation.
    pub fn check(&self, book: &Book) {
        match self.run(&["check"]) {
            Ok(said) if self.store == Store::Redis || said.contains("all sound") => {}
            Ok(said) | Err(said) => book.violation(format!("`laneway check` says: {}", said.trim())),
        }
    }

    /// Lines in which a process said that it panicked.
    #[must_use]
    pub fn panics(&self) -> Vec<String> {
        self.places.iter().flat_map(|place| crate::faults::site::panics(&place.installation)).collect()
    }
}
