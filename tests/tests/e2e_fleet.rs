//! Several ingests and workers over one Redis, or a Cluster, with the real binaries.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails, with the place")]

#[path = "fleet/cluster.rs"]
mod cluster;
#[path = "fleet/isolation.rs"]
mod isolation;
#[path = "fleet/kills.rs"]
mod kills;
#[path = "fleet/operators.rs"]
mod operators;
#[path = "fleet/refusals.rs"]
mod refusals;
#[path = "fleet/scene.rs"]
mod scene;
#[path = "fleet/trouble.rs"]
mod trouble;
#[path = "fleet/zombies.rs"]
mod zombies;
