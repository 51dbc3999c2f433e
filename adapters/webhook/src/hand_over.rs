//! Which connection takes a request that a client sends, and from when to when it is in use for that.

use crate::frames::Became;
use crate::wire::Wire;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use hyper_util::client::legacy::connect::CaptureConnection;
use laneway_egress::InUse;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::Notify;

/// Where a request was handed to, once it was.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) wire: Arc<Wire>,
    /// Its number on that connection; of HTTP/2 it says nothing.
    pub(crate) number: u64,
    /// Where a client sends the request.
    pub(crate) stay: Option<Arc<Stay>>,
}

impl Place {
    /// What became of the request, once that is known.
    pub(crate) fn became(&self) -> Option<Became> {
        if self.wire.http2 {
            return self.wire.streams().became(self.stay.as_ref()?.stream?);
        }
        self.wire.sent_whole(self.number).then_some(Became::Whole)
    }
}

/// A request on a connection, from before anything of it is written until nobody wants its answer any more. As long as
/// there is one the connection is in use.
#[derive(Debug)]
pub(crate) struct Stay {
    wire: Arc<Wire>,
    /// Of HTTP/2.
    stream: Option<u32>,
    _in_use: InUse,
}

impl Stay {
    /// `None` if the connection was told to end.
    fn on(wire: &Arc<Wire>) -> Option<Self> {
        // Which number its stream has the connection decides, whether it is told to end or not.
        let stream = wire.http2.then(|| wire.streams().open());
        let Some(in_use) = wire.begin() else {
            stream.into_iter().for_each(|number| wire.streams().forget(number));
            return None;
        };
        Some(Self { wire: Arc::clone(wire), stream, _in_use: in_use })
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.stream.into_iter().for_each(|number| self.wire.streams().forget(number));
    }
}

/// Tells where a request was handed to.
#[derive(Debug, Default)]
pub(crate) struct HandOver {
    state: Mutex<State>,
    happened: Notify,
}

#[derive(Debug, Default)]
struct State {
    place: Option<Place>,
    stay: Option<Arc<Stay>>,
    gave_way: bool,
}

impl HandOver {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that took the request, if one has.
    pub(crate) fn place(&self) -> Option<Place> {
        self.state().place.clone()
    }

    /// Where an answer came from. Over HTTP/2 that may be before the client has asked for the request's body.
    pub(crate) fn answered(&self) -> Option<Place> {
        let state = self.state();
        let on = |stay: &Arc<Stay>| Place {
            wire: Arc::clone(&stay.wire),
            number: stay.wire.next(),
            stay: Some(Arc::clone(stay)),
        };
        state.place.clone().or_else(|| state.stay.as_ref().map(on))
    }

    /// Whether the connection had been told to end, to make room for another one, before it got the request: nothing of
    /// that can have been sent.
    pub(crate) fn gave_way(&self) -> bool {
        self.state().gave_way
    }

    /// Waits until a connection has taken the request.
    pub(crate) async fn happened(&self) -> Place {
        loop {
            let mut happened = std::pin::pin!(self.happened.notified());
            happened.as_mut().enable();
            if let Some(place) = self.place() {
                return place;
            }
            happened.await;
        }
    }

    /// The connection is about to take the request. One that met a closed connection is handed to another one.
    fn stays_on(&self, wire: &Arc<Wire>) {
        let mut state = self.state();
        if state.stay.as_ref().is_none_or(|stay| !Arc::ptr_eq(&stay.wire, wire)) {
            let stay = Stay::on(wire).map(Arc::new);
            state.gave_way = stay.is_none();
            state.stay = stay;
        }
    }

    fn taken_by(&self, wire: Arc<Wire>) {
        let mut state = self.state();
        if state.place.as_ref().is_none_or(|place| !Arc::ptr_eq(&place.wire, &wire)) {
            let (number, stay) = (wire.next(), state.stay.clone());
            state.place = Some(Place { wire, number, stay });
            drop(state);
            self.happened.notify_waiters();
        }
    }
}

/// A request's body. The client looks at it for the first time when a connection takes the request, before
/// anything of it is written: not while the request waits for a connection, or for a stream of one.
///
/// Over HTTP/2 the client asks whether there is a body before the stream is open, and may hold one request back then.
/// It asks for the body itself once the stream has room for it, which only an open one has.
pub(crate) struct WatchedBody {
    pub(crate) body: Full<Bytes>,
    pub(crate) hand_over: Arc<HandOver>,
    pub(crate) connection: CaptureConnection,
}

impl WatchedBody {
    /// The client has asked for the body, or only (`whether_any`) whether there is one.
    fn looked_at(&self, whether_any: bool) {
        let mut extras = http::Extensions::new();
        if let Some(connected) = &*self.connection.connection_metadata() {
            connected.get_extras(&mut extras);
        }
        let Some(wire) = extras.remove::<Arc<Wire>>() else { return };
        self.hand_over.stays_on(&wire);
        let may_wait = whether_any && wire.http2 && !self.body.is_end_stream();
        if !may_wait {
            self.hand_over.taken_by(wire);
        }
    }
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        self.looked_at(false);
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.looked_at(true);
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
