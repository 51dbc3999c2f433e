//! What went over a connection, seen beneath the client.
//!
//! Of HTTP/2 that are the ends of its streams (see [`crate::frames`]), of HTTP/1 this:
//! The client parses an answer's head as a whole: a status followed by a header line that it does not take,
//! or by a reset, is an error to it, and the status is lost. Here the status line is read by itself, and it is
//! known how much of the request was written. The requests carry their length, and one follows another only
//! after its answer, so that where one ends is known exactly.

use crate::frames::Streams;
use http::StatusCode;
use laneway_egress::{InUse, Usage};
use memchr::memmem;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// The most bytes of a status line: a reason phrase is a few words.
const MAX_STATUS_LINE: usize = 8 * 1024;
/// The line that ends a head.
const EMPTY: &[u8] = b"\r\n";
/// What the head of a message ends with.
const HEAD_ENDS: &[u8] = b"\r\n\r\n";
/// Looks for that: each request is searched, and to prepare a search costs as much as the search.
static HEAD_END: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(HEAD_ENDS));
/// The header with a body's length, as far as its value.
const LENGTH: &[u8] = b"content-length:";
/// The most bytes that are read of an answer that came while its request was still being sent.
const MAX_EARLY_ANSWER: usize = 64 * 1024;

/// What is known of the exchange that a connection is at, and of those before.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    progress: Mutex<Progress>,
    /// Told when a final status has come in, when a request was written whole, and when a stream was reset.
    moved: Notify,
    /// Whether HTTP/2 is spoken. Then everything is in `streams`, and nothing in `progress`.
    pub(crate) http2: bool,
    streams: Mutex<Streams>,
    usage: Usage,
}

/// What has come in of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SeenOfAnswer {
    /// Its final status.
    pub(crate) status: Option<StatusCode>,
    /// How many interim answers came before.
    pub(crate) interim: usize,
}

#[derive(Debug, Default)]
struct Progress {
    /// Requests that were begun.
    requests: u64,
    sending: Sending,
    /// Whether anything of an answer to the last request came in.
    answered: bool,
    status: Option<StatusCode>,
    heads: Heads,
    /// Answers of an HTTP/2 connection.
    answers: u64,
    /// How long the next request's body is, where whoever sends it has said so.
    length: Option<u64>,
}

/// How far the request is.
#[derive(Debug, Default, PartialEq, Eq)]
enum Sending {
    /// All of it was written, or none was begun.
    #[default]
    Whole,
    /// Its head, as far as it was written.
    Head(Vec<u8>),
    /// So many bytes of its body are left.
    Body(u64),
}

impl Wire {
    pub(crate) fn new(http2: bool, usage: Usage) -> Arc<Self> {
        Arc::new(Self { http2, usage, ..Self::default() })
    }

    /// An exchange begins over the connection. `None` if it was told to end, to make room for another one.
    pub(crate) fn begin(&self) -> Option<InUse> {
        self.usage.begin()
    }

    /// What is known of the streams of an HTTP/2 connection.
    pub(crate) fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number that the next request on this connection has.
    pub(crate) fn next(&self) -> u64 {
        self.progress().requests + 1
    }

    /// The final status of the answer to the request of that number.
    pub(crate) fn status(&self, number: u64) -> Option<StatusCode> {
        let progress = self.progress();
        progress.status.filter(|_| progress.requests == number)
    }

    /// The next request has a body of so many bytes. Who does not say so has it looked up in the request.
    pub(crate) fn expect(&self, length: u64) {
        self.progress().length = Some(length);
    }

    /// What has come in of the answer to the request of that number.
    pub(crate) fn seen(&self, number: u64) -> SeenOfAnswer {
        let progress = self.progress();
        if progress.requests == number {
            SeenOfAnswer { status: progress.status, interim: progress.heads.interim }
        } else {
            SeenOfAnswer::default()
        }
    }

    /// Whether the request of that number was written whole.
    pub(crate) fn sent_whole(&self, number: u64) -> bool {
        let progress = self.progress();
        progress.requests > number || (progress.requests == number && progress.sending == Sending::Whole)
    }

    /// Whether the connection had been used before the request of that number, to which nothing came back.
    pub(crate) fn went_stale(&self, number: u64) -> bool {
        let progress = self.progress();
        let answered = progress.requests == number && progress.answered;
        (number > 1 && !answered) || progress.answers > 0
    }

    /// Waits until `known` says something.
    pub(crate) async fn until<T>(&self, known: impl Fn(&Self) -> Option<T>) -> T {
        // Most often it is known already.
        if let Some(known) = known(self) {
            return known;
        }
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            if let Some(known) = known(self) {
                return known;
            }
            moved.await;
        }
    }

    /// An answer came over HTTP/2, whose heads are not seen here.
    pub(crate) fn answered_http2(&self) {
        self.progress().answers += 1;
    }

    fn wrote(&self, bytes: &[u8]) {
        let moved = if self.http2 { self.streams().wrote(bytes) } else { self.progress().wrote(bytes) };
        if moved {
            self.moved.notify_waiters();
        }
    }

    fn read(&self, bytes: &[u8]) {
        let moved = if self.http2 { self.streams().read(bytes) } else { self.progress().read(bytes) };
        if moved {
            self.moved.notify_waiters();
        }
    }
}

