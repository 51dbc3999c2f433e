//! The certificates of a running process. Whoever issues them renews them long before the process ends, so their files
//! are looked at again, and what has changed is used for new connections.

use crate::config::{Config, InTls, Pem, Secret, StoreUrl, without_end};
use crate::telemetry::metrics::CERTIFICATE_EXPIRES;
use laneway_tls::{CurrentServer, ServerTls, valid_until};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How often the files are looked at. Certificates are renewed days before they end; a key that has leaked is replaced
/// at once with SIGHUP.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Reads the configuration again, as it was read at the start.
pub type ReadAgain<'a> = &'a dyn Fn() -> Result<Config, String>;

/// What the files had in them; nothing of one that could not be read.
type Contents = BTreeMap<PathBuf, Option<Secret>>;

/// The store's TLS, which can be replaced.
#[cfg(feature = "redis")]
pub(super) type StoreTls = Option<laneway_redis::RedisTls>;
/// A build without Redis has no store with TLS.
#[cfg(not(feature = "redis"))]
pub(super) type StoreTls = ();

/// The certificates of a running process.
pub(super) struct Certificates {
    server: Option<CurrentServer>,
    store: StoreTls,
    /// What is used.
    used: Used,
    /// What the files had in them when the configuration was read last, and it was said whether that can be used.
    seen: Contents,
    /// Why the configuration could not be read since they have changed: said once.
    unread: Option<String>,
}

/// What the configuration says of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Used {
    server: Option<InTls>,
    store: Option<Pem>,
}

/// Certificates that can be used, and are not yet. Where nobody does, their files count as changed.
pub(super) struct Prepared {
    used: Used,
    seen: Contents,
    server: Option<ServerTls>,
    store: StoreTls,
}

impl Used {
    fn of(config: &Config) -> Self {
        let store = match &config.store.url {
            StoreUrl::Redis(redis) if redis.tls != Pem::default() => Some(redis.tls.clone()),
            StoreUrl::Redis(_) | StoreUrl::Sqlite(_) => None,
        };
        Self { server: config.server.tls.clone(), store }
    }

    /// Until when each certificate holds: one that nobody renews is an outage on a day that is known.
    fn tell(&self) {
        let server = self.server.as_ref().map(|tls| ("server", &tls.pem));
        let all = server.into_iter().chain(self.store.as_ref().map(|pem| ("store", pem)));
        for (certificate, pem) in all {
            let (_, identity) = pem.exposed();
            let Some(until) = identity.and_then(|(chain, _)| valid_until(chain)) else { continue };
            #[allow(clippy::cast_precision_loss)]
            metrics::gauge!(CERTIFICATE_EXPIRES, "certificate" => certificate).set(until as f64);
            let day = jiff::Timestamp::from_second(until).map(|at| at.to_string()).unwrap_or_default();
            if until <= jiff::Timestamp::now().as_second() {
                tracing::error!(
                    "the certificate of {certificate}.tls expired at {day}: nobody will trust it; renew it"
                );
            } else {
                tracing::info!("the certificate of {certificate}.tls holds until {day}");
            }
        }
    }

    fn pems(&self) -> impl Iterator<Item = &Pem> {
        self.server.iter().map(|tls| &tls.pem).chain(&self.store)
    }

    /// What its files had in them when it was read.
    fn files(&self) -> Contents {
        self.pems().flat_map(|pem| &pem.files).map(|(file, pem)| (file.clone(), Some(pem.clone()))).collect()
    }
}

impl Certificates {
    /// Those of a process that begins.
    ///
    /// # Errors
    /// Says which setting cannot be used.
    pub(super) fn of(config: &Config) -> Result<Self, String> {
        let used = Used::of(config);
        let server = server_tls(&used)?.map(CurrentServer::from);
        let store = store_tls(&used)?;
        used.tell();
        Ok(Self { server, store, seen: used.files(), used, unread: None })
    }

    /// Whether they can be used, for whoever does not.
    ///
    /// # Errors
    /// Says which setting cannot be used.
    pub(super) fn check(config: &Config) -> Result<(), String> {
        let used = Used::of(config);
        server_tls(&used).and_then(|_| store_tls(&used)).map(drop)
    }

    /// The HTTP side's.
    pub(super) fn server(&self) -> Option<CurrentServer> {
        self.server.clone()
    }

    /// The store's.
    pub(super) fn store(&self) -> StoreTls {
        #[allow(clippy::clone_on_copy, reason = "it is nothing in a build without Redis")]
        self.store.clone()
    }

