//! `laneway status`: what every destination is doing.

mod state;
mod watch;

use super::args::StatusArgs;
use super::client::Client;
use super::table::{Align, BAD, CAUTION, Cell, FAINT, Look, Table, age, ago, rows_with_text, until};
use super::{Failure, output, screen, suggest, table};
use laneway_domain::{BlockedKey, BreakerStatus, Partition, Timestamp};
use laneway_http::wire::{DestinationView, Status};
use state::rate;
use std::fmt::Write as _;

/// Prints the status once, or until the operator has seen enough.
pub(super) async fn run(client: &Client, args: &StatusArgs) -> Result<(), Failure> {
    if args.watch {
        return watch::run(client, args).await;
    }
    let look = Look { width: screen::size().map(|(_, columns)| columns), colour: args.color.is_on() };
    match page(client, args, look).await {
        Ok(page) => output::print(&page),
        Err(failure) => Err(match &args.destination {
            Some(name) => suggest::destination(client, name, failure).await,
            None => failure,
        }),
    }
}

async fn page(client: &Client, args: &StatusArgs, look: Look) -> Result<String, Failure> {
    let path = match &args.destination {
        Some(name) => format!("/v1/status?destination={name}"),
        None => "/v1/status".to_owned(),
    };
    if args.json {
        let body = client.get_raw(&path).await?;
        return Ok(format!("{}\n", String::from_utf8_lossy(&body).trim_end()));
    }
    let status: Status = client.get(&path).await?;
    Ok(render(&status, args.keys, look))
}

/// The status as tables.
pub(super) fn render(status: &Status, keys: bool, look: Look) -> String {
    let wide = wide(status);
    let fits = look.width.is_none_or(|width| wide.natural_width() <= width);
    let mut text = own_work(status, look);
    text.push_str(&if fits { wide.fitted(look) } else { narrow(status, look).fitted(look) });
    if !status.workers.is_empty() {
        text.push('\n');
        text.push_str(&workers(status).fitted(look));
    }
    if !status.processes.is_empty() {
        text.push('\n');
        text.push_str(&processes(status, look));
    }
    if keys {
        text.push('\n');
        text.push_str(&blocked_keys(status, look));
    }
    for what in &status.incomplete {
        let _ = writeln!(text, "incomplete: {what}");
    }
    text
}

