//! The certificates of a running process. Whoever issues them renews them long before the process ends, so their files
//! are looked at again, and what has changed is used for new connections.

use crate::config::{Config, InTls, Pem, StoreUrl};
use crate::telemetry::metrics::CERTIFICATE_EXPIRES;
use laneway_tls::{CurrentServer, valid_until};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How often the files are looked at. Certificates are renewed days before they end; a key that has leaked is replaced
/// at once with SIGHUP.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What the files had in them.
type Contents = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// The certificates of a running process.
pub(super) struct Certificates {
    server: Option<CurrentServer>,
    #[cfg(feature = "redis")]
    store: Option<laneway_redis::RedisTls>,
    /// What is used.
    used: Used,
    /// What the files had in them when they were last read.
    seen: Contents,
}

/// What the configuration says of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Used {
    server: Option<InTls>,
    store: Option<Pem>,
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

    fn files(&self) -> Contents {
        let server = self.server.iter().flat_map(|tls| &tls.pem.files);
        let all = server.chain(self.store.iter().flat_map(|pem| &pem.files));
        // One that is away for a moment is being replaced.
        all.map(|file| (file.clone(), std::fs::read(file).ok())).collect()
    }
}

impl Certificates {
    /// Those of a process that begins.
    ///
    /// # Errors
    /// Says which setting cannot be used.
    pub(super) fn of(config: &Config) -> Result<Self, String> {
        let used = Used::of(config);
        let server = used.server.as_ref().map(InTls::build).transpose();
        let server = server.map_err(|error| format!("server.tls.{error}"))?.map(CurrentServer::from);
        used.tell();
        Ok(Self {
            server,
            #[cfg(feature = "redis")]
            store: used.store.as_ref().map_or(Ok(None), redis_tls)?,
            seen: used.files(),
            used,
        })
    }

    /// The HTTP side's.
    pub(super) fn server(&self) -> Option<CurrentServer> {
        self.server.clone()
    }

    /// The store's.
    #[cfg(feature = "redis")]
    pub(super) fn store(&self) -> Option<laneway_redis::RedisTls> {
        self.store.clone()
    }

    /// New connections go by what the configuration says now. Whether that is something else than before.
    ///
    /// # Errors
    /// Says which setting cannot be used; then everything is as before.
    pub(super) fn replace(&mut self, config: &Config) -> Result<bool, String> {
        let used = Used::of(config);
        self.seen = used.files();
        let mut replaced = false;
        if let (Some(server), Some(tls)) = (&self.server, &used.server)
            && self.used.server != used.server
        {
            server.replace(tls.build().map_err(|error| format!("server.tls.{error}"))?);
            self.used.server.clone_from(&used.server);
            replaced = true;
        }
        #[cfg(feature = "redis")]
        if let (Some(store), Some(pem)) = (&self.store, &used.store)
            && self.used.store != used.store
        {
            let (ca, client) = pem.exposed();
            store.replace(ca, client).map_err(|error| format!("store.tls.{error}"))?;
            self.used.store.clone_from(&used.store);
            replaced = true;
        }
        if replaced {
            self.used.tell();
        }
        Ok(replaced)
    }

    /// Resolves when a file has something else in it than when it was read. Nothing is lost when it is dropped.
    pub(super) async fn changed(&mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.used.files();
            if self.seen != now {
                self.seen = now;
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
