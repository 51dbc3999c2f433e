//! `laneway workers`: who works on what, and who did when something happened.

use super::args::WorkersArgs;
use super::client::Client;
use super::prose::Prose;
use super::status::ranges;
use super::table::Look;
use super::when::{When, local, localized};
use super::{Failure, output};
use crate::worker::Clock;
use laneway_domain::{Partition, Timestamp};
use laneway_http::wire::{WorkerTenure, WorkerTenures};
use std::time::Duration;
use url::form_urlencoded::Serializer;

/// How long the end of a lease must have passed before it is told as such: clocks differ, and it may be renewed just now.
const CLOCKS_DIFFER: Duration = Duration::from_secs(10);

/// Carries the command out.
pub(super) async fn run(client: &Client, args: &WorkersArgs) -> Result<(), Failure> {
    let mut query = Serializer::new(String::new());
    for (name, when) in [("from", args.span.since), ("to", args.span.until)] {
        query.extend_pairs(when.map(When::to_rfc3339).map(|when| (name, when)));
    }
    let found: WorkerTenures = client.get(&format!("/v1/workers?{}", query.finish())).await?;
    found.incomplete.iter().for_each(|what| output::note(&localized(&output::clean(what))));
    if args.json {
        let line = |tenure| serde_json::to_string(tenure).map_err(|error| Failure::new(error.to_string()));
        return found.items.iter().try_for_each(|tenure| output::line(&line(tenure)?));
    }
    if found.items.is_empty() {
        return output::say("no worker is known that has, or had, a partition then");
    }
    output::print(&told(&found.items, Clock::system().now(), Look::plain()))
}

/// What a worker's time with some partitions has in common.
struct Stay<'t> {
    worker: &'t str,
    ended: Option<&'t str>,
    /// Who had the partitions next.
    next: Option<&'t WorkerTenure>,
    since: Option<&'t str>,
    until: &'t str,
    partitions: Vec<Partition>,
}

/// The tenures, those of a worker with the same end together: first those that last, then the latest.
fn stays(tenures: &[WorkerTenure]) -> Vec<Stay<'_>> {
    let mut stays: Vec<Stay<'_>> = Vec::new();
    for (n, tenure) in tenures.iter().enumerate() {
        // Of a partition the latest comes first.
        let next = n.checked_sub(1).and_then(|n| tenures.get(n)).filter(|next| next.partition == tenure.partition);
        let ended = tenure.ended.as_deref();
        let same = |stay: &&mut Stay<'_>| {
            let successor = |next: Option<&WorkerTenure>| next.map(|next| next.worker.clone());
            stay.worker == tenure.worker && stay.ended == ended && successor(stay.next) == successor(next)
        };
        match stays.iter_mut().find(same) {
            Some(stay) => {
                stay.partitions.push(tenure.partition);
                stay.since = earlier(stay.since, tenure.since.as_deref());
                if at(&tenure.until) > at(stay.until) {
                    stay.until = &tenure.until;
                }
            }
            None => stays.push(Stay {
                worker: &tenure.worker,
                ended,
                next,
                since: tenure.since.as_deref(),
                until: &tenure.until,
                partitions: vec![tenure.partition],
            }),
        }
    }
    stays.sort_by_cached_key(|stay| (stay.ended.is_some(), std::cmp::Reverse(at(stay.until))));
    stays
}

fn at(moment: &str) -> Option<jiff::Timestamp> {
    moment.parse().ok()
}

/// The earlier one of two moments; unknown if one of them is.
fn earlier<'t>(one: Option<&'t str>, other: Option<&'t str>) -> Option<&'t str> {
    one.zip(other).map(|(one, other)| if at(other) < at(one) { other } else { one })
}

fn told(tenures: &[WorkerTenure], now: Timestamp, look: Look) -> String {
    let mut text = Prose::new(look);
    for (n, stay) in stays(tenures).iter().enumerate() {
        if n > 0 {
            text.gap();
        }
        let has = if stay.ended.is_none() { "has" } else { "had" };
        let s = if stay.partitions.len() == 1 { "" } else { "s" };
        text.line("", &format!("{} {has} partition{s} {}", stay.worker, ranges(&stay.partitions)));
        let since = stay.since.map_or_else(|| "a moment that an older release did not note".to_owned(), local);
        let until = local(stay.until);
        match stay.ended {
            None => {
                text.line("  ", &format!("since {since}"));
                let over = at(stay.until).is_some_and(|until| has_passed(until, now));
                if over {
                    text.line("  ", &format!("LOST: its lease ran out {until}, and nobody has taken over yet"));
                }
                continue;
            }
            Some(_) => text.line("  ", &format!("from {since} until {until}")),
        }
        let next = stay.next.map(|next| (&next.worker, next.since.as_deref().map_or_else(String::new, local)));
        if stay.ended == Some("ran-out") {
            text.line("  ", "LOST: its lease ran out. It had died, stood still, or could not reach the store");
            if let Some((worker, when)) = next {
                text.line("  ", &format!("taken over by {worker} {when}"));
            }
            text.line("  ", "what it had in flight then may have been delivered twice");
            continue;
        }
        match next {
            Some((worker, _)) if worker == stay.worker => text.line("  ", "it took a new lease of its own"),
            Some((worker, when)) => text.line("  ", &format!("handed over; {worker} took it {when}")),
            None => text.line("  ", "handed over; nobody has taken it since"),
        }
    }
    text.into_text()
}

fn has_passed(until: jiff::Timestamp, now: Timestamp) -> bool {
    let now = i64::try_from(now.before(CLOCKS_DIFFER).as_millis()).unwrap_or(i64::MAX);
    until.as_millisecond() < now
}

#[cfg(test)]
mod tests {
    use super::super::when::moment;
    use super::*;

    fn tenure(partition: u32, worker: &str, seconds: (u64, u64), ended: Option<&str>) -> WorkerTenure {
        let moment = |second: u64| format!("2026-11-27T03:00:{second:02}Z");
        let (since, until) = (Some(moment(seconds.0)), moment(seconds.1));
        let ended = ended.map(str::to_owned);
        WorkerTenure { partition: Partition(partition), epoch: seconds.0, worker: worker.into(), since, until, ended }
    }

    #[test]
    fn what_ended_alike_is_told_once_and_the_present_first() {
        let all = [
            tenure(0, "b", (30, 59), None),
            tenure(0, "a", (10, 25), Some("ran-out")),
            tenure(1, "b", (31, 59), None),
            tenure(1, "a", (9, 26), Some("ran-out")),
            tenure(1, "c", (1, 8), Some("handed-over")),
            tenure(2, "b", (2, 59), None),
        ];
        let millis = |second: u64| Timestamp::from_millis(1_795_748_400_000 + second * 1000);
        let text = told(&all, millis(40), Look::default());
        let local = |second: u64| moment(millis(second));
        let expected = format!(
            "b has partitions 0-2\n  since {}\n\n\
             a had partitions 0-1\n  from {} until {}\n  LOST: its lease ran out. It had died, stood still, or could \
             not reach the store\n  taken over by b {}\n  what it had in flight then may have been delivered twice\n\n\
             c had partition 1\n  from {} until {}\n  handed over; a took it {}\n",
            local(2),
            local(9),
            local(26),
            local(30),
            local(1),
            local(8),
            local(9)
        );
        assert_eq!(text, expected);
        let text = told(&all[..1], millis(75), Look::default());
        assert!(text.contains("nobody has taken over yet"), "{text}");
    }
}
