//! TLS of the commands: whom they trust, and who they are.

use super::failure::{EXIT_CONFIG, Failure};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use laneway_tls::{Identity, Part, Pinned, TlsError, Trust, client_config, pinned_config, system_roots};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest time for a connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Whom a command trusts, and who it is.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientTls {
    /// A file with certificates to trust instead of the system's.
    pub(super) ca: Option<PathBuf>,
    /// A file with a certificate chain, and one with its private key.
    pub(super) identity: Option<(PathBuf, PathBuf)>,
    /// The certificate (PEM) that the server on this machine has, whatever it names: this machine's file says so.
    pub(super) own_server: Option<String>,
}

impl ClientTls {
    /// Plain HTTP, or TLS.
    pub(super) fn connector(&self, tls: bool) -> Result<HttpsConnector<HttpConnector>, Failure> {
        // Where no TLS is spoken, nobody is trusted.
        let config = if tls { self.config()? } else { client_config(&Trust::nobody(), None) };
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Ok(HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(http))
    }

    fn config(&self) -> Result<rustls::ClientConfig, Failure> {
        let identity = match &self.identity {
            None => None,
            Some((chain, key)) => {
                let read = Identity::read(&read("--client-certificate", chain)?, &read("--client-key", key)?);
                Some(read.map_err(|error| unusable(&error))?)
            }
        };
        let trust = match (&self.ca, &self.own_server) {
            (Some(file), _) => Trust::only(&read("--ca", file)?).map_err(|error| unusable(&error))?,
            (None, Some(pem)) => {
                let pinned = Pinned::to(pem).map_err(|error| unusable(&error))?;
                return Ok(pinned_config(pinned, identity.as_ref()));
            }
            (None, None) => Trust::of(system_roots().ok_or_else(|| {
                Failure::new("this system has no root certificates, so that no https:// server can be trusted")
                    .advising("install them (ca-certificates), or name the server's authority with --ca FILE")
            })?),
        };
        Ok(client_config(&trust, identity.as_ref()))
    }
}

fn read(flag: &str, file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| {
        let failure = Failure::new(format!("the file {} of {flag} cannot be read: {error}", file.display()));
        Failure { code: EXIT_CONFIG, ..failure }
    })
}

fn unusable(error: &TlsError) -> Failure {
    let flag = match error.part {
        Part::Ca => "--ca",
        Part::Certificate => "--client-certificate",
        Part::Key => "--client-key",
    };
    Failure { code: EXIT_CONFIG, ..Failure::new(format!("{flag}: the file {}", error.why)) }
}
