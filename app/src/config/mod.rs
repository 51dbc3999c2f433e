//! The configuration: `laneway.toml`, overridden by `LANEWAY_…` variables, then by flags.
//!
//! Every mistake is found and reported in one go, each with its place, its setting and what would
//! be right; an unknown key is a mistake. All settings, with defaults and reasons, are in
//! `laneway.example.toml`.

mod console;
mod destination;
mod egress;
mod history;
mod kinds;
mod log;
#[cfg(feature = "mongodb")]
mod mongodb;
mod operational;
mod overlay;
mod problem;
mod reader;
mod secret;
mod server;
mod setting;
mod sink;
mod source;
mod store;
mod telemetry;
mod tenants;
#[cfg(test)]
mod tests;
mod tls;
mod tokens;
mod tree;
mod units;
mod webhook;
// Compiled in every test build too, for its test.
#[cfg(any(test, not(feature = "mongodb")))]
mod without_mongodb;
mod worker;
mod written;

pub use console::Console;
pub use destination::{DestinationConfig, SettingsRead, read_settings};
pub use history::History;
pub use laneway_webhook::Secret;
pub use log::{Log, LogFormat};
#[cfg(test)]
pub(crate) use overlay::variable_of;
pub use overlay::{ALIASES, COMMAND_LINE};
pub(crate) use problem::nearest;
pub use problem::{ConfigError, Origin, Problem};
pub use secret::without_end;
pub use server::{DEFAULT_PORT, Server};
pub use sink::SinkConfig;
pub use source::{Given, MAX_FILE_BYTES, Process, References, Source};
pub use store::{Durability, RedisStore, Store, StoreUrl};
pub use telemetry::Telemetry;
pub use tenants::{CurrentTenantBounds, TenantBounds};
#[cfg(test)]
pub(crate) use tests::known_paths_of;
pub use tls::{InTls, Pem};
pub use tokens::MIN_TOKEN_CHARACTERS;
pub use units::{MAX_DURATION, parse_duration, parse_size, show_duration, show_size};
pub use worker::{DEFAULT_WORKER_PORT, Worker};
pub use written::{KeptSettings, MARK, Written, hide_path};

use crate::files;
use laneway_domain::OperationalSettings;
use laneway_egress::EgressPolicy;
use problem::Place;
use reader::{Findings, Section};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tree::Table;

/// The file that is read from the working directory if it is there and no other is named.
pub const DEFAULT_FILE: &str = "laneway.toml";

/// The tables of a configuration file beside those of destinations.
const OTHER_SECTIONS: [&str; 9] =
    ["server", "store", "egress", "worker", "history", "log", "telemetry", "operational_events", "tenants"];

/// All settings of a process, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from, if there was one.
    pub file: Option<PathBuf>,
    /// The HTTP side.
    pub server: Server,
    /// Where events and progress are kept.
    pub store: Store,
    /// Where deliveries may go.
    pub egress: EgressPolicy,
    /// How deliveries are driven.
    pub worker: Worker,
    /// What is kept of what attempts met.
    pub history: History,
    /// What is logged.
    pub log: Log,
    /// Where traces go.
    pub telemetry: Telemetry,
    /// When an operator is told what.
    pub operational: OperationalSettings,
    /// What tenants' destinations may be.
    pub tenants: TenantBounds,
    /// The destinations, in the order of the file; names are unique. Never empty: without any, it is
    /// one `console`.
    pub destinations: Vec<Arc<DestinationConfig>>,
    /// Whether none is configured, so that one stands in.
    names_none: bool,
}

/// Settings given as flags: the last word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`: `server.listen`.
    pub listen: Option<String>,
    /// `--listen` of a worker: `worker.listen`.
    pub worker_listen: Option<String>,
    /// `--store`: `store.url`.
    pub store: Option<String>,
    /// `--partitions`: `store.partitions`.
    pub partitions: Option<String>,
    /// `--log`: `log.filter`.
    pub log: Option<String>,
    /// `--log-format`: `log.format`.
    pub log_format: Option<String>,
}

