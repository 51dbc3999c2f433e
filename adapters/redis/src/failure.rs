//! What an error of Redis, or of the way there, means for whoever asked.

use crate::denied::denied;
use fred::error::{Error, ErrorKind};
use laneway_ports::StoreError;
use std::time::Duration;

/// When to come back while Redis takes over, loads, or gets a new primary: some seconds' work.
const WHILE_CHANGING: Duration = Duration::from_secs(2);

/// What a command does, and so what a missing answer leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It changes nothing: no answer is no harm.
    Reads,
    /// It may have changed something when no answer came.
    Writes,
}

/// What `error` means for a command with that effect, at the Redis that people know as `place`, for its user `user`.
pub(crate) fn of(error: &Error, effect: Effect, place: &str, user: &str) -> StoreError {
    let text = error.details();
    if error.kind() == &ErrorKind::Backpressure {
        return StoreError::retry_later(format!("too many commands wait for Redis at {place}"));
    }
    let denied = denied(text, place, user);
    if let Some(denied) = denied.as_ref().filter(|_| effect == Effect::Reads || !is_of_script(text)) {
        return StoreError::refused(denied.clone());
    }
    if let Some(failed) = of_answer(text, effect, place) {
        return failed;
    }
    let what = denied.unwrap_or_else(|| format!("Redis at {place}: {}", in_words(text)));
    match (error.kind(), effect) {
        // Nothing was sent: there is no connection, or the slot is moving to another node (such
        // commands are sent once only, see `connect`).
        (ErrorKind::Routing, _) => later(what),
        (_, Effect::Reads) => later(what),
        (_, Effect::Writes) => StoreError::unknown(what),
    }
}

/// Whether Redis itself has said that, and is known for it.
pub(crate) fn is_answer(error: &Error) -> bool {
    of_answer(error.details(), Effect::Reads, "").is_some()
}

/// What an error says, for people: the client keeps errors of the system as Rust shows them to developers
/// (`Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }`).
pub(crate) fn in_words(details: &str) -> &str {
    let shown_for_developers = details.contains("{ code: ") || details.contains("{ kind: ");
    let quoted = || {
        let (_, rest) = ["message: \"", "error: \""].iter().find_map(|start| details.split_once(start))?;
        Some(rest.rsplit_once('"')?.0)
    };
    shown_for_developers.then(quoted).flatten().unwrap_or(details)
}

/// If `text` is one of the answers that Redis gives without running the command.
fn of_answer(text: &str, effect: Effect, place: &str) -> Option<StoreError> {
    let code = text.split_ascii_whitespace().next().unwrap_or_default();
    let failed = match code {
        "OOM" => StoreError::retry_later(format!(
            "Redis at {place} is full (maxmemory): nothing is accepted until delivered events were trimmed; \
             give it more memory, or shorten what is retained"
        )),
        "NOREPLICAS" => later(format!(
            "Redis at {place} has too few replicas in sync (min-replicas-to-write), and accepts nothing until they are back"
        )),
        "LOADING" => later(format!("Redis at {place} has started and still loads its data")),
        "MASTERDOWN" => later(format!("Redis at {place} is a replica whose primary is away")),
        "READONLY" => later(format!("Redis at {place} is a replica now; looking for the primary")),
        "MISCONF" => later(format!("Redis at {place} cannot write to its disk, and accepts nothing: {text}")),
        "TRYAGAIN" | "ASK" | "MOVED" => later(format!("the slots of Redis Cluster at {place} are being moved")),
        "BUSY" => later(format!("Redis at {place} is busy with a script of somebody else")),
        // The client answers all that is under way on a connection with the first such answer
        // that comes on it: only reads can be sure.
        "CLUSTERDOWN" if effect == Effect::Reads => later(cluster_down(place, text)),
        "CLUSTERDOWN" => StoreError::unknown(cluster_down(place, text)),
        "NOAUTH" | "WRONGPASS" => {
            StoreError::refused(format!("Redis at {place} refuses the user or password of store.url: {text}"))
        }
        "Failed" if text == "Failed to route command." => later(format!("Redis at {place} is not connected")),
        "ERR" if !is_of_script(text) => StoreError::refused(format!("Redis at {place} refuses: {text}")),
        _ => return None,
    };
    Some(failed)
}

/// Only a function that ran says where in the script it failed, and may have written before.
fn is_of_script(text: &str) -> bool {
    text.contains("script:")
}

fn cluster_down(place: &str, text: &str) -> String {
    format!("the Redis Cluster at {place} is down, or a part of it: {text}")
}

pub(crate) fn later(what: String) -> StoreError {
    StoreError::RetryLater { what, after: WHILE_CHANGING }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(text: &str, effect: Effect) -> StoreError {
        of(&Error::new(ErrorKind::Unknown, text.to_owned()), effect, "redis://h:1", "u")
    }

    #[test]
    fn an_answer_that_refuses_to_run_is_a_no_for_now() {
        let texts = [
            "OOM command not allowed when used memory > 'maxmemory'.",
            "NOREPLICAS Not enough good replicas to write.",
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica.",
            "MISCONF Errors writing to the AOF file",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "Failed to route command.",
        ];
        for text in texts {
            let failed = answered(text, Effect::Writes);
            assert!(matches!(failed, StoreError::RetryLater { .. }), "{text}: {failed:?}");
            assert!(failed.to_string().contains("redis://h:1"), "{failed}");
        }
    }

    #[test]
    fn errors_of_the_system_are_told_in_words() {
        let of_system = std::io::Error::from_raw_os_error(111);
        let custom = std::io::Error::other("a \"quoted\" word");
        for (error, words) in [(of_system, "Connection refused"), (custom, "a \\\"quoted\\\" word")] {
            let failed = of(&Error::from(error), Effect::Reads, "redis://h:1", "u");
            assert_eq!(failed.to_string(), format!("Redis at redis://h:1: {words}"));
        }
        let plain = "the answer says { code: 1 } and no more";
        assert_eq!(in_words(plain), plain);
    }

    #[test]
    fn a_write_without_an_answer_is_unknown_and_a_read_is_not() {
        for kind in [ErrorKind::Timeout, ErrorKind::IO, ErrorKind::Canceled] {
            let error = Error::new(kind, "gone");
            assert!(matches!(of(&error, Effect::Writes, "p", "u"), StoreError::Unknown { .. }));
            assert!(matches!(of(&error, Effect::Reads, "p", "u"), StoreError::RetryLater { .. }));
        }
    }

    #[test]
    fn a_function_that_failed_on_its_way_may_have_written() {
        let failed =
            answered("ERR user_function:12: nil value script: laneway_append, on @user_function:12.", Effect::Writes);
        assert!(matches!(failed, StoreError::Unknown { .. }), "{failed:?}");
    }
}
