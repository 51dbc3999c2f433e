//! As much HTTP/1.1 as a load generator and a receiver need, and no more: the machine's two cores
//! are to be spent on what is measured.

use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Larger than any head and small body here; grows for larger ones.
const BUFFER: usize = 16 * 1024;
/// A message that says it is larger than this is a mistake.
const MOST_BYTES: usize = 64 << 20;

/// One side of a connection that speaks without pipelining.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// Where a message lies in the buffer.
#[derive(Clone, Copy)]
pub(crate) struct Message {
    body: usize,
    end: usize,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::over(TcpStream::connect(address).await?))
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).ok();
        Self { stream, buffer: vec![0; BUFFER], filled: 0 }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next message (request or response), or `None` at the end of the connection.
    pub(crate) async fn read(&mut self) -> io::Result<Option<Message>> {
        let mut head = None;
        loop {
            let filled = &self.buffer[..self.filled];
            if head.is_none() {
                head = find(filled, b"\r\n\r\n").map(|at| (at + 4, content_length(&filled[..at])));
            }
            if let Some((body, length)) = head {
                let end = body + length?;
                if end > MOST_BYTES {
                    return Err(io::Error::other("a message of more than 64 MiB"));
                }
                if self.filled >= end {
                    return Ok(Some(Message { body, end }));
                }
                if self.buffer.len() < end {
                    self.buffer.resize(end, 0);
                }
                head = Some((body, Ok(end - body)));
            } else if self.filled == self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
            let read = self.stream.read(&mut self.buffer[self.filled..]).await?;
            if read == 0 {
                return Ok(None);
            }
            self.filled += read;
        }
    }

    pub(crate) fn head(&self, message: &Message) -> &[u8] {
        &self.buffer[..message.body]
    }

    pub(crate) fn body(&self, message: &Message) -> &[u8] {
        &self.buffer[message.body..message.end]
    }

    /// Makes room for the next message.
    pub(crate) fn done(&mut self, message: Message) {
        self.buffer.copy_within(message.end..self.filled, 0);
        self.filled -= message.end;
    }
}

/// The three digits of a response's status.
pub(crate) fn status(head: &[u8]) -> u16 {
    head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|d| d.parse().ok()).unwrap_or(0)
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn content_length(head: &[u8]) -> io::Result<usize> {
    for line in head.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        if line[..colon].eq_ignore_ascii_case(b"content-length") {
            let text = std::str::from_utf8(&line[colon + 1..]).unwrap_or_default().trim();
            return text.parse().map_err(|_| io::Error::other(format!("content-length {text:?}")));
        }
        if line[..colon].eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(io::Error::other("a chunked message, which this reader does not know"));
        }
    }
    Ok(0)
}

/// A POST of JSON, ready to be written.
pub(crate) fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// One exchange of control on a connection of its own.
pub(crate) async fn ask(address: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let mut wire = Wire::connect(address).await?;
    wire.write(&post(path, b"")).await?;
    let message = wire.read().await?.ok_or_else(|| io::Error::other("no answer"))?;
    Ok(wire.body(&message).to_vec())
}