/// What keeps the process that answers from its work. It comes first: every destination may be well while no event is
/// taken in.
fn own_work(status: &Status, look: Look) -> String {
    let all = [("not ready", BAD, &status.not_ready), ("limited", CAUTION, &status.limitations)];
    let mut text = String::new();
    for (what, style, why) in
        all.into_iter().flat_map(|(what, style, all)| all.iter().map(move |why| (what, style, why)))
    {
        text.push_str(&table::lines(&format!("{what}: {why}"), style, look));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// Everything of a destination in one line.
fn wide(status: &Status) -> Table {
    let mut table = Table::new(&[
        ("DESTINATION", Align::Left),
        ("WAITING", Align::Right),
        ("OLDEST", Align::Right),
        ("RATE", Align::Right),
        ("IN FLIGHT", Align::Right),
        ("BLOCKED KEYS", Align::Right),
        ("DEAD LETTERS", Align::Right),
        ("STATE", Align::Left),
        ("TO", Align::Left),
    ]);
    for seen in state::in_order(status) {
        let view = seen.view;
        let mut cells = numbers(status.at, view);
        let mut details = seen.details(status.at);
        details.extend(expired(view));
        let word = seen.word();
        let said = if details.is_empty() { word.to_owned() } else { format!("{word}: {}", details.join("; ")) };
        cells.push(Cell::whole(&said).styled(seen.style()));
        cells.push(Cell::from(view.to.clone().unwrap_or_default()).styled(FAINT));
        table.row(cells);
    }
    for (name, count) in &status.other_dead_letters {
        let mut cells = forgotten(name.to_string(), *count);
        cells.push(Cell::from("forgotten, with dead letters left".to_owned()).styled(CAUTION));
        cells.push(String::new().into());
        table.row(cells);
    }
    table
}

/// The same where the terminal is narrow: where it goes, and what is to be said of it, stand in a line below, or in
/// two.
fn narrow(status: &Status, look: Look) -> Table {
    let mut table = Table::new(&[
        ("DESTINATION", Align::Text),
        ("WAITING", Align::Right),
        ("OLDEST", Align::Right),
        ("RATE", Align::Right),
        ("FLIGHT", Align::Right),
        ("BLOCKED", Align::Right),
        ("DEAD", Align::Right),
        ("STATE", Align::Text),
    ]);
    for seen in state::in_order(status) {
        let mut cells = numbers(status.at, seen.view);
        cells.push(Cell::from(seen.word().to_owned()).styled(seen.style()));
        table.row(cells);
        let below: Vec<String> = seen.view.to.clone().into_iter().chain(seen.details(status.at)).collect();
        table.details(&below, " · ", look);
    }
    for (name, count) in &status.other_dead_letters {
        let mut cells = forgotten(name.to_string(), *count);
        cells.push(Cell::from("forgotten".to_owned()).styled(CAUTION));
        table.row(cells);
    }
    table
}

/// All cells but the last ones, which say how it is.
fn numbers(now: Timestamp, view: &DestinationView) -> Vec<Cell> {
    let status = &view.status;
    // While a lane reads behind the others it counts what it has yet to look at, wanted or not.
    let about = status.pending_is().sign();
    let oldest = status.oldest_accepted_at.filter(|_| status.pending > 0);
    let alarming = |count: u64, style| {
        let cell = Cell::from(count.to_string());
        if count > 0 { cell.styled(style) } else { cell }
    };
    vec![
        status.name.to_string().into(),
        format!("{about}{}", status.pending).into(),
        oldest.map_or_else(|| "-".to_owned(), |at| age(now, at)).into(),
        rate(status.delivered_recently).into(),
        status.in_flight.to_string().into(),
        alarming(status.blocked_keys, BAD),
        alarming(view.dead_letters, CAUTION),
    ]
}

fn forgotten(name: String, dead_letters: u64) -> Vec<Cell> {
    let empty = || Cell::from("-".to_owned());
    let dead = Cell::from(dead_letters.to_string()).styled(CAUTION);
    vec![name.into(), empty(), empty(), empty(), empty(), empty(), dead]
}

/// How many events expired, where some did.
fn expired(view: &DestinationView) -> Option<String> {
    match view.status.expired {
        0 => None,
        1 => Some("1 event expired".to_owned()),
        many => Some(format!("{many} events expired")),
    }
}

/// Who works on what.
fn workers(status: &Status) -> Table {
    let mut table = Table::new(&[("WORKER", Align::Text), ("PARTITIONS", Align::Right), ("WHICH", Align::Text)]);
    for worker in &status.workers {
        let (count, which) = (worker.partitions.len().to_string(), ranges(&worker.partitions));
        table.row(vec![worker.worker.clone(), count, which]);
    }
    table
}

/// Which release the processes run that share the store: in a line, or while there are several one by one.
fn processes(status: &Status, look: Look) -> String {
    let mut releases: Vec<&str> = status.processes.iter().map(|process| process.release.as_str()).collect();
    releases.sort_unstable();
    releases.dedup();
    if let [release] = releases[..] {
        let count = status.processes.len();
        return format!("{count} process{} of Laneway {release}\n", if count == 1 { "" } else { "es" });
    }
    let mut table = Table::new(&[("PROCESS", Align::Text), ("ROLE", Align::Left), ("RELEASE", Align::Left)]);
    for process in &status.processes {
        table.row(vec![process.process.clone(), process.role.clone(), process.release.clone()]);
    }
    table.fitted(look)
}

/// `0-3, 7`
pub(super) fn ranges(partitions: &[Partition]) -> String {
    let mut sorted: Vec<u32> = partitions.iter().map(|partition| partition.0).collect();
    sorted.sort_unstable();
    let runs = sorted.chunk_by(|a, b| a.checked_add(1) == Some(*b));
    let written = runs.filter_map(|run| match run {
        [one] => Some(one.to_string()),
        [first, .., last] => Some(format!("{first}-{last}")),
        [] => None,
    });
    written.collect::<Vec<_>>().join(", ")
}

/// The columns of a blocked key; the last error comes last.
const OF_A_KEY: [(&str, Align); 7] = [
    ("DESTINATION", Align::Text),
    ("KEY", Align::Text),
    ("AT", Align::Right),
    ("ATTEMPTS", Align::Right),
    ("SINCE", Align::Right),
    ("NEXT", Align::Left),
    ("LAST ERROR", Align::Text),
];

fn blocked_keys(status: &Status, look: Look) -> String {
    let mut rows = Vec::new();
    let mut unlisted = 0;
    for state::Seen { view, .. } in state::in_order(status) {
        unlisted += view.status.blocked_keys.saturating_sub(view.status.blocked.len() as u64);
        rows.extend(view.status.blocked.iter().map(|key| key_row(status.at, view, key)));
    }
    if rows.is_empty() {
        return "no key is blocked\n".to_owned();
    }
    let mut text = rows_with_text(&OF_A_KEY, 1, rows, look);
    if unlisted > 0 {
        let _ = writeln!(text, "and {unlisted} more");
    }
    text
}

fn key_row(now: Timestamp, view: &DestinationView, key: &BlockedKey) -> Vec<String> {
    vec![
        view.status.name.to_string(),
        key.key.clone(),
        format!("{}:{}", key.partition, key.head),
        key.attempts.to_string(),
        ago(now, key.since),
        next_attempt(now, view, key),
        key.last_error.clone(),
    ]
}

/// When the key is tried again, as far as that is known.
fn next_attempt(now: Timestamp, view: &DestinationView, key: &BlockedKey) -> String {
    let Some(at) = key.next_attempt else { return "held".to_owned() };
    if view.status.paused.is_some() {
        return "paused".to_owned();
    }
    match view.status.breaker {
        BreakerStatus::Closed => until(now, at),
        // The probe is one key's; the others wait for what comes of it.
        BreakerStatus::Open { next_probe, .. } if at <= next_probe => format!("probe {}", until(now, next_probe)),
        BreakerStatus::Open { .. } => until(now, at),
    }
}
