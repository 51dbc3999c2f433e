//! `laneway keys` and `laneway destinations`: what an operator tells a running worker.

use super::args::{BlockedKey, DestinationsCommand, KeysCommand};
use super::client::Client;
use super::{Failure, output};
use laneway_domain::LaneKey;
use laneway_http::wire::{Done, KeyChoice};

/// Retries or skips a key's failed event.
pub(super) async fn key(client: &Client, command: KeysCommand) -> Result<(), Failure> {
    let (what, said, chosen) = match command {
        KeysCommand::Retry(chosen) => ("retry", "is attempted now", chosen),
        KeysCommand::Skip(chosen) => ("skip", "is given up: it becomes a dead letter, and the key goes on", chosen),
    };
    let BlockedKey { destination, key } = chosen;
    let key = lane_key(&key);
    let path = format!("/v1/destinations/{destination}/keys/{what}");
    client.post::<Done>(&path, &KeyChoice { key: key.clone() }).await?;
    output::line(&format!("{destination}: the failed event of {} {said}", output::clean(&key)))
}

/// What was typed, as the status writes it: a bare key stands for itself.
fn lane_key(typed: &str) -> String {
    let as_listed = LaneKey::parse(typed).map(|key| key.to_string());
    as_listed.unwrap_or_else(|| format!("key:{typed}"))
}

/// Resumes or forgets a destination.
pub(super) async fn destination(client: &Client, command: DestinationsCommand) -> Result<(), Failure> {
    match command {
        DestinationsCommand::Resume { name } => {
            client.post::<Done>(&format!("/v1/destinations/{name}/resume"), &serde_json::json!({})).await?;
            output::line(&format!("{name} goes on"))
        }
        DestinationsCommand::Forget { name, yes } => {
            let question = format!(
                "Forget {name}? Its progress and dead letters are dropped; what waits for it is not delivered."
            );
            output::confirm(&question, yes)?;
            client.delete::<Done>(&format!("/v1/destinations/{name}/progress")).await?;
            output::line(&format!("{name} is forgotten"))
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
