//! A place for a process, which is started there as often as it ends.

use super::watched::Process;
use crate::client::Client;
use crate::server::{Half, Installation, Running, tail};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a process may take to read its configuration again: it may be behind a Redis that fails over.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often its words are looked at.
const GLANCE: Duration = Duration::from_millis(20);
/// What a process writes, and where that of the last piece is kept.
const OUTPUTS: [(&str, &str); 2] = [("stdout", "stdout.before"), ("stderr", "stderr.before")];

/// A place for a process.
pub struct Place {
    /// Its name.
    pub name: &'static str,
    /// What is started there.
    pub half: Half,
    /// Its configuration, output and address.
    pub installation: Installation,
    running: Option<(Running, Instant)>,
}

impl Place {
    /// A place in this folder. What a process wrote there in the last piece is put aside, so that it does not grow for
    /// ever.
    pub(super) fn new(folder: &Path, half: Half, name: &'static str) -> Self {
        for (output, before) in OUTPUTS {
            std::fs::rename(folder.join(output), folder.join(before)).ok();
        }
        Self { name, half, installation: Installation::member(folder, half, "", ""), running: None }
    }

    /// Starts the process and waits until it is ready.
    pub(super) async fn start(&mut self, variables: &[(&str, &str)]) {
        let running = match self.half {
            Half::Both => self.installation.start_under(&[], variables).await,
            Half::Ingest | Half::Worker => self.installation.start().await,
        };
        self.running = Some((running, Instant::now()));
    }

    pub(super) fn stop(&mut self) {
        if let Some((running, _)) = self.running.take() {
            running.stop();
        }
    }

    pub(super) fn kill(&mut self) {
        if let Some((running, _)) = self.running.take() {
            running.kill();
        }
    }

    pub(super) fn process(&self) -> Option<Process> {
        let process =
            |(running, since): &(Running, Instant)| Process { name: self.name, pid: running.pid(), since: *since };
        self.running.as_ref().map(process)
    }

    pub(super) fn signal(&self, name: &str) {
        if let Some((running, _)) = &self.running {
            running.signal(name);
        }
    }

    /// A client of its address, whether it runs or not.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.installation.address())
    }

    fn log(&self) -> PathBuf {
        self.installation.folder().join("stderr")
    }

    /// How many bytes it has logged.
    pub(super) fn said_so_far(&self) -> u64 {
        std::fs::metadata(self.log()).map_or(0, |file| file.len())
    }

    fn said_since(&self, before: u64) -> String {
        let mut bytes = Vec::new();
        let read = File::open(self.log()).and_then(|mut file| {
            file.seek(SeekFrom::Start(before))?;
            file.read_to_end(&mut bytes)
        });
        read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits until it says that it has read its configuration again.
    pub(super) async fn reloaded(&self, before: u64) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.said_since(before);
            if said.contains("the configuration has been reloaded") {
                return Ok(());
            }
            if said.contains("the configuration was not reloaded") || Instant::now() > deadline {
                return Err(format!("{} has not reloaded its configuration:\n{}", self.name, tail(&said)));
            }
            tokio::time::sleep(GLANCE).await;
        }
    }
}
