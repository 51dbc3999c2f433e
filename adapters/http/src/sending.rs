//! Long answers on their way, and whether whoever asked takes them.

use crate::crowd::{Activity, InFlight};
use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest piece of a body that a connection is given at once: about what its buffers take. It lets go of a body
/// with its last piece; given a long one whole, it would do so before anything of it was sent.
const PIECE: usize = 64 * 1024;

/// The body of a long answer, in pieces.
pub(crate) struct Sending {
    body: Body,
    /// What is left of a piece that was longer.
    rest: Bytes,
    in_flight: InFlight,
}

impl Sending {
    pub(crate) fn new(body: Body, in_flight: InFlight) -> Self {
        Self { body, rest: Bytes::new(), in_flight }
    }

    /// The next piece of what is left.
    fn piece(&mut self) -> Frame<Bytes> {
        let piece = self.rest.split_to(PIECE.min(self.rest.len()));
        Frame::data(piece)
    }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        // There is room for more: what it was given before is on its way.
        this.in_flight.awaits_reader(false);
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)).transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => this.rest = data,
                Some(Err(other)) => return Poll::Ready(Some(Ok(other))),
                None => return Poll::Ready(None),
            }
        }
        this.in_flight.awaits_reader(true);
        Poll::Ready(Some(Ok(this.piece())))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        // First the upper bound: the lower one may not be above it.
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

/// A connection that notes whether what is written to it is taken.
pub(crate) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    pub(crate) const fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }

    fn noted<T>(&self, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.activity.wrote(done.is_ready());
        done
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.noted(done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.noted(done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // Flushing is not noted: of TCP it takes no time, and TLS has written before whatever its buffers do not take.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use http_body_util::BodyExt;
    use tokio::time::{Duration, Instant};

    #[tokio::test(start_paused = true)]
    async fn a_long_body_comes_in_pieces_and_its_connection_is_busy_until_the_last_was_taken() {
        let activity = Arc::new(Activity::default());
        let data: Bytes = (0..3 * PIECE + 7).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let mut sending = Sending::new(Body::from(data.clone()), activity.begin());
        assert_eq!(sending.size_hint().exact(), Some(data.len() as u64));
        let mut got = Vec::new();
        while got.len() < data.len() {
            assert_eq!(activity.idle_for(Instant::now()), None);
            let piece = sending.frame().await.unwrap().unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE, "{}", piece.len());
            got.extend_from_slice(&piece);
            assert_eq!(sending.size_hint().exact(), Some((data.len() - got.len()) as u64));
            assert_eq!(sending.is_end_stream(), got.len() == data.len());
        }
        assert!(got == data && sending.frame().await.is_none());
        drop(sending);
        assert_eq!(activity.idle_for(Instant::now()), Some(Duration::ZERO));
    }
}
