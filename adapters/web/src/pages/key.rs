//! `GET /console/keys?key=`: a key: where it stands at each destination, and its events in their order.

use super::destination::actions;
use super::state;
use crate::data;
use crate::failed::Answer;
use crate::form::Form;
use crate::interface::{Interface, problem};
use crate::links;
use crate::page::{ago, live_slowly, page};
use crate::show;
use crate::site::Site;
use crate::snapshot::{Row, Snapshot};
use crate::visit::Visit;
use axum::extract::{RawQuery, State};
use laneway_domain::{BlockedKey, LaneKey, Role, Tenant};
use laneway_http::wire::{DeadLetterPage, EventLine, EventPage, FoundEvents, Problem};
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Events of a page: each costs a look at the state of its destinations.
const EVENTS: &str = "20";
/// After how many seconds the page is asked for again: with two look-ups more than it has events, that is a third of
/// what a tenant may look up by default.
const EVERY: u32 = 15;
/// With more destinations than this, the states of one are shown at a time.
const MOST_AT_ONCE: usize = 50;

pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit, RawQuery(query): RawQuery) -> Answer {
    let asked = Form::of_query(query.as_deref().unwrap_or_default());
    let key = asked.get("key");
    if key.is_empty() {
        return Err(problem("not-found", 404, "Which key?", "The address names no key.").into());
    }
    // Whoever is a tenant's means a key of its own.
    let asked_for = Some(asked.get("tenant")).filter(|said| !said.is_empty()).map(Tenant::new).transpose();
    let asked_for = asked_for.map_err(|error| problem("invalid", 422, "Whose key?", &error.to_string()))?;
    let of = Of { tenant: visit.tenant().cloned().or(asked_for), key };
    let snapshot = site.snapshot(&visit).await?;
    let interface = site.interface(&visit);
    let tenant = of.tenant.as_ref().map_or("", Tenant::as_str);
    let filter = [("key", key), ("tenant", tenant), ("after", asked.get("after")), ("limit", EVENTS)];
    let mut events: EventPage = interface.get(&links::with("/v1/events", &filter)).await?;
    // Those of tenants are not asked for where none is said, and come all the same.
    events.items.retain(|event| event.tenant == of.tenant);
    let dead: DeadLetterPage =
        interface.get(&links::with("/v1/dead-letters", &[("key", key), ("tenant", tenant), ("limit", "1000")])).await?;
    let destination = asked.get("destination");
    let asks = !destination.is_empty() || snapshot.rows.len() <= MOST_AT_ONCE;
    let states = if asks { states(&interface, &events.items, destination).await } else { States::default() };
    let content = html! {
        (live_slowly("now", EVERY, &html! { (blocked(&visit, &snapshot, &of)) (dead_letters(&visit, &dead, &of)) }))
        section aria-labelledby="events" {
            h2 #events { "Its events" }
            @if !asks { (choose(&of)) }
            @if events.items.is_empty() { p.empty { "None of its events is stored any more." } } @else {
                p.small { "In their order, the latest last." }
                (live_slowly("of-key", EVERY, &html! { (unknown(&states)) (table(&visit, &events.items, &states)) }))
            }
            @if let Some(next) = &events.next {
                nav.pages aria-label="Pages" {
                    a rel="next" href=(links::with(links::KEYS, &[("key", key), ("tenant", tenant), ("destination", destination), ("after", next)])) { "Earlier events" }
                }
            }
        }
    };
    let whose = of.tenant.as_ref().filter(|_| visit.tenant().is_none()).map(|tenant| format!(" of {tenant}"));
    Ok(page(&visit, &format!("Key {}{}", data::visible(key), whose.unwrap_or_default()), &content))
}

/// Which key it is.
struct Of<'a> {
    tenant: Option<Tenant>,
    key: &'a str,
}

impl Of<'_> {
    /// Its page.
    fn link(&self) -> String {
        links::key(self.tenant.as_ref(), self.key)
    }

    /// Whether what is ordered by that is of this key, or may be.
    fn is(&self, lane_key: &str) -> bool {
        let read = LaneKey::parse(lane_key);
        read.as_ref()
            .and_then(LaneKey::owner_and_key)
            .is_none_or(|(tenant, key)| tenant == self.tenant.as_ref() && key.as_str() == self.key)
    }
}

/// What has become of each event, by its place in the list and the destination.
#[derive(Default)]
struct States {
    destinations: BTreeSet<String>,
    of: BTreeMap<(usize, String), (String, String)>,
    /// The events of which nobody could say it.
    unknown: BTreeSet<usize>,
    /// Why not.
    why: Option<String>,
}

async fn states(interface: &Interface, events: &[EventLine], destination: &str) -> States {
    let mut states = States::default();
    for (at, event) in events.iter().enumerate() {
        let path = format!("/v1/events/{}", links::part(event.id.as_str()));
        let only = [("at", &*format!("{}:{}", event.partition, event.offset)), ("destination", destination)];
        let found: Result<FoundEvents, Box<Problem>> = interface.get(&links::with(&path, &only)).await;
        // Without an answer the event itself is listed all the same.
        let found = match found {
            Ok(found) => found,
            Err(problem) => {
                states.unknown.insert(at);
                let is_too_often = problem.status == 429;
                states.why = Some(problem.detail);
                if is_too_often {
                    // The others would be refused as well.
                    states.unknown.extend(at..events.len());
                    break;
                }
                continue;
            }
        };
        let way = found.items.into_iter().next();
        for it in way.map(|way| way.destinations).unwrap_or_default() {
            states.destinations.insert(it.destination.to_string());
            states.of.insert((at, it.destination.to_string()), (it.state, it.detail));
        }
    }
    states
}

