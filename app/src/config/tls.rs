//! Tables with certificates: `[server.tls]`, `[store.tls]`, and `tls` of a destination.

use super::Secret;
use super::reader::Section;
use super::setting::Public;
use laneway_tls::{Clients, Part, ServerTls, TlsError};
use std::path::PathBuf;

/// Certificates and a key, PEM each, as they were when the configuration was read. They are written as secrets are: in
/// place, `env:NAME` or `file:PATH`.
#[derive(Clone, Debug, Default)]
pub struct Pem {
    /// Those whose signature is trusted.
    pub ca: Option<String>,
    /// A certificate chain and its private key.
    pub identity: Option<(String, Secret)>,
    /// The files that they were read from, and what was in each. They may be others later.
    pub files: Vec<(PathBuf, Secret)>,
}

/// Where they come from says nothing of what they are.
impl PartialEq for Pem {
    fn eq(&self, other: &Self) -> bool {
        self.ca == other.ca && self.identity == other.identity
    }
}

impl Eq for Pem {}

impl Pem {
    /// Reads `ca` (under the name `authority`), `certificate` and `key`.
    pub(super) fn read(section: &mut Section<'_, '_>, authority: &'static str) -> Self {
        let file = |section: &Section<'_, '_>, key| section.peek_text(key)?.strip_prefix("file:").map(PathBuf::from);
        let places = [authority, "certificate", "key"].map(|key| file(section, key));
        let ca = section.get::<Public>(authority).map(|Public(pem)| pem);
        let certificate = section.get::<Public>("certificate").map(|Public(pem)| pem);
        let key = section.get::<Secret>("key");
        let read = places.into_iter().zip([&ca, &certificate, &key]);
        let files = read.filter_map(|(place, pem)| place.zip(pem.clone())).collect();
        let text = |pem: Secret| pem.expose().to_owned();
        let (ca, certificate) = (ca.map(text), certificate.map(text));
        if section.has("certificate") != section.has("key") {
            let (there, missing) = if section.has("key") { ("key", "certificate") } else { ("certificate", "key") };
            section.problem(there, format!("has no effect without tls.{missing}"));
        }
        Self { ca, identity: certificate.zip(key), files }
    }

    /// The certificates to trust, and the certificate chain with its private key in the clear, for whoever connects.
    #[must_use]
    pub fn exposed(&self) -> (Option<&str>, Option<(&str, &str)>) {
        (self.ca.as_deref(), self.identity.as_ref().map(|(chain, key)| (chain.as_str(), key.expose())))
    }
}

/// `[server.tls]`: TLS on the way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InTls {
    /// The server's certificate, and whose certificates it takes from clients.
    pub pem: Pem,
    /// Whether nobody gets in without a certificate, health checks included.
    pub require_client: bool,
}

impl InTls {
    /// Reads the table; `None` if there is none, or if it has mistakes.
    pub(super) fn read(server: &mut Section<'_, '_>) -> Option<Self> {
        let is_there = server.has("tls");
        let mut section = server.section("tls");
        let pem = Pem::read(&mut section, "client_ca");
        let require_client = section.or("require_client", false);
        if require_client && !section.has("client_ca") {
            section.problem("require_client", "has no effect without tls.client_ca, whose certificates clients have");
        }
        let tls = Self { pem, require_client };
        let is_whole = tls.pem.identity.is_some();
        if is_there && !is_whole && !section.has("certificate") && !section.has("key") {
            section.missing("certificate", "and key are missing: write for instance certificate = \"file:server.pem\"");
        }
        let built = is_whole.then(|| tls.build());
        if let Some(Err(TlsError { part, why })) = &built {
            let setting = if *part == Part::Ca { "client_ca" } else { part.setting() };
            section.problem(setting, why);
        }
        section.finish();
        built.and_then(Result::ok).map(|_| tls)
    }

    /// As the HTTP side needs it.
    ///
    /// # Errors
    /// Says which part cannot be used.
    pub fn build(&self) -> Result<ServerTls, TlsError> {
        let (ca, identity) = self.pem.exposed();
        let missing = || TlsError { part: Part::Certificate, why: "is missing".to_owned() };
        let (chain, key) = identity.ok_or_else(missing)?;
        let clients = match ca {
            None => Clients::Unknown,
            Some(pem) if self.require_client => Clients::Required(pem),
            Some(pem) => Clients::Asked(pem),
        };
        ServerTls::new(chain, key, clients)
    }
}
