//! Changes of destinations at random moments, while events flow and processes are killed, and whether each destination
//! got exactly the events that the answers say. Everything here is known from the HTTP interface alone: what it
//! answered, and for answers that a kill swallowed, what `…/changes` tells.

use crate::client::{Answer, Client};
use crate::receiver::{Behaviour, Receiver};
use http::Method;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::sleep;

/// Types of events that are sent.
const TYPES: [&str; 3] = ["order.paid", "order.shipped", "ticket.sold"];
/// Filters that destinations get: which of [`TYPES`] each wants.
const FILTERS: [&[&str]; 4] = [&["*"], &["order.*"], &["ticket.sold"], &["order.paid", "ticket.*"]];
/// How long a destination may take to settle in the end.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a request without an answer is made again.
const MOST_TRIES: usize = 600;
const PAUSE: Duration = Duration::from_millis(100);

/// An event that was acknowledged.
#[derive(Clone, Debug)]
pub struct Accepted {
    id: String,
    key: String,
    of_type: &'static str,
    place: (u64, u64),
}

/// Sends events until `stop` says so. Each is of one of a few keys, and is sent again until it is acknowledged.
///
/// # Panics
/// If the server stays away, or answers with an error that is not "later".
pub async fn produce(
    client: Client,
    name: String,
    keys: usize,
    seed: u64,
    stop: watch::Receiver<bool>,
) -> Vec<Accepted> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut accepted = Vec::new();
    for n in 0_u64.. {
        if *stop.borrow() {
            break;
        }
        let (id, key) = (format!("{name}-{n}"), format!("{name}-k{}", random.random_range(0..keys)));
        let of_type = *TYPES.choose(&mut random).unwrap_or(&TYPES[0]);
        let event = json!({"id": id, "type": of_type, "key": key, "data": {"n": n}}).to_string();
        let answer = insist(&client, Method::POST, "/v1/events", &event).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let said = answer.json();
        let place = (said["partition"].as_u64().unwrap_or(0), said["offset"].as_u64().unwrap_or(0));
        accepted.push(Accepted { id, key, of_type, place });
    }
    accepted
}

/// Makes a request again until it is answered with something else than "later". A change that was made although nobody
/// heard the answer is made once more, which changes nothing.
async fn insist(client: &Client, method: Method, path: &str, body: &str) -> Answer {
    for _ in 0..MOST_TRIES {
        let headers = [(
            "content-type",
            if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" },
        )];
        match client.send(method.clone(), path, &headers, body.to_owned()).await {
            Ok(answer) if answer.status != 503 && answer.status != 429 => return answer,
            // Shown only if something fails: what was answered by nobody may have happened.
            Ok(answer) => println!("{method} {path}: {} {}", answer.status, answer.text()),
            Err(error) => println!("{method} {path}: {error}"),
        }
        sleep(PAUSE).await;
    }
    panic!("{method} {path} was not answered");
}

/// One life of a destination: from when it was made until it was deleted.
struct Life {
    name: String,
    /// Where it sends to now and then.
    receivers: [Arc<Receiver>; 2],
    at: usize,
    /// Which filter each revision made.
    filters: BTreeMap<u64, usize>,
    filter: usize,
    /// The revision that made it, and the one that ended it.
    made: u64,
    deleted: Option<u64>,
    /// Between these moments nothing may arrive.
    silent: Vec<(Instant, Option<Instant>)>,
    paused: bool,
}

/// Who changes destinations.
pub struct Changer {
    client: Client,
    random: StdRng,
    lives: Vec<Life>,
    names: Vec<String>,
    /// The cuts that answers told of. `…/changes` tells of the last hundred changes of a name.
    heard: BTreeMap<u64, BTreeMap<u64, u64>>,
    /// How many changes were made of each kind.
    pub made: BTreeMap<&'static str, usize>,
    complete: usize,
}