impl Overrides {
    /// Flag, path of its setting, value.
    fn given(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        let all = [
            ("--listen", "server.listen", &self.listen),
            ("--listen", "worker.listen", &self.worker_listen),
            ("--store", "store.url", &self.store),
            ("--partitions", "store.partitions", &self.partitions),
            ("--log", "log.filter", &self.log),
            ("--log-format", "log.format", &self.log_format),
        ];
        all.into_iter().filter_map(|(flag, path, value)| value.as_deref().map(|value| (flag, path, value)))
    }
}

impl Config {
    /// The destination that is there because none is configured, if so.
    #[must_use]
    pub fn stands_in(&self) -> Option<&Arc<DestinationConfig>> {
        self.destinations.first().filter(|_| self.names_none)
    }

    /// Reads `file` (or [`DEFAULT_FILE`], if there is one), then the variables, then the flags.
    ///
    /// # Errors
    /// With everything that is wrong, in the order of the file. A named file that cannot be read is
    /// an error; the default one may be missing.
    pub fn load(source: &dyn Source, file: Option<&Path>, flags: &Overrides) -> Result<Self, ConfigError> {
        let (file, findings, root) = gather(source, file, flags)?;
        let config = read(&findings, root);
        findings.conclude(Self { file, ..config })
    }

    /// Reads a configuration from text alone, as tests and tools want it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let source = Given::default().with_file(DEFAULT_FILE, text);
        Self::load(&source, None, &Overrides::default())
    }
}

/// Says that this build lacks what a setting asks for, and which flag brings it.
fn left_out(what: &str, feature: &str) -> String {
    format!("this laneway was built without {what}; build it with: cargo build --release --features {feature}")
}

/// All sections, as far as they make sense; what does not is in the findings.
fn read(findings: &Findings<'_>, root: Table) -> Config {
    let mut root = Section::new(findings, Place::default(), Origin::Nowhere, root);
    let server = Server::read(root.section("server"));
    let store = Store::read(root.section("store"));
    let left = files::shares(files::limit(), server.limits.connections).to_receivers.min(1_000_000);
    let egress = egress::read(root.section("egress"), left);
    let mut worker = Worker::read(root.section("worker"), !server.tokens.is_empty(), egress.connections.most());
    let history = History::read(root.section("history"), &store.url);
    worker.settings.history = history.enabled;
    let log = Log::read(root.section("log"));
    let telemetry = Telemetry::read(root.section("telemetry"));
    let operational = operational::read(root.section("operational_events"));
    let tenants = TenantBounds::read(root.section("tenants"));
    let (destinations, names_none) = destination::read_all(&mut root, &egress);
    root.finish();
    Config {
        file: None,
        server,
        store,
        egress,
        worker,
        history,
        log,
        telemetry,
        operational,
        tenants,
        destinations,
        names_none,
    }
}

/// Reads only what a command needs to reach a running server: `[server]`. Mistakes elsewhere, and
/// secrets that only the server can read, do not keep an operator from asking it what it does.
///
/// # Errors
/// If the file cannot be read, or the address is wrong.
pub fn load_server(source: &dyn Source, file: Option<&Path>) -> Result<ServerAddress, ConfigError> {
    let (_, _, root) = gather(source, file, &Overrides::default())?;
    let findings = Findings::new(source, Vec::new(), Vec::new());
    let mut root = Section::new(&findings, Place::default(), Origin::Nowhere, root);
    let mut server = root.section("server");
    let listen = server::read_listen(&mut server);
    let listen = server::read_operator_listen(&mut server, listen).unwrap_or(listen);
    let tls = server.has("tls").then(|| server.section("tls"));
    // A command may be run by somebody who may not read the server's files.
    let certificate = |tls: &Section<'_, '_>| secret::resolve(tls.peek_text("certificate")?, source).ok();
    let tls = tls.map(|tls| certificate(&tls).map(|pem| pem.expose().to_owned()));
    let (token, token_note) = tokens::of_this_machine(&mut server, source).unzip();
    let token_note = token_note.flatten();
    findings.conclude(ServerAddress { listen, tls, token, token_note })
}

