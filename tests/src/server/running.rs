//! A running `laneway`.

use super::{GLANCE, PATIENCE, tail};
use crate::client::Client;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    pub(super) child: Child,
    pub(super) address: SocketAddr,
    pub(super) folder: PathBuf,
}

impl Running {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// Says what happened instead.
    pub async fn ready(&mut self) -> Result<(), String> {
        let client = self.client();
        let deadline = Instant::now() + PATIENCE;
        let mut last = "nothing".to_owned();
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().map_err(|e| e.to_string())? {
                return Err(format!("ended with {status} before it was ready"));
            }
            match client.get("/readyz").await {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => last = format!("{} {}", answer.status, answer.text()),
                Err(error) => last = error,
            }
            tokio::time::sleep(GLANCE).await;
        }
        Err(format!("was not ready after {PATIENCE:?}; /readyz last said: {last}"))
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// If that cannot be known.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("the child can be waited for").is_some()
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(mut self) {
        self.child.kill().expect("a running process can be killed");
        self.child.wait().expect("a killed process ends");
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// If it does not end in a minute, or not with success; with what it has written.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = ended(&mut self.child, PATIENCE);
        let said = |name: &str| tail(&std::fs::read_to_string(self.folder.join(name)).unwrap_or_default());
        let success = status.is_some_and(|status| status.success());
        assert!(success, "after SIGTERM: {status:?}\n--- stdout\n{}\n--- stderr\n{}", said("stdout"), said("stderr"));
    }

    /// Sends a signal, by the process id.
    ///
    /// # Panics
    /// If there is no such process any more.
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.pid());
        let sent = Command::new("sh").args(["-c", &command]).status().expect("sh is there");
        assert!(sent.success(), "{command} failed");
    }

    /// Waits for the end by itself.
    ///
    /// # Panics
    /// If it does not end in a minute.
    pub fn end(mut self) -> ExitStatus {
        ended(&mut self.child, PATIENCE).unwrap_or_else(|| panic!("laneway did not end by itself"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(super) fn ended(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            return Some(status);
        }
        std::thread::sleep(GLANCE);
    }
    None
}
