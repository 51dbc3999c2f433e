//! The register of processes: what each process that has the store open can read, so that nothing is written that a
//! live one could not (`lua/processes.lua` says what is in it, and decides).
//!
//! A process says that it is there at the start, and again every [`ATTEND_EVERY`]. It is told up to which version each
//! thing may be written: the newest that all processes read that are there. While one of the release before is there,
//! that is an older version; when the last of them is gone, the newer one is written from the next answer on. From then
//! on the store needs a release that reads it, and says so to any other.
//!
//! Safety does not depend on it: whoever meets a version that it does not know leaves it alone and waits
//! ([`crate::codec::Unreadable::Newer`]). The register sees to it that nobody has to wait.

use crate::codec;
use crate::connect::Redis;
use crate::failure::Effect;
use crate::keys::Keys;
use crate::library::{self, CallError, Refusal};
use crate::options::RedisOptions;
use crate::progress::answer;
use crate::startup::Made;
use bytes::Bytes;
use laneway_domain::ProcessStatus;
use laneway_ports::StoreError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::sleep;

#[cfg(test)]
mod tests;

/// How often a process says that it is there: a small call a second.
const ATTEND_EVERY: Duration = Duration::from_secs(1);
/// How long it is taken to be there after it said so: several calls may fail before others write what it cannot read.
/// So long they go on to write the older version after the last older process is gone.
const PRESENT_FOR: Duration = Duration::from_secs(5);
/// What the events of the log are called in the register.
const ENTRY: &str = "entry";
/// What replays are called there. Version 0 is that there are none.
const REPLAY: &str = "replay";
/// The first release that knows replays.
const REPLAY_SINCE: &str = "0.1.0";

/// The versions that a release reads and writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Versions {
    /// The oldest and the newest that it reads.
    pub(crate) reads: [u8; 2],
    /// The oldest that it writes, if others need that.
    pub(crate) writes: u8,
    /// The first release that reads the newest.
    pub(crate) since: String,
}

/// What a process says of itself: its release, which calls its functions answer (the oldest version, and its own), and
/// the versions of each thing that it reads and writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Statement {
    pub(crate) role: String,
    pub(crate) release: String,
    pub(crate) functions: [i64; 2],
    pub(crate) formats: BTreeMap<String, Versions>,
}

impl Statement {
    /// That of this release.
    pub(crate) fn of_this_release(role: &str) -> Self {
        let [oldest, _] = codec::READS;
        let entry = Versions { reads: codec::READS, writes: oldest, since: codec::SINCE.to_owned() };
        let replay = Versions { reads: [0, 1], writes: 0, since: REPLAY_SINCE.to_owned() };
        Self {
            role: role.to_owned(),
            release: env!("CARGO_PKG_VERSION").to_owned(),
            functions: [library::OLDEST_CALLS, library::VERSION],
            formats: [(ENTRY.to_owned(), entry), (REPLAY.to_owned(), replay)].into(),
        }
    }

    fn reads_entries(&self) -> u8 {
        self.formats.get(ENTRY).map_or(0, |versions| versions.reads[1])
    }
}

/// This process in the register, and what it knows of the others.
pub(crate) struct Processes {
    redis: Redis,
    keys: Keys,
    name: String,
    statement: Statement,
    /// The version up to which events may be written.
    entry: AtomicU8,
    /// The same of replays.
    replay: AtomicU8,
    /// Who is there, as the last answer said, and why this process may not be, if it may not.
    known: Mutex<Known>,
    /// What the store was made with when this process opened it.
    made: OnceLock<Made>,
}

#[derive(Default)]
struct Known {
    there: Vec<ProcessStatus>,
    unfit: Option<String>,
}

impl Processes {
    /// Says for the first time that this process is there.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if it cannot read what is there, or others could not read what it writes; says which
    /// release is needed.
    pub(crate) async fn begin(
        redis: &Redis,
        keys: &Keys,
        options: &RedisOptions,
        statement: Statement,
    ) -> Result<Arc<Self>, StoreError> {
        let (redis, keys, name) = (redis.clone(), keys.clone(), options.process.clone());
        let (entry, replay) = (AtomicU8::default(), AtomicU8::default());
        let (known, made) = (Mutex::default(), OnceLock::new());
        let processes = Self { redis, keys, name, statement, entry, replay, known, made };
        match processes.attend().await {
            Ok(()) => Ok(Arc::new(processes)),
            Err(CallError::Refused(refusal)) => Err(StoreError::refused(processes.why(&refusal))),
            Err(CallError::Store(error)) => Err(processes.explained(error, &options.key_prefix).await),
        }
    }

    /// Why it could not say so, if something else tells more of that.
    async fn explained(&self, error: StoreError, prefix: &str) -> StoreError {
        // The first right that is missing is not all.
        if let Err(denied @ StoreError::Refused { .. }) = self.redis.check_rights(prefix).await {
            return denied;
        }
        let key = self.keys.store();
        let at = library::slot(std::slice::from_ref(&key));
        // What became of a write is not known when the Cluster is down; a read says that it is.
        match self.redis.command("EXISTS", at, vec![key.into()], Effect::Reads).await {
            Err(later @ StoreError::RetryLater { .. }) if self.redis.is_cluster() => later,
            _ => error,
        }
    }

