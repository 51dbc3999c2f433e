//! The ranges that are not the public internet: the IANA special-purpose address registries
//! (RFC 6890 and its successors), and two addresses that clouds use for themselves.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{Ipv4Addr, Ipv6Addr};

const fn net4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn net6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// First match wins, so that the narrow ones stand first.
const V4: [(Ipv4Net, &str); 19] = [
    (net4(0, 0, 0, 0, 32), "the unspecified address"),
    (net4(0, 0, 0, 0, 8), "an address of \"this network\" (RFC 791)"),
    (net4(10, 0, 0, 0, 8), "a private address (RFC 1918)"),
    (net4(100, 64, 0, 0, 10), "a carrier-grade NAT address (RFC 6598)"),
    (net4(127, 0, 0, 0, 8), "a loopback address"),
    (net4(168, 63, 129, 16, 32), "the address of Azure's host services"),
    (net4(169, 254, 169, 254, 32), "the cloud metadata address"),
    (net4(169, 254, 0, 0, 16), "a link-local address (RFC 3927)"),
    (net4(172, 16, 0, 0, 12), "a private address (RFC 1918)"),
    (net4(192, 0, 0, 0, 24), "reserved for IETF protocols (RFC 6890)"),
    (net4(192, 0, 2, 0, 24), "a documentation address (RFC 5737)"),
    (net4(192, 88, 99, 0, 24), "a 6to4 relay address (RFC 7526)"),
    (net4(192, 168, 0, 0, 16), "a private address (RFC 1918)"),
    (net4(198, 18, 0, 0, 15), "a benchmarking address (RFC 2544)"),
    (net4(198, 51, 100, 0, 24), "a documentation address (RFC 5737)"),
    (net4(203, 0, 113, 0, 24), "a documentation address (RFC 5737)"),
    (net4(224, 0, 0, 0, 4), "a multicast address"),
    (net4(255, 255, 255, 255, 32), "the broadcast address"),
    (net4(240, 0, 0, 0, 4), "a reserved address (RFC 1112)"),
];

/// IPv4-mapped addresses: the operating system connects to the IPv4 address itself.
const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);
/// The well-known NAT64 prefix: what a resolver with DNS64 answers for every IPv4-only name, so
/// that it has to work.
const NAT64: Ipv6Net = net6(0x64, 0xff9b, 0, 96);
const TEREDO: Ipv6Net = net6(0x2001, 0, 0, 32);
const SIX_TO_FOUR: Ipv6Net = net6(0x2002, 0, 0, 16);
/// The deprecated IPv4-compatible form, `::a.b.c.d`.
const COMPATIBLE: Ipv6Net = net6(0, 0, 0, 96);
/// All that is handed out as global unicast (RFC 4291, section 2.4).
const GLOBAL: Ipv6Net = net6(0x2000, 0, 0, 3);

/// First match wins. Whatever is neither here nor in [`GLOBAL`] is blocked as reserved.
const V6: [(Ipv6Net, &str); 17] = [
    (net6(0, 0, 0, 128), "the unspecified address"),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "the loopback address"),
    (COMPATIBLE, "an IPv4-compatible address (deprecated, RFC 4291)"),
    (net6(0x64, 0xff9b, 1, 48), "a local-use NAT64 address (RFC 8215)"),
    (net6(0x100, 0, 0, 64), "a discard-only address (RFC 6666)"),
    (TEREDO, "a Teredo address (RFC 4380)"),
    (net6(0x2001, 2, 0, 48), "a benchmarking address (RFC 5180)"),
    (net6(0x2001, 0xdb8, 0, 32), "a documentation address (RFC 3849)"),
    (net6(0x2001, 0, 0, 23), "reserved for IETF protocols (RFC 2928)"),
    (SIX_TO_FOUR, "a 6to4 address (RFC 3056)"),
    (net6(0x3fff, 0, 0, 20), "a documentation address (RFC 9637)"),
    (net6(0x5f00, 0, 0, 16), "a segment routing address (RFC 9602)"),
    (Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128), "the cloud metadata address"),
    (net6(0xfc00, 0, 0, 7), "a unique local address (RFC 4193)"),
    (net6(0xfe80, 0, 0, 10), "a link-local address"),
    (net6(0xfec0, 0, 0, 10), "a site-local address (deprecated, RFC 3879)"),
    (net6(0xff00, 0, 0, 8), "a multicast address"),
];

/// What `address` is, and the range that says so, if it is not public.
pub(super) fn v4(address: Ipv4Addr) -> Option<(&'static str, IpNet)> {
    V4.iter().find(|(range, _)| range.contains(&address)).map(|&(range, kind)| (kind, range.into()))
}

/// What `address` is, and the range that says so, if it is not public, not counting the IPv4
/// addresses that it carries.
pub(super) fn v6(address: Ipv6Addr) -> Option<(&'static str, IpNet)> {
    if MAPPED.contains(&address) || NAT64.contains(&address) {
        return None;
    }
    match V6.iter().find(|(range, _)| range.contains(&address)) {
        Some(&(range, kind)) => Some((kind, range.into())),
        None if GLOBAL.contains(&address) => None,
        None => Some(("a reserved address (not global unicast, RFC 4291)", Ipv6Net::from(address).into())),
    }
}

/// The IPv4 addresses that a packet to `address` may end up at.
pub(super) fn embedded(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let [_, a, b, c, g, i, x, y] = address.segments();
    let at = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    let is_compatible = COMPATIBLE.contains(&address) && !address.is_unspecified() && !address.is_loopback();
    // ISATAP (RFC 5214): the last 32 bits behind this interface identifier are where it tunnels to.
    let is_isatap = matches!(g, 0 | 0x200) && i == 0x5efe;
    let found = if MAPPED.contains(&address) || NAT64.contains(&address) || is_compatible || is_isatap {
        [at(x, y), None]
    } else if SIX_TO_FOUR.contains(&address) {
        [at(a, b), None]
    } else if TEREDO.contains(&address) {
        // The server, and the client with all bits turned over (RFC 4380, section 4).
        [at(b, c), at(!x, !y)]
    } else {
        [None, None]
    };
    found.into_iter().flatten()
}
