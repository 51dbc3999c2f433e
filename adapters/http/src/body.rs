//! Receiving a body: bounded in bytes, in time, and together with all others.

use crate::problem::{Kind, Problem};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The most that is reserved for a body on the word of its Content-Length; beyond, it grows with
/// what comes.
const RESERVED_BYTES: usize = 1024 * 1024;
/// A smaller body is copied out of the connection's read buffer (8 KiB and more). The event's data is
/// a slice of it, and must not keep that buffer alive for as long as the event is in memory.
const COPIED_BELOW: usize = 16 * 1024;
/// How much of a body that is not taken is read and thrown away: twice the largest batch by default.
const DRAINED_BYTES: usize = 16 * 1024 * 1024;

/// How many bytes of bodies are held at the moment, over all connections.
#[derive(Default)]
pub(crate) struct Buffered(AtomicUsize);

/// A request's share of [`Buffered`]; given back when dropped.
struct Share<'a> {
    of: &'a Buffered,
    bytes: usize,
}

impl Share<'_> {
    /// `together` is how many bytes all may hold.
    fn grow(&mut self, bytes: usize, together: usize) -> Result<(), Box<Problem>> {
        self.bytes += bytes;
        if self.of.0.fetch_add(bytes, Ordering::Relaxed) + bytes <= together {
            return Ok(());
        }
        let what = format!("the bodies of other requests take up the {together} bytes that there are for them");
        Err(Problem::new(Kind::Overloaded, what).retry_after(Duration::from_secs(1)).closing())
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A body, and the room that it takes up.
pub(crate) struct Received<'a> {
    pub(crate) bytes: Bytes,
    _share: Share<'a>,
}

/// What a body may take.
pub(crate) struct Bound {
    /// How many bytes.
    pub(crate) bytes: usize,
    /// What it is when it has more: [`Kind::EventTooLarge`] and the like.
    pub(crate) kind: Kind,
    /// How many bytes it and all others may take together.
    pub(crate) together: usize,
    /// How long.
    pub(crate) timeout: Duration,
    /// Whether its producer waits for a word before it sends the body (`Expect: 100-continue`).
    pub(crate) expects: bool,
}

/// Receives a body. A large one that came in one piece is not copied.
pub(crate) async fn receive<'a>(
    mut body: Body,
    bound: &Bound,
    buffered: &'a Buffered,
) -> Result<Received<'a>, Box<Problem>> {
    let deadline = Instant::now() + bound.timeout;
    let mut share = Share { of: buffered, bytes: 0 };
    let collected = timeout_at(deadline, collect(&mut body, bound, &mut share)).await;
    match collected {
        Ok(Ok(bytes)) => Ok(Received { bytes, _share: share }),
        Ok(Err(problem)) => {
            drop(share);
            // Also of one that broke off: then there is nothing left to read.
            if !bound.expects {
                drain(body, deadline).await;
            }
            Err(problem)
        }
        Err(_) => {
            let what = format!("the body did not come in within {:?}", bound.timeout);
            Err(Problem::new(Kind::BodyTimeout, what).closing())
        }
    }
}

async fn collect(body: &mut Body, bound: &Bound, share: &mut Share<'_>) -> Result<Bytes, Box<Problem>> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > bound.bytes {
        return Err(too_large(bound));
    }
    let mut whole = Bytes::new();
    let mut pieces: Option<BytesMut> = None;
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let Ok(piece) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
        share.grow(piece.len(), bound.together)?;
        if share.bytes > bound.bytes {
            return Err(too_large(bound));
        }
        if whole.is_empty() {
            whole = piece;
            continue;
        }
        let pieces = pieces.get_or_insert_with(|| {
            let mut pieces = BytesMut::with_capacity(announced.min(RESERVED_BYTES));
            pieces.extend_from_slice(&whole);
            pieces
        });
        pieces.extend_from_slice(&piece);
    }
    Ok(match pieces {
        Some(pieces) => pieces.freeze(),
        None if whole.len() < COPIED_BELOW => Bytes::copy_from_slice(&whole),
        None => whole,
    })
}

