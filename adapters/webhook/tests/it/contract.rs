//! The port's contract, against a receiver that does as a script says.

use crate::events::{config, event};
use async_trait::async_trait;
use laneway_domain::{Event, EventId};
use laneway_ports::contract::sink::{Answer, SinkSubject};
use laneway_webhook::{WebhookConfig, WebhookSink};
use std::collections::BTreeMap;
use std::time::Duration;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// The deadline of an attempt; a receiver that hangs answers long after it.
const TIMEOUT: Duration = Duration::from_millis(400);

struct Scripted {
    server: MockServer,
    sink: WebhookSink,
    script: BTreeMap<EventId, Answer>,
}

fn id(request: &Request) -> EventId {
    EventId::new(request.headers["ce-id"].to_str().unwrap()).unwrap()
}

#[async_trait]
impl SinkSubject for Scripted {
    type Sink = WebhookSink;

    async fn create(script: BTreeMap<EventId, Answer>) -> Self {
        let server = MockServer::start().await;
        let answers = script.clone();
        let answer = move |request: &Request| match answers.get(&id(request)) {
            Some(Answer::Fail) => ResponseTemplate::new(500),
            Some(Answer::Hang) => ResponseTemplate::new(200).set_delay(TIMEOUT * 100),
            Some(Answer::Take) | None => ResponseTemplate::new(200),
        };
        Mock::given(method("POST")).respond_with(answer).mount(&server).await;
        let sink = WebhookSink::new(WebhookConfig { timeout: TIMEOUT, ..config(server.uri()) }).unwrap();
        Self { server, sink, script }
    }

    fn sink(&self) -> &WebhookSink {
        &self.sink
    }

    async fn taken(&self) -> Vec<Event> {
        let requests = self.server.received_requests().await.unwrap();
        let taken =
            requests.into_iter().filter(|request| matches!(self.script.get(&id(request)), None | Some(Answer::Take)));
        taken.map(|request| Event { id: id(&request), data: request.body.into(), ..event("x") }).collect()
    }
}

laneway_ports::sink_contract!(Scripted, #[tokio::test]);
