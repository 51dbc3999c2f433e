//! The installation that faults are injected into: one server over SQLite, one receiver.

use super::load::{Load, Sending};
use super::preload::Preload;
use super::table::Row;
use crate::checker;
use crate::client::Client;
use crate::receiver::{Behaviour, Delivery, Receiver, Record};
use crate::server::{Installation, Running, Settings, webhook};
use crate::store::{Store, Stored};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

/// A destination that tries again quickly and for long: no fault of a test lasts an hour.
pub(super) const PATIENT: &str = r#"retry = { initial = "50ms", factor = 1.5, limit = "1h" }"#;
/// The one destination.
pub const DESTINATION: &str = "main";

/// Installation and receiver.
#[derive(Debug)]
pub struct Site {
    /// The folder, and the server's address.
    pub installation: Installation,
    /// Takes everything.
    pub receiver: Receiver,
    /// What is preloaded into the server.
    pub preload: Preload,
    /// What chance decides.
    pub random: StdRng,
    /// Lines of `[store]`, and where the destination is.
    store: String,
    url: String,
}

impl Site {
    /// A new one, with further lines of `[store]` and of the destination.
    pub async fn new(store: &str, destination: &str) -> Self {
        let receiver = Receiver::start(Behaviour::healthy(), 1).await;
        let url = receiver.url();
        Self::behind(receiver, &url, store, destination)
    }

    /// The same, with the receiver behind another URL.
    #[must_use]
    pub fn behind(receiver: Receiver, url: &str, store: &str, destination: &str) -> Self {
        let installation = Installation::new(&settings(url, store, destination));
        Self::of(installation, receiver, url, store)
    }

    /// The same, with further `[[destination]]` tables.
    #[must_use]
    pub fn among(receiver: Receiver, store: &str, destination: &str, others: &[String]) -> Self {
        let url = receiver.url();
        let mut settings = settings(&url, store, destination);
        settings.rest.push_str(&others.join("\n"));
        Self::of(Installation::new(&settings), receiver, &url, store)
    }

    /// The same in a folder that exists.
    #[must_use]
    pub fn inside(folder: &Path, receiver: Receiver, store: &str, destination: &str) -> Self {
        let url = receiver.url();
        let installation = Installation::inside(folder, &settings(&url, store, destination));
        Self::of(installation, receiver, &url, store)
    }

    fn of(installation: Installation, receiver: Receiver, url: &str, store: &str) -> Self {
        let preload = Preload::new(installation.folder(), "laneway.db");
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let random = StdRng::seed_from_u64(seed);
        Self { installation, receiver, preload, random, store: store.to_owned(), url: url.to_owned() }
    }

    /// From its next start on, the destination has these lines.
    pub fn set_destination(&self, lines: &str) {
        self.installation.configure(&settings(&self.url, &self.store, lines));
    }

    /// Starts the server.
    pub async fn start(&self) -> Running {
        self.installation.start_under(&[], &self.preload.variables()).await
    }

    /// Producers.
    pub fn load(&mut self) -> Load {
        Load::start(&[self.installation.address()], self.random.random())
    }

    /// Some events more, and then off the beat of their answers.
    pub async fn a_while(&mut self, load: &mut Load) {
        load.more(self.random.random_range(20..200)).await;
        tokio::time::sleep(Duration::from_micros(self.random.random_range(0..20_000))).await;
    }

    /// What the store holds.
    #[must_use]
    pub fn stored(&self) -> Vec<Stored> {
        Store::open(&self.installation.database()).events()
    }

