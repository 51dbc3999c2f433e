//! What each end of an attempt means.
//!
//! [`End::meaning`] is the one table that says it. Adapters only map what they met (a status, an error of
//! their driver) onto an [`End`]; the dispatcher only does what the table says. Nothing else decides whether
//! an event is delivered, whose retries a failure spends, or whether it counts as an outage.

use std::time::Duration;

/// How often in a row an event may be sent again without a cost after the receiver provably processed
/// nothing. A receiver that refuses streams while it restarts is through with it after one or two; one that
/// goes on refusing is failing, and its refusals then count like any failure.
pub const MAX_FREE_RESENDS: u8 = 3;
/// How long an event waits after this machine lacked a resource for its attempt. Files come free when other
/// attempts end, which takes about that long; to try again sooner would only spin.
pub const SHORTAGE_PAUSE: Duration = Duration::from_secs(1);
/// How long an adapter may wait for the rest of an answer whose final status it has. The status stands
/// whatever the rest is; a second is enough for a body that is on its way, and an endless one costs a
/// key no more than that.
pub const REST_OF_ANSWER: Duration = Duration::from_secs(1);

/// Why an attempt failed in a way that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The receiver gave a final answer that is neither a success nor a refusal of this very event for good.
    Refused,
    /// No connection came about: look-up, a forbidden address, TCP, TLS, login.
    NotConnected,
    /// The request may have been sent and no final answer came: a timeout, a broken connection, nonsense
    /// in place of an answer. Nobody knows whether it was processed.
    Unanswered,
    /// A reused connection was closed before any byte of an answer. Most likely it was idle for too long
    /// for the receiver; but an event that kills its receiver looks the same.
    StaleConnection,
    /// The receiver said that it has not processed the request (HTTP/2: `REFUSED_STREAM`, or a `GOAWAY` whose
    /// last stream is below this one).
    Unprocessed,
    /// No connection or stream came free within the time for waiting for one. Nothing was sent.
    Queued,
    /// This machine had no file descriptor, port or buffer left for the attempt. Nothing was sent.
    Shortage,
    /// Laneway itself failed: a sink that panicked, gave no outcome, or is missing.
    Broken,
}

impl Cause {
    /// Every cause, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::Refused,
        Self::NotConnected,
        Self::Unanswered,
        Self::StaleConnection,
        Self::Unprocessed,
        Self::Queued,
        Self::Shortage,
        Self::Broken,
    ];

    /// What it means.
    #[must_use]
    pub const fn meaning(self) -> Meaning {
        End::Failed(self).meaning()
    }
}

/// How an attempt at one event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// The receiver confirmed the event.
    Delivered,
    /// The receiver refused this very event for good.
    Rejected,
    /// The receiver is gone for good (HTTP 410).
    Gone,
    /// Not tried: an earlier event of its key failed in the same batch, or the lease was over before it could be sent.
    NotTried,
    /// It failed, and may work later.
    Failed(Cause),
}

/// Whose doing an attempt's end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// The receiver's: it has said so.
    Receiver,
    /// The network's, or nobody can tell whose.
    Network,
    /// Laneway's, or that of the machine that it runs on.
    Ourselves,
}

/// How soon the event may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It is settled, or waits for something else than time.
    No,
    /// After the delay of its retry policy.
    AfterBackoff,
    /// At once, at most so often in a row. After that it counts, and waits, like any failure.
    AtOnce {
        /// How often in a row.
        most: u8,
        /// Whether it has to go over a connection that was never used before.
        fresh: bool,
    },
    /// After this pause, however often.
    AfterPause(Duration),
}

/// What an end means: a row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// Whether the event is delivered.
    pub delivered: bool,
    /// Whose doing it is.
    pub doing: Doing,
    /// How soon it may be sent again.
    pub again: Again,
    /// Whether it spends one of the event's retries (where `again` gives free resends: once they are used up).
    pub counts_for_event: bool,
    /// Whether it is a failure of the destination, for its breaker (the same).
    pub counts_for_destination: bool,
    /// Whether it shows that the destination is there, which closes its breaker.
    pub alive: bool,
    /// How long the adapter may still wait for the rest of the answer; what comes of that changes nothing.
    pub rest: Duration,
}

