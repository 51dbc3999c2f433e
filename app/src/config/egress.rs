//! `[egress]`: where deliveries may go.

use super::reader::Section;
use ipnet::IpNet;
use laneway_egress::EgressPolicy;
use std::net::IpAddr;

/// Reads it.
pub(super) fn read(mut section: Section<'_, '_>) -> EgressPolicy {
    let ranges: Vec<String> = section.list("allow");
    let mut allow = Vec::new();
    for range in ranges {
        match parse_range(&range) {
            Ok(range) => allow.push(range),
            Err(what) => section.problem("allow", what),
        }
    }
    section.finish();
    EgressPolicy { allow }
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
