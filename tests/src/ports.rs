//! Ports of the loopback interface for servers that are started, stopped and started again.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use tokio::net::TcpSocket;

/// The lowest port that is handed out.
const LOWEST: u16 = 20_000;
/// Below the range that Linux takes the local ends of outgoing connections from, so that nobody
/// gets the port while its owner is down.
const END: u16 = 32_000;

/// Sockets that are bound and never listen: they keep the ports from every other test, in this
/// process and in others, and let the one who asked listen there as often as it wants.
static RESERVED: Mutex<Vec<TcpSocket>> = Mutex::new(Vec::new());

fn reserve(address: SocketAddr) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    // Not to be shared while it is taken, so that it was nobody's …
    socket.set_reuseaddr(false)?;
    socket.bind(address)?;
    // … and to be shared from then on.
    socket.set_reuseaddr(true)?;
    RESERVED.lock().unwrap().push(socket);
    Ok(())
}

/// An address on 127.0.0.1 that nobody else has, and nobody else gets from here.
///
/// # Panics
/// If none of some hundred tries is free.
#[must_use]
pub fn free() -> SocketAddr {
    for _ in 0..500 {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, rand::random_range(LOWEST..END)));
        if reserve(address).is_ok() {
            return address;
        }
    }
    panic!("no free port from {LOWEST} to {END} on 127.0.0.1");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_reserved_port_is_listened_on_again_and_again_and_given_to_nobody_else() {
        let address = free();
        assert!(reserve(address).is_err());
        for _ in 0..2 {
            assert!(TcpStream::connect(address).is_err(), "a reservation must not listen");
            let listener = TcpListener::bind(address).unwrap();
            assert!(TcpStream::connect(address).is_ok());
            drop(listener);
        }
        assert!(reserve(address).is_err());
    }
}
