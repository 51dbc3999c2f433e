//! Ports of the loopback interface for servers that are started, stopped and started again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// The lowest port that is handed out.
const LOWEST: u16 = 20_000;
/// Below the range that Linux takes the local ends of outgoing connections from, so that nobody
/// gets the port while its owner is down.
const END: u16 = 32_000;

/// An address on 127.0.0.1 that nobody listens on now.
///
/// # Panics
/// If none of some hundred tries is free.
#[must_use]
pub fn free() -> SocketAddr {
    for _ in 0..500 {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, rand::random_range(LOWEST..END)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port from {LOWEST} to {END} on 127.0.0.1");
}