    /// New connections go by what the configuration says now. Whether that is something else than before.
    ///
    /// # Errors
    /// Says which setting cannot be used; then everything is as before.
    fn replace(&mut self, config: &Config) -> Result<bool, String> {
        let next = self.prepare(config)?;
        Ok(self.put(next))
    }

    /// What the configuration says now, ready for new connections; `None` if that is what they use already.
    ///
    /// # Errors
    /// Says which setting cannot be used.
    pub(super) fn prepare(&mut self, config: &Config) -> Result<Option<Prepared>, String> {
        let mut used = Used::of(config);
        let seen = used.files();
        // What has come or gone stays as it was: see `has_come_or_gone`.
        if used.server.is_some() != self.used.server.is_some() {
            used.server.clone_from(&self.used.server);
        }
        if used.store.is_some() != self.used.store.is_some() {
            used.store.clone_from(&self.used.store);
        }
        if used == self.used {
            self.seen = seen;
            return Ok(None);
        }
        // All of it can be used, or nothing is.
        match server_tls(&used).and_then(|server| Ok((server, store_tls(&used)?))) {
            Ok((server, store)) => Ok(Some(Prepared { used, seen, server, store })),
            Err(why) => {
                // Looked at again when the files are others.
                self.seen = seen;
                Err(why)
            }
        }
    }

    /// New connections use these from now on. Whether there are any.
    pub(super) fn put(&mut self, next: Option<Prepared>) -> bool {
        let Some(Prepared { used, seen, server, store }) = next else { return false };
        self.seen = seen;
        if let (Some(current), Some(server)) = (&self.server, server) {
            current.replace(server);
        }
        replace_store(&self.store, &store);
        used.tell();
        self.used = used;
        true
    }

    /// The files have changed: the configuration is read again, and nothing else of it is used. While it cannot be
    /// read, what has changed stays due.
    pub(super) fn renew(&mut self, read: ReadAgain<'_>) {
        let config = match read() {
            Ok(config) => config,
            Err(why) => {
                if self.unread.as_ref() != Some(&why) {
                    tracing::error!(
                        "certificates have changed and cannot be used, since the configuration that names them cannot \
                         be read; the ones before stay in use until it can: {why}"
                    );
                    self.unread = Some(why);
                }
                return;
            }
        };
        self.unread = None;
        match self.replace(&config) {
            Ok(true) => tracing::info!("certificates have been renewed; new connections use them"),
            Ok(false) => {}
            Err(why) => {
                tracing::error!("certificates have changed and cannot be used; the ones before stay in use: {why}");
            }
        }
    }

    /// Resolves when a file has something else in it than when it was read. Nothing is lost when it is dropped.
    pub(super) async fn changed(&mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            // One that is away for a moment is being replaced.
            let look = |file: &PathBuf| std::fs::read_to_string(file).ok().map(|text| Secret::new(without_end(&text)));
            let now: Contents = self.seen.keys().map(|file| (file.clone(), look(file))).collect();
            // They stay changed until somebody has read them: see `prepare`.
            if self.seen != now {
                return;
            }
        }
    }

    /// Whether TLS has come or gone: what cannot change while the process runs.
    pub(super) fn has_come_or_gone(before: &Config, now: &Config) -> (bool, bool) {
        let (before, now) = (Used::of(before), Used::of(now));
        (before.server.is_some() != now.server.is_some(), before.store.is_some() != now.store.is_some())
    }
}

/// As the HTTP side wants it.
fn server_tls(used: &Used) -> Result<Option<ServerTls>, String> {
    used.server.as_ref().map(InTls::build).transpose().map_err(|error| format!("server.tls.{error}"))
}

#[cfg(feature = "redis")]
fn store_tls(used: &Used) -> Result<StoreTls, String> {
    used.store.as_ref().map_or(Ok(None), redis_tls)
}

#[cfg(not(feature = "redis"))]
fn store_tls(_: &Used) -> Result<StoreTls, String> {
    Ok(())
}

#[cfg(feature = "redis")]
fn replace_store(current: &StoreTls, next: &StoreTls) {
    if let (Some(current), Some(next)) = (current, next) {
        current.replace(next);
    }
}

#[cfg(not(feature = "redis"))]
const fn replace_store((): &StoreTls, (): &StoreTls) {}

