//! Bytes from one connection to the other, until one of them ends.

use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// How much is read at once, in bytes, in each direction: what the kernel has ready of a large message,
/// in few calls. Two of them are held for as long as a connection is open.
const BUFFER: usize = 32 * 1024;
/// How long the driver has to close its side after the server has closed the other.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Carries bytes both ways. When the driver closes its side nobody waits for an answer any more, and both
/// are closed at once. When the server closes, the driver is given what the server sent last.
pub(super) async fn relay<S: AsyncRead + AsyncWrite + Unpin>(client: TcpStream, server: S) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let out = copy(&mut from_client, &mut to_server);
    let back = copy(&mut from_server, &mut to_client);
    tokio::select! {
        _ = out => return,
        _ = back => {}
    }
    let _ = to_client.shutdown().await;
    let drain = async { while from_client.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {} };
    let _ = tokio::time::timeout(LAST_WORDS, drain).await;
}

async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..count]).await?;
        to.flush().await?;
    }
}

/// Resolves when the client has closed its side, or the connection is broken. It sends nothing before it is
/// told that it is connected, so that whatever there is to read is its end.
pub(super) async fn closed(client: &TcpStream) {
    // An error, too, is the end of it.
    let _ = client.peek(&mut [0]).await;
}
