//! What comes to a worker from other processes: operators' commands, as messages in the register of
//! workers, each answered under the name of its question.

use super::Handle;
use super::calls::REGISTER_WITHIN;
use super::handle::Told;
use laneway_domain::{
    Command, DestinationName, KeyAt, LaneKey, Offset, Partition, ReplayId, ReplayOrder, Selection, Timestamp,
};
use laneway_ports::{StoreError, Workers};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often a worker looks for messages. An operator waits for about half of it; the store has one
/// small call a worker.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a worker answers: what has come of it, or why nothing has.
pub(super) type Answer = Result<Told, String>;

/// A command on its way to another process.
#[derive(Serialize, Deserialize)]
struct Message {
    question: String,
    /// Read by itself: the question of a command that only another version knows is answered too.
    command: serde_json::Value,
}

/// A [`Command`] as it is written.
#[derive(Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
enum Written {
    RetryKey {
        destination: DestinationName,
        key: String,
        /// Written where the operator named them: a worker of an earlier version, which would act wherever the key is,
        /// cannot read the command then, and says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partition: Option<Partition>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head: Option<Offset>,
    },
    SkipKey {
        destination: DestinationName,
        key: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partition: Option<Partition>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head: Option<Offset>,
    },
    Resume {
        destination: DestinationName,
    },
    Forget {
        destination: DestinationName,
    },
    /// In pairs: numbers cannot be names in JSON.
    Replay {
        destination: DestinationName,
        from: Vec<(Partition, Offset)>,
    },
    BeginReplay {
        destination: DestinationName,
        replay: ReplayId,
        asked_at: Timestamp,
        ranges: Vec<(Partition, Offset, Offset)>,
        selection: Selection,
        first: bool,
    },
    CancelReplay {
        destination: DestinationName,
        replay: ReplayId,
    },
}

impl From<Command> for Written {
    fn from(command: Command) -> Self {
        match command {
            Command::RetryKey { destination, key: KeyAt { key, partition, head } } => {
                Self::RetryKey { destination, key: key.to_string(), partition, head }
            }
            Command::SkipKey { destination, key: KeyAt { key, partition, head } } => {
                Self::SkipKey { destination, key: key.to_string(), partition, head }
            }
            Command::Resume { destination } => Self::Resume { destination },
            Command::Forget { destination } => Self::Forget { destination },
            Command::Replay { destination, from } => Self::Replay { destination, from: from.into_iter().collect() },
            Command::BeginReplay { destination, replay, order } => {
                let ReplayOrder { asked_at, ranges, selection, first } = *order;
                let ranges = ranges.into_iter().map(|(partition, range)| (partition, range.start, range.end)).collect();
                Self::BeginReplay { destination, replay, asked_at, ranges, selection, first }
            }
            Command::CancelReplay { destination, replay } => Self::CancelReplay { destination, replay },
        }
    }
}

impl Written {
    fn read(self) -> Option<Command> {
        Some(match self {
            Self::RetryKey { destination, key, partition, head } => {
                Command::RetryKey { destination, key: KeyAt { key: LaneKey::parse(&key)?, partition, head } }
            }
            Self::SkipKey { destination, key, partition, head } => {
                Command::SkipKey { destination, key: KeyAt { key: LaneKey::parse(&key)?, partition, head } }
            }
            Self::Resume { destination } => Command::Resume { destination },
            Self::Forget { destination } => Command::Forget { destination },
            Self::Replay { destination, from } => Command::Replay { destination, from: from.into_iter().collect() },
            Self::BeginReplay { destination, replay, asked_at, ranges, selection, first } => {
                let ranges = ranges.into_iter().map(|(partition, from, until)| (partition, from..until)).collect();
                let order = Box::new(ReplayOrder { asked_at, ranges, selection, first });
                Command::BeginReplay { destination, replay, order }
            }
            Self::CancelReplay { destination, replay } => Command::CancelReplay { destination, replay },
        })
    }
}

/// A command as a message that is answered under `question`.
pub(super) fn message(question: &str, command: Command) -> Result<String, String> {
    let command = serde_json::to_value(Written::from(command)).map_err(|error| error.to_string())?;
    let message = Message { question: question.to_owned(), command };
    serde_json::to_string(&message).map_err(|error| error.to_string())
}

fn command(written: serde_json::Value) -> Option<Command> {
    serde_json::from_value::<Written>(written).ok().and_then(Written::read)
}

/// What a worker has answered.
pub(super) fn read_answer(answer: &str) -> Answer {
    serde_json::from_str(answer)
        .unwrap_or_else(|_| Err("is of another version, whose answer cannot be read".to_owned()))
}

/// Does what others tell the worker, until it is dropped.
pub(super) async fn serve_inbox(workers: &dyn Workers, worker: &Handle) {
    let mut rounds = interval(LOOK_EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unread = false;
    loop {
        rounds.tick().await;
        match within(workers.inbox(worker.id())).await {
            Ok(messages) => {
                unread = false;
                for message in messages {
                    take(workers, worker, &message).await;
                }
            }
            Err(error) if !unread => {
                unread = true;
                tracing::warn!(%error, "messages from other processes cannot be read; trying again");
            }
            Err(_) => {}
        }
    }
}

async fn within<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let silent = |_| Err(StoreError::unknown("the register of workers does not answer"));
    timeout(REGISTER_WITHIN, call).await.unwrap_or_else(silent)
}

async fn take(workers: &dyn Workers, worker: &Handle, message: &str) {
    let Ok(Message { question, command: written }) = serde_json::from_str(message) else {
        return tracing::warn!("a message from another process cannot be read: is it of another version?");
    };
    let answer: Answer = match command(written) {
        Some(command) => {
            tracing::info!(%command, "an operator's command arrived through another process");
            worker.tell(command).await
        }
        None => Err("is of another version, which does not know this command".to_owned()),
    };
    // What it is made of can always be written.
    let text = serde_json::to_string(&answer).unwrap_or_default();
    if let Err(error) = within(workers.answer(&question, worker.id(), text)).await {
        tracing::warn!(%error, "an operator's command could not be answered");
    }
}

#[cfg(test)]
mod tests;
