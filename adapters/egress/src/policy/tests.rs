//! What the policy says of the corpus. Whether what is permitted is connected to, and nothing else, is
//! in the tests of each sink.

use super::*;
use crate::corpus::*;
use url::Url;

fn addresses(corpus: &str) -> impl Iterator<Item = IpAddr> {
    words(corpus).map(|text| text.parse().unwrap_or_else(|_| panic!("{text}")))
}

fn judged(policy: &EgressPolicy, url: &str) -> Result<(), Blocked> {
    let url = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
    policy.check_host(&url.host().unwrap_or_else(|| panic!("{url}")))
}

#[test]
fn the_corpus_is_as_large_as_was_asked_for() {
    let all = [BLOCKED_ADDRESSES, PERMITTED_ADDRESSES, BLOCKED_URLS, UNREADABLE_URLS, PERMITTED_URLS];
    assert!(all.into_iter().flat_map(words).count() >= 300);
}

#[test]
fn no_address_off_the_public_internet_is_permitted() {
    let policy = EgressPolicy::default();
    for address in addresses(BLOCKED_ADDRESSES) {
        let blocked = policy.check(address).expect_err(&address.to_string());
        let text = blocked.to_string();
        assert!(text.starts_with(&address.to_string()) && text.contains("egress.allow"), "{text}");
    }
}

#[test]
fn every_public_address_is_permitted() {
    for address in addresses(PERMITTED_ADDRESSES) {
        assert_eq!(EgressPolicy::default().check(address), Ok(()), "{address}");
    }
}

#[test]
fn no_spelling_hides_an_address() {
    for url in words(BLOCKED_URLS) {
        assert!(judged(&EgressPolicy::default(), url).is_err(), "{url}");
    }
    for url in words(UNREADABLE_URLS) {
        assert!(Url::parse(url).is_err(), "{url}");
    }
    for url in words(PERMITTED_URLS) {
        assert_eq!(judged(&EgressPolicy::default(), url), Ok(()), "{url}");
    }
}

#[test]
fn what_the_error_says_would_open_an_address_does_open_it() {
    for address in addresses(BLOCKED_ADDRESSES) {
        // An address that carries others may need one range for each of them.
        let mut policy = EgressPolicy::default();
        for _ in 0..4 {
            if let Err(blocked) = policy.check(address) {
                policy.allow.push(blocked.open);
            }
        }
        assert_eq!(policy.check(address), Ok(()), "{address} with {:?}", policy.allow);
    }
}

#[test]
fn what_is_opened_opens_nothing_else() {
    let loopback = EgressPolicy::allowing(["127.0.0.0/8".parse().unwrap()]);
    for open in ["127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1"] {
        assert_eq!(loopback.check(open.parse().unwrap()), Ok(()), "{open}");
    }
    for closed in ["10.0.0.1", "::1", "169.254.169.254", "2002:7f00:1::1", "::127.0.0.1"] {
        assert!(loopback.check(closed.parse().unwrap()).is_err(), "{closed}");
    }
}

#[test]
fn opening_a_tunnel_does_not_open_what_is_behind_it() {
    let tunnels = ["2002::/16", "2001::/32", "64:ff9b:1::/48", "::/96", "::ffff:0:0/96", "64:ff9b::/96"];
    let policy = EgressPolicy::allowing(tunnels.map(|range| range.parse().unwrap()));
    for closed in [
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::",
        "2001:0:808:808::80ff:fffe", // client 127.0.0.1
        "2001:0:7f00:1::f7f7:f7f7",  // server 127.0.0.1
        "::10.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
    ] {
        assert!(policy.check(closed.parse().unwrap()).is_err(), "{closed}");
    }
    for open in ["2002:808:808::1", "2001:0:808:808::f7f7:f7f7", "::8.8.8.8", "64:ff9b:1::1"] {
        assert_eq!(policy.check(open.parse().unwrap()), Ok(()), "{open}");
    }
}

#[test]
fn an_error_names_the_address_what_it_is_and_the_setting() {
    let blocked = EgressPolicy::default().check("::ffff:169.254.169.254".parse().unwrap()).unwrap_err();
    let expected = "::ffff:169.254.169.254 may not be connected to: it is the cloud metadata address; \
                    an operator can open it with egress.allow = [\"169.254.169.254/32\"]";
    assert_eq!(blocked.to_string(), expected);
}
