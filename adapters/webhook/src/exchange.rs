//! One request and its answer, within one deadline.

use crate::answer::{Answer, Judge};
use crate::client::{ByClient, SharedClient};
use crate::connect::{ConnectError, Connector};
use crate::frames::Became;
use crate::hand_over::Place;
use crate::http1::Head;
use crate::limits::{MAX_INTERIM_ANSWERS, PoolOptions, Until};
use crate::pool::{Got, Pool};
use bytes::Bytes;
use http::header::{HOST, HeaderValue, InvalidHeaderValue};
use http::uri::Scheme;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use laneway_domain::{Answered, Cause, End, Outcome, REST_OF_ANSWER};
use laneway_egress::{Dial, GaveWay, gave_way};
use laneway_ports::{TestReport, TestedAnswer, is_shortage};
use laneway_tls::tls_error_in_words;
use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The most of an answer that is read. An answer that ends within it leaves its connection usable;
/// a longer one costs its connection.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Which part of an exchange's time a request may wait for a stream: beyond it, what is left for the receiver
/// would be too little to call it slow.
const MAX_QUEUED: u32 = 2;

/// Makes the exchanges of one destination, over connections of its own.
///
/// A request is sent again in one case only: when a reused connection turned out to be closed before any of the request
/// was handed to it. That is no second attempt, since nothing was sent. Once a request may have been written, whatever
/// happens is an outcome.
pub(crate) struct Exchange<D: Dial> {
    http1: Pool<D>,
    /// For a receiver that speaks HTTP/2; made for the first of it, as most do not.
    client: OnceLock<Box<SharedClient<D>>>,
    options: PoolOptions,
    /// Whether that one does: the settings say so, or its last connection has.
    speaks_http2: AtomicBool,
    connector: Arc<Connector<D>>,
    timeout: Duration,
    judge: Judge,
    uri: Uri,
    /// The destination's path, as HTTP/1 has it in its first line, and its host.
    path: Uri,
    host: HeaderValue,
}

impl<D: Dial> Exchange<D> {
    /// # Errors
    /// If `uri` has a host that a header cannot carry.
    pub(crate) fn new(
        uri: &Uri,
        connector: Connector<D>,
        options: PoolOptions,
        timeout: Duration,
        judge: Judge,
    ) -> Result<Self, InvalidHeaderValue> {
        let connector = Arc::new(connector);
        Ok(Self {
            http1: Pool::new(Arc::clone(&connector), options.max_idle, options.idle_timeout, timeout),
            client: OnceLock::new(),
            speaks_http2: AtomicBool::new(options.http2_only),
            options,
            connector,
            timeout,
            judge,
            uri: uri.clone(),
            path: uri.path_and_query().cloned().map_or_else(|| Uri::from_static("/"), Uri::from),
            host: host(uri)?,
        })
    }

    fn client(&self) -> &SharedClient<D> {
        let new = || Box::new(SharedClient::new(Arc::clone(&self.connector), &self.options, self.timeout));
        self.client.get_or_init(new)
    }

    /// What judges the answers, and knows what nobody is to see.
    pub(crate) const fn judge(&self) -> &Judge {
        &self.judge
    }

    /// The same, to be changed before the first exchange.
    pub(crate) const fn judge_mut(&mut self) -> &mut Judge {
        &mut self.judge
    }