impl Progress {
    /// Takes what was written. Returns whether a request is whole now.
    fn wrote(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match &mut self.sending {
                Sending::Whole => {
                    let (requests, answers, length) = (self.requests + 1, self.answers, self.length);
                    *self = Self { requests, answers, length, ..Self::default() };
                    self.sending = Sending::Head(Vec::new());
                }
                Sending::Head(head) => {
                    let before = head.len();
                    // Nearly always it is written at once, and nothing of it need be kept.
                    if before > 0 {
                        head.extend_from_slice(bytes);
                    }
                    let begun = if before > 0 { &head[..] } else { bytes };
                    let from = before.saturating_sub(HEAD_ENDS.len() - 1);
                    let Some(at) = HEAD_END.find(&begun[from..]) else {
                        if before == 0 {
                            head.extend_from_slice(bytes);
                        }
                        return false;
                    };
                    let end = from + at + HEAD_ENDS.len();
                    let length = self.length.take().unwrap_or_else(|| content_length(&begun[..end]));
                    bytes = &bytes[end - before..];
                    self.sending = if length == 0 { Sending::Whole } else { Sending::Body(length) };
                }
                Sending::Body(left) => {
                    let taken = (*left).min(bytes.len() as u64);
                    *left -= taken;
                    bytes = &bytes[usize::try_from(taken).unwrap_or(bytes.len())..];
                    if *left == 0 {
                        self.sending = Sending::Whole;
                    }
                }
            }
        }
        self.sending == Sending::Whole
    }

    /// Takes what came in. Returns whether it made the final status known.
    fn read(&mut self, bytes: &[u8]) -> bool {
        self.answered |= !bytes.is_empty() && self.requests > 0;
        if self.status.is_some() || self.requests == 0 {
            return false;
        }
        self.status = self.heads.read(bytes);
        self.status.is_some()
    }
}

/// Looks for the final status line in what comes in. Every byte is looked at once: a receiver decides how many
/// interim answers it sends, and in which pieces.
#[derive(Debug, Default)]
struct Heads {
    /// The line that has yet to end, as far as it matters.
    line: Vec<u8>,
    /// Whether it is one of an interim answer's head, which an empty line ends.
    is_interim: bool,
    /// It is not HTTP: nothing that follows can make it so.
    is_nonsense: bool,
    /// Interim answers that came in.
    interim: usize,
}

impl Heads {
    fn read(&mut self, bytes: &[u8]) -> Option<StatusCode> {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.is_nonsense {
                return None;
            }
            // Of a line that is not a status line only its being empty matters.
            let most = if self.is_interim { EMPTY.len() + 1 } else { MAX_STATUS_LINE };
            let room = most.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                if let Some(status) = self.ended(&line) {
                    return Some(status);
                }
            } else if !self.is_interim && self.line.len() >= MAX_STATUS_LINE {
                self.is_nonsense = true;
            }
        }
        None
    }

    /// A line has ended. Returns the final status, if it says that.
    fn ended(&mut self, line: &[u8]) -> Option<StatusCode> {
        if self.is_interim {
            self.is_interim = line != EMPTY && line != b"\n";
            return None;
        }
        let Some(status) = status(line.strip_suffix(b"\n").unwrap_or(line)) else {
            self.is_nonsense = true;
            return None;
        };
        self.is_interim = status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS;
        self.interim += usize::from(self.is_interim);
        (!self.is_interim).then_some(status)
    }
}

/// The status in a status line (RFC 9112, section 4).
fn status(line: &[u8]) -> Option<StatusCode> {
    let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    let (code, after) = rest.split_at_checked(3)?;
    matches!(after.first(), None | Some(b' ' | b'\r')).then(|| StatusCode::from_bytes(code).ok())?
}

/// The length that the head of one of our own requests gives, in one of the lines behind its first.
fn content_length(head: &[u8]) -> u64 {
    let value = |line: &[u8]| {
        let (name, value) = line.split_at_checked(LENGTH.len())?;
        name.eq_ignore_ascii_case(LENGTH).then(|| str::from_utf8(value).ok()?.trim().parse().ok())?
    };
    let lines = memchr::memchr_iter(b'\n', head).filter_map(|before| head.get(before + 1..));
    lines.map(|rest| &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())]).find_map(value).unwrap_or(0)
}

/// A connection whose traffic is looked at.
pub(crate) struct Watched<S> {
    pub(crate) stream: S,
    pub(crate) wire: Arc<Wire>,
    /// Whether HTTP/1 is spoken.
    pub(crate) http1: bool,
}

