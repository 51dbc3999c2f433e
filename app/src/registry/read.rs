//! From a record of the registry to a destination and its sink.

use super::checked::read_checked;
use super::keys::Keyring;
use super::rotating::Rotation;
use super::stored::Stored;
use crate::config::{DestinationConfig, References, SinkConfig, read_settings};
use ipnet::IpNet;
use laneway_domain::{Destination, DestinationName, Origin, PAUSED_BY_OPERATOR, Registered, StartFrom};
use laneway_egress::EgressPolicy;
use laneway_ports::Sink;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

/// How many configuration files a reader knows at most: the newest ones, and the one that was in force for certain. It
/// knows more than one only while stores or other processes are behind, and each takes the memory of what it says
/// otherwise.
const MAX_FILES: usize = 4;

/// What a configuration file says of destinations.
type File = BTreeMap<DestinationName, Arc<DestinationConfig>>;

/// A destination as the dispatcher and the shell need it.
pub struct Read {
    /// Filter, order, limits, retries, pause.
    pub destination: Destination,
    /// The way out. If there is none, the reason why: nothing can be delivered, and the destination is to wait.
    pub sink: Result<Arc<dyn Sink>, String>,
    /// Where it sends to, for people and without what may be secret, if that is known.
    pub to: Option<String>,
}

/// Where this process may connect to.
#[derive(Debug)]
pub(super) struct Egress {
    /// For the operator's destinations.
    own: EgressPolicy,
    /// For those of tenants: what the operator opens for itself is not open to them.
    tenants: EgressPolicy,
}

impl Egress {
    /// For a destination of that name, whoever makes it over HTTP.
    pub(super) fn of(&self, name: &DestinationName) -> &EgressPolicy {
        if name.tenant().is_some() { &self.tenants } else { &self.own }
    }

    /// For the destination of a record: what the configuration file says is the operator's word.
    fn of_record(&self, record: &Registered) -> &EgressPolicy {
        if record.origin == Origin::File { &self.own } else { self.of(&record.name) }
    }
}

/// Reads records.
#[derive(Debug)]
pub struct Reader {
    egress: Egress,
    keys: Arc<Keyring>,
    /// The destinations of this process' own configuration file, as it was read last; and as it was read before, while
    /// the registry may still say that.
    files: RwLock<Vec<File>>,
}

impl Reader {
    /// A reader of a process with these keys, this configuration file, and this egress policy; destinations of tenants
    /// lead to public addresses only.
    #[must_use]
    pub fn new(egress: EgressPolicy, keys: Arc<Keyring>, file: Vec<Arc<DestinationConfig>>) -> Self {
        let egress = Egress { tenants: egress.for_tenants(Vec::new()), own: egress };
        Self { egress, keys, files: RwLock::new(vec![by_name(file)]) }
    }

    /// The same, where destinations of tenants may lead to these addresses too.
    #[must_use]
    pub fn opening_to_tenants(mut self, allow: Vec<IpNet>) -> Self {
        self.egress.tenants.allow = allow;
        self
    }

    /// The configuration file says this now. The registry may say so already or not yet: what it said before counts
    /// too. Returns what any of the files says otherwise, or not at all.
    pub fn add_file(&self, destinations: Vec<Arc<DestinationConfig>>) -> BTreeSet<DestinationName> {
        let mut newest = by_name(destinations);
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        // What has not changed is kept once.
        for (name, config) in &mut newest {
            let mut before = files.iter().filter_map(|file| file.get(name));
            if let Some(before) = before.find(|before| before.written == config.written) {
                *config = before.clone();
            }
        }
        let differs = |name: &&DestinationName| {
            let now = newest.get(*name).map(|config| &config.written);
            files.iter().any(|file| file.get(*name).map(|config| &config.written) != now)
        };
        let differ = newest.keys().chain(files.iter().flat_map(BTreeMap::keys)).filter(differs).cloned().collect();
        if files.len() >= MAX_FILES {
            files.remove(MAX_FILES - 2);
        }
        files.insert(0, newest);
        differ
    }

    /// The registry says what the file says that was added last: those before count no longer.
    pub fn settle_file(&self) {
        self.files.write().unwrap_or_else(PoisonError::into_inner).truncate(1);
    }