    /// The deadline of an exchange that begins now.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Sends `request`, and says what came of it, at the deadline at the latest. `fresh`: over a connection
    /// that was never used before. Beside it what the receiver answered, for the history.
    pub(crate) async fn outcome(
        &self,
        request: Request<Full<Bytes>>,
        fresh: bool,
        until: Until<'_>,
    ) -> (Outcome, Answered) {
        let seen = Seen(Mutex::default());
        let outcome = self.witnessed(request, fresh, until, &seen).await;
        (outcome, seen.0.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same, over a connection of its own, with the answer as people may see it.
    pub(crate) async fn tested(&self, request: Request<Full<Bytes>>, until: Until<'_>) -> TestReport {
        let noted = Noted(Mutex::default());
        let outcome = self.witnessed(request, true, until, &noted).await;
        TestReport { outcome, answer: noted.0.into_inner().unwrap_or_else(PoisonError::into_inner) }
    }

    async fn witnessed<W: Witness>(
        &self,
        request: Request<Full<Bytes>>,
        fresh: bool,
        until: Until<'_>,
        witness: &W,
    ) -> Outcome {
        let request = if self.speaks_http2.load(Ordering::Relaxed) {
            request
        } else {
            match self.over_http1(request, fresh, until, witness).await {
                Ok(outcome) => return outcome,
                Err(back) => self.for_client(back),
            }
        };
        let deadline = until.deadline;
        if Instant::now() >= deadline {
            return self.never_sent();
        }
        let patience = self.timeout / MAX_QUEUED;
        match self.client().exchange(request, fresh, patience, until).await {
            ByClient::Answer(answer, place) => self.judged(answer, place, deadline, witness).await,
            ByClient::Failed { error, place, had_connection } => self.failed(&error, place, had_connection, witness),
            ByClient::GaveWay => retry(Cause::Shortage, GaveWay.to_string()),
            ByClient::Storm => storm(),
            ByClient::LeaveEnded => Outcome::NotTried,
            ByClient::StatusAlone(status, place) => self.status_alone(status, &place, witness),
            ByClient::Queued => {
                let why = format!("the receiver's connection took no further request within {patience:?}");
                retry(Cause::Queued, why)
            }
            ByClient::Late(place) => match status_at(place.clone()) {
                Some((status, place)) => self.status_alone(status, &place, witness),
                None if place.is_none() => self.never_sent(),
                None => self.late(),
            },
        }
    }

    /// The same over HTTP/1. The request comes back if the receiver turns out to speak HTTP/2.
    async fn over_http1<W: Witness>(
        &self,
        request: Request<Full<Bytes>>,
        fresh: bool,
        Until { deadline, delivery }: Until<'_>,
        witness: &W,
    ) -> Result<Outcome, Request<Full<Bytes>>> {
        let mut request = request;
        loop {
            let got = if fresh { self.http1.open(deadline).await } else { self.http1.get(deadline).await };
            let mut connection = match got {
                Got::Http1(connection) => connection,
                Got::Http2(io) => {
                    // Whoever learns it first has the client's first connection. Another one would wait there, and be
                    // stale when it is wanted.
                    let is_first = !self.speaks_http2.swap(true, Ordering::Relaxed);
                    if let Some(io) = io.filter(|_| is_first) {
                        self.client().take_over(io);
                    }
                    return Err(request);
                }
                Got::Failed(error) => return Ok(self.failed(&error, None, false, witness)),
                Got::Late => return Ok(self.never_sent()),
            };
            if Instant::now() >= deadline {
                // Nobody waits for the answer any more: this machine stood still, or was too slow.
                self.http1.put(connection);
                return Ok(self.never_sent());
            }
            if !delivery.may_be_sent() {
                self.http1.put(connection);
                return Ok(Outcome::NotTried);
            }
            let (place, was_used) = (connection.next_place(), connection.was_used());
            let outcome = match connection.head(self.for_http1(request), &place, deadline).await {
                Head::Answer(answer) => {
                    let judged = self.judged(answer, Some(place), deadline, witness);
                    let outcome = connection.along(judged).await;
                    self.http1.put(connection);
                    outcome
                }
                // It had been idle, and its end was not heard of yet.
                Head::NotTaken(back, _) if was_used => {
                    request = back;
                    continue;
                }
                Head::NotTaken(_, error) => self.failed(&error, None, true, witness),
                Head::Failed(error) => self.failed(&error, Some(place), true, witness),
                Head::Storm => storm(),
                Head::StatusAlone(status) => self.status_alone(status, &place, witness),
                Head::Late => self.late(),
            };
            return Ok(outcome);
        }
    }

    /// The request as it is written: with the path alone in its first line, and the host among the headers.
    fn for_http1(&self, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
        *request.uri_mut() = self.path.clone();
        request.headers_mut().insert(HOST, self.host.clone());
        request
    }

    /// The request as the client wants it, which writes of the URI what has to be written.
    fn for_client(&self, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().remove(HOST);
        request
    }

    fn late(&self) -> Outcome {
        retry(Cause::Unanswered, format!("no answer within {:?}", self.timeout))
    }

    /// No connection took the request in all the time that it had.
    fn never_sent(&self) -> Outcome {
        let why = format!("no connection within {:?}", self.timeout);
        // Where every place is taken, that is our own bound's doing.
        let crowded = self.connector.route.is_crowded();
        retry(if crowded { Cause::Shortage } else { Cause::NotConnected }, why)
    }

    /// A success is one by its status: the receiver has said so, whatever becomes of the rest of
    /// its answer. The rest is read so that the connection can be used again, for a short time.
    async fn judged<W: Witness>(
        &self,
        response: Response<Incoming>,
        place: Option<Place>,
        deadline: Instant,
        witness: &W,
    ) -> Outcome {
        let (head, body) = response.into_parts();
        let until = deadline.min(Instant::now() + End::Delivered.meaning().rest);
        if head.version == http::Version::HTTP_2
            && let Some(place) = &place
        {
            place.wire.answered_http2();
        }
        let mut kept = Vec::new();
        if head.status.is_success() {
            if !body.is_end_stream() {
                let _ = timeout_at(until, read(body, W::KEEPS.then_some(&mut kept))).await;
            }
            witness.saw(&self.judge, || Answer { status: head.status, headers: HeaderMap::new(), body: kept });
            return match place {
                Some(place) => confirmed(head.status, &place, deadline).await,
                None => too_early(head.status),
            };
        }
        // Whatever was read by then is what the reason quotes.
        let _ = timeout_at(until, read(body, Some(&mut kept))).await;
        let answer = Answer { status: head.status, headers: head.headers, body: kept };
        let outcome = self.judge.outcome(&answer);
        witness.saw(&self.judge, || answer);
        outcome
    }

    /// What a final status means of whose answer nothing else can be used.
    fn status_alone<W: Witness>(&self, status: StatusCode, place: &Place, witness: &W) -> Outcome {
        witness.saw(&self.judge, || Answer { status, headers: HeaderMap::new(), body: Vec::new() });
        if !status.is_success() {
            return self.judge.outcome(&Answer { status, headers: HeaderMap::new(), body: Vec::new() });
        }
        if place.became() == Some(Became::Whole) { Outcome::Delivered } else { too_early(status) }
    }

    /// What an exchange means that the client could not bring to its end. `had_connection`: it was to go over a
    /// connection that was there.
    fn failed<W: Witness>(
        &self,
        error: &(dyn Error + 'static),
        place: Option<Place>,
        had_connection: bool,
        witness: &W,
    ) -> Outcome {
        if had_connection && place.is_none() && cause(error, false) == Cause::Unanswered {
            // It was still waiting for its turn or its stream: nothing of it was sent.
            return retry(Cause::Queued, describe(error));
        }
        if let Some((status, place)) = status_at(place.clone()) {
            return self.status_alone(status, &place, witness);
        }
        let stale = place.is_some_and(|place| place.wire.went_stale(place.number));
        retry(cause(error, stale), describe(error))
    }
}

/// Somebody who wants to know of the answer more than what it means.
trait Witness: Sync {
    /// Whether the body of a success is looked at too.
    const KEEPS: bool;

    fn saw(&self, judge: &Judge, answer: impl FnOnce() -> Answer);
}

/// Notes what the history tells of an event's delivery.
struct Seen(Mutex<Answered>);

impl Witness for Seen {
    const KEEPS: bool = false;

    fn saw(&self, judge: &Judge, answer: impl FnOnce() -> Answer) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = judge.told(&answer());
    }
}

/// Notes what a tester is shown.
struct Noted(Mutex<Option<TestedAnswer>>);

impl Witness for Noted {
    const KEEPS: bool = true;

    fn saw(&self, judge: &Judge, answer: impl FnOnce() -> Answer) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(judge.shown(&answer()));
    }
}

/// Which end of an attempt an error of the client is.
fn cause(error: &(dyn Error + 'static), stale: bool) -> Cause {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(connect) = error.downcast_ref::<ConnectError>() {
            return if connect.is_shortage() { Cause::Shortage } else { Cause::NotConnected };
        }
        // A connection that gave way to another one did so for want of places, before anything was sent.
        if error.downcast_ref::<io::Error>().is_some_and(|error| is_shortage(error) || gave_way(error)) {
            return Cause::Shortage;
        }
        if let Some(h2) = error.downcast_ref::<h2::Error>() {
            let refused = h2.is_reset() && h2.reason() == Some(h2::Reason::REFUSED_STREAM);
            // Only streams above the last one that it names fail by a GOAWAY; the others go on.
            if h2.is_remote() && (refused || h2.is_go_away()) {
                return Cause::Unprocessed;
            }
        }
        next = error.source();
    }
    if stale { Cause::StaleConnection } else { Cause::Unanswered }
}

