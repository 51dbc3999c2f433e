//! The contract of the log, on a single server that is killed to reopen it, and on a Cluster. (That
//! of progress, leases, dead letters and workers is in `progress_contract`.)

#[path = "../support/mod.rs"]
mod support;

mod single {
    use super::support::subject::Single;
    laneway_ports::event_log_contract!(Single, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
}

mod cluster {
    use super::support::subject::Clustered;
    laneway_ports::event_log_contract!(Clustered, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
}
