//! A host that receives webhooks, and how it misbehaves.

use super::plan::{Mood, REJECTED};
use super::story::{Place, Story, What};
use super::{PORT, SECRET, data_of};
use crate::simulation::chance::Chance;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use laneway_domain::Timestamp;
use laneway_domain::receiver::{Arrival, LastSeenByKey, TIMESTAMP_HEADER, Verifier};
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
        // One that breaks has been broken on purpose.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
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
        let Some((place, arrival)) = self.arrived(&head.headers, &body.to_bytes()) else { return answer(400) };
        let (takes, doing) = self.draw();
        sleep(takes).await;
        let to = self.number;
        match doing {
            Doing::Hang => {
                self.story.text(format!("r{to} hangs over {}/{}", place.0, place.1));
                std::future::pending().await
            }
            Doing::Answer(status) => {
                let effect = (200..300).contains(&status) && self.takes_effect(&arrival);
                self.story.happened(What::Answered { to, place, status, effect });
                answer(status)
            }
            Doing::Lose => {
                let effect = self.takes_effect(&arrival);
                self.story.happened(What::Answered { to, place, status: 200, effect });
                self.story.text(format!("r{to} loses that answer"));
                Err(lost())
            }
        }
    }

    /// As a receiver should: one number per key, remembered with the effect.
    fn takes_effect(&self, arrival: &Arrival) -> bool {
        self.with(|_, seen| seen.is_new(&arrival.remembered_as(), arrival.sequence, arrival.redrive))
    }

    fn arrived(&self, headers: &HeaderMap, body: &Bytes) -> Option<(Place, Arrival)> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let to = self.number;
        let arrival = match Arrival::of_headers(header) {
            Ok(arrival) => arrival,
            Err(error) => {
                let (place, id, key) = ((u32::MAX, 0), String::new(), String::new());
                let wrong = Some(error.to_string());
                self.story.happened(What::Arrived { to, place, id, key, attempt: 0, wrong });
                return None;
            }
        };
        let place = (arrival.sequence.partition.0, arrival.sequence.offset.0);
        let key = arrival.key.clone().unwrap_or_default();
        // Signatures have the real time; so it is kept out of the story.
        let signed_at = header(TIMESTAMP_HEADER).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let wrong = match self.verifier.verify(header, body, Timestamp::from_millis(signed_at * 1000)) {
            Err(error) => Some(error.to_string()),
            Ok(()) if *body != data_of(&arrival.id) => Some("the body is not the event's".to_owned()),
            Ok(()) => None,
        };
        let (id, attempt) = (arrival.id.clone(), arrival.attempt);
        self.story.happened(What::Arrived { to, place, id, key, attempt, wrong });
        Some((place, arrival))
    }
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
