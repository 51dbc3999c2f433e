//! A name server that fails, is slow, or changes its mind.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// The record type of IPv4 addresses (RFC 1035).
const A: u16 = 1;
/// How long an answer may be remembered: not at all.
const TTL: [u8; 4] = [0; 4];

/// What is answered of a name.
#[derive(Clone, Debug)]
pub enum Reply {
    /// There is no such name.
    NoSuchName,
    /// The server could not find out.
    Failure,
    /// Nothing, ever.
    Silence,
    /// One of these addresses after the other, the last one from then on.
    Addresses(Vec<Ipv4Addr>),
}

/// A name server on UDP. Names that it was not told of do not exist.
#[derive(Debug)]
pub struct Names {
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
    task: JoinHandle<()>,
}

impl Names {
    /// Starts one at this address.
    ///
    /// # Errors
    /// If it cannot be had: port 53 takes root.
    pub async fn start(address: SocketAddr, replies: BTreeMap<String, Reply>) -> io::Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        let asked: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let counting = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                if let Some(answer) = answer(&query[..length], &replies, &counting) {
                    socket.send_to(&answer, from).await.ok();
                }
            }
        });
        Ok(Self { asked, task })
    }

    /// How often it was asked for a name's IPv4 address.
    #[must_use]
    pub fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answer to a query of one question (RFC 1035, section 4), if there is one.
fn answer(query: &[u8], replies: &BTreeMap<String, Reply>, asked: &Mutex<BTreeMap<String, usize>>) -> Option<Vec<u8>> {
    let (name, kind, end) = question(query)?;
    let before = if kind == A {
        let mut asked = asked.lock().unwrap();
        let count = asked.entry(name.clone()).or_default();
        *count += 1;
        *count - 1
    } else {
        0
    };
    let (code, address) = match replies.get(&name) {
        Some(Reply::Silence) => return None,
        Some(Reply::Failure) => (2, None),
        Some(Reply::Addresses(list)) if kind == A => (0, list.get(before).or(list.last())),
        // It exists, and has no address of that kind.
        Some(Reply::Addresses(_)) => (0, None),
        Some(Reply::NoSuchName) | None => (3, None),
    };
    let mut out = query.get(..2)?.to_vec();
    // A response, recursion desired and available; one question, perhaps one answer.
    out.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    out.extend(query.get(12..end)?);
    if let Some(address) = address {
        // The name as in the question, type A, class IN.
        out.extend([0xC0, 12, 0, 1, 0, 1]);
        out.extend(TTL);
        out.extend([0, 4]);
        out.extend(address.octets());
    }
    Some(out)
}

/// The name and type of a query's question, and where it ends.
fn question(query: &[u8]) -> Option<(String, u16, usize)> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(query.get(at..at + 2)?.try_into().ok()?);
    Some((labels.join("."), kind, at + 4))
}
