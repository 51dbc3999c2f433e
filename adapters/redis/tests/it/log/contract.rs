//! The contract of the log, on a single server that is killed to reopen it, and on a Cluster. (That
//! of progress, leases, dead letters and workers is in `progress_contract`.)

mod single {
    use crate::support::subject::Single;
    laneway_ports::event_log_contract!(Single, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
}

mod cluster {
    use crate::support::subject::Clustered;
    laneway_ports::event_log_contract!(Clustered, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
}
