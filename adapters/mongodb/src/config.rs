//! What a MongoDB destination is made from: one URL, a mode, a deadline, and where it may go.

use crate::hosts;
use crate::redact::Redactor;
use laneway_egress::EgressPolicy;
use mongodb::bson::Bson;
use mongodb::options::{Acknowledgment, ConnectionString, WriteConcern};
use percent_encoding::percent_decode_str;
use std::fmt;
use std::time::Duration;
use thiserror::Error;

/// The most bytes of a database's name (MongoDB's own limit).
const MAX_DATABASE_BYTES: usize = 63;
/// The most bytes of `database.collection` (MongoDB's own limit).
const MAX_NAMESPACE_BYTES: usize = 255;

/// The default of [`MongoConfig::timeout`].
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

/// What is done with an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Every event becomes a document of its own; its `_id` is the event's id.
    #[default]
    Insert,
    /// Every key has one document, the one of its latest event; its `_id` is the key. An event
    /// without a key has one of its own, with the event's id as `_id`.
    Upsert,
}

/// Why a URL or another setting of a MongoDB destination cannot be used. Never contains a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct MongoConfigError(String);

/// How a collection is reached, and how it is written to.
///
/// Neither its `Debug` nor its `Display` form has the user, the password or the options.
#[derive(Clone, PartialEq)]
pub struct MongoConfig {
    /// Scheme and hosts as they stand in the URL: what may be shown of the way there.
    origin: String,
    /// The database. As in every MongoDB URI the user is looked up there, unless the URL says
    /// `authSource=`.
    pub database: String,
    /// The collection.
    pub collection: String,
    /// What is done with an event.
    pub mode: Mode,
    /// The most time for one attempt, of one event or a batch: finding a server, connecting,
    /// authenticating, writing, and the wait for a majority to have it on disk.
    pub timeout: Duration,
    /// Which addresses may be connected to.
    pub egress: EgressPolicy,
    /// What the driver parsed from the URL, credentials included.
    pub(crate) connection: ConnectionString,
    pub(crate) redactor: Redactor,
}

impl MongoConfig {
    /// Reads `mongodb://[user:password@]host[:port][,…]/database/collection[?options]`, or the same
    /// with `mongodb+srv`. Everything but the collection is what the driver makes of it: TLS
    /// (`tls`, `tlsCAFile`, `tlsCertificateKeyFile`), authentication (`authSource`,
    /// `authMechanism`), replica set, pool and so on.
    ///
    /// Three options mean something else here. Writes are always made with `w=majority` and
    /// `j=true`, so that others are refused. `retryWrites` and `retryReads` are taken and have no
    /// effect: when something is tried again, and how often, is Laneway's decision. Timeouts and
    /// `wtimeoutMS` only ever shorten `timeout`.
    ///
    /// Hosts that are written as addresses have to be ones that `egress` permits. Names are checked when
    /// they are connected to, and so are the hosts of SRV records and those that a replica set names.
    /// Unix sockets and proxies of the URL's own are refused: nobody could check what is behind them.
    ///
    /// Connects to nothing.
    ///
    /// # Errors
    /// Says what cannot be used and what would be right; never repeats user, password or options.
    pub fn parse(url: &str, mode: Mode, timeout: Duration, egress: &EgressPolicy) -> Result<Self, MongoConfigError> {
        check_timeout(timeout)?;
        let parts = Parts::split(url)?;
        let database = decoded("database", parts.database)?;
        let collection = decoded("collection", parts.collection)?;
        check_names(&database, &collection)?;
        let connection = ConnectionString::parse(parts.without_collection()).map_err(|error| {
            let shown = parts.shown(&error.kind.to_string());
            refused(format!("cannot be used: {shown}"))
        })?;
        check_options(&connection)?;
        hosts::check(&connection.host_info, egress).map_err(refused)?;
        let redactor = Redactor::new(&secrets(&connection, &parts));
        Ok(Self {
            origin: format!("{}://{}", parts.scheme, parts.hosts),
            database,
            collection,
            mode,
            timeout,
            egress: egress.clone(),
            connection,
            redactor,
        })
    }
}

impl MongoConfig {
    /// What in the URL makes the driver read files or the environment of this machine, if anything does: for URLs of
    /// somebody who must not.
    #[must_use]
    pub fn reads_this_machine(&self) -> Option<&'static str> {
        use mongodb::options::{AuthMechanism, Tls};
        if let Some(Tls::Enabled(tls)) = &self.connection.tls
            && (tls.ca_file_path.is_some() || tls.cert_key_file_path.is_some())
        {
            return Some("tlsCAFile and tlsCertificateKeyFile name files of the server");
        }
        let credential = self.connection.credential.as_ref()?;
        if credential.mechanism_properties.is_some() {
            return Some("authMechanismProperties can make the server hand out its own credentials");
        }
        // Those that take nothing but the URL's user and password.
        let plain = [AuthMechanism::ScramSha1, AuthMechanism::ScramSha256, AuthMechanism::Plain];
        let foreign = credential.mechanism.as_ref().is_some_and(|mechanism| !plain.contains(mechanism));
        foreign.then_some("this authMechanism uses files or the environment of the server")
    }
}

impl fmt::Display for MongoConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.origin, self.database, self.collection)
    }
}

impl fmt::Debug for MongoConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoConfig")
            .field("url", &self.to_string())
            .field("mode", &self.mode)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A URL's parts, as they stand in it. Split as the driver does: options after the first `?`, the
/// user before the last `@`, the path after the first `/`.
struct Parts<'u> {
    scheme: &'u str,
    user: Option<&'u str>,
    hosts: &'u str,
    database: &'u str,
    collection: &'u str,
    options: Option<&'u str>,
}

