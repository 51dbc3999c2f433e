//! The files that the process may have open: what they are for, and that there are enough.
//!
//! Every connection takes one, in and out, and so do the store and the log. A process that runs out of them can neither
//! accept nor store nor deliver. So the soft limit is raised to the hard one at the start, and the rest is shared out.

use rustix::process::{Resource, Signal, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Kept for the store, for health checks, for looking names up, and for what the runtime and the system's libraries open.
const OWN: u64 = 128;
/// The least that is left for connections to receivers, however few files there are.
const LEAST: u64 = 16;

/// How the files of a process are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// The most connections that are accepted.
    pub accepted: usize,
    /// The most connections to receivers.
    pub to_receivers: usize,
}

/// Raises the process's limit of open files as far as it may by itself. Where that fails, the limit stays.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit });
        if let Err(error) = raised {
            tracing::debug!(%error, "the limit of open files stays as it is");
        }
    }
}

/// Lets a write beyond the limit of file sizes (`ulimit -f`, `LimitFSIZE=` of systemd) fail with EFBIG. Without this the
/// system ends the process (SIGXFSZ), where a full disk is something that the store knows how to wait for. Holds from
/// the first call on for the rest of the process; within the async runtime.
pub fn survive_large_files() {
    if let Err(error) = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())) {
        tracing::warn!(%error, "SIGXFSZ is not ignored: a limit of file sizes would end the process");
    }
}

/// How many files the process may have open.
#[must_use]
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Shares `limit` files out where `accepted` connections are wanted: those who bring events get what they are meant to
/// have, but not more than half where there are few.
#[must_use]
pub fn shares(limit: u64, accepted: usize) -> Shares {
    let free = limit.saturating_sub(OWN).max(2 * LEAST);
    let accepted = (accepted as u64).min(free / 2);
    let size = |files: u64| usize::try_from(files).unwrap_or(usize::MAX);
    Shares { accepted: size(accepted), to_receivers: size(free - accepted) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_usual_limits_leave_enough_for_both() {
        assert_eq!(shares(1024, 512), Shares { accepted: 448, to_receivers: 448 });
        assert_eq!(shares(4096, 512), Shares { accepted: 512, to_receivers: 3456 });
        assert_eq!(shares(0, 512), Shares { accepted: 16, to_receivers: 16 });
    }

    proptest! {
        #[test]
        fn what_is_shared_out_is_there(limit in 160_u64..10_000_000, accepted in 1_usize..1_000_000) {
            let shares = shares(limit, accepted);
            prop_assert!(shares.accepted <= accepted);
            prop_assert!(shares.accepted as u64 + shares.to_receivers as u64 + OWN <= limit);
            prop_assert!(shares.accepted > 0 && shares.to_receivers >= 16);
        }
    }
}
