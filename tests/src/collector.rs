//! A collector of spans inside the test. OpenTelemetry's own definitions read what it gets.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message as _;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long spans may be on their way: they wait for others for a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// A span that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace, in hexadecimal.
    pub trace: String,
    /// Its id, in hexadecimal.
    pub id: String,
    /// What it is under; empty if nothing.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// When it began and ended, in nanoseconds since the Unix epoch.
    pub time: (u64, u64),
    /// Its attributes, as texts.
    pub attributes: BTreeMap<String, String>,
    /// What its status says of an error.
    pub error: Option<String>,
    /// The attribute `laneway.role` of the process that it is from.
    pub role: String,
}

impl Span {
    /// An attribute; empty if it has none of that name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

#[derive(Default)]
struct Inner {
    spans: Mutex<Vec<Span>>,
    came: Notify,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Vec<Span>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A collector that takes everything.
pub struct Collector {
    address: SocketAddr,
    inner: Arc<Inner>,
}

impl Collector {
    /// Starts one on a port of its own. It ends with the test.
    ///
    /// # Panics
    /// If there is no port.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it listens");
        let inner = Arc::<Inner>::default();
        let router = Router::new().route("/v1/traces", post(take)).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, inner }
    }

    /// What `telemetry.otlp` has to say.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that came so far.
    #[must_use]
    pub fn so_far(&self) -> Vec<Span> {
        self.inner.lock().clone()
    }

    /// The spans, once `enough` says so.
    ///
    /// # Panics
    /// If they do not come.
    pub async fn until(&self, what: &str, enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let waited = timeout(PATIENCE, async {
            loop {
                let came = self.inner.came.notified();
                let spans = self.so_far();
                if enough(&spans) {
                    return spans;
                }
                came.await;
            }
        });
        let waited = waited.await;
        waited.unwrap_or_else(|_| panic!("no {what} in {:#?}", self.so_far()))
    }
}

async fn take(State(inner): State<Arc<Inner>>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    let mut came = Vec::new();
    for of_process in request.resource_spans {
        let resource = of_process.resource.map(|resource| texts(&resource.attributes)).unwrap_or_default();
        let role = resource.get("laneway.role").cloned().unwrap_or_default();
        for span in of_process.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            came.push(Span {
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                name: span.name,
                time: (span.start_time_unix_nano, span.end_time_unix_nano),
                attributes: texts(&span.attributes),
                error: span.status.filter(|status| status.code == 2).map(|status| status.message),
                role: role.clone(),
            });
        }
    }
    inner.lock().extend(came);
    inner.came.notify_waiters();
    StatusCode::OK
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), text(&attribute.value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