impl Changer {
    /// One that works on so many names.
    #[must_use]
    pub fn new(client: Client, names: usize, seed: u64) -> Self {
        Self {
            client,
            random: StdRng::seed_from_u64(seed),
            lives: Vec::new(),
            names: (0..names).map(|n| format!("changing-{n}")).collect(),
            heard: BTreeMap::new(),
            made: BTreeMap::new(),
            complete: 0,
        }
    }

    fn settings(life: &Life) -> Value {
        json!({
            "url": life.receivers[life.at].url(),
            "types": FILTERS[life.filter],
            "retry": {"initial": "50ms", "limit": "1h"},
        })
    }

    /// Makes a change at random.
    pub async fn change(&mut self) {
        let name = self.names.choose(&mut self.random).cloned().unwrap_or_default();
        let alive = self.lives.iter().rposition(|life| life.name == name && life.deleted.is_none());
        let Some(index) = alive else { return self.make(name).await };
        match self.random.random_range(0..12) {
            0..5 => self.filter(index).await,
            5..7 => self.point_elsewhere(index).await,
            7..9 => self.pause(index).await,
            9..11 => self.resume(index).await,
            _ => self.delete(index).await,
        }
    }

    async fn make(&mut self, name: String) {
        let seed = self.random.random();
        let receivers = [
            Arc::new(Receiver::start(Behaviour::failing(0.02), seed).await),
            Arc::new(Receiver::start(Behaviour::failing(0.02), seed ^ 1).await),
        ];
        let filter = self.random.random_range(0..FILTERS.len());
        let (filters, silent) = (BTreeMap::new(), Vec::new());
        let mut life = Life { name, receivers, at: 0, filters, filter, made: 0, deleted: None, silent, paused: false };
        let said = self.put(&path(&life), &Self::settings(&life)).await;
        life.made = said.revision;
        life.filters.insert(said.revision, filter);
        self.lives.push(life);
        self.count("made", said.complete);
    }

    async fn filter(&mut self, index: usize) {
        self.lives[index].filter = self.random.random_range(0..FILTERS.len());
        let (path, settings) = (path(&self.lives[index]), Self::settings(&self.lives[index]));
        let said = self.put(&path, &settings).await;
        let life = &mut self.lives[index];
        life.filters.insert(said.revision, life.filter);
        self.count("filtered", said.complete);
    }

    async fn point_elsewhere(&mut self, index: usize) {
        let life = &mut self.lives[index];
        life.at = 1 - life.at;
        let (path, body) = (path(life), json!({"url": life.receivers[life.at].url()}).to_string());
        let said = self.said(Method::PATCH, &path, &body).await;
        self.count("pointed elsewhere", said.complete);
    }