    /// What the store holds, and what the receiver has taken and may have been trimmed since.
    fn ever_stored(&self) -> Vec<Stored> {
        let taken = self.receiver.record().deliveries.into_iter().filter(|delivery| delivery.taken);
        let of = |delivery: Delivery| Stored {
            partition: delivery.sequence.0,
            offset: delivery.sequence.1,
            id: delivery.id,
            key: delivery.key,
            data: delivery.body,
        };
        let all = self.stored().into_iter().chain(taken.map(of)).map(|event| ((event.partition, event.offset), event));
        all.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// Waits until all is settled, ends the server, and compares what was promised with what the
    /// store holds and what the receiver has seen.
    pub async fn finish(self, fault: &str, injected: usize, server: Running, sending: Sending) -> Row {
        self.finished(Self::stored, fault, injected, server, sending).await
    }

    /// The same of a store that is trimmed at once.
    pub async fn finish_trimmed(self, fault: &str, injected: usize, server: Running, sending: Sending) -> Row {
        self.finished(Self::ever_stored, fault, injected, server, sending).await
    }

    async fn finished(
        self,
        stored: fn(&Self) -> Vec<Stored>,
        fault: &str,
        injected: usize,
        server: Running,
        sending: Sending,
    ) -> Row {
        server.client().settled(DESTINATION).await;
        server.stop();
        let checked = self.installation.run(&["check"]);
        let mut row = judge(&stored(&self), &self.receiver.record(), &sending);
        row.wrong.extend(progress_ahead(&self));
        if !checked.status.success() {
            row.wrong.push(format!("laneway check: {}", String::from_utf8_lossy(&checked.stderr).trim()));
        }
        row.wrong.extend(panics(&self.installation));
        Row { fault: fault.to_owned(), injected, ..row }
    }
}

fn settings(url: &str, store: &str, destination: &str) -> Settings {
    let lines = format!("{PATIENT}\n{destination}");
    Settings::destinations(&[webhook(DESTINATION, url, &lines)]).store("partitions = 4").store(store)
}

/// What a run was, as far as promises, store and receiver say.
#[must_use]
pub fn judge(stored: &[Stored], record: &Record, sending: &Sending) -> Row {
    let held: BTreeSet<&str> = stored.iter().map(|event| event.id.as_str()).collect();
    let not_held: Vec<&String> = sending.accepted.iter().filter(|id| !held.contains(id.as_str())).collect();
    let invented = held.iter().filter(|id| !sending.accepted.contains(**id) && !sending.unclear.contains(**id)).count();
    let found = checker::check(stored, record, &BTreeSet::new(), false);
    let mut row = Row {
        events: sending.accepted.len(),
        lost: not_held.len() + found.lost.len(),
        out_of_order: found.out_of_order.len(),
        duplicates: found.duplicates,
        worst_gap: worst_gap(&record.deliveries, sending.span),
        ..Row::default()
    };
    if let Some(first) = not_held.first() {
        row.wrong.push(format!("{} had a 202 and are not in the store, the first {first}", not_held.len()));
    }
    if let Some(first) = found.lost.first() {
        row.wrong.push(format!("{} are in the store and were not taken, the first {first}", found.lost.len()));
    }
    if invented > 0 {
        row.wrong.push(format!("the store holds {invented} events that nobody sent"));
    }
    for (kind, found) in [("unknown", &found.unknown), ("changed", &found.changed), ("broken", &found.broken)] {
        if let Some(first) = found.first() {
            row.wrong.push(format!("{} {kind} deliveries, the first {first}", found.len()));
        }
    }
    row
}

/// The longest time without any first delivery, from the first event to the last one's delivery.
fn worst_gap(deliveries: &[Delivery], (began, ended): (Instant, Instant)) -> Duration {
    let mut seen = BTreeSet::new();
    let first = deliveries.iter().filter(|delivery| delivery.taken && seen.insert(&delivery.id));
    let mut moments: Vec<Instant> = std::iter::once(began).chain(first.map(|delivery| delivery.at)).collect();
    // While nobody sends, only what is still to come is missed.
    moments.push(ended.min(moments.last().copied().unwrap_or(ended)));
    moments.sort_unstable();
    moments.windows(2).map(|pair| pair[1].saturating_duration_since(pair[0])).max().unwrap_or_default()
}

/// Lines in which a process said that it panicked.
#[must_use]
pub fn panics(installation: &Installation) -> Vec<String> {
    let said = installation.stderr() + &installation.stdout();
    said.lines().filter(|line| line.contains("panicked at")).map(str::to_owned).collect()
}

/// Progress in the store that is ahead of what the receiver has taken, or of the log.
#[must_use]
pub fn progress_ahead(site: &Site) -> Vec<String> {
    let database = rusqlite::Connection::open(site.installation.database()).expect("the store opens");
    let mut lanes = database
        .prepare(
            "SELECT partition, coalesce(lane.scanned, partition.scanned), trimmed \
             FROM partition JOIN lane USING (partition)",
        )
        .expect("the tables are there");
    let lanes = lanes.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("they can be read");
    let lanes: Vec<(u32, u64, u64)> = lanes.collect::<Result<_, _>>().expect("they can be read");
    let mut behind = database.prepare("SELECT partition, key FROM behind").expect("the table is there");
    let behind = behind.query_map([], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?)));
    let behind: BTreeSet<(u32, String)> = behind.and_then(Iterator::collect).expect("it can be read");
    let (stored, record) = (site.stored(), site.receiver.record());
    let mut ahead = Vec::new();
    for (partition, scanned, trimmed) in lanes {
        let of = stored.iter().filter(|event| event.partition == partition);
        let end = of.clone().map(|event| event.offset + 1).max().unwrap_or(0).max(trimmed);
        if scanned > end {
            ahead.push(format!("partition {partition} is at {scanned}, the log ends at {end}"));
        }
        let waits =
            |key: &Option<String>| key.as_ref().is_some_and(|key| behind.contains(&(partition, format!("key:{key}"))));
        let passed = of.filter(|event| event.offset < scanned && !waits(&event.key));
        let passed = passed.filter(|event| !record.taken.contains_key(&event.id));
        ahead.extend(passed.map(|event| format!("{} at {partition}/{} was not taken", event.id, event.offset)));
    }
    ahead
}

/// Waits until `/readyz` does not say 200.
///
/// # Panics
/// If it says so for two minutes: on a busy machine it takes that long to fill a disk.
pub async fn unready(client: &Client) -> String {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let answer = client.get("/readyz").await.expect("an answer");
        if answer.status != 200 {
            return answer.text();
        }
        assert!(Instant::now() < deadline, "it still says that it is ready");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
