//! What an error of MongoDB means for the events it is about.

use crate::redact::Redactor;
use laneway_domain::{Cause, Outcome};
use laneway_egress::errors_in;
use laneway_ports::is_shortage;
use mongodb::error::{Error, ErrorKind};
use std::io;

/// A document breaks a unique index ("DuplicateKey").
pub(crate) const DUPLICATE_KEY: i32 = 11000;
/// The user may not do this ("Unauthorized").
const UNAUTHORIZED: i32 = 13;
/// The login was refused ("AuthenticationFailed").
const AUTHENTICATION_FAILED: i32 = 18;
/// The server took longer than it was allowed to ("MaxTimeMSExpired").
const MAX_TIME_EXPIRED: i32 = 50;
/// There is no primary here, or it is going (the "not writable primary" and "node is recovering"
/// codes of the Server Discovery and Monitoring specification).
const NO_PRIMARY: [i32; 8] = [10107, 13435, 10058, 11600, 11602, 13436, 189, 91];
/// Errors of one write that are the document's own fault, so that it fails however often it is tried. Numbers
/// and names are those of MongoDB's `error_codes.yml`; what is not listed is tried again.
const DOCUMENT_CODES: [i32; 16] = [
    2,     // BadValue
    9,     // FailedToParse
    14,    // TypeMismatch
    15,    // Overflow: nested too deeply
    22,    // InvalidBSON
    52,    // DollarPrefixedFieldName
    53,    // InvalidIdField
    54,    // NotSingleValueField: a shard key cannot be an array
    56,    // EmptyFieldName
    57,    // DottedFieldName
    61,    // ShardKeyNotFound
    121,   // DocumentValidationFailure
    171,   // CannotIndexParallelArrays
    10334, // BSONObjectTooLarge
    16755, // a 2dsphere index cannot read the place
    17280, // KeyTooLong
];

/// Errors of a whole command that are the fault of a document in it: what the server cannot even read. Whatever else a
/// server says of a command is about itself, its version or its state, and would be said of every document: BadValue of
/// a write concern that it cannot meet, FailedToParse of a field that it does not know.
const SPOILS_A_COMMAND: [i32; 3] = [
    15,    // Overflow: nested too deeply
    22,    // InvalidBSON
    10334, // BSONObjectTooLarge
];

/// What the system says of a connection that never came about, so that nothing went over it.
const NEVER_CONNECTED: [io::ErrorKind; 4] = [
    io::ErrorKind::ConnectionRefused,
    io::ErrorKind::HostUnreachable,
    io::ErrorKind::NetworkUnreachable,
    io::ErrorKind::AddrNotAvailable,
];

/// Whether the code of a write's error says that its document will never be taken.
pub(crate) fn is_the_documents_fault(code: i32) -> bool {
    DOCUMENT_CODES.contains(&code)
}

/// A command that came to nothing, or of which nobody knows what it came to.
#[derive(Debug)]
pub(crate) struct Failure {
    /// For people.
    pub(crate) reason: String,
    /// Whether one of the command's documents is the cause.
    pub(crate) documents_fault: bool,
    /// Which end of an attempt it is.
    pub(crate) cause: Cause,
}

impl Failure {
    pub(crate) fn new(cause: Cause, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), documents_fault: false, cause }
    }

    /// What became of an event that it kept from being written.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome::retry(self.cause, self.reason.clone())
    }

    /// What the driver says, for people who look after the destination named `collection`
    /// (`database.collection`).
    pub(crate) fn of(error: &Error, collection: &str, redactor: &Redactor) -> Self {
        let said = |text: &str| redactor.excerpt(text);
        match &*error.kind {
            ErrorKind::Command(command) => Self {
                reason: command_reason(command.code, &command.code_name, &said(&command.message), collection),
                documents_fault: SPOILS_A_COMMAND.contains(&command.code),
                cause: Cause::Refused,
            },
            ErrorKind::Authentication { message, .. } => Self::new(Cause::NotConnected, login(&said(message))),
            ErrorKind::ServerSelection { message, .. } => {
                // The driver keeps of the error below only what it says.
                let cause = if says_shortage(message) { Cause::Shortage } else { Cause::NotConnected };
                Self::new(cause, format!("no MongoDB server can be used: {}", said(message)))
            }
            ErrorKind::Io(io) if is_shortage(io) => Self::new(
                Cause::Shortage,
                format!("no connection to MongoDB can be made here: {}", said(&io.to_string())),
            ),
            // A connection could not be made, or broke; this was waiting for one.
            ErrorKind::ConnectionPoolCleared { message, .. } => Self::new(
                Cause::NotConnected,
                format!("the connections to MongoDB were given up before this was sent: {}", said(message)),
            ),
            ErrorKind::Io(io) if NEVER_CONNECTED.contains(&io.kind()) => Self::new(
                Cause::NotConnected,
                format!("no connection to MongoDB can be made: {}", said(&io.to_string())),
            ),
            ErrorKind::Io(io) => Self::new(
                Cause::Unanswered,
                format!(
                    "the connection to MongoDB broke; whether it wrote anything is not known: {}",
                    said(&io.to_string())
                ),
            ),
            ErrorKind::DnsResolve { message, .. } => Self::new(
                Cause::NotConnected,
                format!("the host in the destination's url cannot be looked up: {}", said(message)),
            ),
            ErrorKind::InvalidTlsConfig { message, .. } => Self::new(
                Cause::NotConnected,
                format!("the TLS options in the destination's url cannot be used: {}", said(message)),
            ),
            other => Self::new(Cause::Unanswered, format!("MongoDB: {}", said(&other.to_string()))),
        }
    }
}

