//! `laneway restore` on Redis: a backup becomes a store where there was none, under a new generation of offsets.
//!
//! What was accepted after the backup was made is not in it, but receivers remember its numbers. So offsets go on from a
//! number that the clock gives ([`Offset::of_restore`], [`crate::numbers`]): above all that any copy of the store has given
//! out, and another one for each restore.
//!
//! Nothing is written before all of the file was read and found whole. From the first to the last step the store's key says
//! that what is there is a part of a backup (`lua/restore.lua`), and no process works on it. A restore that was
//! interrupted leaves that behind; the next one clears away what there is and begins anew.

mod apply;

use crate::backup::file::{Frame, Kind, Reader, verify};
use crate::backup::{FORMAT, Header, Progressed, scan_keys};
use crate::connect::Redis;
use crate::failure::Effect;
use crate::inspection::Inspector;
use crate::keys::Keys;
use crate::library::{CallError, slot};
use crate::log::append::now;
use crate::numbers::Numbers;
use crate::options::RedisOptions;
use crate::processes::Statement;
use crate::replicated::Replicated;
use crate::startup::{self, RESTORED_SINCE, SCHEMA_RESTORED};
use apply::Target;
use bytes::Bytes;
use fred::types::Value;
use laneway_domain::{Offset, Timestamp};
use laneway_ports::StoreError;
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;

/// The last generation of a log that Redis can count (`lua/header.lua`).
const MAX_GENERATION: u64 = 8191;
/// How many keys one call takes away.
const CLEARED_AT_ONCE: usize = 500;

/// What becomes of what is in the backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Whether the tokens that were made over the HTTP interface still open something. Otherwise they are revoked: some
    /// of them may have been, since the backup.
    pub keep_tokens: bool,
}

/// What a restore has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// When the backup was made.
    pub backed_up_at: Timestamp,
    /// The offset of the next event, in every partition.
    pub goes_on_at: Offset,
    /// How many tokens were revoked.
    pub revoked_tokens: usize,
}

/// What the first look at the file tells.
struct Plan {
    header: Header,
    numbers: Numbers,
    /// The highest generation that a partition had.
    generation: u64,
}

/// Makes a store out of the backup, where there is none under the key prefix of `options`. Takes a second at least: until
/// the next one has begun, of which another restore takes its number.
///
/// # Errors
/// If the backup cannot be read whole or has another number of partitions, Redis is not as it must be, there is a store, or
/// the clock cannot be right: then nothing was changed. If Redis fails on the way: then what is there says that it is not
/// whole, and this can be done again.
pub async fn restore(
    options: RedisOptions,
    backup: &Path,
    restore: RestoreOptions,
    mut progressed: impl FnMut(Progressed) + Send,
) -> Result<Restored, StoreError> {
    startup::check_options(&options)?;
    let plan = plan(backup, options.partitions)?;
    // Before anything is written; what counts is what it shows in the end.
    next_generation(&plan)?;
    let redis = Redis::connect(&options).await?;
    let (_, _) = Inspector::begin(&redis, &options).await?;
    let keys = Keys::new(&options.key_prefix);
    see_that_it_is_empty(&redis, &keys).await?;
    redis.prepare_all(&options.key_prefix).await?;
    let replicated = Replicated::connect(&redis, &options).await?;
    let mut target = Target::new(redis, replicated, keys, options.process.clone());
    let is_left_over = target.begin().await?;
    let made = async {
        if is_left_over {
            clear(&mut target).await?;
        }
        fill(&mut target, backup, restore, &plan, &mut progressed).await
    };
    made.await.map_err(unfinished)
}

/// What went wrong on the way, with what that leaves.
fn unfinished(error: StoreError) -> StoreError {
    let what = match error {
        StoreError::Refused { what } | StoreError::RetryLater { what, .. } | StoreError::Unknown { what } => what,
    };
    StoreError::refused(format!(
        "{what}. The restore is not finished, and no Laneway works on what is there: run it again, which begins anew"
    ))
}

/// Reads all of the file, and sees whether this release can restore it into a store of so many partitions.
fn plan(backup: &Path, partitions: u32) -> Result<Plan, StoreError> {
    let (mut header, mut generation) = (None, 1);
    verify(backup, |frame| {
        match frame.kind {
            Kind::Header => header = Some(read_header(frame, backup, partitions)?),
            Kind::Sealed => generation = generation.max(frame.number(2)?),
            _ => {}
        }
        Ok(())
    })?;
    let header = header.ok_or_else(|| StoreError::refused("the backup does not say what it is"))?;
    let numbers = header.numbers.parse().map_err(StoreError::refused)?;
    if generation >= MAX_GENERATION {
        return Err(StoreError::refused(format!(
            "the store of this backup has lost data or was restored {generation} times, and has no more generations of offsets"
        )));
    }
    Ok(Plan { header, numbers, generation })
}

