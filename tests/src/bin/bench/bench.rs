//! What all measurements share: the receiver, the load, and a fresh Laneway.

use crate::clock;
use crate::load::Loaded;
use crate::process::{self, Part};
use crate::report::Sample;
use crate::sink::Received;
use crate::store::{Fresh, Kind};
use crate::wire;
use laneway_tests::server::{Running, webhook};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long nothing may come in before a run is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the receiver is asked how far it is.
const GLANCE: Duration = Duration::from_millis(10);

/// How long each loop of a sample runs, in seconds.
const FULL_SECONDS: u64 = 8;
const QUICK_SECONDS: u64 = 2;
/// How long an open loop runs before it counts, in seconds.
const WARM_SECONDS: u64 = 1;
/// An open loop of a sample has at most this part of the closed loop's rate …
const RATE_SHARE: f64 = 3.0;
/// … and at most so many events a second, so that points of a series can be compared.
const MOST_RATE: u64 = 1000;

/// The benchmark's surroundings.
pub(crate) struct Bench {
    pub(crate) sink: Part,
    /// Where stores are made: on the disk that is measured.
    pub(crate) folder: PathBuf,
    pub(crate) quick: bool,
    pub(crate) store: Kind,
}

/// One closed loop, from the first request until the last event was settled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) events: u64,
    pub(crate) per_second: f64,
    pub(crate) cpu_micros: f64,
}

impl Bench {
    /// `full`, or less of it in the quick form.
    pub(crate) const fn scaled(&self, full: u64) -> u64 {
        if self.quick { full / 8 } else { full }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.sink.address)
    }

    /// A destination at the receiver.
    pub(crate) fn destination(&self, name: &str, path: &str, lines: &str) -> String {
        webhook(name, &self.url(path), lines)
    }

    /// A Laneway with an empty store.
    pub(crate) async fn fresh(&self, destinations: &[String]) -> io::Result<Fresh> {
        Fresh::new(self.store, &self.folder, destinations).await
    }

    /// Sends load to `target`; `lines` are further arguments of the generator.
    pub(crate) async fn load(&self, target: SocketAddr, events: u64, lines: &[(&str, u64)]) -> io::Result<Loaded> {
        let mut arguments = vec!["--target".into(), target.to_string(), "--events".into(), events.to_string()];
        for (name, value) in lines {
            arguments.extend([format!("--{name}"), value.to_string()]);
        }
        let loaded: Loaded = serde_json::from_str(&process::run("load", arguments).await?)?;
        if loaded.refused > 0 || loaded.accepted == 0 {
            return Err(io::Error::other(format!("not every event was accepted: {loaded:?}")));
        }
        Ok(loaded)
    }

    /// What came in at `/main` and `/other`.
    pub(crate) async fn received(&self) -> io::Result<[Received; 2]> {
        Ok(serde_json::from_slice(&wire::ask(self.sink.address, "/report").await?)?)
    }

    pub(crate) async fn forget(&self) -> io::Result<()> {
        wire::ask(self.sink.address, "/forget").await.map(drop)
    }

    /// Waits until `/main` has had this many events.
    pub(crate) async fn arrived(&self, events: u64) -> io::Result<Received> {
        self.arrived_where(events, |[main, _]| main).await
    }

    /// Waits until `/other` has had this many events.
    pub(crate) async fn arrived_at_other(&self, events: u64) -> io::Result<Received> {
        self.arrived_where(events, |[_, other]| other).await
    }

    async fn arrived_where(&self, events: u64, at: fn([Received; 2]) -> Received) -> io::Result<Received> {
        // As long as something comes, it is slow and not stuck.
        let (mut deadline, mut came) = (Instant::now() + PATIENCE, 0);
        loop {
            let received = at(self.received().await?);
            if received.events >= events {
                return Ok(received);
            }
            if received.events > came {
                (deadline, came) = (Instant::now() + PATIENCE, received.events);
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("only {} of {events} events came in", received.events)));
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// How many came in at `/main` in each slot of time since the first.
    pub(crate) async fn timeline(&self) -> io::Result<Vec<u32>> {
        Ok(serde_json::from_slice(&wire::ask(self.sink.address, "/timeline").await?)?)
    }

    /// One point of a series: a closed loop of some seconds and at most `most` events, then an open
    /// one at a rate that is far from saturation.
    pub(crate) async fn sample(
        &self,
        fresh: &Fresh,
        server: &Running,
        most: u64,
        lines: &[(&str, u64)],
    ) -> io::Result<Sample> {
        self.forget().await?;
        let (begin, cpu) = (clock::now(), process::cpu(server.pid())?);
        let seconds = if self.quick { QUICK_SECONDS } else { FULL_SECONDS };
        let loaded = self.load(fresh.address(), most, &[lines, &[("seconds", seconds)]].concat()).await?;
        let main = self.arrived(loaded.accepted - loaded.failing).await?;
        let used = process::cpu(server.pid())?.saturating_sub(cpu);
        let accepted = share(loaded.accepted, 1);
        let per_second = accepted / (clock::millis(main.last - begin) / 1e3);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate of some thousands")]
        let rate = ((per_second / RATE_SHARE) as u64).clamp(1, MOST_RATE);
        // What the closed loop has left Redis to rewrite would be measured with it, and is not what the open one costs.
        fresh.at_rest().await?;
        self.forget().await?;
        let events = rate * (seconds + WARM_SECONDS);
        let open = [("rate", rate), ("connections", 128), ("warm", rate * WARM_SECONDS)];
        let loaded = self.load(fresh.address(), events.max(2), &[lines, &open].concat()).await?;
        let main = self.arrived(loaded.accepted - loaded.failing).await?;
        Ok(Sample {
            per_second: Some(per_second),
            cpu_micros: Some(used.as_secs_f64() * 1e6 / accepted),
            memory: Some(process::memory(server.pid())?.1),
            p50: Some(main.p50),
            p99: Some(main.p99),
            p999: Some(main.p999),
            rate: Some(share(rate, 1)),
        })
    }

    /// A closed loop against a server that forwards to `/main`; `settled` ends it.
    pub(crate) async fn closed(
        &self,
        target: SocketAddr,
        pid: u32,
        events: u64,
        settled: impl AsyncFnOnce() -> io::Result<()>,
    ) -> io::Result<Run> {
        self.forget().await?;
        let (begin, cpu) = (clock::now(), process::cpu(pid)?);
        let loaded = self.load(target, events, &[]).await?;
        self.arrived(loaded.accepted).await?;
        settled().await?;
        let seconds = clock::millis(clock::now() - begin) / 1e3;
        let used = process::cpu(pid)?.saturating_sub(cpu);
        let events = share(loaded.accepted, 1);
        Ok(Run { events: loaded.accepted, per_second: events / seconds, cpu_micros: used.as_secs_f64() * 1e6 / events })
    }
}

/// `part` of `whole`.
#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
