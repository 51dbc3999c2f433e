//! Changes of dead letters, by their numbers.

use crate::failure::Failed;
use crate::request::Tx;

/// What an operator wants of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeadChange {
    /// Attempt them once more.
    Retry,
    /// Nobody wants them retried any more: they cannot be.
    Withdraw,
    /// Remove them for good.
    Discard,
}

/// Changes the dead letters with these numbers, as far as they are still there, and returns how
/// many. Numbers are never used twice, so that no other dead letter is met by mistake.
pub(crate) fn change_dead(tx: &Tx<'_>, change: DeadChange, numbers: &[i64]) -> Result<u64, Failed> {
    let mut stmt = tx.conn.prepare_cached(match change {
        DeadChange::Retry => "UPDATE dead_letter SET retry_requested = 1 WHERE number = ?1",
        DeadChange::Withdraw => "UPDATE dead_letter SET retry_requested = 0 WHERE number = ?1",
        DeadChange::Discard => "DELETE FROM dead_letter WHERE number = ?1",
    })?;
    let mut changed = 0;
    for number in numbers {
        changed += stmt.execute([number])? as u64;
    }
    Ok(changed)
}