fn read_header(frame: &Frame, backup: &Path, partitions: u32) -> Result<Header, StoreError> {
    let newer = |release: &str| {
        StoreError::refused(format!(
            "{} was made by a newer release of Laneway than this one ({}): restore it with Laneway {release} or later",
            backup.display(),
            env!("CARGO_PKG_VERSION"),
        ))
    };
    let json: serde_json::Value = serde_json::from_str(frame.text(0)?).map_err(|_| frame.malformed())?;
    if json.get("format").and_then(serde_json::Value::as_u64).is_none_or(|format| format > u64::from(FORMAT)) {
        return Err(newer(json.get("release").and_then(|release| release.as_str()).unwrap_or("that made it")));
    }
    let header: Header = serde_json::from_value(json).map_err(|_| frame.malformed())?;
    let own = Statement::of_this_release("restore").formats;
    for (field, version) in &header.fields {
        let Some(thing) = field.strip_prefix("format:") else { continue };
        let reads = own.get(thing).map_or(0, |versions| versions.reads[1]);
        if version.parse().is_ok_and(|version: u8| version > reads) {
            let since = header.fields.get(&format!("since:{thing}"));
            return Err(newer(since.unwrap_or(&header.release)));
        }
    }
    if header.partitions != partitions {
        return Err(StoreError::refused(format!(
            "{} is of a store with {} partitions, and store.partitions = {partitions}: set store.partitions = {}, because the \
             number cannot change",
            backup.display(),
            header.partitions,
            header.partitions
        )));
    }
    Ok(header)
}

/// The generation that the clock gives now, as offsets show it.
fn next_generation(plan: &Plan) -> Result<(u64, Timestamp), StoreError> {
    let now = now();
    let of_the_clock = Offset::of_restore(now).filter(|_| now >= plan.header.made_at).ok_or_else(|| {
        StoreError::refused(format!(
            "the clock shows {now}, which cannot be right (the backup was made at {}): set it, and restore then",
            plan.header.made_at
        ))
    })?;
    // A store that was restored before under a clock that was ahead.
    let above = plan.numbers.generation_shown(plan.generation).map_or(0, |shown| shown + 1);
    Ok((of_the_clock.generation().max(above), now))
}

/// Refuses if there is something of a store that is not what an interrupted restore has left.
async fn see_that_it_is_empty(redis: &Redis, keys: &Keys) -> Result<(), StoreError> {
    let fields = crate::backup::hash(redis, &keys.store()).await?;
    if fields.iter().any(|(field, _)| *field == *"restoring") {
        return Ok(());
    }
    let mut found = None;
    for pattern in keys.all() {
        scan_keys(redis, &pattern, async |some| {
            found = found.take().or_else(|| some.into_iter().find(|key| keys.is_own(key)));
            Ok(())
        })
        .await?;
    }
    match found {
        None => Ok(()),
        Some(key) => Err(StoreError::refused(format!(
            "there is a store at {} already (it has the key {key}), and a restore never replaces one: stop every Laneway that \
             uses it, and restore into an empty Redis, or under another store.key_prefix",
            redis.place()
        ))),
    }
}

/// Takes away what an interrupted restore has left.
async fn clear(target: &mut Target) -> Result<(), StoreError> {
    tracing::warn!(redis = target.redis.place(), "a restore was interrupted here: what it has left is taken away");
    for pattern in target.keys.all() {
        let (redis, keys) = (target.redis.clone(), target.keys.clone());
        scan_keys(&redis, &pattern, async |some| {
            target.go_on().await?;
            let own: Vec<String> = some.into_iter().filter(|key| keys.is_own(key) && *key != keys.store()).collect();
            for some in own.chunks(CLEARED_AT_ONCE) {
                // One at a time: on a Cluster they lie in different slots.
                let gone = some.iter().map(|key| {
                    let at = slot(std::slice::from_ref(key));
                    redis.command("UNLINK", at, vec![Value::from(key.as_str())], Effect::Writes)
                });
                futures_util::future::try_join_all(gone).await?;
            }
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Puts everything in place, and says in the end that it is there.
async fn fill(
    target: &mut Target,
    backup: &Path,
    restore: RestoreOptions,
    plan: &Plan,
    progressed: &mut (impl FnMut(Progressed) + Send),
) -> Result<Restored, StoreError> {
    let generation = plan.generation + 1;
    let mut reader = Reader::open(backup)?;
    while let Some(frame) = reader.next()? {
        target.go_on().await?;
        target.apply(&frame, restore.keep_tokens).await?;
        progressed(Progressed { events: target.entries, of: plan.header.events });
    }
    let (shown, at) = next_generation(plan)?;
    target.seal(generation).await?;
    // Whoever restores after this gets another one.
    sleep(Duration::from_millis(1000 - at.as_millis() % 1000)).await;
    let numbers = plan.numbers.with(generation, shown);
    let mut fields = vec![
        ("partitions".to_owned(), plan.header.partitions.to_string()),
        ("schema".to_owned(), SCHEMA_RESTORED.to_string()),
        ("needs".to_owned(), RESTORED_SINCE.to_owned()),
        ("numbers".to_owned(), numbers.to_string()),
    ];
    fields.extend(plan.header.fields.clone());
    target.end(fields).await?;
    Ok(Restored {
        backed_up_at: plan.header.made_at,
        goes_on_at: Offset::in_generation(shown, 0),
        revoked_tokens: target.revoked_tokens,
    })
}

/// A function's refusal, for people.
fn refused(error: CallError) -> StoreError {
    error.into()
}

/// Numbers and texts as arguments of a function.
fn arguments<const N: usize>(texts: [String; N]) -> Vec<Bytes> {
    texts.map(Bytes::from).to_vec()
}