fn status_at(place: Option<Place>) -> Option<(StatusCode, Place)> {
    let place = place?;
    Some((place.wire.status(place.number)?, place))
}

/// A 2xx confirms what was sent whole, or of what the receiver said that it is enough. One that comes before has a
/// moment for the rest to follow, within the attempt's deadline.
async fn confirmed(status: StatusCode, place: &Place, deadline: Instant) -> Outcome {
    let became = place.wire.until(|_| place.became());
    match timeout_at(deadline.min(Instant::now() + REST_OF_ANSWER), became).await {
        Ok(Became::Whole | Became::Enough) => Outcome::Delivered,
        Ok(Became::Stopped) | Err(_) => too_early(status),
    }
}

fn too_early(status: StatusCode) -> Outcome {
    retry(Cause::Unanswered, format!("the receiver answered {status} before it had the whole request"))
}

/// Reads `body` to its end or to the bound.
async fn read(mut body: Incoming, mut kept: Option<&mut Vec<u8>>) {
    if body.size_hint().lower() > MAX_ANSWER_BYTES as u64 && kept.is_none() {
        return;
    }
    let mut count = 0;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else { continue };
        let room = MAX_ANSWER_BYTES - count;
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(&data[..data.len().min(room)]);
        }
        count += data.len();
        if count > MAX_ANSWER_BYTES {
            return;
        }
    }
}

