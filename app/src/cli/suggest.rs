//! Names that were typed wrong: which one was probably meant.
//!
//! Only asked for when a command has failed already. Where the server cannot say what there is, the failure stays as
//! it is.

use super::Failure;
use super::client::Client;
use crate::config::nearest;
use laneway_domain::DestinationName;
use laneway_http::wire::{Place, Status};

/// The failure of a command about `name`, with what to do if there is no such destination.
pub(super) async fn destination(client: &Client, name: &DestinationName, failure: Failure) -> Failure {
    if failure.advice.is_some() {
        return failure;
    }
    match client.get::<Status>("/v1/status").await {
        Ok(status) => advise_destination(&status, name, failure),
        Err(_) => failure,
    }
}

/// The same of a command about a key. `is_one`: it is not one of those that are blocked in each partition by
/// themselves, or its partition was said.
pub(super) async fn key(
    client: &Client,
    name: &DestinationName,
    (key, is_one): (&str, bool),
    failure: Failure,
) -> Failure {
    if failure.advice.is_some() {
        return failure;
    }
    let Ok(status) = client.get::<Status>("/v1/status").await else { return failure };
    let Some(view) = status.destinations.iter().find(|view| view.status.name == *name) else {
        return advise_destination(&status, name, failure);
    };
    let blocked = &view.status.blocked;
    if let Some(listed) = blocked.iter().find(|listed| listed.key == key) {
        if is_one {
            // It was refused for another reason.
            return failure;
        }
        let place = Place { partition: listed.partition, offset: listed.head };
        return failure.advising(format!("choose one that `laneway status --keys` lists, for instance --at {place}"));
    }
    match nearest(key, blocked.iter().map(|listed| listed.key.as_str())) {
        Some(meant) => failure.advising(did_you_mean(meant)),
        None => failure.advising("`laneway status --keys` lists the keys that are blocked"),
    }
}

fn advise_destination(status: &Status, name: &DestinationName, failure: Failure) -> Failure {
    let known = || {
        let listed = status.destinations.iter().map(|view| &view.status.name);
        listed.chain(status.other_dead_letters.keys()).map(DestinationName::as_str)
    };
    if known().any(|known| known == name.as_str()) {
        return failure;
    }
    match nearest(name.as_str(), known()) {
        Some(meant) => failure.advising(did_you_mean(meant)),
        None => failure.advising("`laneway status` lists the destinations"),
    }
}

pub(super) fn did_you_mean(meant: &str) -> String {
    format!("did you mean {}?", super::output::clean(meant))
}