impl End {
    /// Every end, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        let settled = [Self::Delivered, Self::Rejected, Self::Gone, Self::NotTried];
        settled.into_iter().chain(Cause::ALL.into_iter().map(Self::Failed))
    }

    /// The table.
    #[must_use]
    pub const fn meaning(self) -> Meaning {
        let (doing, again, counts_for_event, counts_for_destination) = match self {
            Self::Delivered | Self::Rejected | Self::Gone => (Doing::Receiver, Again::No, false, false),
            Self::NotTried => (Doing::Ourselves, Again::No, false, false),
            Self::Failed(cause) => match cause {
                Cause::Refused => (Doing::Receiver, Again::AfterBackoff, true, true),
                Cause::NotConnected | Cause::Unanswered => (Doing::Network, Again::AfterBackoff, true, true),
                Cause::StaleConnection => (Doing::Network, Again::AtOnce { most: 1, fresh: true }, true, true),
                Cause::Unprocessed => {
                    (Doing::Receiver, Again::AtOnce { most: MAX_FREE_RESENDS, fresh: false }, true, true)
                }
                Cause::Queued => (Doing::Receiver, Again::AtOnce { most: MAX_FREE_RESENDS, fresh: false }, true, true),
                Cause::Shortage => (Doing::Ourselves, Again::AfterPause(SHORTAGE_PAUSE), false, false),
                // An event on which a sink panics has to run into its limit; the destination did nothing wrong.
                Cause::Broken => (Doing::Ourselves, Again::AfterBackoff, true, false),
            },
        };
        let answered = matches!(self, Self::Delivered | Self::Rejected | Self::Gone | Self::Failed(Cause::Refused));
        Meaning {
            delivered: matches!(self, Self::Delivered),
            doing,
            again,
            counts_for_event,
            counts_for_destination,
            alive: matches!(self, Self::Delivered | Self::Rejected),
            rest: if answered { REST_OF_ANSWER } else { Duration::ZERO },
        }
    }
}

/// What the free resends of a key's first event have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resends {
    /// In a row, of any cause.
    spent: u8,
    /// Whether the next attempt needs a connection that was never used before.
    pub(crate) fresh: bool,
}

impl Resends {
    /// Of an event that was never sent.
    pub(crate) const fn fresh() -> Self {
        Self { spent: 0, fresh: false }
    }

    /// Whether an attempt that ended so costs nothing: it is repeated at once, or after a pause.
    pub(crate) const fn is_free(self, cause: Cause) -> bool {
        match cause.meaning().again {
            Again::AtOnce { most, .. } => self.spent < most,
            Again::AfterPause(_) => true,
            Again::No | Again::AfterBackoff => false,
        }
    }

    /// Spends a free one. Returns the pause before it.
    ///
    /// # Panics
    /// If there is none left.
    pub(crate) fn spend(&mut self, cause: Cause) -> Duration {
        assert!(self.is_free(cause), "{cause:?} was repeated although it counts");
        match cause.meaning().again {
            Again::AfterPause(pause) => pause,
            again => {
                self.spent += 1;
                self.fresh = matches!(again, Again::AtOnce { fresh: true, .. });
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table once more, as a person would write it down. A change of a row has to be made in both places.
    #[test]
    fn every_end_means_what_the_design_says() {
        let backoff = Again::AfterBackoff;
        let once = Again::AtOnce { most: 1, fresh: true };
        let thrice = Again::AtOnce { most: 3, fresh: false };
        let pause = Again::AfterPause(Duration::from_secs(1));
        // delivered, whose doing, again, event, destination, alive, seconds for the rest
        let expected = [
            (End::Delivered, (true, Doing::Receiver, Again::No, false, false, true, 1)),
            (End::Rejected, (false, Doing::Receiver, Again::No, false, false, true, 1)),
            (End::Gone, (false, Doing::Receiver, Again::No, false, false, false, 1)),
            (End::NotTried, (false, Doing::Ourselves, Again::No, false, false, false, 0)),
            (End::Failed(Cause::Refused), (false, Doing::Receiver, backoff, true, true, false, 1)),
            (End::Failed(Cause::NotConnected), (false, Doing::Network, backoff, true, true, false, 0)),
            (End::Failed(Cause::Unanswered), (false, Doing::Network, backoff, true, true, false, 0)),
            (End::Failed(Cause::StaleConnection), (false, Doing::Network, once, true, true, false, 0)),
            (End::Failed(Cause::Unprocessed), (false, Doing::Receiver, thrice, true, true, false, 0)),
            (End::Failed(Cause::Queued), (false, Doing::Receiver, thrice, true, true, false, 0)),
            (End::Failed(Cause::Shortage), (false, Doing::Ourselves, pause, false, false, false, 0)),
            (End::Failed(Cause::Broken), (false, Doing::Ourselves, backoff, true, false, false, 0)),
        ];
        let table = End::all().map(|end| {
            let row = end.meaning();
            let counts = (row.counts_for_event, row.counts_for_destination);
            (end, (row.delivered, row.doing, row.again, counts.0, counts.1, row.alive, row.rest.as_secs()))
        });
        assert_eq!(table.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn free_resends_of_all_causes_together_come_to_an_end() {
        let mut resends = Resends::default();
        resends.spend(Cause::StaleConnection);
        assert!(resends.fresh && !resends.is_free(Cause::StaleConnection));
        resends.spend(Cause::Unprocessed);
        assert!(!resends.fresh);
        resends.spend(Cause::Queued);
        for cause in Cause::ALL {
            assert_eq!(resends.is_free(cause), cause == Cause::Shortage, "{cause:?}");
        }
    }
}
