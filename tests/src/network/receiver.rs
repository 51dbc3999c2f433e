//! A host that receives webhooks, and how it misbehaves.

use super::happenings::{HANGS, LOSES};
use super::plan::{Mood, REJECTED};
use super::story::{Got, Place, Story, What};
use super::{PORT, SECRET, data_of};
use crate::seeded::Chance;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use laneway_domain::Timestamp;
use laneway_domain::receiver::{Arrival, CloudEventMembers, LastSeenByKey, Verifier};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::sleep;
use turmoil::net::{TcpListener, TcpStream};

/// What survives a crash of the receiver: what it has taken, and what it will do.
pub(super) struct Receiver {
    number: usize,
    mood: Mood,
    story: Story,
    verifier: Verifier,
    healed: AtomicBool,
    state: Mutex<(Chance, LastSeenByKey)>,
}

/// What a receiver does with a request.
enum Doing {
    Answer(u16),
    Lose,
    Hang,
}

impl Receiver {
    pub(super) fn new(number: usize, mood: Mood, story: Story, chance: Chance) -> Self {
        let verifier = Verifier::new([SECRET]).expect("a good secret");
        let state = Mutex::new((chance, LastSeenByKey::new()));
        Self { number, mood, story, verifier, healed: AtomicBool::new(false), state }
    }

    pub(super) fn heal(&self) {
        self.healed.store(true, Ordering::SeqCst);
    }

    fn with<T>(&self, act: impl FnOnce(&mut Chance, &mut LastSeenByKey) -> T) -> T {
        let (chance, seen) = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        act(chance, seen)
    }

    /// Receives until it is dropped.
    pub(super) async fn live(self: Arc<Self>) -> turmoil::Result {
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(self.clone().connection(stream));
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(|request| self.clone().take(request));
        let mut server = auto::Builder::new(TokioExecutor::new());
        // The real time is kept out of what is sent: not all dates are equally long in HTTP/2.
        server.http1().auto_date_header(false);
        server.http2().auto_date_header(false);
        // One that breaks has been broken on purpose.
        let _ = server.serve_connection(TokioIo::new(stream), service).await;
    }

    fn draw(&self) -> (Duration, Doing) {
        if self.healed.load(Ordering::SeqCst) {
            return (Duration::ZERO, Doing::Answer(200));
        }
        let mood = &self.mood;
        self.with(|chance, _| {
            let takes = Duration::from_millis(chance.below(mood.slow + 1));
            let mut one_in = |n: u64| n > 0 && chance.one_in(n);
            let doing = if one_in(mood.fails) {
                Doing::Answer([500, 503, 429][chance.below(3) as usize])
            } else if one_in(mood.hangs) {
                Doing::Hang
            } else if one_in(mood.loses) {
                Doing::Lose
            } else if one_in(mood.rejects) {
                Doing::Answer(REJECTED)
            } else {
                Doing::Answer([200, 204][chance.below(2) as usize])
            };
            (takes, doing)
        })
    }

    async fn take(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return Err(lost()) };
        let Some(arrivals) = self.arrived(&head.headers, &body.to_bytes()) else { return answer(400) };
        let (takes, doing) = self.draw();
        sleep(takes).await;
        match doing {
            Doing::Hang => {
                self.story.count(HANGS);
                self.story.text(format!("r{} hangs over {}", self.number, arrivals[0].id));
                std::future::pending().await
            }
            Doing::Answer(status) => {
                self.answers(&arrivals, status);
                answer(status)
            }
            Doing::Lose => {
                self.answers(&arrivals, 200);
                self.story.count(LOSES);
                self.story.text(format!("r{} loses that answer", self.number));
                Err(lost())
            }
        }
    }

    /// As a receiver should: one number per key, remembered with the effect.
    fn answers(&self, arrivals: &[Arrival], status: u16) {
        let good = (200..300).contains(&status);
        let takes_effect = |arrival: &Arrival| {
            self.with(|_, seen| seen.is_new(&arrival.remembered_as(), arrival.sequence, arrival.occasion()))
        };
        let events = arrivals.iter().map(|arrival| (place(arrival), good && takes_effect(arrival))).collect();
        self.story.happened(What::Answered { to: self.number, events, status });
    }

    /// Reads what has come. `None`: it is not what Laneway sends.
    fn arrived(&self, headers: &HeaderMap, body: &Bytes) -> Option<Vec<Arrival>> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let now = turmoil::sim_elapsed().unwrap_or_default();
        let now = Timestamp::from_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
        let verified = self.verifier.verify(header, body, now);
        let read = match header("content-type") {
            Some("application/cloudevents-batch+json") => batch(body),
            _ => Arrival::of_headers(header).map(|one| vec![(one, body.clone())]).map_err(|error| error.to_string()),
        };
        let (arrivals, wrong) = match (verified, read) {
            (Err(error), _) => (Vec::new(), Some(error.to_string())),
            (Ok(()), Err(error)) => (Vec::new(), Some(error)),
            (Ok(()), Ok(read)) => {
                let other = read.iter().find(|(arrival, data)| *data != data_of(&arrival.id));
                let wrong = other.map(|(arrival, _)| format!("{} has another event's data", arrival.id));
                (read.into_iter().map(|(arrival, _)| arrival).collect(), wrong)
            }
        };
        let got = |arrival: &Arrival| Got {
            place: place(arrival),
            id: arrival.id.clone(),
            key: arrival.key.clone().unwrap_or_default(),
            attempt: arrival.attempt,
        };
        let events = arrivals.iter().map(got).collect();
        self.story.happened(What::Arrived { to: self.number, events, wrong });
        (!arrivals.is_empty()).then_some(arrivals)
    }
}

fn place(arrival: &Arrival) -> Place {
    (arrival.sequence.partition.0, arrival.sequence.offset.0)
}

/// The events of a batch, each with its data.
fn batch(body: &[u8]) -> Result<Vec<(Arrival, Bytes)>, String> {
    // Data is kept byte for byte, which a flattened reader would not do; so it is read twice.
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let members: Vec<CloudEventMembers> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let data: Vec<Data<'_>> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let one = |(members, data): (CloudEventMembers, Data<'_>)| {
        let arrival = Arrival::try_from(members).map_err(|error| error.to_string())?;
        Ok((arrival, Bytes::copy_from_slice(data.data.get().as_bytes())))
    };
    members.into_iter().zip(data).map(one).collect()
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the answer is lost")
}

fn answer(status: u16) -> io::Result<Response<Full<Bytes>>> {
    let text = if status == 204 { Bytes::new() } else { Bytes::from_static(b"so it is") };
    let mut response = Response::new(Full::new(text));
    *response.status_mut() = status.try_into().expect("a status");
    if status == 429 {
        response.headers_mut().insert(HeaderName::from_static("retry-after"), HeaderValue::from_static("1"));
    }
    Ok(response)
}
