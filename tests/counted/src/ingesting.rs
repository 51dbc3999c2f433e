//! From a request to the stored event: the router, without a connection, over the store in memory.

use crate::sample;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use laneway_domain::{Offset, Partition};
use laneway_http::{Api, CurrentActBounds, Hosts, Limits, Token, Tokens, router};
use laneway_memory::{Disk, MemoryStore, Settings};
use laneway_ports::{EventLog as _, LogRecord};
use std::fmt::Write as _;
use std::sync::Arc;
use tower::ServiceExt as _;

const PARTITIONS: u32 = 4;
const TOKEN: &str = "lw-counted-token";

/// In which form events come.
pub(crate) struct Form {
    path: &'static str,
    content_type: &'static str,
    /// How many come in one request; 0: one, which is no list.
    list_of: usize,
    write: fn(usize, &mut String),
}

pub(crate) const JSON: Form =
    Form { path: "/v1/events", content_type: "application/json", list_of: 0, write: laneway_json };
pub(crate) const CLOUDEVENT: Form =
    Form { path: "/v1/events", content_type: "application/cloudevents+json", list_of: 0, write: cloudevent };
pub(crate) const BATCH: Form =
    Form { path: "/v1/events/batch", content_type: "application/json", list_of: 100, write: laneway_json };

fn laneway_json(n: usize, body: &mut String) {
    let (id, key, data) = (sample::id(n), sample::key(n), sample::DATA);
    let _ = write!(body, r#"{{"id":"{id}","type":"order.paid","key":"{key}","source":"{}","#, sample::SOURCE);
    let _ = write!(body, r#""time":"{}","attributes":{{"region":"eu"}},"data":{data}}}"#, sample::TIME);
}

fn cloudevent(n: usize, body: &mut String) {
    let (id, key, data) = (sample::id(n), sample::key(n), sample::DATA);
    let _ = write!(body, r#"{{"specversion":"1.0","id":"{id}","type":"order.paid","source":"{}","#, sample::SOURCE);
    let _ = write!(body, r#""partitionkey":"{key}","time":"{}","region":"eu","data":{data}}}"#, sample::TIME);
}

/// The bodies of all requests, one after the other.
fn bodies(form: &Form, events: usize) -> impl Iterator<Item = String> + '_ {
    let each = form.list_of.max(1);
    (0..events).step_by(each).map(move |first| {
        let mut body = String::with_capacity(512 * each);
        for n in first..events.min(first + each) {
            body.push(if n == first { '[' } else { ',' });
            (form.write)(n, &mut body);
        }
        if form.list_of == 0 { body.split_off(1) } else { body + "]" }
    })
}

/// Writes the bodies, and sends none: what runs that send them are compared with.
pub(crate) fn written(form: &Form, events: usize) -> usize {
    bodies(form, events).filter(|body| body.contains(sample::DATA)).count()
}

pub(crate) fn run(form: &Form, events: usize) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let store = Arc::new(MemoryStore::open(Disk::new(PARTITIONS), Settings::default()));
        let router = router(api(&store));
        for body in bodies(form, events) {
            let request = Request::post(form.path)
                .header("host", "laneway.example.com")
                .header("content-type", form.content_type)
                .header("authorization", format!("Bearer {TOKEN}"))
                .body(Body::from(body))
                .expect("a request");
            let answer = router.clone().oneshot(request).await.expect("the router answers");
            assert_eq!(answer.status(), StatusCode::ACCEPTED);
            answer.into_body().collect().await.expect("the answer has a body");
        }
        stored(&store).await
    })
}

fn api(store: &Arc<MemoryStore>) -> Api {
    Api {
        log: Some(store.clone()),
        dead_letters: store.clone(),
        operations: None,
        lookup: None,
        destinations: None,
        token_admin: None,
        tenant_admin: None,
        tenant_door: None,
        metrics: Arc::new(String::new),
        spans: None,
        limits: Limits::default().into(),
        tenants: CurrentActBounds::default(),
        tokens: Tokens::of(vec![Token::new(TOKEN).expect("a token")]),
        hosts: Hosts::default(),
    }
}

/// How many of the events the store has as they were sent.
async fn stored(store: &MemoryStore) -> usize {
    let mut count = 0;
    for partition in (0..PARTITIONS).map(Partition) {
        let chunk = store.read(partition, Offset::ZERO, usize::MAX, usize::MAX).await.expect("the store can be read");
        let is_whole = |record: &&LogRecord| match record {
            LogRecord::Event(logged) => logged.event.data == sample::DATA && logged.event.key.is_some(),
            LogRecord::Corrupt { .. } => false,
        };
        count += chunk.records.iter().filter(is_whole).count();
    }
    count
}
