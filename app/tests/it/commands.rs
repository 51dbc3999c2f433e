//! The commands against the real API over the reference store: both sides mean the same.

use clap::Parser as _;
use laneway_app::cli::{Cli, EXIT_FAILED, EXIT_REFUSED, Failure, run};
use laneway_app::config::Given;
use laneway_domain::{Offset, Partition};
use laneway_http::{Api, Limits, Token, router, serve};
use laneway_memory::{Disk, MemoryStore, Settings};
use laneway_ports::{EventLog, LogRecord};
use std::io::Write as _;
use std::sync::Arc;
use tokio::net::TcpListener;

const TOKEN: &str = "a-token-for-the-test";

struct Running {
    store: Arc<MemoryStore>,
    source: Given,
}

/// A server without a worker; it ends with the test's runtime.
async fn start() -> Running {
    let store = Arc::new(MemoryStore::open(Disk::new(1), Settings::default()));
    let limits = Limits { event_bytes: 1024, batch_bytes: 4096, batch_events: 20, ..Limits::default() };
    let api = Api {
        log: Some(store.clone()),
        dead_letters: store.clone(),
        lookup: None,
        operations: None,
        destinations: None,
        token_admin: None,
        tenant_admin: None,
        tenant_door: None,
        metrics: Arc::new(String::new),
        spans: None,
        limits: limits.clone().into(),
        tokens: Token::new(TOKEN).into_iter().collect::<Vec<_>>().into(),
        tenants: laneway_http::CurrentActBounds::default(),
        hosts: laneway_http::Hosts::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, router(api), limits, std::future::pending()));
    let source = Given::default().with_var("LANEWAY_URL", &url).with_var("LANEWAY_TOKEN", TOKEN);
    Running { store, source }
}

impl Running {
    async fn run(&self, args: &[&str]) -> Result<(), Failure> {
        let args = std::iter::once("laneway").chain(args.iter().copied());
        run(Cli::try_parse_from(args).unwrap(), &self.source).await
    }

    /// The ids that the log holds, in order.
    async fn ids(&self) -> Vec<String> {
        let chunk = self.store.read(Partition(0), Offset::ZERO, 10_000, usize::MAX).await.unwrap();
        let id = |record: &LogRecord| match record {
            LogRecord::Event(event) => event.event.id.to_string(),
            LogRecord::Corrupt { reason, .. } => panic!("{reason}"),
        };
        chunk.records.iter().map(id).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_stored_in_order_but_for_the_lines_that_are_refused() {
    let server = start().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut expected = Vec::new();
    for n in 1..=300 {
        let line = match n {
            50 => r#"{"type":"t","unknown":1}"#.to_owned(),
            51 => r#"{"type":"","data":1}"#.to_owned(),
            120 => format!(r#"{{"type":"t","data":"{}"}}"#, "x".repeat(2000)),
            121 => format!(r#"{{"type":"t","data":"{}"}}"#, "x".repeat(9000)),
            200 => "[".to_owned(),
            _ => {
                expected.push(format!("r-{n}"));
                format!(r#"{{"type":"t","key":"k","data":{n}}}"#)
            }
        };
        writeln!(file, "{line}").unwrap();
    }
    let path = file.path().to_str().unwrap();
    let failure = server.run(&["send", path, "--run", "r", "--batch", "64"]).await.unwrap_err();
    assert_eq!((failure.code, failure.what.as_str()), (EXIT_REFUSED, ""));
    assert_eq!(server.ids().await, expected);
    // Once more with the same run: nothing is stored twice.
    assert_eq!(server.run(&["send", path, "--run", "r"]).await.unwrap_err().code, EXIT_REFUSED);
    assert_eq!(server.ids().await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_plainly() {
    let server = start().await;
    server.run(&["dead-letters", "list"]).await.unwrap();
    for args in [
        &["dead-letters", "retry", "--destination", "a"][..],
        &["dead-letters", "discard", "--destination", "a", "--event", "e", "--yes"],
        &["dead-letters", "show", "a", "e"],
        &["keys", "retry", "a", "k"],
        &["destinations", "resume", "a"],
        &["status"],
        &["status", "--token", "wrong"],
    ] {
        let failure = server.run(args).await.unwrap_err();
        assert_eq!(failure.code, EXIT_FAILED, "{args:?}: {failure}");
        assert!(!failure.what.contains("something else than"), "{args:?}: {failure}");
    }
}