/// As the store wants it; `None` where everything is as it would be without.
///
/// # Errors
/// Says which setting cannot be used.
#[cfg(feature = "redis")]
pub(super) fn redis_tls(pem: &Pem) -> Result<Option<laneway_redis::RedisTls>, String> {
    if *pem == Pem::default() {
        return Ok(None);
    }
    let (ca, client) = pem.exposed();
    laneway_redis::RedisTls::new(ca, client).map(Some).map_err(|error| format!("store.tls.{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, Process, Source};
    use laneway_tls::Authority;
    use std::io;
    use std::path::Path;
    use tokio::time::timeout;

    /// The files of this machine, without the variables that the tests were started with.
    struct Files;

    impl Source for Files {
        fn var(&self, _: &str) -> Option<String> {
            None
        }

        fn vars(&self, _: &str) -> BTreeMap<String, String> {
            BTreeMap::new()
        }

        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            Process.read(path)
        }
    }

    const LONG: Duration = Duration::from_secs(3600);

    fn write(folder: &Path, (chain, key): &(String, String)) {
        std::fs::write(folder.join("server.pem"), chain).unwrap();
        std::fs::write(folder.join("server.key"), key).unwrap();
    }

    /// A folder with a configuration, and the certificates that it names.
    fn folder() -> (tempfile::TempDir, impl Fn() -> Result<Config, String>) {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &Authority::new().certificate(&["a.example"]));
        let (file, at) = (folder.path().join("laneway.toml"), folder.path().display());
        let text = format!("[server.tls]\ncertificate = \"file:{at}/server.pem\"\nkey = \"file:{at}/server.key\"\n");
        std::fs::write(&file, text).unwrap();
        let read = move || Config::load(&Files, Some(&file), &Overrides::default()).map_err(|e| e.to_string());
        (folder, read)
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_seen_also_one_from_before_anybody_looked() {
        let (folder, read) = folder();
        let config = read().unwrap();
        let next = Authority::new().certificate(&["b.example"]);
        write(folder.path(), &next);
        let mut certificates = Certificates::of(&config).unwrap();
        timeout(LONG, certificates.changed()).await.expect("the files are others than those that were read");
        certificates.renew(&read);
        assert_eq!(certificates.used, Used::of(&read().unwrap()));
        assert!(timeout(LONG, certificates.changed()).await.is_err(), "nothing has changed since");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_ready_and_not_used_is_looked_at_again() {
        let (folder, read) = folder();
        let mut certificates = Certificates::of(&read().unwrap()).unwrap();
        write(folder.path(), &Authority::new().certificate(&["b.example"]));
        assert!(certificates.prepare(&read().unwrap()).unwrap().is_some());
        timeout(LONG, certificates.changed()).await.expect("what has changed is not used yet");
        certificates.renew(&read);
        assert_eq!(certificates.used, Used::of(&read().unwrap()));
        assert!(timeout(LONG, certificates.changed()).await.is_err(), "nothing has changed since");
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_changed_stays_due_while_the_configuration_cannot_be_read() {
        let (folder, read) = folder();
        let mut certificates = Certificates::of(&read().unwrap()).unwrap();
        let before = certificates.used.clone();
        write(folder.path(), &Authority::new().certificate(&["b.example"]));
        for why in ["a secret is away", "a secret is away", "somebody writes it"] {
            timeout(LONG, certificates.changed()).await.expect("what has changed was not used");
            certificates.renew(&|| Err(why.to_owned()));
            assert_eq!(certificates.used, before);
        }
        timeout(LONG, certificates.changed()).await.expect("what has changed was not used");
        certificates.renew(&read);
        assert_eq!(certificates.used, Used::of(&read().unwrap()));
        assert!(timeout(LONG, certificates.changed()).await.is_err(), "nothing has changed since");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_half_replaced_waits_for_the_other_half() {
        let (folder, read) = folder();
        let mut certificates = Certificates::of(&read().unwrap()).unwrap();
        let before = certificates.used.clone();
        let (chain, key) = Authority::new().certificate(&["b.example"]);
        std::fs::write(folder.path().join("server.pem"), chain).unwrap();
        timeout(LONG, certificates.changed()).await.expect("one file is another");
        certificates.renew(&read);
        assert_eq!(certificates.used, before, "its key is not there yet");
        std::fs::write(folder.path().join("server.key"), key).unwrap();
        timeout(LONG, certificates.changed()).await.expect("so is the other");
        certificates.renew(&read);
        assert_ne!(certificates.used, before);
    }
}
