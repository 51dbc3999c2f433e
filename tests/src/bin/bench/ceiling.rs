//! The two ceilings: a relay and a client that do the same work without any promise.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::Semaphore;

type Pooled = Client<HttpConnector, Full<Bytes>>;

/// As many as a destination of Laneway has in flight by default.
const IN_FLIGHT: usize = 64;

fn pooled() -> Pooled {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

async fn forward(client: &Pooled, to: &Uri, body: Bytes) -> io::Result<()> {
    let request = Request::post(to).header("content-type", "application/json").body(Full::new(body));
    let response = client.request(request.map_err(io::Error::other)?).await.map_err(io::Error::other)?;
    let success = response.status().is_success();
    response.into_body().collect().await.map_err(io::Error::other)?;
    if success { Ok(()) } else { Err(io::Error::other("the receiver refused")) }
}

struct Relay {
    client: Pooled,
    to: Uri,
    in_flight: Arc<Semaphore>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    event_type: &'a str,
    #[serde(borrow)]
    key: Option<&'a str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Parses the event, answers 202, and forwards its data: no store, no order, no retry.
pub(crate) async fn relay(listen: SocketAddr, to: Uri) -> io::Result<()> {
    let relay = Arc::new(Relay { client: pooled(), to, in_flight: Arc::new(Semaphore::new(IN_FLIGHT)) });
    let app = Router::new().route("/v1/events", post(accept)).with_state(relay);
    let listener = tokio::net::TcpListener::bind(listen).await?;
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true))), app).await
}

async fn accept(State(relay): State<Arc<Relay>>, body: Bytes) -> (StatusCode, &'static str) {
    let Ok(event) = serde_json::from_slice::<Event<'_>>(&body) else { return (StatusCode::BAD_REQUEST, "") };
    if event.event_type.is_empty() || event.key.is_none() {
        return (StatusCode::UNPROCESSABLE_ENTITY, "");
    }
    let data = body.slice_ref(event.data.get().as_bytes());
    let Ok(permit) = Arc::clone(&relay.in_flight).acquire_owned().await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "");
    };
    tokio::spawn(async move {
        forward(&relay.client, &relay.to, data).await.ok();
        drop(permit);
    });
    (StatusCode::ACCEPTED, r#"{"id":"","partition":0,"offset":0,"duplicate":false}"#)
}

/// Posts `events` bodies of `bytes` bytes as fast as `connections` loops can; returns the seconds.
pub(crate) async fn client(to: Uri, events: u64, bytes: usize, connections: u64) -> io::Result<f64> {
    let client = pooled();
    let body = Bytes::from(format!("{{\"pad\":\"{}\"}}", "x".repeat(bytes.saturating_sub(10))));
    let sent = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let one = |(client, to, body, sent): (Pooled, Uri, Bytes, Arc<AtomicU64>)| async move {
        while sent.fetch_add(1, Ordering::Relaxed) < events {
            forward(&client, &to, body.clone()).await?;
        }
        Ok::<(), io::Error>(())
    };
    let clones = || (client.clone(), to.clone(), body.clone(), Arc::clone(&sent));
    let tasks: Vec<_> = (0..connections).map(|_| tokio::spawn(one(clones()))).collect();
    for task in tasks {
        task.await??;
    }
    Ok(started.elapsed().as_secs_f64())
}
