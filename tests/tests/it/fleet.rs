//! Several ingests and workers over one Redis, or a Cluster, with the real binaries.

mod backup;
mod cluster;
mod early;
mod isolation;
mod kills;
mod operators;
mod refusals;
pub(crate) mod scene;
mod told;
mod trouble;
mod upgrade;
mod zombies;
