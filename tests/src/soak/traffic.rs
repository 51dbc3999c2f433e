//! Producers that follow the time of day, and send each event until they know that it is stored.

use super::book::{Book, now};
use super::day::Day;
use crate::client::Client;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// Producers, each with keys of its own, and with one event under way at most.
const PRODUCERS: usize = 16;
/// Keys of one producer.
const KEYS: usize = 60;
/// A key's share falls with this power of its number: of 60 keys the first gets a fifth of the events.
const SKEW: f64 = 2.5;
/// Sizes of the padding of most events, of one in ten, and of one in a hundred, in bytes.
const SIZES: [usize; 3] = [200, 4_000, 20_000];
/// How long a producer waits before it sends an event again.
const AGAIN: Duration = Duration::from_millis(50);
/// A producer that is late by more than this has been held up, and does not catch up.
const MOST_LATE: Duration = Duration::from_secs(1);
/// What every event of the soak is.
pub const TYPE: &str = "soak.event";

/// What the keys of a ledger begin with.
#[must_use]
pub fn keys_of(epoch: u64) -> String {
    format!("e{epoch}-")
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Pause,
    Go,
    Stop,
}

/// Producers, all of which can be told to pause.
pub struct Traffic {
    order: watch::Sender<Order>,
    idle: watch::Receiver<usize>,
    refused: watch::Receiver<u64>,
    tasks: Vec<JoinHandle<()>>,
}

/// What all producers share.
struct Common {
    book: Arc<Book>,
    day: Day,
    /// The time of the soak at which the piece began.
    before: Duration,
    began: Instant,
    keys: String,
    idle: watch::Sender<usize>,
    refused: watch::Sender<u64>,
}

impl Traffic {
    /// Producers for these servers. They wait to be told that they may go.
    #[must_use]
    pub fn new(book: &Arc<Book>, servers: &[SocketAddr], day: Day, before: Duration, keys: String, seed: u64) -> Self {
        let (order, orders) = watch::channel(Order::default());
        let (idle, refused) = (watch::Sender::new(0), watch::Sender::new(0));
        let (of_idle, of_refused) = (idle.subscribe(), refused.subscribe());
        let book = Arc::clone(book);
        let common = Arc::new(Common { book, day, before, began: Instant::now(), keys, idle, refused });
        let clients: Vec<Client> = servers.iter().map(|address| Client::new(*address)).collect();
        let start = |number: usize| {
            let random = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
            let producer =
                Producer { number, at: number, clients: clients.clone(), random, common: Arc::clone(&common) };
            tokio::spawn(producer.run(orders.clone()))
        };
        Self { order, idle: of_idle, refused: of_refused, tasks: (0..PRODUCERS).map(start).collect() }
    }

    /// Has them send.
    pub fn go(&self) {
        self.order.send_replace(Order::Go);
    }

    /// Has them pause, and waits until each knows what became of its last event.
    ///
    /// # Panics
    /// If a producer has failed.
    pub async fn pause(&mut self) {
        self.order.send_replace(Order::Pause);
        tokio::select! {
            reached = self.idle.wait_for(|idle| *idle == PRODUCERS) => { reached.expect("the producers are there"); }
            (ended, _, _) = futures_util::future::select_all(&mut self.tasks) => panic!("a producer ended: {ended:?}"),
        }
    }

    /// Waits until a producer is refused, or gets no answer.
    ///
    /// # Panics
    /// If all producers have failed.
    pub async fn refused(&mut self) {
        let before = *self.refused.borrow_and_update();
        self.refused.wait_for(|refused| *refused > before).await.expect("the producers are there");
    }

    /// Ends them, after [`Traffic::pause`].
    pub async fn stop(mut self) {
        self.order.send_replace(Order::Stop);
        futures_util::future::join_all(&mut self.tasks).await;
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Producer {
    number: usize,
    /// Which server it sends to.
    at: usize,
    clients: Vec<Client>,
    random: StdRng,
    common: Arc<Common>,
}

impl Producer {
    async fn run(mut self, mut orders: watch::Receiver<Order>) {
        let mut next = Instant::now();
        loop {
            let order = *orders.borrow_and_update();
            if order != Order::Go {
                self.common.idle.send_modify(|idle| *idle += 1);
                let went_on = orders.wait_for(|order| *order != Order::Pause).await.map(|order| *order);
                self.common.idle.send_modify(|idle| *idle -= 1);
                match went_on {
                    Ok(Order::Go) => next = Instant::now(),
                    _ => return,
                }
            }
            tokio::select! {
                () = sleep_until(next) => {}
                _ = orders.changed() => continue,
            }
            self.one().await;
            let common = &self.common;
            let rate = common.day.rate(common.before + common.began.elapsed()) / PRODUCERS as f64;
            // Producers that all sent at the same beat would be no load but at that beat.
            let pause = Duration::from_secs_f64(self.random.random_range(0.5..1.5) / rate);
            next = (next + pause).max(Instant::now() - MOST_LATE);
        }
    }

    /// Sends the next event of one of the keys, until it is known to be stored.
    async fn one(&mut self) {
        let part = self.random.random::<f64>().powf(SKEW);
        let key = format!("{}p{:02}-k{:02}", self.common.keys, self.number, (part * KEYS as f64) as usize);
        let number = self.common.book.last_acknowledged(&key) + 1;
        let size = match self.random.random_range(0..100) {
            0 => SIZES[2],
            1..=10 => SIZES[1],
            _ => SIZES[0],
        };
        let padding = "x".repeat(self.random.random_range(0..size));
        let data = json!({"n": number, "at": now(), "padding": padding});
        let event = json!({"id": format!("{key}-{number}"), "type": TYPE, "key": key, "data": data}).to_string();
        loop {
            let client = &self.clients[self.at % self.clients.len()];
            match client.post("/v1/events", event.clone()).await {
                Ok(answer) if answer.status == 202 => break self.common.book.acknowledge(&key, number),
                // Refused for now, or nobody knows: the same id is sent again, to the next server.
                Ok(answer) if matches!(answer.status, 429 | 500..=599) => {}
                Err(_) => {}
                Ok(answer) => {
                    let (status, said) = (answer.status, answer.text());
                    self.common.book.violation(format!("{key} {number} is answered with {status} {said}"));
                }
            }
            self.common.refused.send_modify(|refused| *refused += 1);
            self.at += 1;
            sleep(AGAIN).await;
        }
    }
}
