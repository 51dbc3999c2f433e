//! `GET /console/store`: what the store holds, and how much room it takes. It is asked for each time somebody looks, and
//! looks at every partition; so the page does not keep itself up to date.

use super::attempts::when;
use crate::failed::Answer;
use crate::page::{incomplete, page};
use crate::show;
use crate::site::Site;
use crate::visit::Visit;
use axum::extract::State;
use laneway_domain::Role;
use laneway_http::wire::{StorePartView, StoreView};
use maud::{Markup, html};
use std::sync::Arc;
use std::time::Duration;

pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit) -> Answer {
    visit.needs(Role::Read)?;
    let store: StoreView = site.interface(&visit).get("/v1/store").await?;
    let content = html! {
        (incomplete(&store.incomplete))
        (facts(&visit, &store))
        h2 #room { "Room" }
        (parts(&store.parts))
    };
    Ok(page(&visit, "Store", &content))
}

fn facts(visit: &Visit, store: &StoreView) -> Markup {
    let duration = |seconds| show::duration(Duration::from_secs(seconds));
    html! {
        dl.facts {
            div { dt { "Place" } dd { (store.place) } }
            div { dt { "Partitions" } dd { (show::count(u64::from(store.partitions))) } }
            div {
                dt { "Events" }
                dd {
                    (show::count(store.events))
                    @if let Some(at) = &store.oldest_accepted_at { ", the oldest accepted " (when(visit, at)) }
                    "; settled ones are kept for " (duration(store.retain_seconds))
                }
            }
            div { dt { "Ids" } dd { "remembered for " (duration(store.duplicate_window_seconds)) } }
            div {
                dt { "History" }
                dd {
                    @match &store.history {
                        Some(history) => {
                            (show::size(history.bytes)) " in " (show::counted(history.records, "record", "records"))
                            "; at most " (show::size(history.max_bytes)) " and " (duration(history.max_age_seconds)) " are kept"
                        }
                        None => { "switched off" }
                    }
                }
            }
        }
    }
}

fn parts(parts: &[StorePartView]) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-labelledby="room" {
            table {
                thead { tr { th scope="col" { "Part" } th.number scope="col" { "Takes" } th.number scope="col" { "At most" } } }
                tbody {
                    @for part in parts {
                        tr {
                            th scope="row" { (part.name) }
                            td.number { (show::size(part.bytes)) }
                            td.number { (part.most_bytes.map_or_else(|| "–".to_owned(), show::size)) }
                        }
                    }
                }
            }
        }
    }
}
