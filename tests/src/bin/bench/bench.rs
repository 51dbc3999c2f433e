//! What all measurements share: the receiver, the load, and a fresh Laneway.

use crate::clock;
use crate::load::Loaded;
use crate::process::{self, Part};
use crate::sink::Received;
use crate::wire;
use laneway_tests::server::{Installation, Settings, webhook};
use laneway_tests::store::Store;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a run's last events may take to come in.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often the receiver is asked how far it is.
const GLANCE: Duration = Duration::from_millis(10);

/// The benchmark's surroundings.
pub(crate) struct Bench {
    pub(crate) sink: Part,
    /// Where stores are made: on the disk that is measured.
    pub(crate) folder: PathBuf,
    pub(crate) quick: bool,
}

/// One closed loop, from the first request until the last event was settled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
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
    pub(crate) fn installation(&self, destinations: &[String]) -> io::Result<(Installation, tempfile::TempDir)> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(&self.folder)?;
        Ok((Installation::inside(folder.path(), &Settings::destinations(destinations)), folder))
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
        let deadline = Instant::now() + PATIENCE;
        loop {
            let [main, _] = self.received().await?;
            if main.events >= events {
                return Ok(main);
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("only {} of {events} events came in", main.events)));
            }
            tokio::time::sleep(GLANCE).await;
        }
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
        #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
        let events = loaded.accepted as f64;
        Ok(Run { per_second: events / seconds, cpu_micros: used.as_secs_f64() * 1e6 / events })
    }
}

/// Waits until the store says that the destination has settled everything. (Asking the server would
/// cost CPU time of what is measured.)
pub(crate) async fn settled(installation: &Installation, destination: &str) -> io::Result<()> {
    let store = Store::open(&installation.database());
    let deadline = Instant::now() + PATIENCE;
    while !store.committed(destination) {
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("{destination}: the store does not say that all is settled")));
        }
        tokio::time::sleep(GLANCE).await;
    }
    Ok(())
}
