//! TLS of both sides: towards Redis and receivers, and on the way in.
//!
//! What is configured is PEM text. This crate makes of it what `rustls` needs, and says which part cannot be used
//! ([`TlsError`]). The cryptography is ring's, and the versions are TLS 1.2 and 1.3.

#[cfg(feature = "authority")]
mod authority;
mod client;
mod names;
mod pem;
mod pinned;
mod replaced;
mod server;
mod words;

#[cfg(feature = "authority")]
pub use authority::{Authority, Certified};
pub use client::{Trust, client_config, system_roots};
pub use names::{Names, names_of, plain_name, valid_until};
pub use pem::{Identity, Part, TlsError};
pub use pinned::{Pinned, pinned_config};
pub use replaced::Replaceable;
pub use server::{Clients, CurrentServer, ServerTls};
pub use words::{is_of_unknown_issuer, tls_error_in_words};
