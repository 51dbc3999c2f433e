//! `[server]`: the HTTP side.

use super::reader::Section;
use super::setting::Size;
use super::tls::InTls;
use super::tokens;
use super::units::show_size;
use laneway_http::{Hosts, Limits, MAX_JSON_DEPTH, Token, check_listen};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

const MIB: u64 = 1 << 20;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The port of `server.listen` by default.
pub const DEFAULT_PORT: u16 = 8080;

/// `[server]`: the HTTP side.
#[derive(Clone, Debug)]
pub struct Server {
    /// The address that it listens on.
    pub listen: SocketAddr,
    /// Where operators are let in, if not where producers are: everything is there, and at `listen` only what producers
    /// and health checks need.
    pub operator_listen: Option<SocketAddr>,
    /// TLS; without it, plain HTTP.
    pub tls: Option<InTls>,
    /// Bearer tokens: those of `server.tokens` with every role, then those of `[[server.token]]`. Without any,
    /// whoever reaches the (loopback) address may do everything.
    pub tokens: Vec<Token>,
    /// Whether it serves the console's pages too.
    pub console: bool,
    /// Names by which it is reached, besides those of this machine's loopback.
    pub hosts: Hosts,
    /// What is refused as too much.
    pub limits: Limits,
}

impl Server {
    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let listen = read_listen(&mut section);
        let operator_listen = read_operator_listen(&mut section, listen);
        let tls = InTls::read(&mut section);
        let knows_clients = tls.as_ref().is_some_and(|tls| tls.pem.ca.is_some());
        // What is wrong with the table is told already.
        let knows_clients = knows_clients || section.has_mistakes("tls");
        let tokens = tokens::read(&mut section, knows_clients);
        // A token that was meant but is wrong has been reported already.
        if tokens.is_empty()
            && !section.has_mistakes("tokens")
            && !section.has_mistakes("token")
            && let Err(what) = check_listen(listen, &[])
        {
            section.problem("listen", what);
        }
        if tokens.is_empty()
            && let Some(Err(what)) = operator_listen.map(|address| check_listen(address, &[]))
        {
            section.problem("operator_listen", what);
        }
        let console = section.or("console", true);
        let names: Vec<String> = section.list("hosts");
        let hosts = Hosts::new(names.iter().map(String::as_str)).unwrap_or_else(|what| {
            section.problem("hosts", what);
            Hosts::default()
        });
        let limits = read_limits(section.section("limits"));
        section.finish();
        Self { listen, operator_listen, tls, tokens, console, hosts, limits }
    }
}

/// `server.listen`; the default if it is absent or wrong.
pub(super) fn read_listen(section: &mut Section<'_, '_>) -> SocketAddr {
    read_address(section, DEFAULT_PORT)
}

/// `server.operator_listen`, if it is another address than `server.listen`.
pub(super) fn read_operator_listen(section: &mut Section<'_, '_>, listen: SocketAddr) -> Option<SocketAddr> {
    let text = section.get::<String>("operator_listen")?;
    let problem = match parse_listen(&text) {
        Ok(address) if address != listen || address.port() == 0 => return Some(address),
        Ok(_) => "is where server.listen is; leave it out to let operators in there".to_owned(),
        Err(what) => what,
    };
    section.problem("operator_listen", problem);
    None
}

/// The section's `listen`; that port of this machine alone if it is absent or wrong.
pub(super) fn read_address(section: &mut Section<'_, '_>, port: u16) -> SocketAddr {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Some(text) = section.get::<String>("listen") else { return default };
    parse_listen(&text).unwrap_or_else(|what| {
        section.problem("listen", what);
        default
    })
}

/// `[server.limits]`.
fn read_limits(mut section: Section<'_, '_>) -> Limits {
    let d = Limits::default();
    let mut size =
        |key, default: usize, most: u64| section.within(key, Size(default as u64), Size(1024)..=Size(most)).bytes();
    let event_bytes = size("event_bytes", d.event_bytes, 64 * MIB);
    let batch_bytes = size("batch_bytes", d.batch_bytes, 256 * MIB);
    let header_bytes = size("header_bytes", d.header_bytes, MIB);
    let buffered_bytes = size("buffered_bytes", d.buffered_bytes, 1 << 40);
    let too_small = |key: &str, bytes: usize, than: &str, least: usize| {
        let (bytes, least) = (show_size(bytes as u64), show_size(least as u64));
        section.problem(key, format!("{bytes} is less than {than} ({least}), which would never be taken"));
    };
    if batch_bytes < event_bytes {
        too_small("batch_bytes", batch_bytes, "event_bytes", event_bytes);
    }
    if buffered_bytes < batch_bytes {
        too_small("buffered_bytes", buffered_bytes, "batch_bytes", batch_bytes);
    }
    let limits = Limits {
        event_bytes,
        batch_events: section.within("batch_events", d.batch_events, 1..=100_000),
        batch_bytes,
        json_depth: section.within("json_depth", d.json_depth, 1..=MAX_JSON_DEPTH),
        header_bytes,
        header_timeout: section.within("header_timeout", d.header_timeout, SECOND..=HOUR),
        body_timeout: section.within("body_timeout", d.body_timeout, SECOND..=HOUR),
        connections: section.within("connections", d.connections, 1..=1_000_000),
        buffered_bytes,
        grace: section.within("grace", d.grace, Duration::ZERO..=HOUR),
    };
    section.finish();
    limits
}

/// `HOST:PORT`, where the host is an address, `localhost`, or empty for all addresses.
fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("{text:?} is not an address; write for instance \"127.0.0.1:{DEFAULT_PORT}\"");
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Err(format!("{text:?} has no port; write \"{}\"", SocketAddr::from((address, DEFAULT_PORT))));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    match host {
        "" => Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        "localhost" => (host, port).to_socket_addrs().ok().and_then(|mut found| found.next()).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}
