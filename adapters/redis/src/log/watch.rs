//! Watching for growth: blocking reads, on connections of their own.
//!
//! One call can wait for all partitions of a single server. On a Cluster, one call can only name
//! keys of one slot, and a connection that waits does nothing else: so each partition has its own
//! there, made when it is first watched.

use super::blocking::Connection;
use super::frames;
use super::group::{Blocked, Group};
use super::partition::PartitionLog;
use super::read::ENTRIES_AT_ONCE;
use crate::connect::SILENT_FOR;
use crate::failure::Effect;
use crate::library::slot;
use crate::place;
use crate::shared::Shared;
use fred::types::{ClusterHash, Resp3Frame, Value};
use laneway_domain::Offset;
use laneway_ports::StoreError;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How long one call waits. Long enough to cost nothing; a connection that died in silence is
/// noticed when the call is overdue.
const BLOCK: Duration = Duration::from_secs(1);
/// How often a log that does not grow is compared with what is remembered of it.
const COMPARE_EVERY: Duration = Duration::from_secs(5);
/// The wait after a failure.
const PAUSE: Duration = Duration::from_millis(200);
/// How many bytes of one partition a call brings, about.
const READ_BYTES: usize = 1 << 20;
/// How often growth is looked for where nobody wants what came: whoever comes back reads the log.
const UNWANTED_EVERY: Duration = Duration::from_millis(10);

/// Ends the tasks when it is dropped.
pub(crate) struct Watchers(Vec<JoinHandle<()>>);

impl Drop for Watchers {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

pub(crate) fn start(shared: &Arc<Shared>) -> Watchers {
    let run = |group: &Arc<Group>| tokio::spawn(run(shared.clone(), group.clone()));
    Watchers(shared.groups.iter().map(run).collect())
}

impl Shared {
    /// Waits until the log's end is beyond `seen`.
    pub(crate) async fn grown(&self, log: &PartitionLog, seen: Offset) -> Result<Offset, StoreError> {
        let _watching = log.watch();
        let mut end = log.end();
        loop {
            let known = *end.borrow_and_update();
            match known {
                Some(now) if now > seen => return Ok(now),
                Some(_) => {}
                None => self.look_again(log),
            }
            end.changed().await.map_err(|_| StoreError::retry_later("the store is closing"))?;
        }
    }

    /// How much of one partition's most recent events is kept.
    fn tail_bytes(&self) -> usize {
        self.options.tail_bytes / self.logs.len().max(1)
    }

