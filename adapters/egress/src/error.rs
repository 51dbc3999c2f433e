//! Why there is no connection.

use crate::policy::Blocked;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use thiserror::Error;

/// Why there is no connection. The text names the host or address, and nothing else of a destination.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The resolver has no answer.
    #[error("the name {host} could not be looked up: {why}")]
    LookUp {
        /// The name.
        host: String,
        /// What the resolver said.
        why: Arc<str>,
    },
    /// The resolver's answer is empty.
    #[error("the name {host} has no address")]
    NoAddress {
        /// The name.
        host: String,
    },
    /// The policy does not permit an address of the host.
    #[error("{host} resolves to an address that is not permitted: {blocked}")]
    Blocked {
        /// The host.
        host: String,
        /// Which address, and the setting that would open it.
        blocked: Blocked,
    },
    /// An address has a zone (RFC 4007).
    #[error("{host} resolves to {address}, whose zone would choose a network interface of this machine; not permitted")]
    Zone {
        /// The host.
        host: String,
        /// Its address.
        address: SocketAddr,
    },
    /// The same of a destination of a tenant, who is not told which address it is.
    #[error("{host} is not permitted: it does not resolve to public addresses alone")]
    NotPermitted {
        /// The host.
        host: String,
    },
    /// This process has as many connections as it may have, and none became free in time.
    #[error("all {most} connections that this process may have to receivers are in use (egress.connections)")]
    NoPlace {
        /// How many there may be.
        most: usize,
    },
    /// TCP failed; of several addresses, this is what the first one said.
    #[error("could not connect to {to}: {error}")]
    Tcp {
        /// The address; for a tenant, the host and the port.
        to: String,
        /// What the system said.
        error: io::Error,
    },
    /// The deadline came first.
    #[error("no connection in time: {doing}")]
    Late {
        /// What was not finished.
        doing: String,
    },
}

impl ConnectError {
    /// Whether this process or its machine lacked something for it, so that it is nobody else's doing. Which errors of
    /// the system say that, whoever asks knows.
    #[must_use]
    pub fn is_shortage(&self, of_system: fn(&io::Error) -> bool) -> bool {
        match self {
            Self::Tcp { error, .. } => of_system(error),
            // The resolver keeps of the error below only what it says.
            Self::LookUp { why, .. } => errors_in(why).any(|error| of_system(&error)),
            // Our own bound.
            Self::NoPlace { .. } => true,
            Self::NoAddress { .. }
            | Self::Blocked { .. }
            | Self::Zone { .. }
            | Self::NotPermitted { .. }
            | Self::Late { .. } => false,
        }
    }
}

/// The errors of the operating system that a text tells of, as the standard library writes them: `(os error 24)`. For
/// libraries that keep of an error below only what it says.
pub fn errors_in(text: &str) -> impl Iterator<Item = io::Error> {
    let numbers = text.split("(os error ").skip(1).filter_map(|rest| rest.split(')').next()?.parse().ok());
    numbers.map(io::Error::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_tells_of_the_errors_that_the_standard_library_has_written_into_it() {
        let numbers = |text| errors_in(text).map(|error| error.raw_os_error()).collect::<Vec<_>>();
        let two = format!("{}; {}", io::Error::from_raw_os_error(24), io::Error::from_raw_os_error(111));
        assert_eq!(numbers(&two), [Some(24), Some(111)]);
        assert_eq!(numbers("(os error x) (os error"), []);
    }
}
