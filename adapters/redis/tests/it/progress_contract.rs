//! Progress, leases, dead letters, workers, tokens and the registry of destinations on one server and on a Cluster of
//! six nodes: what the ports promise.

mod single {
    use crate::support::subject::Single;
    laneway_ports::progress_store_contract!(Single, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
    laneway_ports::dead_letters_contract!(Single, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
    laneway_ports::history_contract!(Single, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
    laneway_ports::extent_contract!(Single, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
    laneway_ports::workers_contract!(Single, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
    laneway_ports::registry_contract!(Single, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
    laneway_ports::tokens_contract!(Single, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
    laneway_ports::tenants_contract!(Single, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
}

mod cluster {
    use crate::support::subject::Clustered;
    laneway_ports::progress_store_contract!(Clustered, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
    laneway_ports::dead_letters_contract!(Clustered, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
    laneway_ports::history_contract!(Clustered, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
    laneway_ports::extent_contract!(Clustered, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
    laneway_ports::workers_contract!(Clustered, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
    laneway_ports::registry_contract!(Clustered, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
    laneway_ports::tokens_contract!(Clustered, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
    laneway_ports::tenants_contract!(Clustered, #[tokio::test(flavor = "multi_thread", worker_threads = 1)]);
}