    /// This process works on a store that was made with that. From now on it puts that back if it gets lost, and
    /// refuses a store that was made otherwise: what offsets are called outside, above all, it will not learn anew.
    pub(crate) fn know_store(&self, made: Made) {
        // Once: whoever opens a store has it open until the end.
        let _ = self.made.set(made);
    }

    /// Says again and again that it is there, for ever.
    pub(crate) async fn go_on(self: Arc<Self>) {
        loop {
            sleep(ATTEND_EVERY).await;
            self.put_back().await;
        }
    }

    /// Says that it is there, and puts back what is known of the store, if that got lost.
    pub(crate) async fn put_back(&self) {
        match self.attend().await {
            // Redis is away: others tell, and the next call may get through.
            Ok(()) | Err(CallError::Store(_)) => {}
            Err(CallError::Refused(refusal)) => self.note_unfit(&refusal),
        }
    }

    /// The newest version of an entry that this process reads.
    pub(crate) fn reads_entries(&self) -> u8 {
        self.statement.reads_entries()
    }

    /// The version up to which entries may be written now.
    pub(crate) fn writes_entries(&self) -> u8 {
        self.entry.load(Ordering::Relaxed)
    }

    /// Whether replays may be written: every process that is there knows them.
    pub(crate) fn writes_replays(&self) -> bool {
        self.replay.load(Ordering::Relaxed) > 0
    }

    /// The processes that are there, as far as is known.
    pub(crate) fn there(&self) -> Vec<ProcessStatus> {
        self.known().there.clone()
    }

    /// Why this process cannot work on the store any more, for people.
    pub(crate) fn health(&self) -> Result<(), String> {
        self.known().unfit.clone().map_or(Ok(()), Err)
    }

    async fn attend(&self) -> Result<(), CallError> {
        let keys = [self.keys.store(), self.keys.processes(), self.keys.process_formats(), self.keys.workers()];
        // What a statement has can always be written.
        let statement = serde_json::to_vec(&self.statement).unwrap_or_default();
        let mut arguments =
            vec![Bytes::from(self.name.clone()), PRESENT_FOR.as_millis().to_string().into(), Bytes::from(statement)];
        arguments.extend(self.made.get().iter().flat_map(|made| made.arguments()));
        let answered = self.redis.call("laneway_attend", Effect::Writes, &keys, arguments).await?;
        let [versions, said] = answer::exactly(answered)?;
        self.note_versions(&answer::texts(versions)?);
        self.note_there(&answer::texts(said)?);
        Ok(())
    }

    fn note_versions(&self, answered: &[String]) {
        let version_of = |thing: &str| -> Option<u8> {
            let mut pairs = answered.chunks_exact(2);
            pairs.find(|pair| pair[0] == thing).and_then(|pair| pair[1].parse().ok())
        };
        self.replay.store(version_of(REPLAY).unwrap_or(0), Ordering::Relaxed);
        let version = version_of(ENTRY);
        // No more than this release writes: the functions of a later one may speak of more.
        let version: u8 = version.unwrap_or(0).min(self.reads_entries());
        let before = self.entry.swap(version, Ordering::Relaxed);
        if before != version && before != 0 {
            tracing::info!(
                version,
                "all processes that share the store read events in this version now: they are written in it"
            );
        }
    }

    fn note_there(&self, answered: &[String]) {
        let there: Vec<ProcessStatus> = answered
            .chunks_exact(2)
            .map(|pair| {
                let said: Option<Statement> = serde_json::from_str(&pair[1]).ok();
                let (role, release) = said.map_or_else(
                    || ("unknown".to_owned(), "unknown".to_owned()),
                    |statement| (statement.role, statement.release),
                );
                ProcessStatus { process: pair[0].clone(), role, release }
            })
            .collect();
        let mut known = self.known();
        if known.unfit.take().is_some() {
            tracing::info!("this process can work on the store again");
        }
        if counted(&known.there) != counted(&there) {
            tracing::info!(processes = %counted(&there), "the processes that share this store have changed");
        }
        known.there = there;
    }

    fn note_unfit(&self, refusal: &Refusal) {
        let why = self.why(refusal);
        let mut known = self.known();
        if known.unfit.as_ref() != Some(&why) {
            tracing::error!("{why}");
        }
        known.unfit = Some(why);
    }

    fn why(&self, refusal: &Refusal) -> String {
        let (place, release) = (self.redis.place(), &self.statement.release);
        format!("this process (Laneway {release}) cannot work on the store at {place}: {refusal}")
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many there are of each role and release, for people.
fn counted(there: &[ProcessStatus]) -> String {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for process in there {
        *counts.entry((&process.role, &process.release)).or_default() += 1;
    }
    let each = counts.iter().map(|((role, release), count)| format!("{count} {role} of Laneway {release}"));
    each.collect::<Vec<_>>().join(", ")
}
