//! Spans on their way to a collector that is well, slow, away, or refuses.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod collector;

use collector::{Collector, span};
use laneway_otlp::{Endpoint, Exporter, MAX_QUEUED, OtlpConfig, Sending, exporter};
use laneway_ports::Spans as _;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long something may take that takes next to no time, on a machine that is busy.
const SOON: Duration = Duration::from_secs(60);

struct Running {
    exporter: Exporter,
    stop: watch::Sender<bool>,
    sending: JoinHandle<()>,
    metrics: PrometheusHandle,
}

fn made(url: &str) -> (Exporter, Sending, PrometheusHandle) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let endpoint = Endpoint::new(url).unwrap().with_header("x-api-key", "hunter2").unwrap();
    let config = OtlpConfig { endpoint, ratio: 0.0, resource: vec![("service.name", "laneway".into())] };
    let (exporter, sending) = metrics::with_local_recorder(&recorder, || exporter(config)).unwrap();
    (exporter, sending, metrics)
}

fn start(url: &str) -> Running {
    let (exporter, sending, metrics) = made(url);
    let (stop, stopped) = watch::channel(false);
    Running { exporter, stop, sending: tokio::spawn(sending.run(stopped)), metrics }
}

impl Running {
    async fn finish(self) -> String {
        self.stop.send_replace(true);
        timeout(SOON, self.sending).await.expect("a shutdown ends").unwrap();
        self.metrics.render()
    }
}

fn count(page: &str, series: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    line.unwrap_or(0)
}

const EXPORTED: &str = "laneway_spans_exported_total ";
const OF_THE_COLLECTOR: &str = "laneway_spans_dropped_total{reason=\"collector\"} ";
const OF_THE_QUEUE: &str = "laneway_spans_dropped_total{reason=\"queue-full\"} ";

#[tokio::test]
async fn spans_arrive_with_the_headers_of_the_configuration() {
    let collector = Collector::start().await;
    let running = start(&collector.url);
    (0..3).for_each(|n| running.exporter.record(span(n)));
    let spans = timeout(SOON, collector.spans(3)).await.expect("the spans arrive");
    assert_eq!(spans.iter().map(|span| span.span_id[7]).collect::<Vec<_>>(), [0, 1, 2]);
    let seen = collector.seen();
    assert_eq!(seen[0].content_type, "application/x-protobuf");
    assert_eq!((seen[0].path.as_str(), seen[0].key.as_str()), ("/v1/traces", "hunter2"));
    let page = running.finish().await;
    assert_eq!((count(&page, EXPORTED), count(&page, OF_THE_COLLECTOR)), (3, 0), "{page}");
}

#[tokio::test]
async fn what_waits_at_a_shutdown_is_sent() {
    let collector = Collector::start().await;
    let running = start(&collector.url);
    (0..1000).for_each(|n| running.exporter.record(span(n)));
    let page = running.finish().await;
    assert_eq!((collector.spans(1000).await.len(), count(&page, EXPORTED)), (1000, 1000), "{page}");
}

#[tokio::test]
async fn a_collector_that_asks_for_time_gets_the_same_spans_later() {
    let collector = Collector::start().await;
    for status in [429, 503, 502] {
        collector.answer_once(status);
    }
    let running = start(&collector.url);
    running.exporter.record(span(7));
    let spans = timeout(SOON, collector.spans(1)).await.expect("the span arrives after all");
    assert_eq!((spans[0].span_id[7], collector.seen().len()), (7, 4));
    let page = running.finish().await;
    assert_eq!((count(&page, EXPORTED), count(&page, OF_THE_COLLECTOR)), (1, 0), "{page}");
}

#[tokio::test]
async fn what_a_collector_refuses_is_dropped_and_counted() {
    let collector = Collector::start().await;
    collector.answer_once(400);
    let running = start(&collector.url);
    running.exporter.record(span(1));
    timeout(SOON, collector.requests(1)).await.expect("it is asked");
    // The next one is a request of its own, and part of it is refused.
    collector.refuse_of_each(1);
    (2..4).for_each(|n| running.exporter.record(span(n)));
    timeout(SOON, collector.spans(2)).await.expect("it goes on");
    let page = running.finish().await;
    assert_eq!((count(&page, EXPORTED), count(&page, OF_THE_COLLECTOR)), (1, 2), "{page}");
}

#[tokio::test]
async fn a_collector_that_is_away_or_hangs_makes_nobody_wait_and_no_memory_grow() {
    let hanging = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    for url in [format!("http://{}", hanging.local_addr().unwrap()), format!("http://{closed}")] {
        let running = start(&url);
        let offered = 3 * MAX_QUEUED as u64;
        // Nobody who records a span waits: no await is in between.
        (0..offered).for_each(|n| running.exporter.record(span(n)));
        let page = running.finish().await;
        let (exported, lost) = (count(&page, EXPORTED), count(&page, OF_THE_COLLECTOR));
        let full = count(&page, OF_THE_QUEUE);
        assert_eq!((exported, lost + full), (0, offered), "{url}: {page}");
        assert_eq!(full, offered - MAX_QUEUED as u64, "{url}: {page}");
    }
}
