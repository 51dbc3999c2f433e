//! A host from which an operator has destinations deliver again: now and then while things go wrong, and
//! once in the end, when all of it has to come.

use super::plan::{Plan, TURN};
use super::producer::connect;
use super::story::{Story, What};
use super::{LANEWAY, receiver_name};
use crate::seeded::Chance;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use laneway_domain::Timestamp;
use laneway_memory::Disk;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long an operator waits for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How often it looks whether the end has come, and how long it waits before it asks once more.
const GLANCE: Duration = Duration::from_millis(100);

/// Where the last replay is.
#[derive(Debug, Default)]
pub(super) struct End {
    has_come: AtomicBool,
    is_taken: AtomicBool,
}

impl End {
    /// All is settled, and nothing goes wrong any more.
    pub(super) fn comes(&self) {
        self.has_come.store(true, Ordering::SeqCst);
    }

    /// Whether Laneway has taken the last replay.
    pub(super) fn is_taken(&self) -> bool {
        self.is_taken.load(Ordering::SeqCst)
    }
}

pub(super) struct Operator {
    pub(super) plan: Arc<Plan>,
    pub(super) chance: Chance,
    pub(super) story: Story,
    /// For the time that the store gives its events.
    pub(super) disk: Arc<Disk>,
    pub(super) end: Arc<End>,
}

impl Operator {
    pub(super) async fn operate(mut self) {
        // For about as long as things go wrong.
        let pause = TURN * (self.plan.turns as u64) / (self.plan.replays as u64 + 1);
        for _ in 0..self.plan.replays {
            sleep(Duration::from_millis(self.chance.below(2 * pause + 1))).await;
            self.asks().await;
        }
        while !self.end.has_come.load(Ordering::SeqCst) {
            sleep(GLANCE).await;
        }
        while !self.asks().await {
            sleep(GLANCE).await;
        }
        self.end.is_taken.store(true, Ordering::SeqCst);
    }

    /// Asks for a replay. Whether it was taken.
    async fn asks(&mut self) -> bool {
        let to = self.chance.below(self.plan.destinations.len() as u64) as usize;
        let since = self.moment();
        self.story.happened(What::ReplayAsked { to, since });
        let answer = timeout(ANSWER_WITHIN, send(to, since)).await;
        let (taken, said) = match answer {
            Ok(Ok(200)) => (true, "taken".to_owned()),
            // 409: some partition is nobody's. 503: the store fails.
            Ok(Ok(status @ (408 | 409 | 503))) => (false, format!("answered {status}")),
            Ok(Ok(status)) => {
                self.story.happened(What::Broken(format!("a replay is answered {status}")));
                (false, format!("answered {status}"))
            }
            Ok(Err(error)) => (false, format!("without an answer: {error}")),
            Err(_) => (false, "without an answer in time".to_owned()),
        };
        self.story.happened(What::ReplayEnded { to, taken, said });
        taken
    }

    /// The beginning, or any time until now.
    fn moment(&mut self) -> Option<Timestamp> {
        let since_the_start = u64::try_from(turmoil::sim_elapsed()?.as_millis()).ok()?;
        let back = self.chance.below(since_the_start + 1);
        (!self.chance.one_in(4)).then(|| Timestamp::from_millis(self.disk.now().as_millis().saturating_sub(back)))
    }
}

/// The status of the answer.
async fn send(to: usize, since: Option<Timestamp>) -> Result<u16, Box<dyn std::error::Error>> {
    let mut connection = connect().await?;
    connection.ready().await?;
    let answer = connection.send_request(request(to, since)).await?;
    let status = answer.status().as_u16();
    answer.into_body().collect().await?;
    Ok(status)
}

fn request(to: usize, since: Option<Timestamp>) -> Request<Full<Bytes>> {
    let since = since.map_or_else(|| "beginning".to_owned(), rfc3339);
    Request::post(format!("/v1/destinations/{}/replay", receiver_name(to)))
        .header(header::HOST, LANEWAY)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(format!(r#"{{"since":"{since}"}}"#).into()))
        .expect("a request")
}

fn rfc3339(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).expect("a time of this age").to_string()
}