    /// The registry has heard nothing of the file that was added last: it counts no longer.
    pub fn withdraw_file(&self) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        if files.len() > 1 {
            files.remove(0);
        }
    }

    /// The keys that it opens secrets with.
    #[must_use]
    pub fn keys(&self) -> &Arc<Keyring> {
        &self.keys
    }

    /// Where this process may connect to.
    pub(super) const fn egress(&self) -> &Egress {
        &self.egress
    }

    /// The destination of a record. Whatever is wrong with its settings here (a key that is missing, an address that
    /// this process must not connect to), there is a destination, so that its events wait.
    #[must_use]
    pub fn read(&self, record: &Registered) -> Read {
        let (destination, settings) = self.settings(record);
        let destination = of_record(record, destination);
        match settings {
            Ok(Settings { sink, to }) => Read { destination, sink, to: Some(to) },
            Err(why) => Read { destination, sink: Err(why), to: None },
        }
    }

    /// Whether the secrets of a record can be opened here. A process that lacks a key is not to start.
    ///
    /// # Errors
    /// Says of which destination the key is missing, and what to do.
    pub fn check_keys(&self, record: &Registered) -> Result<(), String> {
        // What cannot be read at all is told when it is to be used.
        let Ok(stored) = Stored::of(record) else { return Ok(()) };
        stored.can_be_opened(&self.keys).map_err(|why| format!("destination {}: {why}", record.name))
    }

    fn settings(&self, record: &Registered) -> (Destination, Result<Settings, String>) {
        let stored = match Stored::of(record) {
            Ok(stored) => stored,
            Err(why) => return (Destination::new(record.name.clone()), Err(why)),
        };
        if stored.withheld {
            return self.of_own_file(record, stored);
        }
        let egress = self.egress.of_record(record);
        match stored.open(record.name.as_str(), &self.keys) {
            Ok(written) if stored.signing.iter().any(|secret| secret.expires.is_some()) => {
                let rotation = Rotation::new(record.name.clone(), written.whole(), stored.signing, egress);
                let (destination, sink) = rotation.read(Rotation::now());
                let settings = sink.map(|config| {
                    let sink = rotation.start().map(|sink| sink as Arc<dyn Sink>);
                    Settings { sink, to: config.shown() }
                });
                (destination, settings)
            }
            Ok(written) => {
                let (destination, sink) = read_checked(&record.name, written.whole(), egress);
                (destination, sink.map(|config| Settings::of(&*config, &record.name)))
            }
            Err(why) => (self.without_secrets(record, stored), Err(why)),
        }
    }

    /// The secrets are in the file only: its own destination is taken if it is what the record says.
    fn of_own_file(&self, record: &Registered, stored: Stored) -> (Destination, Result<Settings, String>) {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let is_own = record.origin == Origin::File;
        let mut said = files.iter().filter(|_| is_own).filter_map(|file| file.get(&record.name));
        match said.find_map(|own| Some(own.written.read()).filter(|own| own.shown == stored.settings)) {
            Some(own) => {
                // By the policy of this process, and within its connections: a file that is read again has one of its
                // own.
                let (destination, sink) = read_checked(&record.name, own.whole(), &self.egress.own);
                (destination, sink.map(|config| Settings::of(&*config, &record.name)))
            }
            None => {
                let newest = files.first().and_then(|file| file.get(&record.name));
                let how = if newest.is_some() { "says otherwise of it" } else { "does not have it" };
                let why = format!(
                    "its secrets are in the configuration file that defines it, and the one of this process {how}: \
                     give every process the same file"
                );
                (self.without_secrets(record, stored), Err(why))
            }
        }
    }

    /// Where the secrets cannot be had, the order and the limits are known all the same.
    fn without_secrets(&self, record: &Registered, stored: Stored) -> Destination {
        let egress = self.egress.of_record(record);
        read_settings(&record.name, stored.settings, References::Literal, egress).destination
    }
}

fn by_name(destinations: Vec<Arc<DestinationConfig>>) -> File {
    destinations.into_iter().map(|config| (config.destination.name.clone(), config)).collect()
}

struct Settings {
    sink: Result<Arc<dyn Sink>, String>,
    to: String,
}

impl Settings {
    fn of(config: &dyn SinkConfig, name: &DestinationName) -> Self {
        Self { sink: config.build(name), to: config.shown() }
    }
}

/// What the record knows of a destination beside its settings.
fn of_record(record: &Registered, destination: Destination) -> Destination {
    let by_operator = record.paused.as_ref().map(|pause| match &*pause.reason {
        "" => PAUSED_BY_OPERATOR.into(),
        reason => format!("{PAUSED_BY_OPERATOR}: {reason}").into(),
    });
    Destination {
        name: record.name.clone(),
        born: record.born,
        takes_over: record.takes_over,
        target_since: record.target_since,
        filters: record.filters.clone().into(),
        from: if record.is_first { StartFrom::Beginning } else { destination.from },
        paused: by_operator.or(destination.paused),
        paused_since: record.paused.as_ref().map(|pause| pause.since),
        ..destination
    }
}
