//! `laneway events`, `laneway attempts` and `laneway why`: what happened.

use super::args::{AttemptsArgs, EventsCommand, Span, WhyArgs};
use super::client::Client;
use super::prose::Prose;
use super::table::{Align, Look, rows_with_text, size};
use super::when::{local, localized};
use super::{Failure, output, suggest};
use laneway_domain::{DestinationName, EventId, Tenant};
use laneway_http::wire::{AttemptLine, AttemptPage, EventAt, EventLine, EventPage, EventWay, FoundEvents};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Write as _;
use url::form_urlencoded::Serializer;

/// The most of one page; what the server gives at once.
const PAGE: usize = 1000;
/// How many more answers are asked for once an event of the id was found: each is a bounded look through the log, which
/// is all of a small one. Others of its id are rare, and who means one of them can say which.
const LOOK_ON: usize = 1;
/// How much of an event's data is printed; `--json` has all of it.
const SHOWN_CHARS: usize = 4096;

/// A page of something, as far as going on with it is concerned.
trait Page: DeserializeOwned {
    type Item: Serialize;
    fn parts(self) -> (Vec<Self::Item>, Option<String>, Option<String>, Vec<String>);
}

impl Page for EventPage {
    type Item = EventLine;
    fn parts(self) -> (Vec<EventLine>, Option<String>, Option<String>, Vec<String>) {
        (self.items, self.next, self.looked_back_to, self.incomplete)
    }
}

impl Page for AttemptPage {
    type Item = AttemptLine;
    fn parts(self) -> (Vec<AttemptLine>, Option<String>, Option<String>, Vec<String>) {
        (self.items, self.next, self.looked_back_to, self.incomplete)
    }
}

/// What was found by going on until it is enough.
struct Found<T> {
    items: Vec<T>,
    incomplete: Vec<String>,
    more: bool,
}

/// Asks page after page, until there are `limit` items or no more. Says on standard error how far it has come where
/// that takes long.
async fn gather<P: Page>(
    client: &Client,
    path: &str,
    asked: &[(&str, Option<String>)],
    limit: usize,
) -> Result<Found<P::Item>, Failure> {
    let mut found = Found { items: Vec::new(), incomplete: Vec::new(), more: false };
    let mut after: Option<String> = None;
    loop {
        let left = limit - found.items.len();
        let mut query = Serializer::new(String::new());
        query.append_pair("limit", &left.min(PAGE).to_string());
        for (name, value) in asked.iter().chain(&[("after", after.clone())]) {
            query.extend_pairs(value.as_ref().map(|value| (*name, value.as_str())));
        }
        let page: P = client.get(&format!("{path}?{}", query.finish())).await?;
        let (items, next, looked_back_to, incomplete) = page.parts();
        let nothing = items.is_empty();
        found.items.extend(items);
        found.incomplete.extend(incomplete);
        found.more = next.is_some();
        after = next;
        if found.items.len() >= limit || after.is_none() {
            return Ok(found);
        }
        if let (true, Some(upto)) = (nothing, looked_back_to) {
            output::note(&format!("looked back to {} …", local(&upto)));
        }
    }
}

fn span(span: &Span) -> [(&'static str, Option<String>); 2] {
    let said = |when: Option<super::when::When>| when.map(super::when::When::to_rfc3339);
    [("from", said(span.since)), ("to", said(span.until))]
}

fn lines<T: Serialize>(items: &[T]) -> Result<(), Failure> {
    for item in items {
        output::line(&to_json(item)?)?;
    }
    Ok(())
}

fn to_json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|e| Failure::new(format!("the answer cannot be written as JSON: {e}")))
}

