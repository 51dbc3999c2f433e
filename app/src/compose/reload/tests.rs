//! What a reload changes, what it refuses, and what it says of the rest.

use super::*;
use crate::config::{DEFAULT_FILE, Given, Overrides, known_paths_of, variable_of};
use laneway_domain::DestinationName;
use laneway_memory::{Call, Disk, Fault, Faults, MemoryStore, Settings};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Without a key in the file, one would be made beside the database.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn config(text: &str) -> Config {
    Config::from_toml(&format!("store.key = '{KEY}'\n{text}")).unwrap_or_else(|error| panic!("{error}"))
}

/// A configuration in which one setting has another value, as a variable says.
fn config_of(text: &str, setting: Option<(&str, &str)>) -> Result<Config, String> {
    let mut source = Given::default().with_file(DEFAULT_FILE, text);
    if let Some((path, value)) = setting {
        source = source.with_var(&variable_of(path), value);
    }
    Config::load(&source, None, &Overrides::default()).map_err(|error| error.to_string())
}

/// A store in memory.
fn stores() -> Stores {
    Stores::of(Arc::new(MemoryStore::open(Disk::new(1), Settings::default())))
}

/// A process that runs: what `read` says is read at each reload.
fn running<'a>(role: Role, started: &Config, stores: &Stores, read: ReadAgain<'a>) -> Reloading<'a> {
    Reloading {
        read,
        started: started.clone(),
        known: Known::of(started).unwrap(),
        stores: stores.clone(),
        tokens: Tokens::of(started.server.tokens.clone()),
        limits: CurrentLimits::from(started.server.limits.clone()),
        tenants: TenantsNow::of(&started.tenants),
        certificates: Certificates::of(started).unwrap(),
        role,
    }
}

#[tokio::test]
async fn what_would_open_an_address_that_is_listened_on_is_refused() {
    const TOKENS: &str = "server.tokens = ['a-token-of-16-characters']";
    let loopback = config("");
    for (setting, roles) in [
        ("server.listen", &[Role::Both, Role::Ingest][..]),
        ("server.operator_listen", &[Role::Both, Role::Ingest]),
        ("worker.listen", &[Role::Worker]),
    ] {
        let started = config(&format!("{setting} = '0.0.0.0:9'\n{TOKENS}"));
        for role in [Role::Both, Role::Ingest, Role::Worker] {
            let read = || Ok(loopback.clone());
            let mut process = running(role, &started, &stores(), &read);
            let told = process.try_to().await;
            let still = !process.tokens.now().is_open();
            if roles.contains(&role) {
                let Err(NotReloaded::Nothing(why)) = told else { panic!("{role:?}: {told:?}") };
                assert!(why.contains("0.0.0.0:9 can be reached from other machines"), "{role:?}: {why}");
                assert!(still, "{role:?} is open at {setting}");
            } else {
                assert_eq!((told, still), (Ok(()), false), "{role:?} does not listen on {setting}");
            }
        }
    }
}

/// A configuration with every table that there can be beside such a store.
fn everything(store: &str) -> String {
    let authority = laneway_tls::Authority::new();
    let (chain, key) = authority.certificate(&["a.example"]);
    let ca = authority.pem();
    let mongodb = "[[destination]]\nname = 'm'\nurl = 'mongodb://m.example/d/c'\n";
    let mongodb = if cfg!(feature = "mongodb") { mongodb } else { "" };
    format!(
        "[server]\noperator_listen = '127.0.0.1:9090'\n[server.tls]\ncertificate = '''{chain}'''\nkey = '''{key}'''\n\
         client_ca = '''{ca}'''\n[[server.token]]\nname = 'a'\ntoken = 'a-token-of-16-characters'\nroles = ['read']\n\
         [store]\nkey = '{KEY}'\n{store}\n[egress]\nconnections = 1000\n[worker]\nattempts = 500\n\
         [telemetry]\notlp = 'http://127.0.0.1:4318'\n\
         [[destination]]\nname = 'a'\nurl = 'https://a.example/'\nbatch = {{ max_events = 10 }}\n\
         [[destination]]\nname = 'b'\nurl = 'https://b.example/'\nbasic = {{ user = 'u', password = 'p' }}\n\
         {mongodb}"
    )
}

/// Values of which every setting takes one that is not its default.
fn values() -> Vec<String> {
    let authority = laneway_tls::Authority::new();
    let (chain, _) = authority.certificate(&["b.example"]);
    let values = [
        "false",
        "true",
        "7",
        "70000",
        "0.5",
        "1KiB",
        "2KiB",
        "3MiB",
        "100MiB",
        "20ms",
        "3s",
        "2m",
        "3h",
        "3d",
        "127.0.0.1:9",
        "10.0.0.0/8",
        "b.example",
        "another",
        "https://b.example/",
        "http://127.0.0.1:9",
        "sqlite:b",
        "json",
        "warn",
        "relaxed",
        "strict",
        "beginning",
        "hold",
        "1.1",
        "400",
        "upsert",
        "publish",
        "http",
        "a-token-of-another-16",
        "{ region = \"eu\" }",
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "HxAdHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=",
    ];
    values.map(str::to_owned).into_iter().chain([chain, authority.pem()]).collect()
}

