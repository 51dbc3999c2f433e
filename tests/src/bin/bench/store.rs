//! Which store is measured, and a fresh one for each measurement.

use crate::process;
use laneway_servers::redis::{RedisServer, RedisSettings};
use laneway_tests::client::Client;
use laneway_tests::server::{Installation, Running, Settings};
use laneway_tests::store::Store;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the last deliveries may take to be recorded.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often the store is asked.
const GLANCE: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A database on the disk.
    Sqlite,
    /// One Redis server of the benchmark's own: AOF, fsync always.
    Redis,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Redis => "redis",
        }
    }
}

/// Starts a Redis whose files are in `folder`, on the disk that is measured.
pub(crate) async fn redis_in(folder: &Path) -> io::Result<RedisServer> {
    RedisServer::start(RedisSettings::default().with("dir", folder.display())).await.map_err(io::Error::other)
}

/// A Laneway with an empty store of its own, in a folder that goes with it.
pub(crate) struct Fresh {
    installation: Installation,
    redis: Option<RedisServer>,
    /// Last, so that nobody writes there any more.
    _folder: tempfile::TempDir,
}

/// The processes of one Laneway.
pub(crate) struct Fleet(Vec<Running>);

impl Fleet {
    /// The CPU time that they have used so far.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        self.0.iter().map(|process| process::cpu(process.pid())).sum()
    }
}

impl Fresh {
    pub(crate) async fn new(kind: Kind, inside: &Path, destinations: &[String]) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(inside)?;
        let redis = match kind {
            Kind::Sqlite => None,
            Kind::Redis => Some(redis_in(folder.path()).await?),
        };
        let installation = Installation::inside(folder.path(), &Settings::default());
        let fresh = Self { installation, redis, _folder: folder };
        fresh.configure(destinations)?;
        Ok(fresh)
    }

    /// Other destinations, from the next start on.
    pub(crate) fn configure(&self, destinations: &[String]) -> io::Result<()> {
        self.installation.configure(&Settings::destinations(destinations));
        let Some(redis) = &self.redis else { return Ok(()) };
        let text = std::fs::read_to_string(self.installation.config_path())?;
        self.installation.write_config(&text.replace("sqlite:laneway.db", &redis.url()));
        Ok(())
    }

    pub(crate) async fn start(&self) -> Running {
        self.installation.start().await
    }

    /// The same with others beside it that deliver too, `workers` in all, over a store that they can share.
    pub(crate) async fn start_fleet(&self, workers: usize) -> io::Result<Fleet> {
        let mut processes = vec![self.start().await];
        for _ in 1..workers {
            let listen = laneway_tests::ports::free().to_string();
            processes.push(self.installation.spawn(&["worker", "--listen", &listen]));
        }
        let (client, deadline) = (Client::new(self.address()), Instant::now() + PATIENCE);
        loop {
            let status = client.get("/v1/status").await.map_err(io::Error::other)?.json();
            let working = status["workers"].as_array().map_or(0, Vec::len);
            if working == workers {
                return Ok(Fleet(processes));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{working} of {workers} workers are there")));
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.installation.address()
    }

    pub(crate) fn redis(&self) -> Option<&RedisServer> {
        self.redis.as_ref()
    }

    /// Waits until Redis no longer rewrites its AOF, which takes one of the cores.
    pub(crate) async fn at_rest(&self) -> io::Result<()> {
        let Some(redis) = &self.redis else { return Ok(()) };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = redis.command(&["INFO", "persistence"]).await.map_err(io::Error::other)?.text();
            if said.contains("aof_rewrite_in_progress:0") && said.contains("aof_rewrite_scheduled:0") {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("Redis does not come to the end of rewriting its AOF"));
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Bytes of the store on the disk.
    pub(crate) fn disk_bytes(&self) -> io::Result<u64> {
        fn under(folder: &Path) -> io::Result<u64> {
            let mut sum = 0;
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                sum += if kind.is_dir() { under(&entry.path())? } else { entry.metadata()?.len() };
            }
            Ok(sum)
        }
        under(self.installation.folder())
    }

    /// How many keys the store has as behind at a destination.
    pub(crate) async fn behind(&self, destination: &str) -> io::Result<u64> {
        if self.redis.is_none() {
            return Ok(Store::open(&self.installation.database()).behind(destination) as u64);
        }
        Ok(self.said(destination, "keys_behind").await?.unwrap_or(0))
    }

    /// Waits until it is recorded that the destination has settled everything. (SQLite is looked at
    /// past the server: asking that would cost CPU time of what is measured.)
    pub(crate) async fn settled(&self, destination: &str) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let database = self.redis.is_none().then(|| Store::open(&self.installation.database()));
        loop {
            let settled = match &database {
                Some(store) => store.committed(destination),
                None => self.said(destination, "pending").await? == Some(0),
            };
            if settled {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{destination}: the store does not say that all is settled")));
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// A number of a destination's status.
    async fn said(&self, destination: &str, field: &str) -> io::Result<Option<u64>> {
        let answer = Client::new(self.address()).get("/v1/status").await.map_err(io::Error::other)?;
        let status = answer.json();
        let all = status["destinations"].as_array().cloned().unwrap_or_default();
        let found = all.iter().find(|view| view["name"] == destination);
        Ok(found.and_then(|view| view[field].as_u64()))
    }
}
