//! TLS towards receivers.

use crate::config::{HttpVersion, TlsOptions, WebhookConfigError};
use laneway_tls::{Identity, Trust, client_config as client, system_roots};
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, Weak};

/// How many tickets rustls keeps of one server. It takes the size of its store in tickets.
const TICKETS_OF_A_SERVER: usize = 8;
/// Of how many receivers sessions are kept that can be resumed, for all destinations together that trust the public
/// certificates: of each a few tickets and its certificates. With others a connection begins with a whole handshake.
const RESUMED: usize = 4096;
/// The same for destinations that say whom they trust: most have one receiver, and there may be many of them.
const RESUMED_BY_OWN_TRUST: usize = 4;

/// The settings of one destination's TLS connections. Destinations whose settings are the same have the same object:
/// each has a store of sessions, which takes 20 KB if it is made for its default.
///
/// # Errors
/// Names the setting that cannot be used, and why.
pub(crate) fn client_config(options: &TlsOptions, http: HttpVersion) -> Result<Arc<ClientConfig>, WebhookConfigError> {
    static SHARED: LazyLock<Mutex<Shared>> = LazyLock::new(Mutex::default);
    if options.client_certificate.is_some() {
        // Who shows a certificate has sessions of its own.
        return new_config(options, http).map(Arc::new);
    }
    SHARED.lock().unwrap_or_else(PoisonError::into_inner).get(options, http)
}

/// Those settings that are in use.
#[derive(Default)]
struct Shared {
    of: HashMap<(Option<String>, HttpVersion), Weak<ClientConfig>>,
    /// With how many it was looked which of them are not in use any more.
    looked_through_at: usize,
}

impl Shared {
    fn get(&mut self, options: &TlsOptions, http: HttpVersion) -> Result<Arc<ClientConfig>, WebhookConfigError> {
        let key = (options.ca.clone(), http);
        if let Some(config) = self.of.get(&key).and_then(Weak::upgrade) {
            return Ok(config);
        }
        let config = Arc::new(new_config(options, http)?);
        if self.of.len() > 2 * self.looked_through_at {
            self.of.retain(|_, config| config.strong_count() > 0);
            self.looked_through_at = self.of.len();
        }
        self.of.insert(key, Arc::downgrade(&config));
        Ok(config)
    }
}

fn new_config(options: &TlsOptions, http: HttpVersion) -> Result<ClientConfig, WebhookConfigError> {
    let (trust, resumed) = match &options.ca {
        Some(pem) => (Trust::only(pem)?, RESUMED_BY_OWN_TRUST),
        None => (Trust::of(public_roots()), RESUMED),
    };
    let identity = options.client_certificate.as_ref();
    let identity = identity.map(|(chain, key)| Identity::read(chain, key.expose())).transpose()?;
    let resumed = if identity.is_some() { RESUMED_BY_OWN_TRUST } else { resumed };
    let mut config = client(&trust, identity.as_ref());
    config.resumption = Resumption::in_memory_sessions(resumed * TICKETS_OF_A_SERVER);
    config.alpn_protocols = match http {
        HttpVersion::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        HttpVersion::Http1 => vec![b"http/1.1".to_vec()],
        HttpVersion::Http2 => vec![b"h2".to_vec()],
    };
    Ok(config)
}

/// The system's root certificates; Mozilla's where it has none (small containers).
fn public_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let mozillas = || {
        tracing::warn!("the system has no root certificates; using Mozilla's, as built in");
        Arc::new(RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()))
    };
    ROOTS.get_or_init(|| system_roots().unwrap_or_else(mozillas)).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_settings_are_the_same_object_and_others_are_not() {
        let ca = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap().cert.pem();
        let (public, private) = (TlsOptions::default(), TlsOptions { ca: Some(ca), ..TlsOptions::default() });
        let of = |options: &TlsOptions, http| client_config(options, http).unwrap();
        let first = [of(&public, HttpVersion::Auto), of(&public, HttpVersion::Http1), of(&private, HttpVersion::Auto)];
        let again = [of(&public, HttpVersion::Auto), of(&public, HttpVersion::Http1), of(&private, HttpVersion::Auto)];
        for (one, first) in first.iter().enumerate() {
            for (other, again) in again.iter().enumerate() {
                assert_eq!(Arc::ptr_eq(first, again), one == other, "{one} {other}");
            }
        }
    }

    #[test]
    fn what_nobody_uses_any_more_is_forgotten() {
        let mut shared = Shared::default();
        for number in 0..20 {
            let ca = rcgen::generate_simple_self_signed([format!("ca{number}.example")]).unwrap().cert.pem();
            let options = TlsOptions { ca: Some(ca), ..TlsOptions::default() };
            drop(shared.get(&options, HttpVersion::Auto).unwrap());
            assert!(shared.of.len() <= 2, "{}", shared.of.len());
        }
    }
}
