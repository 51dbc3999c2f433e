//! SOCKS5's handshake: greeting, user and password (RFC 1929), and where to connect to.

use crate::error::ConnectError;
use crate::route::parse_host;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use url::Host;

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const USER_AND_PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Where a client wants to be connected to.
pub(super) struct Request {
    pub(super) host: Host,
    pub(super) port: u16,
}

/// Who is let through.
#[derive(Clone)]
pub(super) struct Login {
    user: String,
    password: String,
}

impl Login {
    pub(super) fn random() -> Self {
        let text = || format!("{:032x}", rand::random::<u128>());
        Self { user: text(), password: text() }
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

/// Why a client is not connected, as one of SOCKS' numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    General = 1,
    NotAllowed = 2,
    HostUnreachable = 4,
    ConnectionRefused = 5,
    CommandNotSupported = 7,
    AddressNotSupported = 8,
}

impl Refusal {
    pub(super) fn of(error: &ConnectError) -> Self {
        match error {
            ConnectError::Blocked { .. } | ConnectError::Zone { .. } | ConnectError::NotPermitted { .. } => {
                Self::NotAllowed
            }
            ConnectError::LookUp { .. } | ConnectError::NoAddress { .. } | ConnectError::Late { .. } => {
                Self::HostUnreachable
            }
            ConnectError::Tcp { error, .. } if error.kind() == io::ErrorKind::ConnectionRefused => {
                Self::ConnectionRefused
            }
            ConnectError::Tcp { .. } | ConnectError::NoPlace { .. } => Self::General,
        }
    }
}

/// Reads what a client wants, and lets through only one that knows the login.
pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(client: &mut S, login: &Login) -> io::Result<Request> {
    greet(client).await?;
    authenticate(client, login).await?;
    let [version, command, _, kind] = read(client).await?;
    if version != VERSION {
        return Err(malformed("not SOCKS5"));
    }
    let host = match kind {
        IPV4 => Some(Host::Ipv4(Ipv4Addr::from(read::<4>(client).await?))),
        IPV6 => Some(Host::Ipv6(Ipv6Addr::from(read::<16>(client).await?))),
        NAME => read_text(client).await?.and_then(|name| parse_host(&name)),
        _ => None,
    };
    let port = u16::from_be_bytes(read(client).await?);
    match host {
        _ if command != CONNECT => {
            refuse(client, Refusal::CommandNotSupported).await?;
            Err(malformed("not a request to connect"))
        }
        Some(host) => Ok(Request { host, port }),
        None => {
            refuse(client, Refusal::AddressNotSupported).await?;
            Err(malformed("not a host"))
        }
    }
}

async fn greet<S: AsyncRead + AsyncWrite + Unpin>(client: &mut S) -> io::Result<()> {
    let [version, methods] = read(client).await?;
    let mut offered = vec![0; usize::from(methods)];
    client.read_exact(&mut offered).await?;
    if version == VERSION && offered.contains(&USER_AND_PASSWORD) {
        return client.write_all(&[VERSION, USER_AND_PASSWORD]).await;
    }
    client.write_all(&[VERSION, NO_METHOD]).await?;
    Err(malformed("no user and password"))
}

async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(client: &mut S, login: &Login) -> io::Result<()> {
    let [_version] = read(client).await?;
    let user = read_text(client).await?;
    let password = read_text(client).await?;
    let right = user.as_deref() == Some(login.user()) && password.as_deref() == Some(login.password());
    client.write_all(&[LOGIN_VERSION, u8::from(!right)]).await?;
    if right { Ok(()) } else { Err(malformed("a wrong password")) }
}

/// Tells a client that it is connected. Nobody asks from which address.
pub(super) async fn connected<S: AsyncWrite + Unpin>(client: &mut S) -> io::Result<()> {
    answer(client, 0).await
}

/// Tells a client why it is not.
pub(super) async fn refuse<S: AsyncWrite + Unpin>(client: &mut S, refusal: Refusal) -> io::Result<()> {
    answer(client, refusal as u8).await
}

async fn answer<S: AsyncWrite + Unpin>(client: &mut S, reply: u8) -> io::Result<()> {
    client.write_all(&[VERSION, reply, 0, IPV4, 0, 0, 0, 0, 0, 0]).await
}

async fn read<const N: usize>(client: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// A text behind its length; `None` if it is not UTF-8.
async fn read_text(client: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<String>> {
    let [length] = read(client).await?;
    let mut bytes = vec![0; usize::from(length)];
    client.read_exact(&mut bytes).await?;
    Ok(String::from_utf8(bytes).ok())
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
