//! Which addresses a delivery may go to. Pure; [`Guard`](crate::Guard) asks it for every address that
//! a name resolves to, and connects to nothing else.
//!
//! Destinations are often written by people who are not the operator, and a receiver's name can
//! resolve to anything. So only addresses on the public internet are permitted, plus what the
//! operator opens with `egress.allow`.

mod ranges;
#[cfg(test)]
mod tests;

use crate::connections::Connections;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use thiserror::Error;
use url::Host;

/// Which addresses may be connected to (public ones, and those in `allow`), and how many connections there may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Ranges that the operator opens (`egress.allow`).
    ///
    /// An IPv6 address that carries IPv4 ones (mapped, NAT64, 6to4, Teredo …) is judged by these
    /// too: opening `2002::/16` does not open the 6to4 form of `127.0.0.1`.
    pub allow: Vec<IpNet>,
    /// How many connections there may be at a time, over all destinations (`egress.connections`).
    pub connections: Connections,
    /// Whether it is for what others than the operator send to ([`EgressPolicy::for_tenants`]): they read what is said of
    /// their connections, and are not to learn which addresses names have in the operator's network.
    pub of_tenants: bool,
}

/// An address that may not be connected to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{address} may not be connected to: it is {kind}; an operator can open it with {setting} = [\"{open}\"]")]
pub struct Blocked {
    /// The address, as it was resolved or written.
    pub address: IpAddr,
    /// What it is, for instance "a loopback address".
    pub kind: &'static str,
    /// Which setting opens it.
    pub setting: &'static str,
    /// What that would have to contain.
    pub open: IpNet,
}

impl EgressPolicy {
    /// A policy that opens `allow` besides the public internet.
    #[must_use]
    pub fn allowing(allow: impl IntoIterator<Item = IpNet>) -> Self {
        Self { allow: allow.into_iter().collect(), ..Self::default() }
    }

    /// The same for destinations of tenants, who have nothing of what the operator opens for itself: the public internet
    /// and `allow` (`tenants.egress_allow`), over the same connections.
    #[must_use]
    pub fn for_tenants(&self, allow: Vec<IpNet>) -> Self {
        Self { allow, connections: self.connections.clone(), of_tenants: true }
    }

    /// Whether `address` may be connected to.
    ///
    /// # Errors
    /// Names the address, what it is, and the setting that would open it.
    pub fn check(&self, address: IpAddr) -> Result<(), Blocked> {
        match address {
            IpAddr::V4(v4) => self.check_v4(v4),
            IpAddr::V6(v6) => self.check_v6(v6),
        }
        .map_err(|(kind, open)| Blocked { address, kind, setting: self.setting(), open })
    }

    /// Whether a host that is written as an address may be connected to. One that is a name is
    /// permitted here: its addresses are checked when it is resolved.
    ///
    /// # Errors
    /// As [`EgressPolicy::check`].
    pub fn check_host<S>(&self, host: &Host<S>) -> Result<(), Blocked> {
        match host {
            Host::Ipv4(v4) => self.check((*v4).into()),
            Host::Ipv6(v6) => self.check((*v6).into()),
            Host::Domain(_) => Ok(()),
        }
    }

    fn check_v4(&self, address: Ipv4Addr) -> Result<(), (&'static str, IpNet)> {
        match ranges::v4(address) {
            Some((kind, range)) if !self.allows(address.into()) => Err((kind, range)),
            _ => Ok(()),
        }
    }

    fn check_v6(&self, address: Ipv6Addr) -> Result<(), (&'static str, IpNet)> {
        if let Some((kind, range)) = ranges::v6(address)
            && !self.allows(address.into())
        {
            return Err((kind, range));
        }
        ranges::embedded(address).try_for_each(|v4| self.check_v4(v4))
    }

    const fn setting(&self) -> &'static str {
        if self.of_tenants { "tenants.egress_allow" } else { "egress.allow" }
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|range| range.contains(&address))
    }
}
