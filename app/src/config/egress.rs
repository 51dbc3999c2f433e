//! `[egress]`: where deliveries may go, and how many at a time.

use super::reader::Section;
use ipnet::IpNet;
use laneway_egress::{Connections, EgressPolicy};
use std::net::IpAddr;

/// Reads it. `left` is how many connections the process's files leave for receivers.
pub(super) fn read(mut section: Section<'_, '_>, left: usize) -> EgressPolicy {
    let allow = ranges(&mut section, "allow");
    let connections = Connections::at_most(section.within("connections", left, 1..=1_000_000));
    section.finish();
    EgressPolicy { allow, connections, of_tenants: false }
}

/// Reads ranges of addresses.
pub(super) fn ranges(section: &mut Section<'_, '_>, key: &'static str) -> Vec<IpNet> {
    let written: Vec<String> = section.list(key);
    let mut ranges = Vec::new();
    for range in written {
        match parse_range(&range) {
            Ok(range) => ranges.push(range),
            Err(what) => section.problem(key, what),
        }
    }
    ranges
}

fn parse_range(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let wrong = || format!("{text:?} is not an address range; write for instance \"127.0.0.0/8\" or \"fd00::/8\"");
    let range: IpNet = text.parse().map_err(|_| wrong())?;
    if range.addr() != range.network() {
        return Err(format!("{text:?} has bits set behind its prefix; did you mean \"{}\"?", range.trunc()));
    }
    Ok(range)
}
