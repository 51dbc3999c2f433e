//! A piece of the soak: it goes on where the last one ended, and leaves everything balanced.

mod balance;
mod doing;
mod plan;

pub use plan::{Outcome, Plan, Until};

use super::book::Book;
use super::flat::judge;
use super::leftovers;
use super::receiver::{Nature, Receiver, Setting};
use super::sampler::Sampler;
use super::site::{Destinations, Site};
use super::state::State;
use super::traffic::{Traffic, keys_of};
use super::trouble::{Trouble, round};
use crate::hostile::{Authority, Certificate};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The destinations, by their natures.
pub const DESTINATIONS: [(&str, Nature); 3] =
    [("steady", Nature::Steady), ("moody", Nature::Moody), (PICKY, Nature::Picky)];
/// The one that has dead letters.
const PICKY: &str = "picky";
/// The last year of receivers' certificates.
const CERTIFIED_UNTIL: i32 = 2999;
/// A piece has about so many troubles …
const TROUBLES_OF_A_PIECE: u32 = 12;
/// … but the time between two of them is at least and at most this, so that there is traffic as on any day.
const BETWEEN: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(150)];
/// In a piece that is not measured by time, so many events have their 202 between two troubles.
const EVENTS_BETWEEN: u64 = 200;
/// So many events have their 202 after a trouble, before the ledger is balanced.
const EVENTS_AFTER: u64 = 100;
/// How long Laneway may take to say that nothing waits, when everything has arrived.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often its status is asked for meanwhile.
const GLANCE: Duration = Duration::from_millis(50);

/// A piece that runs.
struct Piece {
    state: State,
    site: Site,
    book: Arc<Book>,
    traffic: Traffic,
    receivers: Vec<Receiver>,
    authority: Authority,
    random: StdRng,
    troubled: Arc<AtomicBool>,
    began: Instant,
    /// The time of the soak at which it began.
    before: f64,
}

/// Runs a piece to its end, or until `interrupted` is true.
///
/// # Errors
/// If it cannot begin, or not go on.
///
/// # Panics
/// If a process does not do what it must. Then the piece counts as killed.
pub async fn run(plan: Plan, interrupted: watch::Receiver<bool>) -> Result<Outcome, String> {
    let mut state = State::read(&plan.folder)?;
    let name = plan.store.name();
    if let Some(pid) = state.owner().filter(|pid| leftovers::runs(pid)) {
        return Err(format!("{}: a piece runs, as process {pid}", plan.folder.display()));
    }
    for left in leftovers::end_in(state.folder()) {
        println!("{name}: {left} was left behind by a piece that was killed, and has been ended");
    }
    let names = DESTINATIONS.map(|(name, _)| name);
    let new_ledger = state.begin(plan.choice, plan.seed, &names)?;
    if let Some(said) = &new_ledger {
        println!("{name}: {said}");
    }
    let mut piece = Piece::start(state, &plan).await?;
    if new_ledger.is_some() {
        piece.settle_what_was_left().await?;
    }
    let sampler = piece.sampler().start();
    piece.traffic.go();
    let went = piece.go_on(&plan.until, interrupted).await;
    sampler.abort();
    piece.end(went).await
}

impl Piece {
    async fn start(state: State, plan: &Plan) -> Result<Self, String> {
        let progress = &state.progress;
        let book = Arc::new(Book::new(progress.ledger.clone()));
        let seed = progress.seed.wrapping_add(progress.pieces << 32);
        let (keys, secrets) = (keys_of(progress.epoch), vec![super::site::secret()]);
        let setting = Setting { book: Arc::clone(&book), keys: keys.clone(), seed, secrets: secrets.clone() };
        let authority = Authority::new();
        let certificate = certificate_of(&authority);
        let mut receivers = Vec::new();
        for (name, nature) in DESTINATIONS {
            let certificate = Some(&certificate).filter(|_| nature == Nature::Steady);
            receivers.push(Receiver::start(name, nature, setting.clone(), certificate).await);
        }
        let destinations = Destinations::new(&receivers, &secrets, &state.folder().join("ca.pem"));
        destinations.trust(&[&authority]);
        let (primary, number) = (progress.primary, progress.restored);
        let mut site = match Site::prepare(plan.store, state.folder(), destinations, primary, number).await {
            Ok(site) => site,
            Err(why) => {
                // Nothing has happened to the store.
                state.end()?;
                return Err(why);
            }
        };
        site.start_all().await;
        let before = progress.seconds;
        let traffic = Traffic::new(&book, &site.ingests(), plan.day, Duration::from_secs_f64(before), keys, seed);
        let random = StdRng::seed_from_u64(seed);
        let (troubled, began) = (Arc::new(AtomicBool::new(false)), Instant::now());
        Ok(Self { state, site, book, traffic, receivers, authority, random, troubled, began, before })
    }

