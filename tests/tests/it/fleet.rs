//! Several ingests and workers over one Redis, or a Cluster, with the real binaries.

mod cluster;
mod isolation;
mod kills;
mod operators;
mod refusals;
mod scene;
mod trouble;
mod upgrade;
mod zombies;
