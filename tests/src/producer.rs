//! Producers that keep sending through crashes, and know what was promised to them.

use crate::client::Client;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::watch;

/// How long a producer waits before it tries a server again that does not answer.
const PAUSE: Duration = Duration::from_millis(20);
/// How often it tries one event before the test fails: as many pauses as three minutes have. A store on a full disk takes
/// nothing in until some ten thousand events are delivered and trimmed, and a busy machine is slow at that.
const MOST_TRIES: u32 = 9000;

/// What one producer did.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Ids that were answered with 202, in the order of their acceptance per key.
    pub accepted: Vec<String>,
    /// Ids of requests without an answer that were not repeated: stored or not, both is right.
    pub unclear: BTreeSet<String>,
}

/// Sends `count` events, one after the other, on keys that no other producer uses. A request
/// without an answer is repeated with the same id, or (one in four) left unclear. `progress` counts the events that are done with, of all producers.
///
/// # Panics
/// If the server answers with an error, or stays away for more than a minute.
pub async fn produce(
    client: Client,
    name: &str,
    keys: &[String],
    count: usize,
    seed: u64,
    progress: &watch::Sender<usize>,
) -> Sent {
    let mut random = StdRng::seed_from_u64(seed);
    let mut sent = Sent::default();
    for n in 0..count {
        let key = keys.choose(&mut random).expect("at least one key");
        let id = format!("{name}-{n:06}");
        let padding = "x".repeat(random.random_range(0..100));
        let event = json!({"id": id, "type": "crash.test", "key": key, "data": {"n": n, "padding": padding}});
        if deliver(&client, &event.to_string(), &mut random).await {
            sent.accepted.push(id);
        } else {
            sent.unclear.insert(id);
        }
        progress.send_modify(|done| *done += 1);
    }
    sent
}

/// `false` if it was left unclear. `progress` counts the events that are done with, of all producers.
async fn deliver(client: &Client, event: &str, random: &mut StdRng) -> bool {
    for _ in 0..MOST_TRIES {
        match client.post("/v1/events", event.to_owned()).await {
            Ok(answer) if answer.status == 202 => return true,
            Ok(answer) => assert_eq!(answer.status, 503, "{}: {event}", answer.text()),
            Err(_) if random.random_ratio(1, 4) => return false,
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("the server stayed away: {event}")
}