/// Whether a text of the driver's tells of an error of the system that is one of [`is_shortage`].
fn says_shortage(text: &str) -> bool {
    errors_in(text).any(|error| is_shortage(&error))
}

fn login(message: &str) -> String {
    format!("MongoDB refused the login; check user, password and authSource in the destination's url: {message}")
}

fn command_reason(code: i32, name: &str, message: &str, collection: &str) -> String {
    match code {
        UNAUTHORIZED => format!(
            "the login in the destination's url may not insert, update and find in {collection}; it needs the role \
             readWrite there: {message}"
        ),
        AUTHENTICATION_FAILED => login(message),
        MAX_TIME_EXPIRED => format!("MongoDB took longer than the destination's timeout allows: {message}"),
        code if NO_PRIMARY.contains(&code) => {
            format!("MongoDB has no primary that takes writes just now ({name}, {code}): {message}")
        }
        _ => format!("MongoDB answered {name} ({code}): {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::Doing;
    use mongodb::bson::{deserialize_from_document, doc};
    use std::sync::Arc;

    /// The rows that need no server. What a command's answer means is tested against one.
    #[test]
    fn every_error_of_the_driver_has_its_place_in_the_table() {
        let redactor = Redactor::new(&[]);
        let cause = |kind: ErrorKind| Failure::of(&Error::from(kind), "db.events", &redactor).cause;
        let io = |error: io::Error| ErrorKind::Io(Arc::new(error));
        assert_eq!(cause(io(io::ErrorKind::ConnectionReset.into())), Cause::Unanswered);
        assert_eq!(cause(io(io::ErrorKind::UnexpectedEof.into())), Cause::Unanswered);
        for kind in NEVER_CONNECTED {
            assert_eq!(cause(io(kind.into())), Cause::NotConnected, "{kind}");
        }
        // All of these are the network's doing.
        assert_eq!([Cause::Unanswered, Cause::NotConnected].map(|cause| cause.meaning().doing), [Doing::Network; 2]);
        for code in [23, 24, 12] {
            assert_eq!(cause(io(io::Error::from_raw_os_error(code))), Cause::Shortage, "{code}");
        }
        assert!(says_shortage("No available servers. { Error: Kind: I/O error: Too many open files (os error 24) }"));
        assert!(!says_shortage("No available servers. { Error: Kind: I/O error: Connection refused (os error 111) }"));
    }

    /// Said of a command, most errors are about the server, and giving its documents up would give up every event.
    #[test]
    fn an_error_of_a_whole_command_is_a_documents_fault_only_where_it_cannot_be_read() {
        let redactor = Redactor::new(&[]);
        let fault = |code: i32| {
            let answered = doc! { "code": code, "codeName": "Name", "errmsg": "why" };
            let error = Error::from(ErrorKind::Command(deserialize_from_document(answered).unwrap()));
            let failure = Failure::of(&error, "db.events", &redactor);
            assert_eq!(failure.cause, Cause::Refused);
            failure.documents_fault
        };
        for code in DOCUMENT_CODES {
            assert_eq!(fault(code), SPOILS_A_COMMAND.contains(&code), "{code}");
        }
        assert!(SPOILS_A_COMMAND.iter().all(|code| is_the_documents_fault(*code)));
        assert!(!fault(8000));
    }
}
