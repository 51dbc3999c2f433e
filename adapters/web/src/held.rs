//! How many bytes of forms are held while they come in: bounded over all of them, and nobody waits for a turn. So
//! whoever sends slowly holds what they have sent, and keeps nobody else from sending theirs.

use crate::interface::problem;
use laneway_http::wire::Problem;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes of forms those may hold together whom nobody knows yet: some hundred forms that sign in, at their
/// longest.
const OF_STRANGERS: usize = 4 * 1024 * 1024;

/// The bytes that are held at the moment. Those of whoever is not known take no room of those who are.
#[derive(Debug, Default)]
pub(crate) struct Held {
    known: AtomicUsize,
    strangers: AtomicUsize,
}

impl Held {
    /// Nothing yet of a form of somebody who is known: all of those hold `together` at most.
    pub(crate) const fn of_known(&self, together: usize) -> Share<'_> {
        Share { of: &self.known, together, bytes: 0 }
    }

    /// The same of somebody who is not.
    pub(crate) const fn of_stranger(&self) -> Share<'_> {
        Share { of: &self.strangers, together: OF_STRANGERS, bytes: 0 }
    }
}

/// One form's share, which is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    of: &'a AtomicUsize,
    together: usize,
    bytes: usize,
}

impl Share<'_> {
    /// So many more have come.
    ///
    /// # Errors
    /// 503 if there is no room for them.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Box<Problem>> {
        self.bytes += bytes;
        if self.of.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= self.together {
            return Ok(());
        }
        let what = "Other forms that come in take up the room that there is for them. Try again in a moment.";
        Err(problem("overloaded", 503, "Too much comes in", what))
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_hold_takes_no_room_of_others_and_is_given_back() {
        let held = Held::default();
        let mut stranger = held.of_stranger();
        assert!(stranger.grow(OF_STRANGERS).is_ok());
        assert_eq!(held.of_stranger().grow(1).unwrap_err().status, 503);
        let mut known = held.of_known(10);
        assert!(known.grow(10).is_ok());
        assert_eq!(known.grow(1).unwrap_err().status, 503);
        drop(stranger);
        assert!(held.of_stranger().grow(OF_STRANGERS).is_ok());
        drop(known);
        assert!(held.of_known(10).grow(10).is_ok());
    }
}
