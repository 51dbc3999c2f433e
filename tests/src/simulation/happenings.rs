//! What a run can come through. Each of these has to be met by some seed, or the suite says little of it.

use crate::seeded::{OF_STORES, Tally};

pub(super) const CRASH: &str = "a worker is killed while none of its writes waits";
pub(super) const CRASH_LOSES: &str = "a worker is killed, and all of its writes that waited are lost";
pub(super) const CRASH_TEARS: &str = "a worker is killed, and some of its writes that waited reach the disk";
pub(super) const FAILOVER: &str = "a partition fails over, and nothing acknowledged is lost";
pub(super) const LOSSY_FAILOVER: &str = "a partition fails over, and acknowledged events are lost";
pub(super) const CLOCK_AHEAD: &str = "a worker begins with a clock that is ahead";
pub(super) const CLOCK_BEHIND: &str = "a worker begins with a clock that is behind";
pub(super) const WITHOUT: &str = "a worker begins without one of the destinations";
pub(super) const JOINS: &str = "a worker joins others";
pub(super) const STOPS: &str = "a worker is told to stop";
pub(super) const STANDS_STILL: &str = "a worker stands still";
pub(super) const LATE: &str = "an attempt was decided on before its worker stood still, and begins after";
pub(super) const CUT_OFF: &str = "a worker no longer sees the others";
pub(super) const TAKEN: &str = "a claim finds that another has the partition";
pub(super) const FENCED_COMMIT: &str = "a commit under a lease that is lost is refused";
pub(super) const FENCED_RENEWAL: &str = "the renewal of a lease that is lost is refused";
pub(super) const SENT_AGAIN: &str = "events are sent a second time";
pub(super) const FAILS: &str = "an attempt fails for now";
pub(super) const NOT_BEFORE: &str = "a failed attempt asks for a later time";
pub(super) const REJECTS: &str = "an event is rejected";
pub(super) const HANGS: &str = "an attempt takes seconds";
pub(super) const ABANDONED: &str = "an attempt is under way when its worker dies";
pub(super) const SEVERAL: &str = "an attempt has several events";
pub(super) const DUPLICATE: &str = "an event is delivered again";
pub(super) const DEAD_LETTER: &str = "dead letters are there in the end";
pub(super) const REDRIVE: &str = "the retry of a dead letter is asked for";
pub(super) const REPLAY: &str = "a replay is asked for";
pub(super) const REPLAY_AT_THE_END: &str = "a replay is asked for in the end, and everything has to come again";
pub(super) const CHOOSE: &str = "a replay with a selection is asked for";
pub(super) const CANCEL: &str = "a replay with a selection is ended before it is done";
pub(super) const REPLAYED: &str = "an attempt is one of a replay with a selection";
pub(super) const CHOOSE_AT_THE_END: &str = "in the end some events are chosen, and just these have to come once more";
pub(super) const EXPIRED: &str = "events had waited for too long, and expired";
pub(super) const TRIMMED: &str = "the log is trimmed";

/// A tally of all these.
pub(super) fn tally() -> Tally {
    let of_workers = [CRASH, CRASH_LOSES, CRASH_TEARS, CLOCK_AHEAD, CLOCK_BEHIND, WITHOUT, JOINS, STOPS, STANDS_STILL];
    let of_leases = [FAILOVER, LOSSY_FAILOVER, CUT_OFF, TAKEN, FENCED_COMMIT, FENCED_RENEWAL];
    let of_attempts = [LATE, FAILS, NOT_BEFORE, REJECTS, HANGS, ABANDONED, SEVERAL, DUPLICATE];
    let of_events = [SENT_AGAIN, DEAD_LETTER, REDRIVE, REPLAY, REPLAY_AT_THE_END, EXPIRED, TRIMMED];
    let of_replays = [CHOOSE, CANCEL, REPLAYED, CHOOSE_AT_THE_END];
    let of_work = of_workers.into_iter().chain(of_leases).chain(of_attempts);
    Tally::of(OF_STORES.into_iter().chain(of_work).chain(of_events).chain(of_replays))
}