fn storm() -> Outcome {
    retry(Cause::Unanswered, format!("more than {MAX_INTERIM_ANSWERS} interim answers (1xx) and no final one"))
}

/// The host as a request names it: with the port, unless that is what the scheme means anyway (RFC 9110, section 7.2).
fn host(uri: &Uri) -> Result<HeaderValue, InvalidHeaderValue> {
    let usual = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    let host = uri.host().unwrap_or_default();
    match uri.port_u16().filter(|port| *port != usual) {
        Some(port) => HeaderValue::try_from(format!("{host}:{port}")),
        None => HeaderValue::try_from(host),
    }
}

fn retry(cause: Cause, reason: String) -> Outcome {
    Outcome::retry(cause, reason)
}

/// The error as a person needs it: where a connection could not be made, why; otherwise what
/// hyper says, cause by cause. None of it contains anything of the request.
fn describe(error: &(dyn Error + 'static)) -> String {
    const FAILED: &str = "the connection failed before an answer came";
    let mut texts = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(connect) = error.downcast_ref::<ConnectError>() {
            return connect.to_string();
        }
        if let Some(why) = error.downcast_ref::<io::Error>().and_then(|error| tls_error_in_words(error)) {
            return format!("{FAILED}: {why}");
        }
        texts.push(error.to_string());
        next = error.source();
    }
    format!("{FAILED}: {}", texts.join(": "))
}
