//! The egress guard, which every sink connects through.
//!
//! Destinations are often written by people who are not the operator, and a receiver's name can
//! resolve to anything. So a sink opens no connection by itself. It asks the [`Guard`], which resolves
//! the name, checks every address against the [`EgressPolicy`], and connects to exactly what it has
//! checked: nothing is looked up in between.
//!
//! - A sink that opens its own connections takes a [`Route`] to a host.
//! - A sink whose driver opens them gives the driver a [`GuardedProxy`] to connect through.
//!
//! In the crates of sinks, Clippy disallows every other way to open a connection or to look a name up.

mod connections;
#[cfg(any(test, feature = "corpus"))]
#[allow(missing_docs, reason = "tests are its only readers")]
pub mod corpus;
mod dial;
mod error;
mod guard;
mod lookup;
mod policy;
mod proxy;
mod resolve;
mod route;

pub use connections::{Connections, GaveWay, InUse, Placed, Usage, gave_way};
pub use dial::{Dial, Tcp};
pub use error::{ConnectError, errors_in};
pub use guard::Guard;
pub use policy::{Blocked, EgressPolicy};
pub use proxy::GuardedProxy;
pub use resolve::{MAX_LOOK_UPS, Resolve, SystemResolver};
pub use route::{Route, parse_host};
