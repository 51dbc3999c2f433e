//! What a server needs: who it is, and whose certificates it takes from clients.

use crate::client::{provider, versions};
use crate::pem::{Identity, Part, TlsError, roots};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use std::sync::{Arc, PoisonError, RwLock};

/// The protocols that a server speaks, the better one first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What is asked of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clients<'a> {
    /// Nothing.
    #[default]
    Unknown,
    /// A certificate that one of these (PEM) has signed, of those who have one.
    Asked(&'a str),
    /// The same of everybody: without one there is no connection.
    Required(&'a str),
}

/// A server's TLS.
#[derive(Clone, Debug)]
pub struct ServerTls(Arc<ServerConfig>);

impl ServerTls {
    /// A server that has this certificate chain with its key (both PEM), and asks that of clients. It speaks HTTP/2 and
    /// HTTP/1.1.
    ///
    /// # Errors
    /// Says which part cannot be used.
    pub fn new(chain: &str, key: &str, clients: Clients<'_>) -> Result<Self, TlsError> {
        let identity = Identity::read(chain, key)?;
        let builder = versions(ServerConfig::builder_with_provider(provider()));
        let verifier = |pem: &str| Ok(WebPkiClientVerifier::builder_with_provider(roots(pem)?, provider()));
        let builder = match clients {
            Clients::Unknown => Ok(builder.with_no_client_auth()),
            Clients::Asked(pem) => {
                verifier(pem)?.allow_unauthenticated().build().map(|v| builder.with_client_cert_verifier(v))
            }
            Clients::Required(pem) => verifier(pem)?.build().map(|v| builder.with_client_cert_verifier(v)),
        };
        let builder = builder.map_err(|error| TlsError::new(Part::Ca, format!("cannot be used: {error}")))?;
        let mut config = builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(identity.0)));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        // Sessions are resumed by tickets, so that they take no memory here. Without randomness there are none.
        if let Ok(ticketer) = rustls::crypto::ring::Ticketer::new() {
            config.ticketer = ticketer;
        }
        Ok(Self(Arc::new(config)))
    }

    /// As a connection needs it.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.clone()
    }
}

/// The TLS of a running server, which changes. A new connection goes by what was said last.
#[derive(Clone, Debug)]
pub struct CurrentServer(Arc<RwLock<ServerTls>>);

impl From<ServerTls> for CurrentServer {
    fn from(tls: ServerTls) -> Self {
        Self(Arc::new(RwLock::new(tls)))
    }
}

impl CurrentServer {
    /// What a connection that begins now goes by.
    #[must_use]
    pub fn now(&self) -> ServerTls {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on new connections go by this. Sessions from before are not resumed.
    pub fn replace(&self, tls: ServerTls) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = tls;
    }
}
