//! From a host to a TCP connection: look up, check every address, connect to one of exactly those.

use crate::connections::{Place, Placed};
use crate::dial::{Dial, Tcp};
use crate::error::ConnectError;
use crate::guard::Guard;
use crate::lookup::LookUps;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use url::Host;

/// How long the next address waits for the one before it (RFC 8305, section 5).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// The most addresses of one name that are tried; all are checked. More than any sensible name has,
/// and it bounds the sockets that one hostile answer can make us open.
const MAX_ADDRESSES_TRIED: usize = 8;

/// What share of the time for a connection is waited for a place among the process' connections.
const PLACE_SHARE: f64 = 2.0 / 3.0;

/// A host as it was written outside a URL, in whatever spelling; `None` if it is none. A URL's rules know
/// all the spellings of an address, so that none of them hides one.
#[must_use]
pub fn parse_host(text: &str) -> Option<Host> {
    match text.parse::<Ipv6Addr>() {
        Ok(v6) => Some(Host::Ipv6(v6)),
        Err(_) => Host::parse(text).ok(),
    }
}

/// The way to one host and port.
pub struct Route<D = Tcp> {
    guard: Guard<D>,
    host: Host,
    port: u16,
    look_ups: LookUps,
}

impl<D: Dial> Guard<D> {
    /// The way to `host`. Connects to nothing yet.
    #[must_use]
    pub fn route(&self, host: Host, port: u16) -> Route<D> {
        Route { guard: self.clone(), host, port, look_ups: LookUps::new(self.resolver()) }
    }
}

impl<D: Dial> Route<D> {
    /// Opens a TCP connection, by `deadline` at the latest. The addresses are looked up each time,
    /// checked all, and one of exactly those is connected to: between check and use nothing is looked
    /// up again.
    ///
    /// # Errors
    /// Says what there was to connect to, and why there is no connection.
    pub async fn connect(&self, deadline: Instant) -> Result<Placed<D::Stream>, ConnectError> {
        let place = self.place(deadline).await?;
        self.connect_in(place, deadline).await
    }

    /// What a tenant is told: of addresses nothing, which may be of the operator's network.
    fn without_addresses(&self, error: ConnectError) -> ConnectError {
        match error {
            ConnectError::Blocked { host, .. } | ConnectError::Zone { host, .. } => ConnectError::NotPermitted { host },
            ConnectError::Tcp { error, .. } => ConnectError::Tcp { to: format!("{}:{}", self.host, self.port), error },
            error => error,
        }
    }

    /// Waits for a place among the process' connections, for its share of the time until `deadline`.
    pub(crate) async fn place(&self, deadline: Instant) -> Result<Place, ConnectError> {
        // The rest is for the receiver: that a place came late is not its doing.
        let now = Instant::now();
        let place_by = now + deadline.saturating_duration_since(now).mul_f64(PLACE_SHARE);
        self.guard.policy().connections.place(place_by).await.ok_or_else(|| self.no_place())
    }

    /// What it means that there is no place.
    pub(crate) fn no_place(&self) -> ConnectError {
        ConnectError::NoPlace { most: self.guard.policy().connections.most() }
    }

    /// The same as [`Route::connect`], in a place that is there.
    pub(crate) async fn connect_in(&self, place: Place, deadline: Instant) -> Result<Placed<D::Stream>, ConnectError> {
        let connected = self.connected(place, deadline).await;
        if self.guard.policy().of_tenants {
            connected.map_err(|error| self.without_addresses(error))
        } else {
            connected
        }
    }

    async fn connected(&self, place: Place, deadline: Instant) -> Result<Placed<D::Stream>, ConnectError> {
        let host = &self.host;
        let found = within(deadline, self.look_up(), || format!("still looking up {host}")).await?;
        let addresses = in_turns(self.permitted(found)?);
        let connecting = || match self.guard.policy().of_tenants {
            true => format!("{host} did not take a connection"),
            false => format!("{} of {host} did not take a connection", listed(&addresses)),
        };
        let tcp = within(deadline, first_to_connect(self.guard.dial(), &addresses), connecting).await?;
        Ok(Placed::new(tcp, place))
    }

