//! The configuration of every process of the soak.

use super::{KEPT, REMEMBERED};
use crate::server::webhook;
use crate::soak::receiver::{REJECTION, Receiver};
use crate::soak::traffic::TYPE;
use rand::RngExt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const PARTITIONS: u32 = 8;
/// How long an attempt may take. The moody receiver hangs at times, and is not to hold up the ledger for long.
const TIMEOUT: &str = "2s";
/// No event is ever given up, and none waits for long.
const RETRY: &str = "retry = { initial = \"100ms\", factor = 2.0, limit = \"2s\", total = \"1d\" }";
/// The most bytes of history; it goes by its age, long before.
const HISTORY: &str = "64MiB";

/// What the configuration says of the destinations.
pub struct Destinations {
    /// Names and URLs.
    receivers: Vec<(&'static str, String)>,
    /// What requests are signed with.
    pub secrets: Vec<String>,
    /// The certificates of those who sign the receivers' certificates.
    ca: PathBuf,
}

impl Destinations {
    /// Those of these receivers. `ca` is a file that is written by [`Destinations::trust`].
    #[must_use]
    pub fn new(receivers: &[Receiver], secrets: &[String], ca: &Path) -> Self {
        let receivers = receivers.iter().map(|receiver| (receiver.name(), receiver.url())).collect();
        Self { receivers, secrets: secrets.to_vec(), ca: ca.to_owned() }
    }

    /// Writes whom receivers' certificates may be signed by.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn trust(&self, authorities: &[&crate::hostile::Authority]) {
        let pems: Vec<String> = authorities.iter().map(|authority| authority.pem()).collect();
        std::fs::write(&self.ca, pems.concat()).expect("a file of certificates can be written");
    }

    fn tables(&self) -> String {
        let secrets: Vec<String> = self.secrets.iter().map(|secret| format!("\"{secret}\"")).collect();
        let table = |(name, url): &(&'static str, String)| {
            let tls = if url.starts_with("https") {
                format!("tls = {{ ca = \"file:{}\" }}\n", self.ca.display())
            } else {
                String::new()
            };
            let lines = format!(
                "types = [\"{TYPE}\"]\ntimeout = \"{TIMEOUT}\"\nreject = [{REJECTION}]\nsecrets = [{}]\n{RETRY}\n{tls}",
                secrets.join(", ")
            );
            webhook(name, url, &lines)
        };
        self.receivers.iter().map(table).collect()
    }
}

/// A new secret for webhooks.
#[must_use]
pub fn secret() -> String {
    use base64::Engine as _;
    let bytes: [u8; 32] = rand::rng().random();
    format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// The configuration of a process.
pub(super) fn text(address: SocketAddr, store: &str, destinations: &Destinations) -> String {
    let (kept, remembered) = (KEPT.as_secs(), REMEMBERED.as_secs());
    format!(
        "[server]\nlisten = \"{address}\"\n[worker]\nlisten = \"{address}\"\n\
         [store]\n{store}partitions = {PARTITIONS}\nretain = \"{kept}s\"\nduplicate_window = \"{remembered}s\"\n\
         [history]\nmax_age = \"{remembered}s\"\nmax_bytes = \"{HISTORY}\"\n\
         [egress]\nallow = [\"127.0.0.0/8\"]\n\n{}\n",
        destinations.tables()
    )
}