impl<'u> Parts<'u> {
    fn split(url: &'u str) -> Result<Self, MongoConfigError> {
        const FORM: &str = "write mongodb://host/database/collection";
        let Some((scheme @ ("mongodb" | "mongodb+srv"), rest)) = url.split_once("://") else {
            return Err(refused(format!("is not a MongoDB URL; {FORM}, or mongodb+srv://…")));
        };
        let (rest, options) = split_first(rest, '?');
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let (hosts, path) = split_first(rest, '/');
        if hosts.is_empty() {
            return Err(refused(format!("has no host; {FORM}")));
        }
        let (database, collection) = path.and_then(|path| path.split_once('/')).unwrap_or_default();
        if database.is_empty() || collection.is_empty() {
            return Err(refused(format!("must name a database and a collection; {FORM}")));
        }
        if collection.contains('/') {
            return Err(refused(format!("has more than a database and a collection in its path; {FORM}")));
        }
        Ok(Self { scheme, user, hosts, database, collection, options })
    }

    fn without_collection(&self) -> String {
        let user = self.user.map(|user| format!("{user}@")).unwrap_or_default();
        let options = self.options.map(|options| format!("?{options}")).unwrap_or_default();
        format!("{}://{user}{}/{}{options}", self.scheme, self.hosts, self.database)
    }

    /// The driver's message or, if any part of the user or of an option's value is in it, a hint.
    fn shown(&self, message: &str) -> String {
        // Shorter pieces turn up in any text by chance, and give nothing away.
        const MIN_BYTES: usize = 4;
        let values = self.options.unwrap_or_default().split('&').map(|pair| split_first(pair, '=').1.unwrap_or(pair));
        let mut pieces = self
            .user
            .into_iter()
            .chain(values)
            .flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric()))
            .filter(|piece| piece.len() >= MIN_BYTES);
        if pieces.any(|piece| message.contains(piece)) {
            return "the driver does not understand the user or an option in it; options are key=value pairs joined by \
                    &, and in user and password everything but letters and digits must be percent-encoded (@ is %40, \
                    / is %2F, : is %3A)"
                .to_owned();
        }
        message.to_owned()
    }
}

fn split_first(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn refused(why: impl Into<String>) -> MongoConfigError {
    MongoConfigError(why.into())
}

pub(crate) fn check_timeout(timeout: Duration) -> Result<(), MongoConfigError> {
    if timeout.is_zero() { Err(refused("timeout must be longer than nothing")) } else { Ok(()) }
}

fn decoded(what: &str, text: &str) -> Result<String, MongoConfigError> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(refused(format!("has a {what} that is not UTF-8 when its %-escapes are decoded"))),
    }
}

/// The rules of MongoDB ("MongoDB Limits and Thresholds: Naming Restrictions"), so that a mistake
/// shows at start and not at the first event.
fn check_names(database: &str, collection: &str) -> Result<(), MongoConfigError> {
    if database.len() > MAX_DATABASE_BYTES {
        return Err(refused(format!("has a database name of more than {MAX_DATABASE_BYTES} bytes")));
    }
    if let Some(c) = database.chars().find(|c| matches!(c, '/' | '\\' | '.' | ' ' | '"' | '$' | '\0')) {
        return Err(refused(format!("has {c:?} in the database's name, which MongoDB does not allow")));
    }
    if let Some(c) = collection.chars().find(|c| matches!(c, '$' | '\0')) {
        return Err(refused(format!("has {c:?} in the collection's name, which MongoDB does not allow")));
    }
    if collection.starts_with("system.") {
        return Err(refused("names a collection that begins with \"system.\"; those are MongoDB's own"));
    }
    if database.len() + 1 + collection.len() > MAX_NAMESPACE_BYTES {
        return Err(refused(format!(
            "has database and collection names of more than {MAX_NAMESPACE_BYTES} bytes together"
        )));
    }
    Ok(())
}

fn check_options(connection: &ConnectionString) -> Result<(), MongoConfigError> {
    if let Some(WriteConcern { w, journal, .. }) = &connection.write_concern {
        if !matches!(w, None | Some(Acknowledgment::Majority)) {
            return Err(refused(
                "asks for another write concern than w=majority; remove w from it: an event counts as delivered only \
                 when a majority of the members has it",
            ));
        }
        if *journal == Some(false) {
            return Err(refused(
                "says journal=false; remove it: an event counts as delivered only when it is on disk (j: true)",
            ));
        }
    }
    if connection.socks5_proxy.is_some() {
        return Err(refused(
            "asks for a proxy (proxyHost), which could lead anywhere; remove it: connections go out through the egress \
             guard",
        ));
    }
    #[allow(deprecated, reason = "the driver parses it, and refuses it when it connects")]
    if connection.socket_timeout.is_some() {
        return Err(refused("has socketTimeoutMS, which the driver does not support; set the destination's timeout"));
    }
    Ok(())
}

/// Whatever in the URL must not be shown, in each form in which it may turn up.
fn secrets(connection: &ConnectionString, parts: &Parts<'_>) -> Vec<String> {
    let mut secrets = Vec::new();
    if let Some(credential) = &connection.credential {
        secrets.extend(credential.password.clone());
        let properties = credential.mechanism_properties.iter().flatten();
        secrets.extend(properties.filter_map(|(_, value)| match value {
            Bson::String(text) => Some(text.clone()),
            _ => None,
        }));
    }
    secrets.extend(parts.user.and_then(|user| split_first(user, ':').1).map(str::to_owned));
    for pair in parts.options.unwrap_or_default().split('&') {
        let (name, value) = split_first(pair, '=');
        if name.to_ascii_lowercase().contains("password") {
            secrets.extend(value.map(str::to_owned));
        }
    }
    secrets
}

#[cfg(test)]
mod tests;
