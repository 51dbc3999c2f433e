//! The port's contract, against a real server, in insert mode. (In upsert mode an event is not
//! written at all when a later one of its key is in the batch, so that it cannot fail as the script
//! says; `modes.rs` has what holds there.)

use crate::events::{COLLECTION, collection, documents, sink_at};
use crate::proxy::{Loss, between};
use async_trait::async_trait;
use laneway_domain::{Event, EventId, EventType, Key, Tenant};
use laneway_mongodb::{Mode, MongoSink};
use laneway_ports::contract::sink::{Answer, SinkSubject};
use laneway_servers::mongodb::{MongoOptions, MongoServer};
use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The deadline of an attempt: far more than a healthy one takes here, also on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(3);

struct Scripted {
    server: MongoServer,
    sink: MongoSink,
}

/// Lets documents with these ids fail, and no others: an index of places that covers only them
/// cannot read their type as a place. The server's code for that is none that is given up at once.
async fn refuse(server: &MongoServer, ids: &[&str]) {
    for (place, id) in ids.iter().enumerate() {
        let options = IndexOptions::builder()
            .name(format!("refuse_{place}"))
            .partial_filter_expression(doc! { "data.id": id })
            .build();
        let keys = doc! { "type": "2d" };
        let index = IndexModel::builder().keys(keys).options(options).build();
        collection(server).await.create_index(index).await.unwrap();
    }
}

fn event(document: &Document) -> Event {
    let data = document.get_document("data").unwrap();
    Event {
        id: EventId::new(document.get_str("_id").unwrap()).unwrap(),
        event_type: EventType::new(document.get_str("type").unwrap()).unwrap(),
        tenant: document.get_str("tenant").ok().map(|tenant| Tenant::new(tenant).unwrap()),
        key: document.get_str("key").ok().map(|key| Key::new(key).unwrap()),
        source: None,
        subject: None,
        time: None,
        content_type: document.get_str("contentType").unwrap().into(),
        attributes: [].into(),
        traceparent: None,
        // The suite's data has no white space.
        data: format!("{{\"id\":{:?}}}", data.get_str("id").unwrap()).into(),
    }
}

#[async_trait]
impl SinkSubject for Scripted {
    type Sink = MongoSink;

    async fn create(script: BTreeMap<EventId, Answer>) -> Self {
        // Every check needs a server; without one there is nothing to pass.
        let server = MongoServer::start_own(MongoOptions::default()).await.unwrap();
        let of = |wanted| script.iter().filter(move |(_, answer)| **answer == wanted).map(|(id, _)| id.as_str());
        refuse(&server, &of(Answer::Fail).collect::<Vec<_>>()).await;
        let rules = of(Answer::Hang).map(|id| (crate::proxy::id(id), Loss::Request)).collect();
        let url = between(&server, COLLECTION, Arc::new(rules)).await;
        Self { sink: sink_at(&url, Mode::Insert, TIMEOUT), server }
    }

    fn sink(&self) -> &MongoSink {
        &self.sink
    }

    async fn taken(&self) -> Vec<Event> {
        documents(&self.server).await.iter().map(event).collect()
    }
}

laneway_ports::sink_contract!(Scripted, #[tokio::test]);
