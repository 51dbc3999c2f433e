//! Commits: one call, with all that is to be checked and all that is to be changed.

use super::encode::{self, Call};
use super::names::Names;
use super::{answer, refused};
use crate::dead_letters::letter;
use crate::failure::Effect;
use crate::library::{CallError, Refusal};
use crate::log::PartitionLog;
use crate::store::RedisStore;
use laneway_domain::{Commit, Redriven};
use laneway_ports::{CommitError, Lease, StoreError};

/// [`laneway_ports::ProgressStore::commit`].
pub(super) async fn commit(store: &RedisStore, lease: &Lease, commit: &Commit) -> Result<(), CommitError> {
    let log = store.partition(lease.partition)?;
    let names = Names::new(&store.shared.keys, lease.partition);
    encode::check_numbers(&names, commit)?;
    let mut rests = Vec::with_capacity(commit.redriven.len());
    for redriven in &commit.redriven {
        rests.push(rest_after(store, &names, redriven).await?);
    }
    clear_replays(store, &names, lease, commit).await?;
    loop {
        let mut call = Call::new(&names, lease, log.witness(), commit);
        call.add_commit(&names, commit, &rests);
        call.add_history(&names, lease.epoch, commit);
        match store.shared.write("laneway_commit_cleared", &call.keys, call.args).await {
            Ok(_) => return Ok(()),
            Err(CallError::Refused(Refusal::Letters)) => drop_letters(store, &names, lease, commit).await?,
            Err(error) => return Err(not_made(store, lease, error).await),
        }
    }
}

/// Drops the dead letters of the destinations that the commit drops, step by step.
async fn drop_letters(
    store: &RedisStore,
    names: &Names<'_>,
    lease: &Lease,
    commit: &Commit,
) -> Result<(), CommitError> {
    let log = store.partition(lease.partition)?;
    for name in &commit.dropped {
        loop {
            let call = Call::dropping(names, lease, log.witness(), commit, name);
            let more = match store.shared.write("laneway_drop_letters", &call.keys, call.args).await {
                Ok(more) => answer::number(&more)?,
                Err(error) => return Err(not_made(store, lease, error).await),
            };
            if more == 0 {
                break;
            }
        }
    }
    Ok(())
}

/// Takes away the keys behind of replays that the commit ends or begins anew, step by step, where there are many.
async fn clear_replays(
    store: &RedisStore,
    names: &Names<'_>,
    lease: &Lease,
    commit: &Commit,
) -> Result<(), CommitError> {
    let log = store.partition(lease.partition)?;
    for (name, change) in &commit.lanes {
        let cleared = change.replays.iter().filter(|(_, of)| of.as_ref().is_none_or(|of| of.made.is_some()));
        for (id, _) in cleared {
            let mut cursor = "0".to_owned();
            loop {
                let call = Call::clearing(names, lease, log.witness(), commit, (name, id), &cursor);
                // Replicas that have the commit have what was written before it.
                let called = store.shared.redis.call("laneway_clear_replay", Effect::Writes, &call.keys, call.args);
                cursor = match called.await {
                    Ok(next) => answer::text(&next)?,
                    Err(error) => return Err(not_made(store, lease, error).await),
                };
                if cursor == "0" {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Why a commit, or a step of it, was not made.
async fn not_made(store: &RedisStore, lease: &Lease, error: CallError) -> CommitError {
    let log = match store.partition(lease.partition) {
        Ok(log) => log,
        Err(error) => return error.into(),
    };
    match error {
        CallError::Refused(Refusal::Generation(why)) => {
            if_not_lost(store, log, lease, StoreError::retry_later(not_stored(lease, &why))).await
        }
        CallError::Refused(Refusal::Beyond(why)) => {
            let why = format!(
                "{}; whoever has seen more has seen another log. Was an older copy of the data put back?",
                not_stored(lease, &why)
            );
            if_not_lost(store, log, lease, StoreError::refused(why)).await
        }
        error => refused(lease, error),
    }
}

fn not_stored(lease: &Lease, why: &str) -> String {
    format!("progress of partition {} was not stored: {why}", lease.partition)
}

/// `error`, unless the log has lost events that were read. Then that is reported, and has ended the
/// lease: whoever has it must load progress anew.
async fn if_not_lost(store: &RedisStore, log: &PartitionLog, lease: &Lease, error: StoreError) -> CommitError {
    match store.shared.check_log(log).await {
        Ok(()) if log.memory().is_diverged() => CommitError::Fenced { partition: lease.partition, epoch: lease.epoch },
        Ok(()) => error.into(),
        Err(failed) => failed.into(),
    }
}

/// What is left of a dead letter when its retry has failed. It is read before the commit, which is
/// safe because only commits change it, and only the lease's holder commits.
async fn rest_after(store: &RedisStore, names: &Names<'_>, redriven: &Redriven) -> Result<encode::Rest, StoreError> {
    let Some(failure) = &redriven.failed else { return Ok(encode::Rest::Delivered) };
    let name = letter::name(names.numbers(), redriven.offset, &redriven.destination);
    let key = names.dead();
    let Some(text) = crate::dead_letters::field(&store.shared.redis, &key, &name).await? else {
        // Discarded meanwhile: there is nothing to change.
        return Ok(encode::Rest::Gone);
    };
    let text = String::from_utf8_lossy(&text);
    Ok(encode::Rest::Failed(letter::failed(names, (&name, &text), failure)))
}
