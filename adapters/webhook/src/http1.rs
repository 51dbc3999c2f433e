//! One HTTP/1 connection, driven by whoever uses it.
//!
//! A client usually gives each connection a task of its own, and hands requests and answers over to it: three wake-ups
//! a delivery. Here whoever makes an attempt polls the connection too, so that the socket wakes it directly. While the
//! connection is idle, its [`crate::pool`] looks after it.

use crate::connect::{Connector, Stream};
use crate::hand_over::Place;
use crate::limits::{MAX_HEAD_BYTES, MAX_INTERIM_ANSWERS};
use crate::wire::{Watched, Wire};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use laneway_domain::REST_OF_ANSWER;
use laneway_egress::{Dial, InUse, Placed};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// What a destination's connections are made of.
pub(crate) type Io<D> = TokioIo<Watched<Stream<Placed<<D as Dial>::Stream>>>>;

/// A connection over which HTTP/1 is spoken.
pub(crate) struct Http1<D: Dial> {
    sender: SendRequest<Full<Bytes>>,
    connection: http1::Connection<Io<D>, Full<Bytes>>,
    wire: Arc<Wire>,
    /// Rings at the deadline of an attempt or before. It is set anew when it rings, and not for each attempt.
    alarm: Pin<Box<Sleep>>,
    has_ended: bool,
    was_used: bool,
    /// As long as somebody has it. Without it the connection may be closed to make room for another one.
    in_use: Option<InUse>,
}

/// A connection without what it takes to speak HTTP over it: buffers of some 16 KiB, which an idle one does not need.
pub(crate) struct Bare<D: Dial> {
    io: Io<D>,
    wire: Arc<Wire>,
}

/// What an exchange comes to, as far as the answer's head.
pub(crate) enum Head {
    Answer(Response<Incoming>),
    /// The connection had ended before it took the request, which is here again.
    NotTaken(Request<Full<Bytes>>, hyper::Error),
    Failed(hyper::Error),
    /// Too many interim answers, and no final one.
    Storm,
    /// The final status has come in. The rest of the head has not, in the time that it had.
    StatusAlone(StatusCode),
    /// The deadline has passed.
    Late,
}

impl<D: Dial> Http1<D> {
    /// Begins to speak HTTP/1, for an attempt that ends at `deadline`. `None` if the connection was told to end, or
    /// hyper cannot; it has no reason not to.
    pub(crate) fn over(Bare { io, wire }: Bare<D>, deadline: Instant) -> Option<Self> {
        let in_use = Some(wire.begin()?);
        let was_used = wire.next() > 1;
        // An answer may have 100 headers, which is hyper's own bound: to say so would cost a tenth of reading one.
        let begun = http1::Builder::new()
            .max_buf_size(MAX_HEAD_BYTES)
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .handshake(io);
        // Nothing is said before the first request, so that there is nothing to wait for.
        let (sender, connection) = begun.now_or_never()?.ok()?;
        let alarm = Box::pin(sleep_until(deadline));
        Some(Self { sender, connection, wire, alarm, has_ended: false, was_used, in_use })
    }

    /// Somebody takes it. Returns whether it can be used: it may have been told to end.
    pub(crate) fn begin(&mut self) -> bool {
        self.in_use = self.wire.begin();
        self.in_use.is_some()
    }

    /// Nobody has it any more.
    pub(crate) fn rest(&mut self) {
        self.in_use = None;
    }

    /// Gives back what an idle connection does not need. `None` if the receiver has said something that nobody asked
    /// for.
    pub(crate) fn bare(self) -> Option<Bare<D>> {
        let parts = self.connection.into_parts();
        parts.read_buf.is_empty().then_some(Bare { io: parts.io, wire: self.wire })
    }

    /// Opens one, or whatever else the receiver chooses to speak.
    pub(crate) async fn open(connector: &Connector<D>) -> Result<Opened<D>, crate::connect::ConnectError> {
        let stream = connector.connect().await?;
        let http1 = !stream.chose_http2();
        let usage = stream.usage().clone();
        let watched = Watched::new(stream, http1, usage);
        let wire = Arc::clone(&watched.wire);
        let io = TokioIo::new(watched);
        Ok(if http1 { Opened::Http1(Bare { io, wire }) } else { Opened::Http2(io) })
    }

    /// Where the next request goes.
    pub(crate) fn next_place(&self) -> Place {
        Place { wire: Arc::clone(&self.wire), number: self.wire.next(), stay: None }
    }

    /// Whether a request has been sent over it.
    pub(crate) const fn was_used(&self) -> bool {
        self.was_used
    }

    /// Looks whether it can take a request. `waker` is told when something comes in, or it ends.
    pub(crate) fn is_ready(&mut self, waker: &Waker) -> bool {
        self.drive(&mut Context::from_waker(waker));
        !self.has_ended && self.sender.is_ready()
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        // How it ended the request hears itself.
        self.has_ended = self.has_ended || Pin::new(&mut self.connection).poll(cx).is_ready();
    }

    /// Does `work`, which waits for something of the connection.
    pub(crate) async fn along<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            self.drive(cx);
            work.as_mut().poll(cx)
        })
        .await
    }

    /// Sends the request as the one of `place`, and waits for the answer's head until `deadline`.
    pub(crate) async fn head(&mut self, request: Request<Full<Bytes>>, place: &Place, deadline: Instant) -> Head {
        self.was_used = true;
        if let Some(length) = request.body().size_hint().exact() {
            self.wire.expect(length);
        }
        let mut answer = pin!(self.sender.try_send_request(request));
        let mut rest = None;
        poll_fn(|cx| {
            self.drive(cx);
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(match answer {
                    Ok(answer) => Head::Answer(answer),
                    Err(mut error) => match error.take_message() {
                        Some(request) => Head::NotTaken(request, error.into_error()),
                        None => Head::Failed(error.into_error()),
                    },
                });
            }
            let seen = place.wire.seen(place.number);
            if let Some(status) = seen.status {
                let rest = rest.get_or_insert_with(|| Box::pin(sleep(REST_OF_ANSWER)));
                if rest.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Head::StatusAlone(status));
                }
            } else if seen.interim > MAX_INTERIM_ANSWERS {
                return Poll::Ready(Head::Storm);
            }
            self.poll_late(deadline, cx).map(|()| seen.status.map_or(Head::Late, Head::StatusAlone))
        })
        .await
    }

    fn poll_late(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if self.alarm.deadline() > deadline {
            self.alarm.as_mut().reset(deadline);
        }
        while self.alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            // It rang for an attempt before this one.
            self.alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// A connection, and what is spoken over it.
pub(crate) enum Opened<D: Dial> {
    Http1(Bare<D>),
    Http2(Io<D>),
}

impl<D: Dial> Bare<D> {
    /// Whether it is still there, and silent. `cx` is told when that changes.
    pub(crate) fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        // Anything ends it: an idle receiver that says something says nonsense.
        Pin::new(self.io.inner_mut()).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_pending()
    }
}