    async fn pause(&mut self, index: usize) {
        let path = format!("{}/pause", path(&self.lives[index]));
        let said = self.said(Method::POST, &path, r#"{"reason":"a test"}"#).await;
        let life = &mut self.lives[index];
        if said.complete && !life.paused {
            life.silent.push((Instant::now(), None));
        }
        life.paused = true;
        self.count("paused", said.complete);
    }

    async fn resume(&mut self, index: usize) {
        let life = &mut self.lives[index];
        // From when it is asked for on something may arrive.
        if let Some((_, until)) = life.silent.last_mut().filter(|(_, until)| until.is_none()) {
            *until = Some(Instant::now());
        }
        life.paused = false;
        let path = format!("{}/resume", path(life));
        let answer = insist(&self.client, Method::POST, &path, "{}").await;
        // 409: it is not paused, be it that a try before was made and its answer lost.
        let complete = answer.status != 409 && Said::of(&answer).complete;
        self.count("resumed", complete);
    }

    async fn delete(&mut self, index: usize) {
        let path = path(&self.lives[index]);
        let answer = insist(&self.client, Method::DELETE, &path, "").await;
        // Gone already: a try before was made, and its answer lost.
        let said = if answer.status == 404 { Said { revision: 0, complete: false } } else { Said::of(&answer) };
        let life = &mut self.lives[index];
        life.deleted = Some(said.revision);
        if said.complete {
            life.silent.push((Instant::now(), None));
        }
        self.count("deleted", said.complete);
    }

    /// What a change of a destination that is there was answered with. If it is not there, its history tells why.
    async fn said(&self, method: Method, path: &str, body: &str) -> Said {
        let answer = insist(&self.client, method, path, body).await;
        if answer.status == 404 {
            let changes = format!("{}/changes", path.trim_end_matches("/pause"));
            let history = insist(&self.client, Method::GET, &changes, "").await;
            panic!("{path}: {}\n{}", answer.text(), history.text());
        }
        Said::of(&answer)
    }

    async fn put(&mut self, path: &str, settings: &Value) -> Said {
        let answer = insist(&self.client, Method::PUT, path, &settings.to_string()).await;
        let said = Said::of(&answer);
        self.heard.entry(said.revision).or_default().extend(cuts_in(&answer.json()));
        said
    }

    fn count(&mut self, kind: &'static str, complete: bool) {
        *self.made.entry(kind).or_default() += 1;
        self.complete += usize::from(complete);
    }

    /// Ends pauses, waits until everything is settled, and compares with what the cuts say.
    ///
    /// # Panics
    /// If a destination got what it should not, or not what it should, or out of order, or while it was paused or gone.
    pub async fn check(mut self, accepted: &[Accepted]) -> Checked {
        for index in 0..self.lives.len() {
            if self.lives[index].deleted.is_none() {
                self.resume(index).await;
            }
        }
        for life in self.lives.iter().filter(|life| life.deleted.is_none()) {
            for receiver in &life.receivers {
                receiver.behave(Behaviour::healthy());
            }
        }
        let mut checked = Checked { complete: self.complete, ..Checked::default() };
        for life in &self.lives {
            if life.deleted.is_none() {
                self.settled(&life.name).await;
            }
            let cuts = self.cuts(&life.name).await;
            life.check(accepted, &cuts, &mut checked);
        }
        checked
    }

    async fn settled(&self, name: &str) {
        let begun = Instant::now();
        loop {
            let status = self.client.status(name).await;
            if status["pending"] == 0 && status["in_flight"] == 0 {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{name} does not settle: {status}");
            sleep(PAUSE).await;
        }
    }

    /// The cuts of every change that a name has seen: by revision, then partition.
    async fn cuts(&self, name: &str) -> BTreeMap<u64, BTreeMap<u64, u64>> {
        let mut all = self.heard.clone();
        let mut before = String::new();
        loop {
            let answer =
                insist(&self.client, Method::GET, &format!("/v1/destinations/{name}/changes?limit=1000{before}"), "")
                    .await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let page = answer.json();
            for line in page["items"].as_array().into_iter().flatten() {
                let revision = line["revision"].as_u64().unwrap_or(0);
                all.entry(revision).or_default().extend(cuts_in(line));
            }
            match page["next"].as_str() {
                Some(next) => before = format!("&before={next}"),
                None => return all,
            }
        }
    }
}

/// The cuts in an answer, or in a line of the journal: by partition.
fn cuts_in(said: &Value) -> BTreeMap<u64, u64> {
    let of = |(partition, at): (&String, &Value)| (partition.parse().unwrap_or(0), at.as_u64().unwrap_or(0));
    said["cuts"].as_object().into_iter().flatten().map(of).collect()
}

fn path(life: &Life) -> String {
    format!("/v1/destinations/{}", life.name)
}

/// What a change was answered with.
struct Said {
    revision: u64,
    complete: bool,
}

impl Said {
    fn of(answer: &Answer) -> Self {
        assert!(matches!(answer.status, 200..=202), "{}: {}", answer.status, answer.text());
        let said = answer.json();
        let revision = said["revision"].as_u64().unwrap_or_else(|| panic!("no revision in {said}"));
        Self { revision, complete: answer.status != 202 }
    }
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Lives of destinations.
    pub lives: usize,
    /// Events that they wanted, and have got.
    pub delivered: usize,
    /// Events that they did not want, and have not got.
    pub unwanted: usize,
    /// Changes whose answer said that they were in force everywhere.
    pub complete: usize,
}

impl Life {
    /// The filter by which the event at a place is judged, if the destination was there.
    fn judged_by(&self, place: (u64, u64), cuts: &BTreeMap<u64, BTreeMap<u64, u64>>) -> Option<usize> {
        let stands = |revision: &u64| {
            let at = cuts.get(revision).and_then(|cuts| cuts.get(&place.0));
            at.is_some_and(|at| *at <= place.1)
        };
        self.filters.iter().rev().find(|(revision, _)| stands(revision)).map(|(_, filter)| *filter)
    }

    fn check(&self, accepted: &[Accepted], cuts: &BTreeMap<u64, BTreeMap<u64, u64>>, checked: &mut Checked) {
        let mut deliveries: Vec<_> = self.receivers.iter().flat_map(|receiver| receiver.record().deliveries).collect();
        deliveries.sort_by_key(|delivery| delivery.at);
        let taken: BTreeSet<&str> = deliveries.iter().filter(|d| d.taken).map(|d| d.id.as_str()).collect();
        let attempted: BTreeSet<&str> = deliveries.iter().map(|d| d.id.as_str()).collect();
        let name = format!("{} (made by {})", self.name, self.made);
        for event in accepted {
            let filter = self.judged_by(event.place, cuts);
            let wanted = filter.is_some_and(|filter| wants(FILTERS[filter], event.of_type));
            if !wanted {
                assert!(!attempted.contains(event.id.as_str()), "{name} got {event:?}, judged by {filter:?}: {cuts:?}");
                checked.unwanted += 1;
            } else if taken.contains(event.id.as_str()) {
                checked.delivered += 1;
            } else {
                // What waited for one that was deleted went with it.
                assert!(self.deleted.is_some(), "{name} did not get {event:?}, judged by {filter:?}: {cuts:?}");
            }
        }
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let keys: BTreeMap<&str, &str> = accepted.iter().map(|event| (event.id.as_str(), event.key.as_str())).collect();
        for delivery in deliveries.iter().filter(|delivery| delivery.taken && seen.insert(delivery.id.as_str())) {
            let key = keys.get(delivery.id.as_str()).copied().unwrap_or_default();
            let before = last.insert(key, delivery.sequence.1);
            assert!(
                before < Some(delivery.sequence.1),
                "{name}: {} of {key} came after {before:?}",
                delivery.sequence.1
            );
        }
        for (from, until) in &self.silent {
            let during = deliveries.iter().find(|d| d.at > *from && until.is_none_or(|until| d.at < until));
            assert!(during.is_none(), "{name} got {during:?} while nothing was to start");
        }
        checked.lives += 1;
    }
}

/// What the filter means for one of [`TYPES`].
fn wants(filter: &[&str], of_type: &str) -> bool {
    filter.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(begins) => of_type.starts_with(begins),
        None => *pattern == of_type,
    })
}

/// Changes and events at once, for as long as it takes to make `changes` of them; `disturb` is called between them.
///
/// # Panics
/// As [`Changer::check`].
pub async fn run<D: AsyncFnMut(usize)>(
    clients: &[Client],
    changer: Client,
    changes: usize,
    seed: u64,
    mut disturb: D,
) -> Checked {
    let (stop, stopped) = watch::channel(false);
    let all = Arc::new(Mutex::new(Vec::new()));
    let mut producing = tokio::task::JoinSet::new();
    for (n, client) in clients.iter().enumerate() {
        let (client, stopped, all) = (client.clone(), stopped.clone(), all.clone());
        producing.spawn(async move {
            let accepted = produce(client, format!("p{n}"), 5, seed + n as u64, stopped).await;
            all.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(accepted);
        });
    }
    let mut changer = Changer::new(changer, 5, seed);
    for n in 0..changes {
        disturb(n).await;
        changer.change().await;
    }
    stop.send_replace(true);
    while let Some(ended) = producing.join_next().await {
        ended.unwrap_or_else(|error| panic!("a producer failed: {error}"));
    }
    let accepted = std::mem::take(&mut *all.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    changer.check(&accepted).await
}