    /// Tells the watcher that there is a partition to look at.
    fn look_again(&self, log: &PartitionLog) {
        let index = if self.groups.len() == 1 { 0 } else { log.partition.0 as usize };
        let Some(group) = self.groups.get(index) else { return };
        group.changed.notify_one();
        if let Some(blocked) = group.blocked() {
            let redis = self.redis.at(blocked.node.as_ref());
            tokio::spawn(async move {
                let arguments = vec!["UNBLOCK".into(), blocked.connection.into()];
                // If it cannot be told, it looks by itself within a moment.
                let _ = redis.command("CLIENT", ClusterHash::Random, arguments, Effect::Reads).await;
            });
        }
    }
}

async fn run(shared: Arc<Shared>, group: Arc<Group>) {
    let mut connection: Option<Connection> = None;
    let mut compared = Instant::now();
    loop {
        let watched = group.watched(&shared.logs);
        if watched.is_empty() {
            group.changed.notified().await;
            continue;
        }
        let turn = turn(&shared, &group, &watched, &mut connection, &mut compared).await;
        group.set_blocked(None);
        if let Err(error) = turn {
            tracing::debug!(redis = shared.redis.place(), %error, "a blocking read has failed");
            // Perhaps the slot is elsewhere by now, or the connection dead without a word.
            connection = None;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Waits once for any of the partitions to grow, and keeps what came.
async fn turn(
    shared: &Shared,
    group: &Group,
    watched: &[&PartitionLog],
    connection: &mut Option<Connection>,
    compared: &mut Instant,
) -> Result<(), StoreError> {
    let first_key = watched.first().map(|log| shared.keys.log(log.partition)).unwrap_or_default();
    let at = slot(std::slice::from_ref(&first_key));
    let is_new = connection.is_none();
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(Connection::open(shared, &at, BLOCK + SILENT_FOR).await?),
    };
    let is_again = connection.reconnects.were_some();
    if is_again {
        connection.renumber().await?;
    }
    // Behind another connection there may be another server, with another log; nothing new is read
    // of it before that is known. (Behind the same one, the log can only have been flushed: then
    // the lease is gone too, and nothing that was read can be committed.)
    if is_new || is_again || compared.elapsed() >= COMPARE_EVERY {
        for log in watched {
            shared.check_log(log).await?;
            // Also where nothing was read: nobody hears of what is appended before an end that is no more.
            shared.check_end(log).await?;
        }
        *compared = Instant::now();
    }
    let mut positions = Vec::with_capacity(watched.len());
    for log in watched {
        positions.push((*log, position(shared, log).await?));
    }
    group.set_blocked(Some(Blocked { connection: connection.number, node: connection.redis.node().cloned() }));
    let wanted = positions.iter().any(|(log, _)| log.memory().is_tail_wanted(shared.tail_bytes()));
    let frame = connection.redis.raw("XREAD", at, arguments(shared, &positions, wanted), true).await?;
    group.set_blocked(None);
    let mut grown = Vec::new();
    for (name, entries) in frames::streams(&frame) {
        let log = positions.iter().find(|(log, _)| shared.keys.log(log.partition).as_bytes() == name);
        if let Some((log, position)) = log {
            if wanted {
                keep(shared, log, position, entries).await?;
                *compared = Instant::now();
            } else {
                grown.push((*log, position));
            }
        }
    }
    if !grown.is_empty() {
        tokio::time::sleep(UNWANTED_EVERY).await;
        let ends = grown.into_iter().map(|(log, position)| look_at_end(shared, log, position));
        futures_util::future::try_join_all(ends).await?;
    }
    Ok(())
}

/// Says that the log has grown, without having read of what.
async fn look_at_end(shared: &Shared, log: &PartitionLog, position: &Position) -> Result<(), StoreError> {
    let end = shared.checked_bounds(log).await?.end;
    let mut memory = log.memory();
    if memory.life() == position.life {
        log.set_end(&mut memory, end);
    }
    Ok(())
}

/// From where a partition is read, and of which life of its memory that is.
struct Position {
    life: u64,
    from: Offset,
}

async fn position(shared: &Shared, log: &PartitionLog) -> Result<Position, StoreError> {
    let life = log.memory().life();
    if let Some(from) = log.known_end() {
        return Ok(Position { life, from });
    }
    let end = shared.checked_bounds(log).await?.end;
    let mut memory = log.memory();
    if memory.life() == life {
        log.set_end(&mut memory, end);
    }
    Ok(Position { life, from: end })
}

fn arguments(shared: &Shared, positions: &[(&PartitionLog, Position)], wanted: bool) -> Vec<Value> {
    let fitting = positions.iter().map(|(log, _)| log.entries_in(READ_BYTES)).min().unwrap_or(1).min(ENTRIES_AT_ONCE);
    let count = if wanted { fitting } else { 1 };
    let block = i64::try_from(BLOCK.as_millis()).unwrap_or(i64::MAX);
    let mut arguments: Vec<Value> = vec![
        "COUNT".into(),
        i64::try_from(count).unwrap_or(i64::MAX).into(),
        "BLOCK".into(),
        block.into(),
        "STREAMS".into(),
    ];
    let numbers = shared.keys.numbers();
    arguments.extend(positions.iter().map(|(log, _)| Value::from(shared.keys.log(log.partition))));
    arguments
        .extend(positions.iter().map(|(_, position)| Value::from(place::id_before(numbers.stored(position.from)))));
    arguments
}

/// Keeps new entries in the tail, and says that the log has grown.
async fn keep(shared: &Shared, log: &PartitionLog, position: &Position, frame: &Resp3Frame) -> Result<(), StoreError> {
    let entries = frames::entries(log.partition, frame, shared.processes.reads_entries(), shared.keys.numbers())?;
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
    let end = last.offset().next();
    if first.offset() != position.from {
        // The generation was raised, or others have trimmed before this was read.
        shared.check_log(log).await?;
    }
    log.note_entry_bytes(&entries);
    let mut memory = log.memory();
    if memory.life() == position.life {
        memory.note(&entries);
        memory.extend_tail(position.from, entries, shared.tail_bytes());
        log.set_end(&mut memory, end);
    }
    Ok(())
}
