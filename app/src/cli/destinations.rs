//! `laneway keys` and `laneway destinations`: what an operator tells a running server.

mod apply;
mod edit;
mod managed;

use super::args::{BlockedKey, DestinationsCommand, KeysCommand};
use super::client::Client;
use super::{Failure, output, replays, suggest};
use crate::config::Source;
use laneway_domain::{KeyAt, LaneKey};
use laneway_http::wire::{DestinationRecord, Done, KeyChoice, ReplayChoice};

/// Retries or skips a key's failed event.
pub(super) async fn key(client: &Client, command: KeysCommand) -> Result<(), Failure> {
    let (what, said, chosen) = match command {
        KeysCommand::Retry(chosen) => ("retry", "is attempted now", chosen),
        KeysCommand::Skip(chosen) => ("skip", "is given up: it becomes a dead letter, and the key goes on", chosen),
        KeysCommand::Recover(args) => return replays::recover(client, args).await,
    };
    let BlockedKey { destination, key, at } = chosen;
    let key = lane_key(&key);
    let (partition, head) = at.map(|at| (at.partition, at.offset)).unzip();
    // However many partitions the server has: without more, it would not have refused for that.
    let at_one = |key| KeyAt { key, partition, head }.is_one_key(u32::MAX);
    let is_one = what != "skip" || LaneKey::parse(&key).is_some_and(at_one);
    let path = format!("/v1/destinations/{destination}/keys/{what}");
    if let Err(failure) = client.post::<Done>(&path, &KeyChoice { key: key.clone(), partition, head }).await {
        return Err(suggest::key(client, &destination, (&key, is_one), failure).await);
    }
    output::say(&format!("{destination}: the failed event of {} {said}", output::clean(&key)))
}

/// What was typed, as the status writes it: a bare key stands for itself.
fn lane_key(typed: &str) -> String {
    let as_listed = LaneKey::parse(typed).map(|key| key.to_string());
    as_listed.unwrap_or_else(|| format!("key:{typed}"))
}

/// Lists, looks at and changes destinations.
pub(super) async fn destination(
    client: &Client,
    command: DestinationsCommand,
    source: &dyn Source,
) -> Result<(), Failure> {
    let name = match &command {
        DestinationsCommand::List { state, json } => return managed::list(client, state.as_deref(), *json).await,
        DestinationsCommand::Apply(args) => return apply::run(client, args, source).await,
        DestinationsCommand::Show { name }
        | DestinationsCommand::Edit { name }
        | DestinationsCommand::Pause { name, .. }
        | DestinationsCommand::RotateSecret { name, .. }
        | DestinationsCommand::Test { name, .. }
        | DestinationsCommand::Delete { name, .. }
        | DestinationsCommand::Changes { name, .. }
        | DestinationsCommand::Resume { name }
        | DestinationsCommand::Replay { name, .. }
        | DestinationsCommand::Forget { name, .. } => name.clone(),
    };
    match tell(client, command, source).await {
        Ok(()) => Ok(()),
        Err(failure) => Err(suggest::destination(client, &name, failure).await),
    }
}

async fn tell(client: &Client, command: DestinationsCommand, source: &dyn Source) -> Result<(), Failure> {
    match command {
        // Those are about more than one.
        DestinationsCommand::List { .. } | DestinationsCommand::Apply(_) => Ok(()),
        DestinationsCommand::Show { name } => managed::show(client, &name).await,
        DestinationsCommand::Edit { name } => edit::run(client, &name, source).await,
        DestinationsCommand::Pause { name, reason } => managed::pause(client, &name, &reason).await,
        DestinationsCommand::RotateSecret { name, keep, json } => {
            managed::rotate_secret(client, &name, keep, json).await
        }
        DestinationsCommand::Test { name, json } => managed::test(client, &name, json).await,
        DestinationsCommand::Delete { name, yes } => managed::delete(client, &name, yes).await,
        DestinationsCommand::Changes { name, limit, json } => managed::changes(client, &name, limit, json).await,
        DestinationsCommand::Resume { name } => {
            client.post::<Done>(&format!("/v1/destinations/{name}/resume"), &serde_json::json!({})).await?;
            output::say(&format!("{name} goes on"))
        }
        DestinationsCommand::Replay { name, since, yes } => {
            if !yes {
                // A question is about something that is there.
                client.look::<DestinationRecord>(&format!("/v1/destinations/{name}")).await?;
            }
            let said = since.local();
            let question = format!(
                "Deliver to {name} again what was accepted since {said}? Receivers that do not know duplicates will \
                 act on it twice."
            );
            output::confirm(&question, yes)?;
            let choice = ReplayChoice { since: since.to_text() };
            client.post::<Done>(&format!("/v1/destinations/{name}/replay"), &choice).await?;
            output::say(&format!(
                "{name} gets again what was accepted since {said}; laneway status shows how far it is"
            ))
        }
        DestinationsCommand::Forget { name, yes } => {
            if !yes {
                managed::check_forgettable(client, &name).await?;
            }
            let question = format!(
                "Forget {name}? Its progress and dead letters are dropped; what waits for it is not delivered."
            );
            output::confirm(&question, yes)?;
            client.delete::<Done>(&format!("/v1/destinations/{name}/progress")).await?;
            output::say(&format!("{name} is forgotten"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::lane_key;

    #[test]
    fn a_bare_key_stands_for_itself() {
        for (typed, sent) in [
            ("order-7", "key:order-7"),
            ("key:order-7", "key:order-7"),
            ("event:41", "event:41"),
            ("event:x", "key:event:x"),
            ("all", "all"),
            ("urn:x", "key:urn:x"),
        ] {
            assert_eq!(lane_key(typed), sent);
        }
    }
}
