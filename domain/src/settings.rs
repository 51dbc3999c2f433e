//! The dispatcher's bounds. Each has a default and its reason.

use std::time::Duration;

/// Bounds of memory, time and repetition; the same for all lanes of a worker process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long an attempt may hold the contiguous settled prefix back before its key is recorded
    /// as behind, so that a crash repeats at most about that much of the other keys' work.
    pub straggler_after: Duration,
    /// Progress is committed this long after the first settlement that is not. A lane may hold the
    /// position that lanes share back for so long as well; then it gets one of its own. That is so much
    /// of the other destinations' work that a crash may repeat because of it, and long enough that lanes
    /// whose attempts come back at once go on sharing, so that a commit stays one number.
    pub commit_interval: Duration,
    /// Or after this many settlements: what a crash may repeat, per partition, besides what was in flight.
    pub commit_settlements: usize,
    /// At this many settlements by attempts without a stored commit a partition starts no further attempts. At this many
    /// others, as of what expires, that are to go into one commit, lanes settle no more of what waits until there is another.
    pub max_uncommitted: usize,
    /// Bytes of events that a commit copies as dead letters ([`crate::Event::weight`]), and at most one attempt's
    /// more. The store copies them in one atomic step and does nothing else meanwhile; so many take some milliseconds.
    pub commit_dead_letter_bytes: usize,
    /// Events that one lane holds in memory with their data, waiting or in flight. Large enough to
    /// keep 64 attempts busy while the next chunk is read.
    pub window_events: usize,
    /// The same in bytes, for all lanes of the process together; each busy lane has an equal share,
    /// and at least one event. What is fetched of keys behind counts too.
    pub window_bytes: usize,
    /// Events of one key that may wait among those of other keys. A key with more is recorded as
    /// behind: a busy key must not fill its lane's window.
    pub window_events_per_key: usize,
    /// Keys behind, per lane. At the cap the lane looks at no further events.
    pub max_behind: usize,
    /// Offsets remembered per key that is behind. What comes after is found again in the log.
    pub waiting_per_key: usize,
    /// Offsets remembered for all keys behind of the process (32 bytes each).
    pub waiting_total: usize,
    /// Events per read of the log.
    pub read_events: usize,
    /// Bytes per read of the log.
    pub read_bytes: usize,
    /// Attempts that the destinations of one tenant that answer may have in flight together, or those that do not, or
    /// the operator's, where nobody else has any; all together at most twice as many (dynamic thresholds). Each takes a
    /// connection or a stream, and its event's memory: as many as a process with the usual limit on open files and
    /// common events can have. Where there are fewer than twice as many connections, it is to be half of those: else
    /// one tenant's receivers that hang take them all.
    pub max_attempts: usize,
    /// The same of reads that lanes make for themselves: enough to keep a store busy, and few enough that one who has little
    /// to read waits for milliseconds only.
    pub max_reads: usize,
    /// How often a lane looks for what has waited for too long ([`crate::Destination::max_age`]), and so how late an
    /// event may expire: often enough for a limit of seconds, and seldom enough that ten thousand abandoned
    /// destinations are no work.
    pub expire_every: Duration,
    /// How far ahead a lane sets its timer for that, at most. A timer outlives its lane, and lanes come and go with what
    /// they have to do: so none leaves more than this divided by `expire_every`.
    pub expire_ahead: Duration,
    /// Keys that a lane settles such events of in one step; the others follow at once, after what else there is to do.
    pub expire_keys: usize,
    /// Whether commits tell what attempts met ([`crate::History`]).
    pub history: bool,
    /// Whether it is checked after each input that the state is what it is said to be
    /// ([`crate::Dispatcher::check`]). That looks at every key in memory: for tests.
    pub check_state: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            straggler_after: Duration::from_secs(1),
            commit_interval: Duration::from_millis(25),
            commit_settlements: 512,
            max_uncommitted: 4096,
            commit_dead_letter_bytes: 4 << 20,
            window_events: 256,
            window_bytes: 64 << 20,
            window_events_per_key: 64,
            max_behind: 100_000,
            waiting_per_key: 1024,
            waiting_total: 1 << 18,
            read_events: 256,
            read_bytes: 1 << 20,
            max_attempts: 8192,
            max_reads: 32,
            expire_every: Duration::from_secs(1),
            expire_ahead: Duration::from_secs(60),
            expire_keys: 1024,
            history: true,
            check_state: false,
        }
    }
}
