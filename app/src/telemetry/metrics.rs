//! The metrics: their names, what they count, and the recorder that keeps them. Those of destinations are kept in
//! [`destinations`](super::destinations).

use laneway_otlp::{DROPPED, EXPORTED};
use laneway_sqlite::{LOG_BYTES, LOG_HELD};
use metrics::Unit;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// Which release runs.
pub const BUILD_INFO: &str = "laneway_build_info";
/// Whether the process can do its work.
pub const READY: &str = "laneway_ready";
/// Events stored, duplicates apart.
pub const EVENTS_ACCEPTED: &str = "laneway_events_accepted_total";
/// Events whose id was known.
pub const DUPLICATES: &str = "laneway_duplicates_total";
/// Requests with events, by status.
pub const INGEST_REQUESTS: &str = "laneway_ingest_requests_total";
/// Requests with events that were refused, by reason.
pub const INGEST_REJECTED: &str = "laneway_ingest_rejected_total";
/// Attempts, by destination and outcome.
pub const DELIVERIES: &str = "laneway_deliveries_total";
/// How long attempts take.
pub const DELIVERY_SECONDS: &str = "laneway_delivery_seconds";
/// From accepted to delivered.
pub const END_TO_END_SECONDS: &str = "laneway_end_to_end_seconds";
/// From the request to the answer.
pub const INGEST_SECONDS: &str = "laneway_ingest_seconds";
/// How long commits of progress take.
pub const COMMIT_SECONDS: &str = "laneway_commit_seconds";
/// Commits that failed.
pub const COMMITS_FAILED: &str = "laneway_commits_failed_total";
/// Events not settled.
pub const PENDING_EVENTS: &str = "laneway_pending_events";
/// Attempts under way.
pub const IN_FLIGHT: &str = "laneway_in_flight";
/// Keys whose first unsettled event failed.
pub const BLOCKED_KEYS: &str = "laneway_blocked_keys";
/// Keys behind their lane.
pub const KEYS_BEHIND: &str = "laneway_keys_behind";
/// Dead letters kept.
pub const DEAD_LETTERS: &str = "laneway_dead_letters";
/// Events that expired.
pub const EXPIRED_EVENTS: &str = "laneway_expired_events";
/// Whether the breaker is open.
pub const BREAKER_OPEN: &str = "laneway_breaker_open";
/// Whether the destination is paused.
pub const PAUSED: &str = "laneway_destination_paused";
/// Events that went with their destination.
pub const DROPPED_EVENTS: &str = "laneway_dropped_events_total";
/// Records that could not be read.
pub const QUARANTINED: &str = "laneway_quarantined_records_total";
/// Partitions leased.
pub const PARTITIONS_LEASED: &str = "laneway_partitions_leased";

/// Whether a server of Redis gets no events.
pub const SERVER_UNSAFE: &str = "laneway_store_server_unsafe";
/// Until when a certificate holds.
pub const CERTIFICATE_EXPIRES: &str = "laneway_certificate_expires_timestamp_seconds";
/// How often the store lost events.
pub const LOG_LOSSES: &str = "laneway_log_losses_total";
/// Events that the store lost.
pub const LOST_EVENTS: &str = "laneway_lost_events_total";
/// How old the oldest waiting event is.
pub const OLDEST_EVENT: &str = "laneway_oldest_event_age_seconds";
/// When the destination will have caught up.
pub const CAUGHT_UP_IN: &str = "laneway_caught_up_in_seconds";
/// Operational events appended.
pub const OPERATIONAL_EVENTS: &str = "laneway_operational_events_total";
/// Operational events that were lost.
pub const OPERATIONAL_DROPPED: &str = "laneway_operational_events_dropped_total";

/// Upper bounds of the buckets of every latency, in seconds: 0.1 ms to 60 s, about 2.3 times apart.
pub(super) const LATENCY_BUCKETS: [f64; 18] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Latency,
}
use Kind::{Counter, Gauge, Latency};