/// Reads only what a command needs that works on the store itself: `[store]`. Secrets of destinations, which only the
/// server can read, do not keep an operator from making a backup.
///
/// # Errors
/// If the file cannot be read, or something in `[store]` is wrong.
pub fn load_store(source: &dyn Source, file: Option<&Path>, flags: &Overrides) -> Result<Store, ConfigError> {
    let (_, _, root) = gather(source, file, flags)?;
    let findings = Findings::new(source, Vec::new(), Vec::new());
    let mut root = Section::new(&findings, Place::default(), Origin::Nowhere, root);
    let store = Store::read(root.section("store"));
    findings.conclude(store)
}

/// Reads only the destinations of a file, for a server elsewhere: as TOML, or as JSON if its name ends in `.json`. What
/// the server is to check (where it may connect to) is not checked here.
///
/// The other tables of a `laneway.toml` may be there, and are not read.
///
/// # Errors
/// With everything that is wrong. A file that says nothing about destinations is wrong too: whoever deletes what a
/// file does not name would delete all of them because of a slip.
pub fn load_destinations(source: &dyn Source, file: &Path) -> Result<Vec<Arc<DestinationConfig>>, ConfigError> {
    let bytes = source.read(file).map_err(|e| ConfigError::unreadable(file, &format!("cannot be read: {e}")))?;
    let text = decode(file, bytes)?;
    let mut problems = Vec::new();
    let root = if file.extension().is_some_and(|extension| extension == "json") {
        let json = serde_json::from_str(&text);
        tree::of_json(json.map_err(|e| ConfigError::unreadable(file, &format!("is not a JSON object: {e}")))?)
    } else {
        tree::parse(&text, &file.display().to_string(), &mut problems)
    };
    if !problems.is_empty() {
        return Err(ConfigError::of(problems));
    }
    let findings = Findings::new(source, Vec::new(), Vec::new());
    let mut root = Section::new(&findings, Place::default(), Origin::Nowhere, root);
    if !root.has("destination") {
        let what =
            "names no destination: write each as a table [[destination]], or `destination = []` if there are none";
        findings.problem(Origin::Whole(file.display().to_string().into()), Place::default(), what);
    }
    let everywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|range| range.parse().ok()).collect();
    let egress = EgressPolicy { allow: everywhere, ..EgressPolicy::default() };
    let (read, stands_in) = destination::read_all(&mut root, &egress);
    OTHER_SECTIONS.into_iter().for_each(|section| root.set_aside(section));
    root.finish();
    findings.conclude(if stands_in { Vec::new() } else { read })
}

/// Where a running server is.
#[derive(Clone, Debug)]
pub struct ServerAddress {
    /// What it listens on.
    pub listen: std::net::SocketAddr,
    /// If it speaks TLS: its certificate (PEM), as far as this process can read it.
    pub tls: Option<Option<String>>,
    /// One of its tokens, if it has any that this process can read: the one with most roles.
    pub token: Option<Secret>,
    /// What whoever uses it has to know: it is a tenant's, say, and shows only what is that tenant's.
    pub token_note: Option<String>,
}

type Gathered<'s> = (Option<PathBuf>, Findings<'s>, Table);

/// The file with variables and flags laid over it.
fn gather<'s>(source: &'s dyn Source, file: Option<&Path>, flags: &Overrides) -> Result<Gathered<'s>, ConfigError> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match source.read(path) {
        Ok(bytes) => Some(decode(path, bytes)?),
        Err(e) if file.is_none() && e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(ConfigError::unreadable(path, &format!("cannot be read: {e}"))),
    };
    let mut problems = Vec::new();
    let name = path.display().to_string();
    let mut tree = text.as_deref().map(|text| tree::parse(text, &name, &mut problems)).unwrap_or_default();
    if !problems.is_empty() {
        // What the parser salvaged of a broken file would only lead to mistakes that are none.
        return Err(ConfigError::of(problems));
    }
    let strays = overlay::variables(&mut tree, source, &mut problems);
    overlay::flags(&mut tree, flags, &mut problems);
    Ok((text.map(|_| path.to_owned()), Findings::new(source, problems, strays), tree))
}

fn decode(path: &Path, bytes: Vec<u8>) -> Result<String, ConfigError> {
    String::from_utf8(bytes).map_err(|e| {
        let good = e.utf8_error().valid_up_to();
        let line = 1 + e.as_bytes()[..good].iter().filter(|b| **b == b'\n').count();
        ConfigError::unreadable(path, &format!("line {line} is not UTF-8 text"))
    })
}