/// Of how many it is not known what became of them, and why.
fn unknown(states: &States) -> Markup {
    html! {
        @if let Some(why) = &states.why {
            div.note.warning { p {
                "What became of " (show::counted(states.unknown.len() as u64, "event", "events")) " is not known: " (data::visible(why))
            } }
        }
    }
}

fn choose(of: &Of<'_>) -> Markup {
    html! {
        form.filter method="get" action=(links::KEYS) {
            input type="hidden" name="key" value=(of.key);
            @if let Some(tenant) = &of.tenant { input type="hidden" name="tenant" value=(tenant); }
            div { label for="destination" { "What became of them at" } input #destination name="destination" required placeholder="the name of a destination"; }
            button type="submit" { "Show" }
        }
    }
}

/// Where it waits for an event that failed, as far as the workers' report lists it.
fn blocked(visit: &Visit, snapshot: &Snapshot, of: &Of<'_>) -> Markup {
    let tenant = of.tenant.as_ref().map(|tenant| format!("tenant:{tenant}:{}", of.key));
    let lane_key = tenant.unwrap_or_else(|| format!("key:{}", of.key));
    let at = |row: &'_ Row| row.status.blocked.iter().find(|blocked| blocked.key == lane_key).cloned();
    let blocked: Vec<(&str, BlockedKey)> =
        snapshot.rows.iter().filter_map(|row| Some((row.status.name.as_str(), at(row)?))).collect();
    let unlisted = snapshot.rows.iter().filter(|row| row.status.blocked_keys > row.status.blocked.len() as u64).count();
    html! {
        section aria-labelledby="stands" {
            h2 #stands { "Where it stands" }
            @if blocked.is_empty() { p { "It is blocked at none of the destinations." } }
            @for (name, blocked) in &blocked {
                div.way {
                    h3 { a href=(links::destination(name)) { (name) } " " (state::badge(if blocked.next_attempt.is_none() { "held" } else { "blocked" })) }
                    p {
                        "Its event at " span.mono { (blocked.partition) ":" (blocked.head) } " has failed "
                        (show::counted(u64::from(blocked.attempts), "time", "times")) ", for the first time " (ago(visit.now, blocked.since)) ". "
                        @match blocked.next_attempt {
                            Some(at) => { "The next attempt is due " (ago(visit.now, at)) "." }
                            None => "It waits for you.",
                        }
                    }
                    p.said { (data::visible(&blocked.last_error)) }
                    @if visit.may(Role::Operate) { (actions::of_key(visit, name, &blocked.key, (blocked.partition, blocked.head), &of.link())) }
                }
            }
            @if unlisted > 0 {
                p.small { (show::counted(unlisted as u64, "destination has", "destinations have")) " more blocked keys than are listed, so that it may be among those." }
            }
        }
    }
}

/// Those of its events that were given up, by destination.
fn dead_letters(visit: &Visit, dead: &DeadLetterPage, of: &Of<'_>) -> Markup {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for letter in dead.dead_letters.iter().filter(|letter| of.is(&letter.lane_key)) {
        *counts.entry(letter.destination.as_str()).or_default() += 1;
    }
    html! {
        @if !counts.is_empty() {
            section aria-labelledby="dead" {
                h2 #dead { "Dead letters" }
                ul.plain { @for (name, count) in counts {
                    li {
                        @let tenant = of.tenant.as_ref().map_or("", Tenant::as_str);
                        a href=(links::with(links::DEAD_LETTERS, &[("destination", name), ("tenant", tenant), ("key", of.key)])) {
                            (show::counted(count, "dead letter", "dead letters"))
                        }
                        " at " a href=(links::destination(name)) { (name) } ". "
                        @if visit.may(Role::Operate) { a.button.plain href=(links::recover(name, of.tenant.as_ref(), of.key)) { "Recover the key…" } }
                    }
                } }
            }
        }
    }
}

fn table(visit: &Visit, events: &[EventLine], states: &States) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-labelledby="events" {
            table {
                thead { tr {
                    th scope="col" { "Event" } th scope="col" { "Type" } th scope="col" { "Accepted" }
                    @for name in &states.destinations { th scope="col" { (name) } }
                } }
                tbody { @for (at, event) in events.iter().enumerate().rev() { (line(visit, at, event, states)) } }
            }
        }
    }
}

fn line(visit: &Visit, at: usize, event: &EventLine, states: &States) -> Markup {
    html! {
        tr {
            th scope="row" { a.mono href=(links::event_at(event.id.as_str(), event.partition, event.offset)) { (data::visible(event.id.as_str())) } }
            td.mono { (event.event_type) }
            td { @match show::read_moment(&event.accepted_at) { Some(at) => (ago(visit.now, at)), None => (event.accepted_at) } }
            @for name in &states.destinations {
                td {
                    @if let Some((state, detail)) = states.of.get(&(at, name.clone())) { span title=(data::visible(detail)) { (state::badge(state)) } }
                    @else if states.unknown.contains(&at) { "not known" } @else { "–" }
                }
            }
        }
    }
}