/// Whether what a process goes by is not what it started with, where this setting is.
fn is_applied(process: &mut Reloading<'_>, path: &str) -> bool {
    let started = process.started.clone();
    match path.rsplit_once('.').map_or("", |(section, _)| section) {
        "server.limits" => process.limits.replace(&started.server.limits),
        "server.tls" | "store.tls" => process.certificates.prepare(&started).unwrap().is_some(),
        "tenants" => process.tenants.replace(&started.tenants),
        _ if path.starts_with("server.token") => process.tokens.replace(started.server.tokens),
        _ if path.starts_with("destination.") => !process.known.reader.add_file(started.destinations).is_empty(),
        _ => false,
    }
}

/// The name of a setting, whichever destination it is of.
fn setting_of(path: &str) -> String {
    let of_one = path.strip_prefix("destination.").and_then(|rest| rest.split_once('.'));
    of_one.map_or_else(|| path.to_owned(), |(_, setting)| format!("destination.{setting}"))
}

/// Whether a process of this role applies or names it when this setting gets this value.
async fn is_noticed(role: Role, (text, started): (&str, &Config), path: &str, value: &str) -> bool {
    let Ok(changed) = config_of(text, Some((path, value))) else { return false };
    if fixed(started, &changed).iter().any(|name| path == *name || path.starts_with(&format!("{name}."))) {
        return true;
    }
    let read = || Ok(changed.clone());
    let mut process = running(role, started, &stores(), &read);
    process.try_to().await.unwrap_or_else(|why| panic!("{path} = {value}: {why:?}"));
    is_applied(&mut process, path)
}

/// Of every setting that there is: who adds one decides which it is.
#[tokio::test]
async fn a_setting_that_has_changed_is_applied_or_named() {
    // These change together only, with one another or with something else.
    const NOT_ALONE: [&str; 7] = [
        "server.tls.certificate",
        "server.tls.key",
        "server.token.0.certificate",
        "store.tls.certificate",
        "store.tls.key",
        "destination.tls.certificate",
        "destination.tls.key",
    ];
    let ca = laneway_tls::Authority::new().pem();
    let redis = format!("url = 'redis://r.example/'\n[store.tls]\nca = '''{ca}'''");
    let stores: &[&str] = if cfg!(feature = "redis") { &["", &redis] } else { &[""] };
    let (mut all, mut noticed) = (BTreeSet::new(), BTreeSet::new());
    for store in stores {
        let text = everything(store);
        let started = config_of(&text, None).unwrap();
        // Of another store only that differs.
        let paths = known_paths_of(&text).into_iter().filter(|path| store.is_empty() || path.starts_with("store."));
        for path in paths {
            let setting = setting_of(&path);
            for role in [Role::Both, Role::Ingest] {
                let known = (role.name(), setting.clone());
                for value in values() {
                    if !noticed.contains(&known) && is_noticed(role, (&text, &started), &path, &value).await {
                        noticed.insert(known.clone());
                    }
                }
                all.insert(known);
            }
        }
    }
    assert!(all.len() > 180, "{all:?}");
    let is_table = |setting: &str| all.iter().any(|(_, other)| other.starts_with(&format!("{setting}.")));
    let is_alone = |setting: &str| !is_table(setting) && !NOT_ALONE.contains(&setting);
    // What builds without them have no use for.
    let is_left_out = |setting: &str| {
        let redis = ["store.key_prefix", "store.password", "store.replicas", "store.replica_timeout"];
        let of_redis = redis.contains(&setting) || setting.starts_with("store.tls.");
        (cfg!(not(feature = "redis")) && of_redis) || (cfg!(not(feature = "mongodb")) && setting == "destination.mode")
    };
    let unnoticed = all.difference(&noticed).filter(|(_, setting)| is_alone(setting) && !is_left_out(setting));
    let unnoticed: Vec<_> = unnoticed.collect();
    assert!(unnoticed.is_empty(), "neither applied nor named, or no value here is one of it: {unnoticed:#?}");
}

const FIRST: &str = "[[destination]]\nname = 'a'\nurl = 'https://first.example/'\n\
    [[destination]]\nname = 'leaves'\nurl = 'https://a.example/'\nbearer = 'x'";
const SECOND: &str = "server.tokens = ['a-token-of-16-characters']\n\
    [[destination]]\nname = 'a'\nurl = 'https://second.example/'\nbearer = 'x'";

fn a() -> DestinationName {
    DestinationName::new("a").unwrap()
}

/// What a process makes of what the registry says of `a`: where it sends to, if it can.
async fn sends_to(process: &Reloading<'_>, stores: &Stores) -> Option<String> {
    let record = stores.registry.records(&[a()]).await.unwrap().remove(0);
    let read = process.known.reader.read(&record);
    read.sink.unwrap_or_else(|why| panic!("{why}"));
    read.to
}

