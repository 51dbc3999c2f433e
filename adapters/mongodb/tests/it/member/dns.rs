//! A name server (RFC 1035) on port 53 of 127.0.0.1, for a network of a test's own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;

const A: u16 = 1;
const TXT: u16 = 16;
const SRV: u16 = 33;

type Answers = BTreeMap<(String, u16), Vec<Vec<u8>>>;

/// What it answers.
pub(crate) struct Records(Arc<Mutex<Answers>>);

impl Records {
    /// What there is of a cluster: its members, and the options of its TXT record.
    pub(crate) fn serve(&self, cluster: &str, members: &[(&str, u16)], options: &str) {
        let srv = |&(host, port): &(&str, u16)| [&[0; 4], port.to_be_bytes().as_slice(), &name(host)].concat();
        let txt = [&[u8::try_from(options.len()).unwrap()], options.as_bytes()].concat();
        let mut answers = self.0.lock().unwrap();
        answers.insert((format!("_mongodb._tcp.{cluster}"), SRV), members.iter().map(srv).collect());
        answers.insert((cluster.to_owned(), TXT), vec![txt]);
    }
}

/// Starts it, with the addresses of some hosts.
pub(crate) async fn start(hosts: &[(&str, [u8; 4])]) -> Records {
    let socket = UdpSocket::bind("127.0.0.1:53").await.unwrap();
    let known = hosts.iter().map(|(host, address)| (((*host).to_owned(), A), vec![address.to_vec()]));
    let answers = Arc::new(Mutex::new(known.collect::<Answers>()));
    let records = Records(Arc::clone(&answers));
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            let answer = answer(&query[..length], &answers.lock().unwrap());
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    records
}

/// The question once more, and all records that answer it; none, if there are none.
fn answer(query: &[u8], answers: &Answers) -> Vec<u8> {
    let (labels, end) = asked(query);
    let kind = u16::from_be_bytes([query[end], query[end + 1]]);
    let empty = Vec::new();
    let found = answers.get(&(labels, kind)).unwrap_or(&empty);
    let count = u16::try_from(found.len()).unwrap();
    // A response, recursion available; one question, so many answers, nothing else.
    let head = [&query[..2], &[0x81, 0x80, 0, 1], &count.to_be_bytes(), &[0; 4]].concat();
    let record = |data: &Vec<u8>| {
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        // The name of the question, by a pointer to it; class IN; for no time.
        [&[0xc0, 12], kind.to_be_bytes().as_slice(), &[0, 1, 0, 0, 0, 0], &length, data].concat()
    };
    [head, query[12..end + 4].to_vec(), found.iter().flat_map(record).collect()].concat()
}

/// The name that is asked for, in lower case, and where its type stands.
fn asked(query: &[u8]) -> (String, usize) {
    let (mut labels, mut at) = (Vec::new(), 12);
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).to_ascii_lowercase());
        at += 1 + length;
    }
    (labels.join("."), at + 1)
}

fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat());
    labels.chain([vec![0]]).flatten().collect()
}
