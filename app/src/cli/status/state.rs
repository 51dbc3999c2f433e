//! How a destination is, in a word, and what is to be said of that.

use crate::cli::table::{BAD, CAUTION, GOOD, ago, until};
use laneway_domain::{BlockedKey, BreakerStatus, Need, PausedBy, RECENTLY, Timestamp};
use laneway_http::wire::{DestinationView, Status};
use std::fmt::Write as _;
use std::time::Duration;

/// A destination, and what it needs a person for.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) view: &'a DestinationView,
    need: Need,
}

/// The destinations as the console has them: what needs a person first, so that it is on the screen however many there
/// are.
pub(super) fn in_order(status: &Status) -> Vec<Seen<'_>> {
    let need = |view: &DestinationView| Need::of(&view.status, view.dead_letters, status.at);
    let mut seen: Vec<_> = status.destinations.iter().map(|view| Seen { view, need: need(view) }).collect();
    seen.sort_by_cached_key(|Seen { view, need }| {
        (need.urgency(&view.status, view.dead_letters, status.at), view.status.name.clone())
    });
    seen
}

impl Seen<'_> {
    /// How it is, in a word or two.
    pub(super) const fn word(self) -> &'static str {
        self.need.label()
    }

    /// How loudly that is said.
    pub(super) const fn style(self) -> anstyle::Style {
        match self.need {
            Need::Stopped | Need::Down | Need::Held | Need::Blocked => BAD,
            Need::DeadLetters | Need::Late | Need::Paused | Need::Left => CAUTION,
            Need::Nothing => GOOD,
        }
    }

    /// What is to be said of it: why, since when, what ends it, and when it will have caught up.
    pub(super) fn details(self, now: Timestamp) -> Vec<String> {
        if self.view.status.paused.is_some() {
            return pause(now, self.view);
        }
        let why = match self.need {
            Need::Left => {
                let name = &self.view.status.name;
                return vec![format!("not configured; `laneway destinations forget {name}` drops it")];
            }
            Need::Down => outage(now, self.view),
            _ => longest(now, self.view),
        };
        why.into_iter().chain(failures(self.view)).chain(catch_up(now, self.view)).collect()
    }
}

/// Why it is paused, since when, and what ends that.
fn pause(now: Timestamp, view: &DestinationView) -> Vec<String> {
    let status = &view.status;
    let name = &status.name;
    let since = status.paused_since.map(|since| format!("paused since {}", ago(now, since)));
    let by_command = match status.paused_by() {
        // It ends where it was written.
        None | Some(PausedBy::Configuration) => false,
        Some(PausedBy::Operator) => true,
        // Where a process cannot read its settings there is no moment, and nothing to resume.
        Some(PausedBy::Laneway) => since.is_some(),
    };
    let end = by_command.then(|| format!("`laneway destinations resume {name}` ends it"));
    status.paused.iter().cloned().chain(since).chain(end).collect()
}

/// Since when its breaker is open, and why.
fn outage(now: Timestamp, view: &DestinationView) -> Option<String> {
    let BreakerStatus::Open { since, next_probe } = view.status.breaker else { return None };
    let mut said = format!("breaker open since {}, next probe {}", ago(now, since), until(now, next_probe));
    if let Some(key) = first_blocked(view) {
        let _ = write!(said, ": {}", key.last_error);
    }
    Some(said)
}

/// The key that has been blocked for the longest time.
fn first_blocked(view: &DestinationView) -> Option<&BlockedKey> {
    view.status.blocked.iter().min_by_key(|key| key.since)
}

/// Since when keys fail, and why.
fn longest(now: Timestamp, view: &DestinationView) -> Option<String> {
    let key = first_blocked(view)?;
    Some(format!("since {}: {}", ago(now, key.since), key.last_error))
}

/// How many attempts fail, where some did lately.
fn failures(view: &DestinationView) -> Option<String> {
    let failed = view.status.failed_recently;
    (failed > 0).then(|| format!("{} attempts fail", rate(failed)))
}

/// When it will have caught up, where something waits.
fn catch_up(now: Timestamp, view: &DestinationView) -> Option<String> {
    let status = &view.status;
    let change = status.pending_change_per_minute.filter(|_| status.pending > 0)?;
    Some(match status.caught_up_in_seconds {
        Some(seconds) => format!("caught up {} at this rate", until(now, now.after(Duration::from_secs(seconds)))),
        None if change > 0 => format!("not caught up at this rate: {change} more wait every minute"),
        None => "not caught up at this rate".to_owned(),
    })
}

/// So many a second, as it went lately.
#[allow(clippy::cast_precision_loss)]
pub(super) fn rate(recently: u64) -> String {
    match recently as f64 / RECENTLY.as_secs_f64() {
        0.0 => "-".to_owned(),
        few if few < 10.0 => format!("{few:.1}/s"),
        many => format!("{many:.0}/s"),
    }
}
