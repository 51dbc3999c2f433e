//! The hosts of a destination, before the driver gets to know them.

use laneway_egress::{EgressPolicy, parse_host};
use mongodb::options::{HostInfo, ServerAddress};

/// Refuses hosts that never can be connected to: addresses that the policy does not permit, in whatever
/// spelling, and Unix sockets. The host of a `mongodb+srv` URL is a name, and only asked for records.
pub(crate) fn check(hosts: &HostInfo, egress: &EgressPolicy) -> Result<(), String> {
    let HostInfo::HostIdentifiers(addresses) = hosts else { return Ok(()) };
    for address in addresses {
        match address {
            ServerAddress::Tcp { host, .. } => {
                let Some(parsed) = parse_host(host) else {
                    return Err(format!("names {host:?}, which is no host: neither a name nor an address"));
                };
                egress.check_host(&parsed).map_err(|blocked| blocked.to_string())?;
            }
            other => return Err(format!("names the Unix socket {other}; {TCP_ONLY}")),
        }
    }
    Ok(())
}

/// What is said of a Unix socket, wherever it was named.
pub(crate) const TCP_ONLY: &str = "destinations are reached over TCP only, where the egress guard can check the \
                                   address; use the server's host and port, and open a private address with egress.allow";
