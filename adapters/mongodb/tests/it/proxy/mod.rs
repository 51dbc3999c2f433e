//! A wire between a sink and its server that loses chosen messages.

use laneway_servers::mongodb::MongoServer;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of a request that contains a text, and of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It never arrives; the connection stays open and silent.
    Request,
    /// It arrives, and the server does as it says, but the answer never comes.
    Answer,
    /// It arrives, and the connection breaks instead of the answer.
    Connection,
}

/// The rules: a text, as it stands in a request, and what happens.
pub(crate) type Rules = Arc<Vec<(Vec<u8>, Loss)>>;

/// A `_id` as it stands in a request that writes a document with it.
pub(crate) fn id(id: &str) -> Vec<u8> {
    let length = u32::try_from(id.len() + 1).unwrap().to_le_bytes();
    [b"\x02_id\0", length.as_slice(), id.as_bytes(), b"\0"].concat()
}

/// Starts to listen; returns the URL of the server's collection by way of the wire.
pub(crate) async fn between(server: &MongoServer, collection: &str, rules: Rules) -> String {
    let target = server.address().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let rules = Arc::clone(&rules);
            tokio::spawn(async move { carry(client, target, &rules).await });
        }
    });
    // A replica set's member would tell the driver where it really is.
    let url = server.url(collection, "directConnection=true&heartbeatFrequencyMS=500");
    url.replace(&target.to_string(), &address.to_string())
}

async fn carry(client: TcpStream, target: SocketAddr, rules: &Rules) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (lose, lost) = watch::channel(None);
    let answers = tokio::spawn(answers(from_server, to_client, lost));
    requests(from_client, to_server, rules, &lose).await;
    answers.abort();
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, rules: &Rules, lose: &watch::Sender<Option<Loss>>) {
    while let Some(message) = message(&mut from).await {
        let loss =
            rules.iter().find(|(text, _)| message.windows(text.len()).any(|part| part == text)).map(|rule| rule.1);
        if loss.is_some() {
            lose.send_replace(loss);
        }
        if loss != Some(Loss::Request) && to.write_all(&message).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, lost: watch::Receiver<Option<Loss>>) {
    while let Some(message) = message(&mut from).await {
        match *lost.borrow() {
            Some(Loss::Connection) => return,
            Some(_) => continue,
            None => {}
        }
        if to.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// One message of MongoDB's wire protocol: its first four bytes are its length.
async fn message(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await.ok()?;
    let mut message = length.to_vec();
    message.resize(usize::try_from(u32::from_le_bytes(length)).ok()?, 0);
    from.read_exact(message.get_mut(4..)?).await.ok()?;
    Some(message)
}
