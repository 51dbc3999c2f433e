//! `[worker]`: how deliveries are driven and progress is saved.

use super::reader::Section;
use super::server::read_address;
use super::setting::Size;
use laneway_domain::Settings;
use laneway_http::check_listen;
use std::net::SocketAddr;
use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const MIB: u64 = 1 << 20;

/// The port of `worker.listen` by default: another than that of `server.listen`, so that an ingest and
/// a worker on one machine start without any configuration.
pub const DEFAULT_WORKER_PORT: u16 = 8081;
/// How long a shutdown waits for attempts in flight by default: longer than the default timeout of
/// an attempt (15 s), shorter than the 30 s after which container runtimes kill.
const DEFAULT_GRACE: Duration = Duration::from_secs(20);

/// `[worker]`: how deliveries are driven and progress is saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Where the `worker` binary answers for health, metrics and status. `laneway serve` does so on
    /// `server.listen`.
    pub listen: SocketAddr,
    /// The dispatcher's bounds. Those without a setting have their defaults.
    pub settings: Settings,
    /// How long a shutdown waits for attempts in flight.
    pub grace: Duration,
}

impl Worker {
    /// `guarded`: there are tokens (`server.tokens`), which the worker's endpoints ask for too. `connections`: the most to
    /// receivers.
    pub(super) fn read(mut section: Section<'_, '_>, guarded: bool, connections: usize) -> Self {
        let listen = read_address(&mut section, DEFAULT_WORKER_PORT);
        if !guarded && let Err(what) = check_listen(listen, &[]) {
            section.problem("listen", what);
        }
        let d = Settings::default();
        let memory = Size(d.window_bytes as u64);
        let attempts = attempts_over(connections, d.max_attempts);
        let settings = Settings {
            straggler_after: section.within("straggler_after", d.straggler_after, 10 * MILLISECOND..=HOUR),
            commit_interval: section.within("commit_interval", d.commit_interval, MILLISECOND..=10 * SECOND),
            commit_settlements: section.within("commit_settlements", d.commit_settlements, 1..=d.max_uncommitted),
            window_bytes: section.within("event_memory", memory, Size(MIB)..=Size(1 << 40)).bytes(),
            max_behind: section.within("keys_behind", d.max_behind, 1..=10_000_000),
            waiting_total: section.within("waiting_offsets", d.waiting_total, 1024..=1 << 30),
            max_attempts: section.within("attempts", attempts, 1..=1_000_000),
            ..d
        };
        let grace = section.within("grace", DEFAULT_GRACE, Duration::ZERO..=HOUR);
        section.finish();
        Self { listen, settings, grace }
    }
}

/// How many attempts one tenant may have in flight by default, over so many connections: all together have at most twice
/// as many ([`Settings::max_attempts`]), and each may take a connection. Were there more of them than connections, those
/// at one tenant's receivers that hang would take all, and the others wait for one.
fn attempts_over(connections: usize, most: usize) -> usize {
    (connections / 2).clamp(1, most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use proptest::prelude::*;

    fn attempts(text: &str) -> usize {
        Config::from_toml(text).unwrap().worker.settings.max_attempts
    }

    #[test]
    fn attempts_are_bounded_by_connections_unless_it_is_said() {
        assert_eq!(attempts("[egress]\nconnections = 1000"), 500);
        assert_eq!(attempts("[egress]\nconnections = 1000000"), Settings::default().max_attempts);
        assert_eq!(attempts("[egress]\nconnections = 1"), 1);
        assert_eq!(attempts("[egress]\nconnections = 1000\n[worker]\nattempts = 900"), 900);
        assert!(Config::from_toml("[worker]\nattempts = 0").is_err());
    }

    proptest! {
        #[test]
        fn those_of_all_tenants_find_a_connection(connections in 2_usize..2_000_000) {
            prop_assert!(2 * attempts_over(connections, Settings::default().max_attempts) <= connections);
        }
    }
}
