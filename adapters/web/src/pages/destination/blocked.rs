//! The keys that wait because an event of them failed.

use super::actions;
use crate::data;
use crate::links;
use crate::page::ago;
use crate::pages::dead_letters::lane_key;
use crate::show;
use crate::snapshot::Row;
use crate::visit::Visit;
use laneway_domain::{BlockedKey, Role};
use maud::{Markup, html};

/// The keys that the status lists; their number is exact in any case.
pub(super) fn table(visit: &Visit, row: &Row) -> Markup {
    let (listed, all) = (row.status.blocked.len() as u64, row.status.blocked_keys);
    html! {
        @if all > 0 {
            section aria-labelledby="blocked" {
                h2 #blocked { "Blocked keys" }
                @if listed < all {
                    p.small { "These are " (show::count(listed)) " of " (show::count(all)) ", those that have waited for longest." }
                }
                div.scroll tabindex="0" role="group" aria-labelledby="blocked" {
                    table.cards {
                        thead { tr {
                            th scope="col" { "Key" }
                            th scope="col" { abbr title="Partition and offset of the event that failed" { "At" } }
                            th.number scope="col" { "Attempts" }
                            th scope="col" { "Since" }
                            th scope="col" { "Next attempt" }
                            th scope="col" { "Last error" }
                            @if visit.may(Role::Operate) { th scope="col" { "What to do" } }
                        } }
                        tbody { @for key in &row.status.blocked { (line(visit, row.status.name.as_str(), key)) } }
                    }
                }
            }
        }
    }
}

fn line(visit: &Visit, name: &str, key: &BlockedKey) -> Markup {
    let path = links::destination(name);
    html! {
        tr {
            th scope="row" { (lane_key(&key.key)) }
            td.mono data-name="At" { (key.partition) ":" (key.head) }
            td.number data-name="Attempts" { (show::count(u64::from(key.attempts))) }
            td data-name="Since" { (ago(visit.now, key.since)) }
            td data-name="Next attempt" { @match key.next_attempt { Some(at) => (ago(visit.now, at)), None => span.badge.bad { "held" } } }
            td.said { (data::visible(&key.last_error)) }
            @if visit.may(Role::Operate) {
                td {
                    (actions::of_key(visit, name, &key.key, (key.partition, key.head), &path))
                }
            }
        }
    }
}
