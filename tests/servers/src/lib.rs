//! Real servers that tests start and end, each on a free port of 127.0.0.1 with a data folder of its own.

pub mod mongodb;
pub mod redis;
pub mod redis_cluster;
mod resp;
