//! A member of a replica set that has no primary, and names whoever a test wants as its members; and a
//! name server that answers as a test wants. Only what a driver asks before it has found a primary.

mod dns;

pub(crate) use dns::start as start_dns;

use mongodb::bson::{DateTime, Document, RawDocumentBuf, doc};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The members that it names besides itself, as they stand in its answers.
pub(crate) struct Names(pub(crate) Vec<String>);

/// The head of a message: its length, its number, which one it answers, its kind.
const HEAD: usize = 16;
const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2004;
const OP_MSG: i32 = 2013;

/// Starts one; returns where it is.
pub(crate) async fn start(at: &str, names: Names) -> SocketAddr {
    let listener = TcpListener::bind(at).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut hosts = names.0;
    hosts.push(address.to_string());
    let hello = doc! {
        "ok": 1, "helloOk": true, "ismaster": false, "isWritablePrimary": false, "secondary": true,
        "setName": "rs0", "setVersion": 1, "hosts": hosts, "me": address.to_string(),
        "minWireVersion": 0, "maxWireVersion": 21, "maxBsonObjectSize": 16 << 20,
        "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000, "localTime": DateTime::now(),
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, hello.clone()));
        }
    });
    address
}

/// Says the same to whatever is asked.
async fn answer(mut stream: TcpStream, hello: Document) -> Option<()> {
    let body = RawDocumentBuf::try_from(&hello).unwrap();
    loop {
        let mut head = [0; HEAD];
        stream.read_exact(&mut head).await.ok()?;
        let field = |at: usize| i32::from_le_bytes(head[at..at + 4].try_into().unwrap());
        let mut rest = vec![0; usize::try_from(field(0)).ok()?.checked_sub(HEAD)?];
        stream.read_exact(&mut rest).await.ok()?;
        let (kind, before) = match field(12) {
            // Flags, cursor, first, and how many documents there are.
            OP_QUERY => (OP_REPLY, [&[0; 16], 1_i32.to_le_bytes().as_slice()].concat()),
            // Flags, and a section of one document.
            _ => (OP_MSG, vec![0; 5]),
        };
        let length = i32::try_from(HEAD + before.len() + body.as_bytes().len()).unwrap();
        let head: Vec<u8> = [length, 0, field(4), kind].into_iter().flat_map(i32::to_le_bytes).collect();
        stream.write_all(&[head, before, body.as_bytes().to_vec()].concat()).await.ok()?;
    }
}
