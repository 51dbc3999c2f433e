//! TLS towards Redis.

use fred::types::config::{TlsConfig, TlsConnector, TlsHostMapping};
use laneway_tls::{Identity, Part, Replaceable, TlsError, Trust, system_roots};

/// TLS towards Redis. It can be replaced: each new connection goes by what was said last.
#[derive(Clone, Debug)]
pub struct RedisTls(Replaceable);

impl RedisTls {
    /// Certificates (PEM) to trust, the system's without any; and a certificate chain (PEM) with its private key (PEM),
    /// for a Redis that asks who comes (`tls-auth-clients`).
    ///
    /// # Errors
    /// Names the setting that cannot be used (`ca`, `certificate` or `key`), and says why.
    pub fn new(ca: Option<&str>, client: Option<(&str, &str)>) -> Result<Self, TlsError> {
        let (trust, identity) = read(ca, client)?;
        Replaceable::new(&trust, identity).map(Self)
    }

    /// From now on new connections go by what the other one says.
    pub fn replace(&self, by: &Self) {
        self.0.replace(&by.0);
    }

    /// As the client of Redis wants it.
    pub(crate) fn config(&self) -> TlsConfig {
        TlsConfig { connector: TlsConnector::from(self.0.client_config()), hostnames: TlsHostMapping::None }
    }
}

fn read(ca: Option<&str>, client: Option<(&str, &str)>) -> Result<(Trust, Option<Identity>), TlsError> {
    let trust = match ca {
        Some(pem) => Trust::only(pem)?,
        None => Trust::of(system_roots().ok_or_else(|| TlsError {
            part: Part::Ca,
            why: "is needed: the system has no root certificates".into(),
        })?),
    };
    Ok((trust, client.map(|(chain, key)| Identity::read(chain, key)).transpose()?))
}
