//! How the cost of an event grows with destinations, keys, payload, and failures.

use crate::bench::Bench;
use crate::plot::Chart;
use crate::report::Section;
use std::io;

/// Bytes that a closed loop with a large payload may send, so that it ends in time.
const MOST_BYTES: u64 = 512 << 20;
/// The most events of a closed loop.
const MOST_EVENTS: u64 = 2_000_000;
/// One key is one event after another: what a loop takes in for it takes long to deliver.
const FEW_KEYS: u32 = 10;
/// The most events of a closed loop over few keys.
const MOST_EVENTS_OF_FEW_KEYS: u64 = 40_000;

/// A destination for each type of event.
pub(crate) fn destinations_by_type(bench: &Bench, count: u32, dead: u32, nowhere: &str) -> Vec<String> {
    let one = |n: u32| {
        let lines = format!("types = [\"bench.{n:05}\"]");
        if n < dead {
            laneway_tests::server::webhook(&format!("d-{n}"), nowhere, &lines)
        } else {
            bench.destination(&format!("d-{n}"), "main", &lines)
        }
    };
    (0..count).map(one).collect()
}

/// A destination that the receiver fails so many of a thousand keys of. Its breaker is off: what is
/// measured is what the keys cost each other.
pub(crate) fn failing(bench: &Bench, permille: u32) -> String {
    bench.destination("main", &format!("main?fail={permille}"), "breaker = false")
}

fn named(number: u64) -> String {
    match number {
        n if n >= 1_000_000 && n % 1_000_000 == 0 => format!("{}M", n / 1_000_000),
        n if n >= 1000 && n % 1000 == 0 => format!("{}k", n / 1000),
        n => n.to_string(),
    }
}

pub(crate) async fn destinations(bench: &Bench, section: &mut Section) -> io::Result<()> {
    for count in [1, 10, 100, 1000, 10_000] {
        let fresh = bench.fresh(&destinations_by_type(bench, count, 0, "")).await?;
        let server = fresh.start().await;
        let most = bench.scaled(MOST_EVENTS);
        let sample = bench.sample(&fresh, &server, most, &[("types", count.into())]).await?;
        server.kill();
        section.point("destinations", named(count.into()), sample);
    }
    draw(section, "Cost against the number of destinations, each with a type of its own");
    Ok(())
}

pub(crate) async fn keys(bench: &Bench, section: &mut Section) -> io::Result<()> {
    for keys in [1, 10, 100, 1000, 10_000, 100_000, 1_000_000] {
        let fresh = bench.fresh(&[bench.destination("main", "main", "")]).await?;
        let server = fresh.start().await;
        let most = if keys <= FEW_KEYS { MOST_EVENTS_OF_FEW_KEYS } else { MOST_EVENTS };
        let sample = bench.sample(&fresh, &server, bench.scaled(most), &[("keys", keys.into())]).await?;
        server.kill();
        section.point("keys", named(keys.into()), sample);
    }
    draw(section, "Cost against the number of keys");
    Ok(())
}

/// The sizes whose latencies are compared: large events may cost what their bytes cost, and not hold each other up.
const COMPARED: (&str, &str) = ("16 KiB", "256 KiB");
/// The most that an event of the larger size may take at a third of its saturated rate, in milliseconds.
const MOST_MILLIS: f64 = 10.0;
/// And how many times as long as one of the smaller size.
const MOST_TIMES: f64 = 5.0;

/// Holds the latency of the largest events to that of common ones in the same run.
fn compare_sizes(section: &mut Section) {
    let points = section.series.iter().flat_map(|series| &series.points);
    let p50 = |wanted: &str| points.clone().find(|(at, _)| at == wanted).and_then(|(_, sample)| sample.p50);
    let (Some(small), Some(large)) = (p50(COMPARED.0), p50(COMPARED.1)) else { return };
    let what = format!("p50 of {} at a third of the saturated rate", COMPARED.1);
    let reached = large < MOST_MILLIS;
    section.target(&what, format!("{large:.2} ms"), format!("below {MOST_MILLIS} ms"), reached);
    let what = format!("the same, against {}", COMPARED.0);
    let value = format!("{:.1} times {small:.2} ms", large / small);
    section.target(&what, value, format!("at most {MOST_TIMES} times"), large <= MOST_TIMES * small);
}

pub(crate) async fn payload(bench: &Bench, section: &mut Section) -> io::Result<()> {
    for bytes in [128, 512, 2 << 10, 8 << 10, 16 << 10, 32 << 10, 128 << 10, 256 << 10] {
        let fresh = bench.fresh(&[bench.destination("main", "main", "")]).await?;
        let server = fresh.start().await;
        let most = bench.scaled(MOST_BYTES / bytes).min(bench.scaled(MOST_EVENTS));
        let sample = bench.sample(&fresh, &server, most, &[("bytes", bytes)]).await?;
        server.kill();
        let name = if bytes >= 1024 { format!("{} KiB", bytes >> 10) } else { format!("{bytes} B") };
        section.point("size of an event", name, sample);
    }
    compare_sizes(section);
    draw(section, "Cost against the size of an event");
    Ok(())
}

pub(crate) async fn failures(bench: &Bench, section: &mut Section) -> io::Result<()> {
    for permille in [0, 1, 10, 100, 250, 500] {
        let fresh = bench.fresh(&[failing(bench, permille)]).await?;
        let server = fresh.start().await;
        let lines = [("failing", permille.into())];
        let sample = bench.sample(&fresh, &server, bench.scaled(MOST_EVENTS), &lines).await?;
        server.kill();
        section.point("share of keys that fail", format!("{} %", f64::from(permille) / 10.0), sample);
    }
    draw(section, "What the other keys get, against the share of keys that fail");
    section
        .note("rate and CPU", "of all events that were taken in, until the last one that does not fail was delivered");
    section.note("latency", "of the events of keys that do not fail");
    Ok(())
}

/// Puts the section's series into a chart.
pub(crate) fn draw(section: &mut Section, title: &str) {
    let title = format!("{title} ({})", section.store.name());
    section.chart = section.series.as_ref().map(|series| Chart::of(&title, series, false));
}
