//! A store with one flipped byte in one of its pages, and what a server makes of it.

use super::site::panics;
use crate::checker;
use crate::receiver::{Behaviour, Receiver, Record};
use crate::server::{Installation, Running, Settings, tail, webhook};
use crate::store::{Store, Stored};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of a page, as `adapters/sqlite` makes them.
pub const PAGE: u64 = 4096;
/// How long a server may take to deliver what it can, or to say what it cannot.
const PATIENCE: Duration = Duration::from_secs(60);
/// After a report, for how long nothing may have happened until that is all that comes.
const QUIET: Duration = Duration::from_millis(700);
/// Without one, for how long nothing may have happened until what was not delivered counts as skipped.
const SILENT: Duration = Duration::from_secs(8);
/// A key whose events failed before the damage, and fail no more after it.
const STUCK: &str = "k3";
const EVENTS: usize = 240;
/// Any of these in a log is a report: of a record put aside, of a page, of a row that holds nonsense.
const REPORTS: [&str; 4] = ["cannot be read", "laneway check", "malformed", "cannot open the store"];

/// A store in the middle of its work: delivered, waiting and failed events.
#[derive(Debug)]
pub struct Original {
    folder: tempfile::TempDir,
    /// What it holds.
    pub stored: Vec<Stored>,
    before: Record,
}

/// What came of one damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// Everything was delivered, as if nothing had happened.
    Harmless,
    /// The server did not start, and said why.
    Refused,
    /// What could be delivered was, and the rest reported.
    Reported {
        /// How many events were not delivered.
        missing: usize,
    },
    /// A guarantee was broken.
    Wrong(String),
}

fn settings(receiver: &Receiver, lines: &str) -> Settings {
    let lines = format!("breaker = false\nretry = {{ initial = \"50ms\", limit = \"1h\" }}\n{lines}");
    Settings::destinations(&[webhook("main", &receiver.url(), &lines)]).store("partitions = 2")
}

async fn send(server: &Running, numbers: std::ops::Range<usize>) {
    let event =
        |n| json!({"id": format!("e{n}"), "type": "t", "key": format!("k{}", n % 11), "data": "x".repeat(100 + n)});
    server.client().accepted_all(&numbers.map(event).collect::<Vec<Value>>()).await;
}

impl Original {
    /// Makes one.
    ///
    /// # Panics
    /// If the server does not do its work.
    pub async fn make() -> Self {
        let receiver = Receiver::start(Behaviour::poisoned(&[STUCK]), 1).await;
        let installation = Installation::new(&settings(&receiver, ""));
        let server = installation.start().await;
        send(&server, 0..EVENTS / 2).await;
        let done = EVENTS / 2 - (0..EVENTS / 2).filter(|n| n % 11 == 3).count();
        receiver.taken(done).await;
        server.client().until("main", "blocked", |status| status["blocked_keys"] == 1).await;
        server.stop();
        installation.configure(&settings(&receiver, "paused = true"));
        let server = installation.start().await;
        send(&server, EVENTS / 2..EVENTS).await;
        server.stop();
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::copy(installation.database(), folder.path().join("laneway.db")).expect("the store can be copied");
        let stored = Store::open(&installation.database()).events();
        assert_eq!(stored.len(), EVENTS);
        Self { folder, stored, before: receiver.record() }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("laneway.db")
    }

    /// How many pages it has.
    ///
    /// # Panics
    /// If it is gone.
    #[must_use]
    pub fn pages(&self) -> u64 {
        fs::metadata(self.path()).expect("the store is there").len() / PAGE
    }

    /// Runs a server over a copy with the byte at this place changed.
    pub async fn damaged(&self, at: u64, flip: u8) -> Came {
        let receiver = Receiver::start(Behaviour::healthy(), 1).await;
        let installation = Installation::new(&settings(&receiver, ""));
        fs::copy(self.path(), installation.database()).expect("the store can be copied");
        change(&installation.database(), at, flip);
        let ended = self.run(&installation, &receiver).await;
        let said = installation.stderr() + &installation.stdout();
        if let Some(panic) = panics(&installation).first() {
            return Came::Wrong(panic.clone());
        }
        match ended {
            Ended::Refused if said.contains("laneway.db") => Came::Refused,
            Ended::Refused => Came::Wrong(format!("it ended without naming the store: {}", tail(&said))),
            Ended::Stuck => Came::Wrong(format!("neither settled nor reported: {}", tail(&said))),
            Ended::Rest => self.judge(&receiver.record(), reported(&said)),
        }
    }

    /// Runs a server until it has ended, has delivered everything, or does no more.
    async fn run(&self, installation: &Installation, receiver: &Receiver) -> Ended {
        let mut server = installation.spawn(&["serve"]);
        let deadline = Instant::now() + PATIENCE;
        let (mut seen, mut since) = (0, Instant::now());
        while Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if server.ended() {
                return Ended::Refused;
            }
            let now = receiver.seen();
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            let quiet = since.elapsed();
            let reported = || reported(&(installation.stderr() + &installation.stdout()));
            let done = || seen > 0 && self.missing(&receiver.record()).is_empty();
            if quiet > SILENT || quiet > QUIET && reported() || quiet > Duration::from_millis(100) && done() {
                server.kill();
                return Ended::Rest;
            }
        }
        Ended::Stuck
    }

    /// What was delivered neither before the damage nor in `after`.
    fn missing(&self, after: &Record) -> BTreeSet<String> {
        let taken = |id: &String| self.before.taken.contains_key(id) || after.taken.contains_key(id);
        self.stored.iter().map(|event| event.id.clone()).filter(|id| !taken(id)).collect()
    }

    fn judge(&self, after: &Record, reported: bool) -> Came {
        let mut record = self.before.clone();
        record.deliveries.extend(after.deliveries.iter().cloned());
        for (id, times) in &after.taken {
            *record.taken.entry(id.clone()).or_default() += times;
        }
        record.broken.extend(after.broken.iter().cloned());
        let missing = self.missing(after);
        let found = checker::check(&self.stored, &record, &missing, false);
        match (found.clean(), missing.len(), reported) {
            (false, ..) => Came::Wrong(found.to_string()),
            (true, 0, false) => Came::Harmless,
            (true, missing, true) => Came::Reported { missing },
            (true, missing, false) => Came::Wrong(format!("{missing} events were skipped without a word")),
        }
    }
}

fn change(path: &Path, at: u64, flip: u8) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).expect("the copy can be opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("the place is in the file");
    file.write_all_at(&[byte[0] ^ flip], at).expect("the copy can be written");
}

fn reported(said: &str) -> bool {
    REPORTS.iter().any(|report| said.contains(report))
}

enum Ended {
    Refused,
    Rest,
    Stuck,
}