    fn sampler(&self) -> Sampler {
        Sampler {
            book: Arc::clone(&self.book),
            watched: Arc::clone(&self.site.watched),
            troubled: Arc::clone(&self.troubled),
            path: self.state.samples_path(),
            before: self.before,
            began: self.began,
            last: (Instant::now(), self.book.total()),
        }
    }

    fn say(&self, what: &str) {
        let hours = (self.before + self.began.elapsed().as_secs_f64()) / 3600.0;
        println!("{} {hours:.2} h: {what}", self.site.store.name());
    }

    /// Traffic and troubles, until the piece is over or something is found.
    async fn go_on(&mut self, until: &Until, mut interrupted: watch::Receiver<bool>) -> Result<(), String> {
        match until {
            Until::Troubles(troubles) => {
                for trouble in troubles {
                    self.more(EVENTS_BETWEEN).await?;
                    self.trouble(*trouble).await?;
                }
            }
            Until::Time(length) => {
                let mut next = VecDeque::new();
                while self.quiet(*length, &mut interrupted).await {
                    if next.is_empty() {
                        next.extend(round(self.site.store, &self.state.progress.troubles, &mut self.random));
                    }
                    if let Some(trouble) = next.pop_front() {
                        self.trouble(trouble).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The time between two troubles. Says whether there is time for another one.
    async fn quiet(&mut self, length: Duration, interrupted: &mut watch::Receiver<bool>) -> bool {
        let usual = (length / TROUBLES_OF_A_PIECE).clamp(BETWEEN[0], BETWEEN[1]);
        let pause = usual.mul_f64(self.random.random_range(0.5..1.5));
        let left = length.saturating_sub(self.began.elapsed());
        tokio::select! {
            () = tokio::time::sleep(pause.min(left)) => pause < left,
            _ = interrupted.wait_for(|interrupted| *interrupted) => false,
        }
    }

    /// Waits until so many more events had their 202.
    async fn more(&self, events: u64) -> Result<(), String> {
        let wanted = self.book.total() + events;
        if self.book.acknowledged(wanted).await {
            return Ok(());
        }
        Err("nothing is acknowledged any more".to_owned())
    }

    /// One trouble, and the ledger after it.
    async fn trouble(&mut self, trouble: Trouble) -> Result<(), String> {
        self.troubled.store(true, Ordering::Relaxed);
        self.book.trouble_begins();
        let began = Instant::now();
        self.happen(trouble).await.map_err(|why| format!("{}: {why}", trouble.name()))?;
        self.more(EVENTS_AFTER).await?;
        self.balance().await?;
        let worst = self.book.worst_of_trouble();
        let cost = self.state.progress.troubles.entry(trouble.name().to_owned()).or_default();
        cost.times += 1;
        cost.worst = cost.worst.max(worst);
        self.save()?;
        let (took, worst) = (began.elapsed().as_secs_f64(), worst / 1000.0);
        self.say(&format!("{} took {took:.1} s with its balance; worst event {worst:.1} s", trouble.name()));
        self.go();
        self.troubled.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn go(&self) {
        self.receivers.iter().for_each(|receiver| receiver.set_calm(false));
        self.traffic.go();
    }

    fn save(&mut self) -> Result<(), String> {
        self.state.progress.ledger = self.book.ledger();
        self.state.progress.seconds = self.before + self.began.elapsed().as_secs_f64();
        self.state.save()
    }

    /// The end of a piece: the last balance, and the end of every process.
    async fn end(mut self, went: Result<(), String>) -> Result<Outcome, String> {
        let balanced = match went {
            Ok(()) => self.balance().await,
            Err(why) => Err(why),
        };
        if let Err(why) = balanced
            && self.book.violations() == 0
        {
            self.book.violation(why);
        }
        let good = self.book.violations() == 0;
        if good {
            self.site.stop_all();
            self.site.check(&self.book);
        }
        self.save()?;
        let Self { state, traffic, site, book, .. } = self;
        if good {
            traffic.stop().await;
        }
        drop(site);
        state.end()?;
        let ledger = book.ledger();
        let verdict = judge(&state.samples()?);
        let (balanced, events) = (state.progress.balanced, ledger.total());
        Ok(Outcome { findings: ledger.findings().to_vec(), verdict, balanced, events })
    }
}

/// A certificate of the steady receiver.
fn certificate_of(authority: &Authority) -> Certificate {
    authority.certificate("127.0.0.1", CERTIFIED_UNTIL)
}