impl<S> Watched<S> {
    /// `usage` is where it is said whether the connection is in use.
    pub(crate) fn new(stream: S, http1: bool, usage: Usage) -> Self {
        Self { stream, wire: Wire::new(!http1, usage), http1 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.wire.read(&buf.filled()[before..]);
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> Watched<S> {
    /// A receiver that refuses a request early closes while it is still being sent. The client sees the failed
    /// write and stops; what the receiver said before stands in the buffer of the system.
    fn read_what_came(&mut self, cx: &mut Context<'_>) {
        let mut bytes = [0; 4096];
        for _ in 0..MAX_EARLY_ANSWER / bytes.len() {
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => self.wire.read(buf.filled()),
                _ => return,
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, buf);
        match &polled {
            Poll::Ready(Ok(count)) => this.wire.wrote(&buf[..*count]),
            Poll::Ready(Err(_)) if this.http1 => this.read_what_came(cx),
            _ => {}
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        if let (true, Poll::Ready(Err(_))) = (this.http1, &polled) {
            this.read_what_came(cx);
        }
        if let Poll::Ready(Ok(count)) = &polled {
            let mut left = *count;
            for buf in bufs {
                let taken = left.min(buf.len());
                this.wire.wrote(&buf[..taken]);
                left -= taken;
            }
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc";

    fn sent(parts: &[&[u8]]) -> Progress {
        let mut progress = Progress::default();
        for part in parts {
            progress.wrote(part);
        }
        progress
    }

    #[test]
    fn where_a_request_ends_is_known_however_it_is_cut() {
        for cut in 1..REQUEST.len() {
            let progress = sent(&[&REQUEST[..cut]]);
            assert_eq!((progress.requests, progress.sending == Sending::Whole), (1, false), "{cut}");
            let progress = sent(&[&REQUEST[..cut], &REQUEST[cut..]]);
            assert_eq!((progress.requests, progress.sending), (1, Sending::Whole), "{cut}");
        }
        assert_eq!(sent(&[REQUEST, b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n", REQUEST]).requests, 3);
    }

    #[test]
    fn a_length_that_is_known_beforehand_is_that_of_one_request() {
        let wire = Wire::new(false, Usage::default());
        wire.expect(3);
        let head = REQUEST.len() - 3;
        wire.wrote(&REQUEST[..head]);
        assert!(!wire.sent_whole(1));
        wire.wrote(b"abc");
        assert!(wire.sent_whole(1));
        wire.wrote(&REQUEST[..head]);
        assert!(!wire.sent_whole(2), "that one says its length itself");
    }

    #[test]
    fn the_final_status_is_known_whatever_is_around_it() {
        let of = |answer: &[u8]| {
            let mut progress = sent(&[REQUEST]);
            // Byte by byte, and at once.
            for byte in answer {
                progress.read(std::slice::from_ref(byte));
            }
            let mut at_once = sent(&[REQUEST]);
            at_once.read(answer);
            assert_eq!(progress.status, at_once.status);
            progress.status.map(|status| status.as_u16())
        };
        assert_eq!(of(b"HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(of(b"HTTP/1.0 503\r\nnonsense"), Some(503));
        assert_eq!(of(b"HTTP/1.1 429 \n"), Some(429));
        assert_eq!(
            of(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\na: b\r\n\r\nHTTP/1.1 204 No\r\n"),
            Some(204)
        );
        assert_eq!(of(b"HTTP/1.1 100 Continue\r\nHTTP/1.1 204 No\r\n"), None);
        for nonsense in [b"HTTP/1.1 200".as_slice(), b"HTTP/1.1 2xx OK\r\n", b"SSH-2.0\r\nHTTP/1.1 200 OK\r\n", b"\r\n"]
        {
            assert_eq!(of(nonsense), None, "{nonsense:?}");
        }
    }

    /// Counted in bytes that are kept, not in time: what a receiver sends costs no more than its length.
    #[test]
    fn interim_answers_without_end_are_not_kept() {
        let mut progress = sent(&[REQUEST]);
        let interim = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n".repeat(10_000);
        assert!(!progress.read(interim.as_bytes()));
        assert!(!progress.read(b"HTTP/1.1 103 Early Hints\r\nx: "));
        for _ in 0..10_000 {
            assert!(!progress.read(b"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"));
        }
        assert!(progress.heads.line.len() <= 3, "{}", progress.heads.line.len());
        assert!(progress.read(b"\r\n\r\nHTTP/1.1 200 OK\r\n"));
        assert_eq!(progress.status, Some(StatusCode::OK));
        let mut endless = sent(&[REQUEST]);
        for _ in 0..1_000 {
            assert!(!endless.read(&[b'x'; 1_000]));
        }
        assert!(endless.heads.line.len() <= MAX_STATUS_LINE && endless.heads.is_nonsense);
    }

    #[test]
    fn a_status_belongs_to_the_request_before_it() {
        let mut progress = sent(&[REQUEST]);
        assert!(progress.read(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 204 No\r\n"));
        progress.wrote(REQUEST);
        assert_eq!((progress.status, progress.answered, progress.requests), (None, false, 2));
    }
}