/// Carries `laneway events` out.
pub(super) async fn events(client: &Client, command: EventsCommand) -> Result<(), Failure> {
    match command {
        EventsCommand::Show { event, tenant, source, destination, json } => {
            let meant = Meant { id: &event, tenant: tenant.as_ref(), source };
            let found = find(client, meant, destination.as_ref()).await?;
            if json {
                return lines(&found.items);
            }
            let mut text = Prose::new(Look::plain());
            for way in &found.items {
                describe(way, &mut text);
            }
            missing(&found.incomplete);
            output::print(&text.into_text())
        }
        EventsCommand::List { key, tenant, r#type, span: within, limit, way, json } => {
            let (key, tenant) = (key.map(|key| key.to_string()), tenant.map(|tenant| tenant.to_string()));
            let mut asked = vec![("key", key), ("tenant", tenant), ("type", r#type)];
            asked.extend(span(&within));
            let found = gather::<EventPage>(client, "/v1/events", &asked, limit).await?;
            missing(&found.incomplete);
            if way && !found.items.is_empty() {
                return ways(client, found, limit, json).await;
            }
            if json {
                return lines(&found.items);
            }
            let (columns, rows) = event_table(&found.items);
            list(
                "no event that is still stored is meant",
                &columns,
                columns.len() - EVENT_ABOVE,
                rows,
                found.more,
                limit,
            )
        }
    }
}

/// Events, each with what became of it at every destination.
async fn ways(client: &Client, found: Found<EventLine>, limit: usize, json: bool) -> Result<(), Failure> {
    let mut text = Prose::new(Look::plain());
    for event in &found.items {
        // Others of its id are listed by themselves.
        let path = format!("{}?at={}:{}", path_of(&event.id), event.partition, event.offset);
        let found: FoundEvents = client.get_if_there(&path).await?.unwrap_or_default();
        missing(&found.incomplete);
        let Some(way) = found.items.first() else {
            output::note(&format!("{} was not found at {}:{}", event.id, event.partition, event.offset));
            continue;
        };
        if json {
            output::line(&to_json(way)?)?;
            continue;
        }
        headline(way, &mut text);
        for at in &way.destinations {
            explain(at, Exchanges::None, &mut text);
        }
        if way.destinations.is_empty() {
            text.line("  ", "no destination wants it");
        }
    }
    if json {
        return Ok(());
    }
    output::print(&text.into_text())?;
    if found.more { output::say(&there_may_be_more(limit)) } else { Ok(()) }
}

/// Carries `laneway attempts` out.
pub(super) async fn attempts(client: &Client, args: AttemptsArgs) -> Result<(), Failure> {
    let mut asked = vec![
        ("destination", args.destination.as_ref().map(ToString::to_string)),
        ("tenant", args.tenant.map(|tenant| tenant.to_string())),
        ("key", args.key.map(|key| key.to_string())),
        ("event_id", args.event.map(|event| event.to_string())),
        ("outcome", args.outcome),
        ("status", args.status.map(|status| status.to_string())),
    ];
    asked.extend(span(&args.span));
    let mut found = match (gather::<AttemptPage>(client, "/v1/attempts", &asked, args.limit).await, &args.destination) {
        (Err(failure), Some(name)) => return Err(suggest::destination(client, name, failure).await),
        (found, _) => found?,
    };
    missing(&found.incomplete);
    if args.json {
        return lines(&found.items);
    }
    // They come as they were stored, commit by commit.
    found.items.sort_by_cached_key(|attempt| std::cmp::Reverse(attempt.at.parse::<jiff::Timestamp>().ok()));
    let rows = found.items.iter().map(attempt_row).collect();
    list("the history tells of no such attempt", &ATTEMPT_COLUMNS, 2, rows, found.more, args.limit)
}

/// Carries `laneway why` out.
pub(super) async fn why(client: &Client, args: WhyArgs) -> Result<(), Failure> {
    let tenant = args.destination.tenant();
    let meant = Meant { id: &args.event, tenant: tenant.as_ref(), source: args.source };
    let found = find(client, meant, Some(&args.destination)).await;
    let found = match found {
        Err(failure) => return Err(suggest::destination(client, &args.destination, failure).await),
        Ok(found) => found,
    };
    if args.json {
        return lines(&found.items);
    }
    let mut text = Prose::new(Look::plain());
    for way in &found.items {
        headline(way, &mut text);
        for at in &way.destinations {
            explain(at, Exchanges::LastFailed, &mut text);
        }
    }
    missing(&found.incomplete);
    output::print(&text.into_text())
}

/// An event in a line.
fn headline(way: &EventWay, text: &mut Prose) {
    let key = way.event.key.as_ref().map_or_else(String::new, |key| format!(", key {key}"));
    let (id, kind) = (&way.event.id, &way.event.event_type);
    text.line("event ", &format!("{id} ({kind}{key}), accepted {}", local(&way.accepted_at)));
}

/// Which event is meant.
struct Meant<'a> {
    id: &'a EventId,
    tenant: Option<&'a Tenant>,
    source: Option<String>,
}

fn path_of(id: &EventId) -> String {
    format!("/v1/events/{}", utf8_percent_encode(id.as_str(), NON_ALPHANUMERIC))
}

/// Finds the events that are meant, however often that has to be asked for, and looks on [`LOOK_ON`] times for more.
async fn find(
    client: &Client,
    Meant { id: event, tenant, source }: Meant<'_>,
    destination: Option<&DestinationName>,
) -> Result<FoundEvents, Failure> {
    let path = path_of(event);
    let (tenant, destination) = (tenant.map(ToString::to_string), destination.map(ToString::to_string));
    let (mut all, mut looked_on) = (FoundEvents::default(), 0);
    loop {
        let mut query = Serializer::new(String::new());
        let asked = [("tenant", &tenant), ("source", &source), ("destination", &destination), ("after", &all.next)];
        for (name, value) in asked {
            query.extend_pairs(value.as_ref().map(|value| (name, value.as_str())));
        }
        looked_on += usize::from(!all.items.is_empty());
        let found: FoundEvents = match client.get(&format!("{path}?{}", query.finish())).await {
            Ok(found) => found,
            // What was found is told all the same.
            Err(failure) if !all.items.is_empty() => {
                output::note(&failure.what);
                break;
            }
            Err(failure) => return Err(failure),
        };
        all.items.extend(found.items);
        all.incomplete.extend(found.incomplete);
        all.next = found.next;
        if all.next.is_none() || (!all.items.is_empty() && looked_on >= LOOK_ON) {
            break;
        }
        if let (Some(upto), true) = (&found.looked_back_to, all.items.is_empty()) {
            output::note(&format!("looked back to {} …", local(upto)));
        }
    }
    if all.items.is_empty() {
        missing(&all.incomplete);
        let what = if all.incomplete.is_empty() {
            format!("no event that is still stored has the id {event}")
        } else {
            format!("{event} was not found, and not everything could be looked at; try again later")
        };
        return Err(Failure::new(what));
    }
    if all.next.is_some() {
        output::note("others of this id, from other sources or tenants, may be further back: say which with --source");
    }
    Ok(all)
}

fn missing(incomplete: &[String]) {
    for what in incomplete {
        output::note(&localized(what));
    }
}

const EVENT_COLUMNS: [(&str, Align); 6] = [
    ("EVENT", Align::Left),
    ("ACCEPTED", Align::Left),
    ("AT", Align::Right),
    ("SIZE", Align::Right),
    ("TYPE", Align::Text),
    ("KEY", Align::Text),
];

/// How many of them stay in a line where the terminal is narrow.
const EVENT_ABOVE: usize = 4;

/// What stands behind those where some event is a tenant's.
const TENANT_COLUMN: (&str, Align) = ("TENANT", Align::Text);

/// The columns of these events, and their rows.
fn event_table(events: &[EventLine]) -> (Vec<(&'static str, Align)>, Vec<Vec<String>>) {
    let (mut columns, mut rows) = (EVENT_COLUMNS.to_vec(), events.iter().map(event_row).collect::<Vec<_>>());
    if events.iter().any(|event| event.tenant.is_some()) {
        columns.insert(EVENT_ABOVE, TENANT_COLUMN);
        for (row, event) in rows.iter_mut().zip(events) {
            row.insert(EVENT_ABOVE, event.tenant.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string));
        }
    }
    (columns, rows)
}

fn event_row(event: &EventLine) -> Vec<String> {
    vec![
        event.id.to_string(),
        local(&event.accepted_at),
        format!("{}:{}", event.partition, event.offset),
        size(event.bytes),
        event.event_type.clone(),
        event.key.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
    ]
}

const ATTEMPT_COLUMNS: [(&str, Align); 7] = [
    ("ENDED", Align::Left),
    ("DESTINATION", Align::Left),
    ("OUTCOME", Align::Left),
    ("STATUS", Align::Right),
    ("TOOK", Align::Right),
    ("EVENT", Align::Text),
    ("REASON", Align::Text),
];

fn attempt_row(attempt: &AttemptLine) -> Vec<String> {
    let at = || format!("{}:{}", attempt.partition, attempt.offset);
    vec![
        local(&attempt.at),
        attempt.destination.to_string(),
        attempt.outcome.clone(),
        attempt.status.map_or_else(|| "-".to_owned(), |status| status.to_string()),
        took(attempt.took_us),
        attempt.event_id.as_ref().map_or_else(at, ToString::to_string),
        attempt.reason.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

#[allow(clippy::cast_precision_loss, reason = "it is shown with three digits")]
fn took(micros: u64) -> String {
    match micros {
        0..1_000_000 => format!("{:.1}ms", micros as f64 / 1e3),
        _ => format!("{:.1}s", micros as f64 / 1e6),
    }
}

fn list(
    none: &str,
    columns: &[(&'static str, Align)],
    below: usize,
    rows: Vec<Vec<String>>,
    more: bool,
    limit: usize,
) -> Result<(), Failure> {
    let mut text =
        if rows.is_empty() { format!("{none}\n") } else { rows_with_text(columns, below, rows, Look::plain()) };
    if more {
        let _ = writeln!(text, "{}", there_may_be_more(limit));
    }
    output::print(&text)
}

fn there_may_be_more(limit: usize) -> String {
    format!("there may be more; ask with a larger --limit than {limit}, or another --until")
}

/// An event for people: facts, its way, its data.
fn describe(way: &EventWay, text: &mut Prose) {
    let event = &way.event;
    let data = event.data.as_ref().map(|data| data.get().to_owned()).or_else(|| event.data_base64.clone());
    let data = data.unwrap_or_default();
    let mut facts = vec![
        ("event", event.id.to_string()),
        ("type", event.event_type.clone()),
        ("accepted", local(&way.accepted_at)),
        ("stored at", format!("partition {}, offset {}", way.partition, way.offset)),
    ];
    facts.extend(event.tenant.iter().map(|tenant| ("tenant", tenant.to_string())));
    facts.extend(event.key.iter().map(|key| ("key", key.to_string())));
    let optional = [("source", &event.source), ("subject", &event.subject), ("time", &event.time)];
    facts.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    facts.extend(event.attributes.iter().map(|(name, value)| ("attribute", format!("{name} = {value}"))));
    facts.extend(event.traceparent.iter().map(|trace| ("traceparent", trace.clone())));
    let base64 = if event.data_base64.is_some() { ", as base64" } else { "" };
    facts.push(("data", format!("{}{base64}", event.content_type)));
    for (name, value) in facts {
        text.line(&format!("{name:<12} "), &value);
    }
    let shown: String = data.chars().take(SHOWN_CHARS).collect();
    text.line("", &format!("{shown}{}", if shown.len() < data.len() { " …" } else { "" }));
    text.gap();
    for at in &way.destinations {
        explain(at, Exchanges::All, text);
    }
    match (way.destinations.is_empty(), way.not_wanted) {
        (true, 0) => text.line("", "there is no destination"),
        (true, n) => text.line("", &format!("none of the {n} destinations wants it")),
        (false, 0) => {}
        (false, 1) => text.line("", "1 other destination does not want it"),
        (false, n) => text.line("", &format!("{n} other destinations do not want it")),
    }
}

/// Of which attempts that failed it is told what was sent and what was answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exchanges {
    All,
    /// Of the last one: an hour of retries is one screen then.
    LastFailed,
    /// Of none, and the attempts themselves are not told either.
    None,
}

/// What a destination has to do with an event, in plain words.
fn explain(at: &EventAt, exchanges: Exchanges, text: &mut Prose) {
    let (name, state) = (&at.destination, at.state.to_uppercase().replace('-', " "));
    if exchanges == Exchanges::None {
        return text.line(&format!("  {name}: {state}: "), &localized(&at.detail));
    }
    text.line("", &format!("{name}: {state}"));
    text.line("  ", &localized(&at.detail));
    if let Some(next) = &at.next_attempt {
        text.line("  ", &format!("next attempt {}", local(next)));
    }
    let last = at.attempts.iter().rposition(|attempt| attempt.answer.is_some() || attempt.request.is_some());
    for (n, attempt) in at.attempts.iter().enumerate() {
        let whole = exchanges == Exchanges::All || last == Some(n);
        tell_attempt(attempt, whole, text);
    }
}

/// An attempt in a line, what went wrong in another, and if it is to be told `whole`, what was sent (`>`) and what was
/// answered (`<`), as curl shows it.
fn tell_attempt(attempt: &AttemptLine, whole: bool, text: &mut Prose) {
    let status = attempt.status.map_or_else(String::new, |status| format!(" with {status}"));
    let redrive = if attempt.redrive { ", wanted again" } else { "" };
    let (when, outcome, took) = (local(&attempt.at), &attempt.outcome, took(attempt.took_us));
    let number = if attempt.attempt == 0 { "-".to_owned() } else { attempt.attempt.to_string() };
    text.line(&format!("  {number:>3}  "), &format!("{when}  {outcome}{status} in {took}{redrive}"));
    // What was answered says it better than the reason, which quotes it.
    let answer = attempt.answer.as_ref().filter(|_| whole);
    if let Some(reason) = attempt.reason.as_ref().filter(|_| answer.is_none()) {
        text.line("       ", reason);
    }
    if !whole {
        return;
    }
    for line in attempt.request.iter().flat_map(|request| request.lines()) {
        text.line("       > ", line);
    }
    if let Some(answer) = answer {
        let lines = answer.headers.lines().chain((!answer.body.is_empty()).then_some(&*answer.body));
        lines.for_each(|line| text.line("       < ", line));
    }
}
