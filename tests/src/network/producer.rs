//! A host that produces events: those of a key one after the other, each again until it is accepted.

use super::plan::Plan;
use super::story::{Story, What};
use super::{LANEWAY, PORT, data_of, id_of};
use crate::seeded::Chance;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use turmoil::net::TcpStream;

/// How long a producer waits for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The producer of one key's events.
pub(super) struct Producer {
    pub(super) key: usize,
    pub(super) plan: Arc<Plan>,
    pub(super) chance: Chance,
    pub(super) story: Story,
    /// Keys whose events are not all accepted yet.
    pub(super) left: Arc<AtomicUsize>,
}

#[derive(Deserialize)]
struct Answer {
    id: String,
    partition: u32,
    offset: u64,
    duplicate: bool,
}

pub(super) type Connection = SendRequest<Full<Bytes>>;

impl Producer {
    pub(super) async fn produce(mut self) {
        let mut connection = None;
        for n in 0..self.plan.events_per_key {
            sleep(Duration::from_millis(self.chance.below(self.plan.pace + 1))).await;
            let id = id_of(self.key, n);
            let mut tries = 1;
            while !self.accepted(&id, n, tries, &mut connection).await {
                tries += 1;
                sleep(Duration::from_millis(20 + self.chance.below(400))).await;
            }
        }
        self.left.fetch_sub(1, Ordering::SeqCst);
    }

    async fn accepted(&self, id: &str, n: usize, tries: u32, connection: &mut Option<Connection>) -> bool {
        let answer = timeout(ANSWER_WITHIN, self.send(id, n, connection)).await;
        match answer {
            Ok(Ok((202, body))) => {
                let Ok(answer) = serde_json::from_slice::<Answer>(&body) else {
                    self.story.happened(What::Broken(format!("{id} got a 202 that cannot be read: {body:?}")));
                    return true;
                };
                if answer.id != id {
                    self.story.happened(What::Broken(format!("{id} got the answer of {}", answer.id)));
                }
                let place = (answer.partition, answer.offset);
                let duplicate = answer.duplicate;
                self.story.happened(What::Accepted { id: id.to_owned(), place, duplicate, tries });
                true
            }
            Ok(Ok((status @ (408 | 503), _))) => {
                self.story.text(format!("{id} is answered {status}"));
                false
            }
            Ok(Ok((status, body))) => {
                let body = String::from_utf8_lossy(&body).into_owned();
                self.story.happened(What::Broken(format!("{id} is answered {status}: {body}")));
                false
            }
            Ok(Err(error)) => {
                *connection = None;
                self.story.text(format!("{id} has no answer: {error}"));
                false
            }
            Err(_) => {
                *connection = None;
                self.story.text(format!("{id} has no answer in time"));
                false
            }
        }
    }

    async fn send(
        &self,
        id: &str,
        n: usize,
        connection: &mut Option<Connection>,
    ) -> Result<(u16, Bytes), Box<dyn std::error::Error>> {
        let mut open = match connection.take() {
            Some(open) if !open.is_closed() => open,
            _ => connect().await?,
        };
        open.ready().await?;
        let answer = open.send_request(self.request(id, n)).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        *connection = Some(open);
        Ok((status, body))
    }

    fn request(&self, id: &str, n: usize) -> Request<Full<Bytes>> {
        let kind = if n.is_multiple_of(3) { "other" } else { "order.paid" };
        let data = data_of(id);
        let data = std::str::from_utf8(&data).unwrap_or_default();
        let body = format!(r#"{{"id":"{id}","type":"{kind}","key":"k{}","data":{data}}}"#, self.key);
        Request::post("/v1/events")
            .header(header::HOST, LANEWAY)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.into()))
            .expect("a request")
    }
}

pub(super) async fn connect() -> Result<Connection, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect((LANEWAY, PORT)).await?;
    let (open, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(open)
}