#[tokio::test]
async fn an_ingest_reads_the_file_again_and_goes_by_what_the_workers_have_applied() {
    let (first, second) = (config(FIRST), config(SECOND));
    let stores = stores();
    let read = || Ok(second.clone());
    let mut worker = running(Role::Worker, &first, &stores, &read);
    worker.known.begin(&first, &stores).await.unwrap();
    let mut ingest = running(Role::Ingest, &first, &stores, &read);
    assert_eq!(sends_to(&ingest, &stores).await.as_deref(), Some("https://first.example"));
    ingest.try_to().await.unwrap();
    let target = |name: &str| ingest.known.targets.of(&DestinationName::new(name).unwrap());
    assert_eq!((target("a").as_deref(), target("leaves")), (Some("https://second.example"), None));
    assert_eq!(sends_to(&ingest, &stores).await.as_deref(), Some("https://first.example"), "workers still do");
    worker.try_to().await.unwrap();
    assert_eq!(sends_to(&ingest, &stores).await.as_deref(), Some("https://second.example"));
}

/// Which fault a call meets, by its number.
type Failure = fn(usize) -> Option<Fault>;

/// A registry that fails as it is told to, from the given call on.
#[derive(Default)]
struct Failing {
    calls: AtomicUsize,
    by: Mutex<Option<Failure>>,
}

impl Failing {
    fn begin(&self, by: Option<Failure>) {
        self.calls.store(0, Ordering::Relaxed);
        *self.by.lock().unwrap() = by;
    }
}

impl Faults for Failing {
    fn fault(&self, call: Call) -> Option<Fault> {
        let by = self.by.lock().unwrap().filter(|_| call == Call::Registry)?;
        by(self.calls.fetch_add(1, Ordering::Relaxed))
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_reload_leaves_is_what_it_says_and_can_be_delivered_to() {
    /// The call that writes: before it the registry is asked for its head, its changes, its head and the records.
    const WRITES: usize = 4;
    let away: Failure = |_| Some(Fault::RetryLater);
    let lost: Failure = |call| match call {
        ..WRITES => None,
        WRITES => Some(Fault::Unknown { happened: true }),
        _ => Some(Fault::RetryLater),
    };
    let vain: Failure = |call| match call {
        ..WRITES => None,
        WRITES => Some(Fault::Unknown { happened: false }),
        _ => Some(Fault::RetryLater),
    };
    for (by, in_part, to) in [(away, false, "first"), (lost, true, "second"), (vain, true, "first")] {
        let (first, second) = (config(FIRST), config(SECOND));
        let failing = Arc::new(Failing::default());
        let faults = Some(failing.clone() as Arc<dyn Faults>);
        let stores = Stores::of(Arc::new(MemoryStore::open(Disk::new(1), Settings { faults, ..Settings::default() })));
        let read = || Ok(second.clone());
        let mut process = running(Role::Both, &first, &stores, &read);
        process.known.begin(&first, &stores).await.unwrap();
        failing.begin(Some(by));
        let told = process.try_to().await.unwrap_err();
        assert_eq!(matches!(told, NotReloaded::Rest(_)), in_part, "{told:?}");
        failing.begin(None);
        assert_eq!(sends_to(&process, &stores).await, Some(format!("https://{to}.example")));
        assert!(process.tokens.now().is_open(), "what comes after the destinations is as before");
        // Once the store answers, the same is whole, and nothing of before counts any more.
        process.try_to().await.unwrap();
        assert_eq!(sends_to(&process, &stores).await.as_deref(), Some("https://second.example"));
        assert!(!process.tokens.now().is_open());
        assert_eq!(process.known.reader.add_file(second.destinations.clone()), BTreeSet::new());
    }
}

#[tokio::test(start_paused = true)]
async fn certificates_are_what_they_were_where_destinations_cannot_be_applied() {
    let with = |name: &str| {
        let (chain, key) = laneway_tls::Authority::new().certificate(&[name]);
        config(&format!("[server.tls]\ncertificate = '''{chain}'''\nkey = '''{key}'''\n{FIRST}"))
    };
    let (before, now) = (with("a.example"), with("b.example"));
    let failing = Arc::new(Failing::default());
    let faults = Some(failing.clone() as Arc<dyn Faults>);
    let stores = Stores::of(Arc::new(MemoryStore::open(Disk::new(1), Settings { faults, ..Settings::default() })));
    let read = || Ok(now.clone());
    let mut process = running(Role::Both, &before, &stores, &read);
    failing.begin(Some(|_| Some(Fault::RetryLater)));
    process.try_to().await.unwrap_err();
    assert!(process.certificates.prepare(&before).unwrap().is_none(), "they were replaced");
    failing.begin(None);
    process.try_to().await.unwrap();
    assert!(process.certificates.prepare(&now).unwrap().is_none());
}
