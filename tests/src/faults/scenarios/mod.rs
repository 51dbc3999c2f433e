//! Each fault as a scenario: inject it some times while events flow, let all come to rest, and judge.

mod beside;
mod clock;
mod cluster;
mod disk;
mod files;
mod fleet;
mod mongodb;
mod network;
mod pages;
mod process;

pub use disk::relaxed_power_cut_losses;
pub use fleet::everysec_power_cut_losses;

use super::table::Row;
use crate::effort::scaled;
use std::future::Future;
use std::pin::Pin;

type Running = Pin<Box<dyn Future<Output = Row> + Send>>;

/// A fault that can be injected here.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is called on the command line.
    pub name: &'static str,
    /// How often in the short form, and in the long one.
    times: (usize, usize),
    run: fn(usize) -> Running,
}

impl Scenario {
    /// Does it as often as was asked for (`LANEWAY_TEST_LONG`).
    ///
    /// # Panics
    /// If what should have gone on did not.
    pub async fn run(&self) -> Row {
        (self.run)(scaled(self.times.0, self.times.1)).await
    }
}

macro_rules! scenario {
    ($name:literal, $short:literal, $long:literal, $run:path) => {
        Scenario { name: $name, times: ($short, $long), run: |times| Box::pin($run(times)) }
    };
}

/// All of them.
pub const ALL: &[Scenario] = &[
    scenario!("kill", 4, 500, process::killed),
    scenario!("kill-beside-slow", 3, 40, beside::slow),
    scenario!("kill-beside-hanging", 3, 40, beside::hanging),
    scenario!("pause", 3, 20, process::paused),
    scenario!("power-cut", 6, 100, disk::power_cut),
    scenario!("fsync", 3, 40, disk::failed_fsync),
    scenario!("full-disk", 3, 40, disk::full),
    scenario!("full-disk-restart", 2, 20, disk::restart_when_full),
    scenario!("few-files", 4, 40, files::exhausted),
    scenario!("page", 8, 400, pages::damaged),
    scenario!("receiver-cut", 5, 100, network::receiver_cut),
    scenario!("receiver-slow", 2, 20, network::receiver_slow),
    scenario!("receiver-half-open", 2, 20, network::receiver_half_open),
    scenario!("clock", 4, 30, clock::moved),
    scenario!("kill-ingest", 3, 300, fleet::ingest_killed),
    scenario!("kill-worker", 3, 50, fleet::worker_killed),
    scenario!("kill-redis", 3, 150, fleet::redis_killed),
    scenario!("pause-worker", 1, 10, fleet::worker_paused),
    scenario!("power-cut-redis", 4, 100, fleet::power_cut),
    scenario!("full-redis", 2, 20, fleet::full),
    scenario!("redis-cut", 3, 60, fleet::redis_cut),
    scenario!("redis-slow", 1, 20, fleet::redis_slow),
    scenario!("redis-half-open", 1, 20, fleet::redis_half_open),
    scenario!("redis-settings", 6, 60, fleet::settings_changed),
    scenario!("kill-primary", 1, 20, cluster::primary_killed),
    scenario!("pause-primary", 1, 20, cluster::primary_paused),
    scenario!("promoted-replica", 1, 20, cluster::wrong_replica_promoted),
    scenario!("reshard", 3, 60, cluster::resharded),
    scenario!("kill-sentinel-primary", 1, 20, cluster::sentinel_primary_killed),
    scenario!("kill-valkey", 2, 60, fleet::valkey_killed),
    scenario!("mongodb-step-down", 5, 50, mongodb::step_down),
];

/// The one of this name.
#[must_use]
pub fn named(name: &str) -> Option<Scenario> {
    ALL.iter().find(|scenario| scenario.name == name).copied()
}