/// Every metric: name, kind, what it says (with its labels).
const ALL: [(&str, Kind, &str); 35] = [
    (BUILD_INFO, Gauge, "Always 1; label version says which release runs."),
    (READY, Gauge, "1 while the process can do its work, as /readyz says."),
    (EVENTS_ACCEPTED, Counter, "Events stored, duplicates apart."),
    (LOG_BYTES, Gauge, "Bytes of the write-ahead log's file (SQLite)."),
    (LOG_HELD, Gauge, "1 while another program's read transaction keeps the write-ahead log from beginning anew."),
    (INGEST_REQUESTS, Counter, "Requests with events; label status."),
    (INGEST_REJECTED, Counter, "Requests with events that were not answered 202; label reason."),
    (DUPLICATES, Counter, "Events whose id was known, answered with the first one's place."),
    (
        DELIVERIES,
        Counter,
        "Attempts that ended, per event; labels destination and outcome (delivered, retry, rejected, gone, not-tried).",
    ),
    (DELIVERY_SECONDS, Latency, "How long attempts take; label destination."),
    (END_TO_END_SECONDS, Latency, "From the acceptance of an event to its delivery; label destination."),
    (INGEST_SECONDS, Latency, "From a request with events to its answer."),
    (COMMIT_SECONDS, Latency, "How long commits of progress take."),
    (COMMITS_FAILED, Counter, "Commits of progress that failed and are made again."),
    (PENDING_EVENTS, Gauge, "Events not settled yet; label destination."),
    (OLDEST_EVENT, Gauge, "Age of the oldest event that waits, 0 if none does; label destination."),
    (
        CAUGHT_UP_IN,
        Gauge,
        "When nothing will wait any more at the rate of the last minutes, +Inf if it does not become fewer; label destination.",
    ),
    (IN_FLIGHT, Gauge, "Attempts under way; label destination."),
    (BLOCKED_KEYS, Gauge, "Keys that wait for their first unsettled event, which has failed; label destination."),
    (KEYS_BEHIND, Gauge, "Keys that are recorded as behind their lane, failed or slow; label destination."),
    (DEAD_LETTERS, Gauge, "Dead letters kept, told by one worker of a fleet; label destination."),
    (
        EXPIRED_EVENTS,
        Gauge,
        "Events settled without being delivered, because of max_age, as stored; label destination.",
    ),
    (BREAKER_OPEN, Gauge, "1 while the destination's breaker is open; label destination."),
    (PAUSED, Gauge, "1 while the destination is paused; label destination."),
    (DROPPED_EVENTS, Counter, "Events, about, that waited for destinations which were deleted by way of this process."),
    (QUARANTINED, Counter, "Records of the log that could not be read and were set aside."),
    (PARTITIONS_LEASED, Gauge, "Partitions that this process works on."),
    (SERVER_UNSAFE, Gauge, "1 while that Redis gets no events, because its settings would lose them; label server."),
    (
        CERTIFICATE_EXPIRES,
        Gauge,
        "Until when a certificate of this process holds, since 1970; label certificate (server, store).",
    ),
    (LOG_LOSSES, Counter, "Losses by Redis that were noticed."),
    (LOST_EVENTS, Counter, "Events that Redis lost though it had acknowledged them."),
    (OPERATIONAL_EVENTS, Counter, "Operational events (laneway.*) appended, those that were known already among them."),
    (OPERATIONAL_DROPPED, Counter, "Operational events lost: too many waited, or the store refused them."),
    (EXPORTED, Counter, "Spans that the collector (telemetry.otlp) has taken."),
    (DROPPED, Counter, "Spans that were dropped; label reason (queue-full, collector)."),
];

/// A recorder with the right buckets and descriptions, not yet installed. It has no server of its own:
/// whoever serves `/metrics` renders its handle, and calls [`PrometheusHandle::run_upkeep`] every few
/// seconds so that histograms do not grow between scrapes.
///
/// # Errors
/// If the buckets are wrong, which a test rules out.
pub fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for (name, _, _) in ALL.iter().filter(|(_, kind, _)| *kind == Latency) {
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), &LATENCY_BUCKETS)?;
    }
    let recorder = builder.build_recorder();
    metrics::with_local_recorder(&recorder, describe);
    Ok(recorder)
}

/// Installs a [`recorder`] for the rest of the process.
///
/// # Errors
/// If one was installed before.
pub fn install() -> Result<PrometheusHandle, String> {
    let recorder = recorder().map_err(|e| e.to_string())?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|e| e.to_string())?;
    metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

/// What a metric says.
pub(super) fn help(name: &str) -> &'static str {
    ALL.iter().find(|(known, ..)| *known == name).map_or("", |(.., text)| text)
}

fn describe() {
    for (name, kind, text) in ALL {
        match kind {
            Counter => metrics::describe_counter!(name, text),
            Gauge => metrics::describe_gauge!(name, text),
            Latency => metrics::describe_histogram!(name, Unit::Seconds, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_named_once_as_prometheus_wants_it() {
        let mut names: Vec<&str> = ALL.iter().map(|(name, _, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for (name, kind, _) in ALL {
            assert!(name.starts_with("laneway_"), "{name}");
            assert_eq!(name.ends_with("_total"), kind == Counter, "{name}");
            assert!(name.ends_with("_seconds") || kind != Latency, "{name}");
        }
    }

    #[test]
    fn latencies_are_buckets_with_descriptions() {
        let recorder = recorder().unwrap();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!(COMMIT_SECONDS).record(0.0007);
            metrics::counter!(EVENTS_ACCEPTED).increment(3);
        });
        let page = recorder.handle().render();
        assert!(page.contains("# HELP laneway_events_accepted_total Events stored, duplicates apart."), "{page}");
        assert!(page.contains("laneway_events_accepted_total 3"), "{page}");
        assert!(page.contains("# TYPE laneway_commit_seconds histogram"), "{page}");
        assert!(page.contains(r#"laneway_commit_seconds_bucket{le="0.0005"} 0"#), "{page}");
        assert!(page.contains(r#"laneway_commit_seconds_bucket{le="0.001"} 1"#), "{page}");
    }
}