    /// Whether all places for connections are taken, so that one has to wait.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.guard.policy().connections.are_all_taken()
    }

    /// Where it leads.
    pub fn host(&self) -> &Host {
        &self.host
    }

    async fn look_up(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        match &self.host {
            Host::Ipv4(v4) => Ok(vec![SocketAddr::new((*v4).into(), self.port)]),
            Host::Ipv6(v6) => Ok(vec![SocketAddr::new((*v6).into(), self.port)]),
            Host::Domain(name) => self.look_ups.addresses(name, self.port).await,
        }
    }

    /// One forbidden address refuses the name: an answer that mixes both is an attack or a
    /// mistake, and would otherwise work by luck.
    fn permitted(&self, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, ConnectError> {
        let host = || self.host.to_string();
        for &address in &found {
            let checked = self.guard.policy().check(address.ip());
            checked.map_err(|blocked| ConnectError::Blocked { host: host(), blocked })?;
            if matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0) {
                return Err(ConnectError::Zone { host: host(), address });
            }
        }
        Ok(found)
    }
}

async fn within<T>(
    deadline: Instant,
    step: impl Future<Output = Result<T, ConnectError>>,
    doing: impl FnOnce() -> String,
) -> Result<T, ConnectError> {
    timeout_at(deadline, step).await.unwrap_or_else(|_| Err(ConnectError::Late { doing: doing() }))
}

fn listed(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// The addresses in the resolver's order, but with the families taking turns, so that one family
/// without a route costs one wait and not one per address (RFC 8305, section 4).
fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let begins_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == begins_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut out = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] || out.len() >= MAX_ADDRESSES_TRIED {
            return out;
        }
        out.extend(pair.into_iter().flatten());
    }
}

/// Connects to the addresses in their order, each a little after the one before or as soon as that
/// one failed; the first connection wins and the others are dropped.
async fn first_to_connect<D: Dial>(dial: &D, addresses: &[SocketAddr]) -> Result<D::Stream, ConnectError> {
    let mut waiting = addresses.iter().copied();
    let mut connecting = FuturesUnordered::new();
    let mut failed = None;
    loop {
        let more = waiting.next().map(|address| connecting.push(connect_to(dial, address))).is_some();
        let ended = if more {
            tokio::time::timeout(NEXT_ADDRESS_AFTER, connecting.next()).await.ok()
        } else {
            Some(connecting.next().await)
        };
        match ended {
            Some(Some(Ok(tcp))) => return Ok(tcp),
            Some(Some(Err(error))) => failed = failed.or(Some(error)),
            Some(None) => return Err(failed.unwrap_or(ConnectError::NoAddress { host: String::new() })),
            None => {}
        }
    }
}

async fn connect_to<D: Dial>(dial: &D, address: SocketAddr) -> Result<D::Stream, ConnectError> {
    dial.dial(address).await.map_err(|error| ConnectError::Tcp { to: address.to_string(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_take_turns_beginning_with_the_resolvers_choice() {
        let parse = |all: &[&str]| all.iter().map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let found = parse(&["[2600::1]:1", "[2600::2]:1", "[2600::3]:1", "1.1.1.1:1", "1.1.1.2:1"]);
        let turns = parse(&["[2600::1]:1", "1.1.1.1:1", "[2600::2]:1", "1.1.1.2:1", "[2600::3]:1"]);
        assert_eq!(in_turns(found), turns);
        assert_eq!(in_turns(vec!["1.1.1.1:1".parse().unwrap(); 50]).len(), MAX_ADDRESSES_TRIED);
    }

    struct Answers(&'static str);

    #[async_trait::async_trait]
    impl crate::Resolve for Answers {
        async fn resolve(&self, _: &str, _: u16) -> std::io::Result<Vec<SocketAddr>> {
            Ok(vec![self.0.parse().unwrap()])
        }
    }

    #[tokio::test]
    async fn a_tenant_is_told_no_address() {
        // Nobody listens at port 1.
        let cases = [("10.1.2.3:1", &[][..]), ("[fe80::1%3]:1", &["fe80::/10"]), ("127.0.0.1:1", &["127.0.0.0/8"])];
        for (address, allow) in cases {
            let allow: Vec<ipnet::IpNet> = allow.iter().map(|range| range.parse().unwrap()).collect();
            let own = crate::EgressPolicy::allowing(allow.clone());
            let tenants = crate::EgressPolicy::default().for_tenants(allow);
            let bare = address.split([']', '%', ':']).next().unwrap_or_default().trim_start_matches('[').to_owned();
            for (policy, tells) in [(own, true), (tenants, false)] {
                let guard = Guard::with_resolver(policy, std::sync::Arc::new(Answers(address)));
                let route = guard.route(Host::Domain("h.example".into()), 1);
                let until = Instant::now() + Duration::from_secs(60);
                let Err(error) = route.connect(until).await else { panic!("{address} takes connections") };
                let said = error.to_string();
                assert_eq!(said.contains(&bare), tells, "{said}");
                assert!(said.contains("h.example") || tells, "{said}");
            }
        }
    }
}
