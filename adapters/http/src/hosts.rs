//! Which names a server without tokens answers to.
//!
//! A page in a browser can send requests to this machine, and by DNS rebinding it can even read the answers: its own
//! name then leads here. What it cannot do is to leave out the name that it used (`Host`) or where it comes from
//! (`Origin`). So where no token protects the server, only names that are this machine's own are served.

use http::uri::Authority;
use std::net::{IpAddr, Ipv6Addr};

/// The names that a server is reached by, besides those of this machine's loopback addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<Box<str>>);

impl Hosts {
    /// These names, without ports.
    ///
    /// # Errors
    /// The first that is not a name or an address, and what is wrong with it.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let known = names.into_iter().map(|name| {
            let authority: Authority = name.parse().map_err(|_| format!("{name:?} is not the name of a host"))?;
            if authority.port().is_some() || name.contains('@') {
                return Err(format!("{name:?} has more than a name; write {:?}", authority.host()));
            }
            Ok(plain(authority.host()).into())
        });
        known.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the server answers to this name.
    pub(crate) fn has(&self, host: &str) -> bool {
        let host = plain(host);
        is_loopback(&host) || self.0.iter().any(|known| **known == *host)
    }

    /// Whether it is one of the names that were given, and not just this machine.
    fn names(&self, host: &str) -> bool {
        let host = plain(host);
        self.0.iter().any(|known| **known == *host)
    }

    /// Whether a page of `origin` may use the server as `host`: one of a name that was given, or the very server.
    /// Another port of this machine is another program, and its pages are none of ours.
    pub(crate) fn trusts(&self, origin: &str, host: Option<&Authority>) -> bool {
        let Some((scheme @ ("http" | "https"), authority)) = origin.split_once("://") else { return false };
        let Ok(authority) = authority.parse::<Authority>() else { return false };
        let port = |authority: &Authority| authority.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        let is_itself =
            host.is_some_and(|host| plain(host.host()) == plain(authority.host()) && port(host) == port(&authority));
        self.names(authority.host()) || (is_itself && self.has(authority.host()))
    }
}

/// A name as it is compared: in lower case, and without the dot that makes it absolute.
fn plain(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Whether a name is always this machine's: `localhost` and what is below it (RFC 6761, section 6.3), and loopback
/// addresses.
fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address: Option<IpAddr> = match address {
        Some(inside) => inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    };
    match address {
        Some(address) => address.to_canonical().is_loopback(),
        None => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_and_those_that_were_given_are_served() {
        let hosts = Hosts::new(["laneway.example", "10.1.2.3"]).unwrap();
        for own in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "console.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "laneway.example",
            "Laneway.Example.",
            "10.1.2.3",
        ] {
            assert!(hosts.has(own), "{own}");
        }
        for foreign in [
            "evil.example",
            "laneway.example.evil",
            "localhost.evil.example",
            "notlocalhost",
            "128.0.0.1",
            "0.0.0.0",
            "[::]",
            "[::ffff:10.0.0.1]",
            "10.1.2.4",
            "",
            ".",
            "2130706433",
        ] {
            assert!(!hosts.has(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_page_is_trusted_if_it_is_the_servers_own_or_of_a_name_that_was_given() {
        let hosts = Hosts::new(["laneway.example"]).unwrap();
        let host: Authority = "127.0.0.1:8080".parse().unwrap();
        let trusts = |origin| hosts.trusts(origin, Some(&host));
        assert!(trusts("http://127.0.0.1:8080"));
        assert!(trusts("https://laneway.example"));
        for foreign in [
            "http://127.0.0.1:3000",
            "http://127.0.0.1",
            "http://localhost:8080",
            "https://evil.example",
            "null",
            "",
            "file://",
            "chrome-extension://abc",
            "http://127.0.0.1:8080@evil.example",
            "ftp://127.0.0.1:8080",
        ] {
            assert!(!trusts(foreign), "{foreign}");
        }
        // A rebound name is its own origin; it is not one of ours for that.
        let rebound: Authority = "evil.example:8080".parse().unwrap();
        assert!(!hosts.trusts("http://evil.example:8080", Some(&rebound)));
        assert!(!hosts.trusts("http://127.0.0.1:8080", None));
    }

    #[test]
    fn what_is_not_a_name_is_refused_with_what_it_should_be() {
        assert!(Hosts::new(["laneway.example:8080"]).unwrap_err().contains("write \"laneway.example\""));
        assert!(Hosts::new(["a b"]).unwrap_err().contains("a b"));
        assert!(Hosts::new(["https://laneway.example"]).is_err());
    }
}
