//! Events that keep flowing while faults are injected.

use crate::client::Client;
use crate::producer::{Sent, produce};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Producers, each with keys of its own.
const PRODUCERS: usize = 8;
const KEYS_EACH: usize = 25;
/// How many events a producer sends before it looks whether it is to stop.
const ROUND: usize = 5;

/// Producers that send until they are told to stop.
#[derive(Debug)]
pub struct Load {
    tasks: Vec<JoinHandle<Sent>>,
    done: watch::Receiver<usize>,
    stop: watch::Sender<bool>,
    began: Instant,
}

/// What was sent.
#[derive(Clone, Debug)]
pub struct Sending {
    /// When it began and ended.
    pub span: (Instant, Instant),
    /// Ids that had their 202.
    pub accepted: BTreeSet<String>,
    /// Ids without an answer: stored or not, both is right.
    pub unclear: BTreeSet<String>,
}

impl Load {
    /// Starts them, spread over these servers.
    #[must_use]
    pub fn start(servers: &[SocketAddr], seed: u64) -> Self {
        let (progress, done) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let start = |p: usize| {
            let (client, progress, stopped) =
                (Client::new(servers[p % servers.len()]), progress.clone(), stopped.clone());
            tokio::spawn(async move { send(client, p, seed, &progress, &stopped).await })
        };
        Self { tasks: (0..PRODUCERS).map(start).collect(), done, stop, began: Instant::now() }
    }

    /// Waits until so many more events are done with.
    ///
    /// # Panics
    /// If a producer has given up.
    pub async fn more(&mut self, events: usize) {
        let wanted = *self.done.borrow() + events;
        tokio::select! {
            reached = self.done.wait_for(|done| *done >= wanted) => { reached.expect("the producers are there"); }
            // The first one that ends before it was told to has failed.
            (ended, _, _) = futures_util::future::select_all(&mut self.tasks) => panic!("a producer has ended: {ended:?}"),
        }
    }

    /// Has them stop, and says what they have sent.
    ///
    /// # Panics
    /// If one has failed.
    pub async fn stop(self) -> Sending {
        self.stop.send_replace(true);
        let (mut accepted, mut unclear) = (BTreeSet::new(), BTreeSet::new());
        for task in self.tasks {
            let sent = task.await.expect("a producer ends well");
            accepted.extend(sent.accepted);
            unclear.extend(sent.unclear);
        }
        Sending { span: (self.began, Instant::now()), accepted, unclear }
    }
}

async fn send(
    client: Client,
    number: usize,
    seed: u64,
    progress: &watch::Sender<usize>,
    stopped: &watch::Receiver<bool>,
) -> Sent {
    let keys: Vec<String> = (0..KEYS_EACH).map(|k| format!("key-{number}-{k}")).collect();
    let mut all = Sent::default();
    for round in 0_u64.. {
        if *stopped.borrow() {
            break;
        }
        let name = format!("p{number}-{round}");
        let seed = seed ^ (number as u64) << 32 ^ round;
        let sent = produce(client.clone(), &name, &keys, ROUND, seed, progress).await;
        all.accepted.extend(sent.accepted);
        all.unclear.extend(sent.unclear);
    }
    all
}
