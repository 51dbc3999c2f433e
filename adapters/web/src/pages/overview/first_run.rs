//! What is shown before there is a destination: the two commands that lead to a first delivery.

use crate::links;
use crate::site::Site;
use crate::snapshot::Snapshot;
use crate::visit::Visit;
use laneway_domain::Role;
use maud::{Markup, html};

/// What the built-in destination is called, and what it prints on: it is there while no other is.
const BUILT_IN: &str = "console";

/// Whether there is no destination but the one that prints on the terminal.
pub(super) fn is_one(site: &Site, snapshot: &Snapshot) -> bool {
    snapshot
        .rows
        .iter()
        .all(|row| row.status.name.as_str() == BUILT_IN && site.target(&row.status.name).as_deref() == Some(BUILT_IN))
}

/// The commands, for the server as the browser reaches it.
pub(super) fn commands(visit: &Visit) -> Markup {
    let scheme = if visit.is_over_tls { "https" } else { "http" };
    let server = format!("{scheme}://{}", visit.host);
    let token = if visit.token.is_some() { " \\\n  -H \"authorization: Bearer $LANEWAY_TOKEN\"" } else { "" };
    let json = "-H 'content-type: application/json'";
    let make = format!(
        "curl -X PUT {server}/v1/destinations/first {json}{token} \\\n  -d '{{\"url\":\"https://receiver.example/hooks\"}}'"
    );
    let event = r#"{"type":"order.placed","key":"order-7","data":{"total":12.5}}"#;
    let send = format!("curl {server}/v1/events {json}{token} \\\n  -d '{event}'");
    html! {
        section.note.welcome aria-labelledby="first" {
            h2 #first { "A first delivery" }
            p { "There is no destination yet: events are printed in the terminal in which Laneway runs. Two commands change that." }
            ol {
                li { p { "Make a destination, with the address of a receiver of yours:" } pre tabindex="0" { code { (make) } } }
                li { p { "Send it an event:" } pre tabindex="0" { code { (send) } } }
            }
            @if visit.may(Role::Admin) || visit.may(Role::Publish) {
                p {
                    "Or here: "
                    @if visit.may(Role::Admin) { a href=(links::NEW) { "add a destination" } }
                    @if visit.may(Role::Admin) && visit.may(Role::Publish) { ", and " }
                    @if visit.may(Role::Publish) { a href=(links::SEND) { "send an event" } }
                    "."
                }
            }
            p.small {
                "Webhooks go to public addresses only. " code { "egress.allow" } " in the configuration file opens others, such as "
                code { "127.0.0.0/8" } " for a receiver on this machine."
            }
        }
    }
}