/// Reads the body of a request that was refused before its end, and throws it away. Whoever sends all of a request
/// before looking at the answer would otherwise only see a connection that was reset.
async fn drain(mut body: Body, deadline: Instant) {
    let all = async {
        let mut drained = 0;
        while drained < DRAINED_BYTES {
            let Some(Ok(frame)) = body.frame().await else { return };
            drained += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    // Whether it works out or not, the answer is the same.
    let _ = timeout_at(deadline, all).await;
}

/// Does that for a request that is refused by its head.
pub(crate) async fn refuse(headers: &HeaderMap, body: Body, within: Duration) {
    // Who waits for a word before sending the body gets the answer instead of it.
    if !headers.contains_key(header::EXPECT) {
        drain(body, Instant::now() + within).await;
    }
}

/// A body that stays behind for whoever waits at its slot, when it is dropped before its end.
pub(crate) struct Lent {
    body: Option<Body>,
    slot: Arc<Mutex<Option<Body>>>,
}

/// Where a body is found again that was not read to its end.
pub(crate) struct Slot(Arc<Mutex<Option<Body>>>);

impl Slot {
    /// What was left of the body, once whoever it was lent to is done.
    pub(crate) fn left(&self) -> Option<Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Lends a body out.
pub(crate) fn lend(body: Body) -> (Body, Slot) {
    let slot = Arc::new(Mutex::new(None));
    (Body::new(Lent { body: Some(body), slot: slot.clone() }), Slot(slot))
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.as_ref().map_or_else(|| http_body::SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| !body.is_end_stream());
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = left;
    }
}

#[cold]
fn too_large(bound: &Bound) -> Box<Problem> {
    let (what, advice) = match bound.kind {
        Kind::BatchTooLarge => ("batch", "send it in parts"),
        Kind::BodyTooLarge => ("body", "it needs a few names only"),
        Kind::SettingsTooLarge => ("body", "a destination's settings have to fit"),
        _ => ("event", "keep large data elsewhere and send a reference to it"),
    };
    let detail = format!("the {what} has more than {} bytes, which is the most that is taken; {advice}", bound.bytes);
    Problem::new(bound.kind, detail).closing()
}

#[cold]
fn broken(error: &axum::Error) -> Box<Problem> {
    Problem::new(Kind::BodyBroken, format!("the body broke off: {error}")).closing()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::convert::Infallible;

    fn bound() -> Bound {
        Bound {
            bytes: 10,
            kind: Kind::EventTooLarge,
            together: 2 * COPIED_BELOW,
            timeout: Duration::from_secs(5),
            expects: false,
        }
    }

    fn in_pieces(pieces: &[&'static str]) -> Body {
        let pieces: Vec<_> =
            pieces.iter().map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece.as_bytes()))).collect();
        Body::from_stream(stream::iter(pieces))
    }

    #[tokio::test]
    async fn of_bodies_in_one_piece_only_a_small_one_is_copied() {
        let bound = Bound { bytes: COPIED_BELOW, ..bound() };
        let buffered = Buffered::default();
        for (length, is_copied) in [(COPIED_BELOW - 1, true), (COPIED_BELOW, false)] {
            let sent = Bytes::from(vec![b'x'; length]);
            let received = receive(Body::from(sent.clone()), &bound, &buffered).await.ok().unwrap();
            assert_eq!(received.bytes, sent);
            assert_eq!(received.bytes.as_ptr() != sent.as_ptr(), is_copied, "{length}");
        }
    }

    #[tokio::test]
    async fn pieces_are_put_together_up_to_the_bound() {
        let buffered = Buffered::default();
        for (pieces, whole) in [(&["01", "", "23", "456789"][..], "0123456789"), (&["", "a"], "a"), (&[], "")] {
            let received = receive(in_pieces(pieces), &bound(), &buffered).await.ok().unwrap();
            assert_eq!(received.bytes, whole);
        }
        let refused = receive(in_pieces(&["0123456789", "x"]), &bound(), &buffered).await.err().unwrap();
        assert_eq!(refused.kind, Kind::EventTooLarge);
        assert_eq!(buffered.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn all_bodies_together_are_bounded_and_give_their_room_back() {
        let (buffered, bound) = (Buffered::default(), Bound { together: 12, ..bound() });
        let first = receive(in_pieces(&["01234567"]), &bound, &buffered).await.ok().unwrap();
        let refused = receive(in_pieces(&["01234"]), &bound, &buffered).await.err().unwrap();
        assert_eq!(refused.kind, Kind::Overloaded);
        drop(first);
        assert!(receive(in_pieces(&["01234"]), &bound, &buffered).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let body = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let buffered = Buffered::default();
        let refused = receive(body, &bound(), &buffered).await.err().unwrap();
        assert_eq!((refused.kind, refused.body.status), (Kind::BodyTimeout, 408));
    }
}
