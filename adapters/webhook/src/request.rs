//! One event as a request: CloudEvents binary mode, signed as Standard Webhooks says.

use crate::batch;
use crate::cloudevents::{SPEC_VERSION, rfc3339};
use crate::config::{Credentials, WebhookConfig, WebhookConfigError};
use crate::encode::{cloud_event_value, message_id};
use crate::sequence::{SEQUENCE_HEADER, sequence_text};
use crate::signature::Signer;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use laneway_domain::{DEFAULT_SOURCE, LoggedEvent, TENANT_ATTRIBUTE, Timestamp};
use laneway_ports::Attempted;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("Laneway/", env!("CARGO_PKG_VERSION")));
/// The most headers that a request has besides custom ones and attributes (the pool's `host`
/// and hyper's `content-length` too): room for them all, so that the header map never grows.
const OWN_HEADERS: usize = 19;

static WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
static WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(crate) static WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
static SEQUENCE: HeaderName = HeaderName::from_static(SEQUENCE_HEADER);
static ATTEMPT: HeaderName = HeaderName::from_static("laneway-attempt");
/// What tells a receiver that a dead letter comes once more, after later events of its key: it must
/// not drop it by its sequence, which is the old one.
static REDRIVE: HeaderName = HeaderName::from_static("laneway-redrive");
static REPLAY: HeaderName = HeaderName::from_static("laneway-replay");
/// The trace of the request that brought the event in. A header of that name in the configuration goes before it.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static CE_SPECVERSION: HeaderName = HeaderName::from_static("ce-specversion");
static CE_ID: HeaderName = HeaderName::from_static("ce-id");
static CE_TYPE: HeaderName = HeaderName::from_static("ce-type");
static CE_SOURCE: HeaderName = HeaderName::from_static("ce-source");
static CE_SUBJECT: HeaderName = HeaderName::from_static("ce-subject");
static CE_TIME: HeaderName = HeaderName::from_static("ce-time");
static CE_TENANT: HeaderName = HeaderName::from_static("ce-lanewaytenant");
static CE_PARTITIONKEY: HeaderName = HeaderName::from_static("ce-partitionkey");

/// Headers that belong to the connection or to the message, and are Laneway's to write.
const REFUSED_HEADERS: [&str; 13] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What all requests of one destination have in common, made once.
pub(crate) struct Template {
    uri: Uri,
    /// User agent, custom headers, credentials.
    fixed: Box<[(HeaderName, HeaderValue)]>,
    signer: Signer,
}

impl Template {
    /// # Errors
    /// Names the setting that cannot be used, and why.
    pub(crate) fn new(
        uri: Uri,
        config: &WebhookConfig,
        credentials: Option<&Credentials>,
    ) -> Result<Self, WebhookConfigError> {
        let custom = config.headers.iter().map(|(name, value)| custom_header(name, value.expose()));
        let mut fixed = custom.collect::<Result<Vec<_>, _>>()?;
        if !fixed.iter().any(|(name, _)| name == USER_AGENT) {
            fixed.insert(0, (USER_AGENT, AGENT));
        }
        if let Some(credentials) = credentials {
            if fixed.iter().any(|(name, _)| name == AUTHORIZATION) {
                let why = "there is a header \"authorization\" too; give one of the two";
                return Err(WebhookConfigError::Credentials { why });
            }
            fixed.push((AUTHORIZATION, authorization(credentials)?));
        }
        Ok(Self { uri, fixed: fixed.into(), signer: Signer::new(&config.secrets)? })
    }

    /// The request for one event, at `now` (seconds since the Unix epoch).
    pub(crate) fn single(&self, attempted: &Attempted, now: u64) -> Request<Full<Bytes>> {
        let logged = &*attempted.event;
        let event = &logged.event;
        let mut headers = self.headers(event.attributes.len());
        headers.append(CONTENT_TYPE, content_type(&event.content_type));
        headers.append(&ATTEMPT, HeaderValue::from(attempted.attempt));
        headers.append(&SEQUENCE, sequence(logged));
        if attempted.redrive {
            headers.append(&REDRIVE, HeaderValue::from_static("true"));
        }
        if let Some(number) = attempted.replay {
            headers.append(&REPLAY, HeaderValue::from(number));
        }
        headers.append(&CE_SPECVERSION, HeaderValue::from_static(SPEC_VERSION));
        headers.append(&CE_ID, cloud_event_value(event.id.as_str()));
        headers.append(&CE_TYPE, cloud_event_value(event.event_type.as_str()));
        headers.append(&CE_SOURCE, source(event.source.as_deref()));
        if let Some(time) = event.time.as_deref().map(cloud_event_value).or_else(|| time(logged.accepted_at)) {
            headers.append(&CE_TIME, time);
        }
        if let Some(subject) = &event.subject {
            headers.append(&CE_SUBJECT, cloud_event_value(subject));
        }
        if let Some(tenant) = &event.tenant {
            headers.append(&CE_TENANT, cloud_event_value(tenant.as_str()));
        }
        if let Some(key) = &event.key {
            headers.append(&CE_PARTITIONKEY, cloud_event_value(key.as_str()));
        }
        // One that came in before events had tenants may have an attribute of that name, which nobody has checked.
        for (name, value) in event.attributes.iter().filter(|(name, _)| &***name != TENANT_ATTRIBUTE) {
            if let Ok(name) = HeaderName::try_from(format!("ce-{name}")) {
                headers.append(name, cloud_event_value(&value.text()));
            }
        }
        if let Some(trace) = event.traceparent.filter(|_| !headers.contains_key(&TRACEPARENT))
            && let Ok(trace) = HeaderValue::try_from(trace.to_string())
        {
            headers.append(&TRACEPARENT, trace);
        }
        self.signed(headers, message_id(event.id.as_str()), now, event.data.clone())
    }

    /// The request for several events as one CloudEvents JSON batch, at `now`. Its message id is
    /// made from the events' ids, so that the same batch has the same at every attempt.
    pub(crate) fn batch(&self, events: &[Attempted], now: u64) -> Request<Full<Bytes>> {
        let mut headers = self.headers(0);
        headers.append(CONTENT_TYPE, HeaderValue::from_static(batch::CONTENT_TYPE));
        self.signed(headers, message_id(&batch::id(events)), now, batch::body(events).into())
    }

    fn headers(&self, more: usize) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(OWN_HEADERS + self.fixed.len() + more);
        for (name, value) in &self.fixed {
            headers.append(name, value.clone());
        }
        headers
    }

    /// Puts the Standard Webhooks headers on, and the parts together.
    fn signed(&self, mut headers: HeaderMap, id: HeaderValue, now: u64, body: Bytes) -> Request<Full<Bytes>> {
        if let Some(signature) = self.signer.sign(id.as_bytes(), now, &body) {
            headers.append(&WEBHOOK_SIGNATURE, signature);
        }
        headers.append(&WEBHOOK_ID, id);
        // Also of nothing (RFC 9110, section 8.6): many servers answer 411 to a POST that does not say so.
        headers.append(CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.append(&WEBHOOK_TIMESTAMP, HeaderValue::from(now));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        request
    }
}

fn custom_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), WebhookConfigError> {
    let refused = |why| WebhookConfigError::Header { name: name.to_owned(), why };
    let header = HeaderName::try_from(name).map_err(|_| refused("is not a header name"))?;
    let own = ["webhook-", "ce-", "laneway-"].iter().any(|prefix| header.as_str().starts_with(prefix));
    if own || REFUSED_HEADERS.contains(&header.as_str()) {
        return Err(refused("is set by Laneway itself"));
    }
    let mut value = HeaderValue::try_from(value).map_err(|_| refused("has a value that a header cannot carry"))?;
    value.set_sensitive(true);
    Ok((header, value))
}

fn authorization(credentials: &Credentials) -> Result<HeaderValue, WebhookConfigError> {
    let text = match credentials {
        Credentials::Bearer(token) => format!("Bearer {}", token.expose()),
        Credentials::Basic { user, .. } if user.contains(':') => {
            return Err(WebhookConfigError::Credentials { why: "the user contains a colon (RFC 7617)" });
        }
        Credentials::Basic { user, password } => {
            format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose())))
        }
    };
    let refused = |_| WebhookConfigError::Credentials { why: "the token has characters that a header cannot carry" };
    let mut value = HeaderValue::try_from(text).map_err(refused)?;
    // HTTP/2 then never puts it into a compression table.
    value.set_sensitive(true);
    Ok(value)
}

/// The event's media type as it is. What no header can carry (an event that was never checked) is
/// replaced by the type that claims nothing.
fn content_type(text: &str) -> HeaderValue {
    match text {
        "application/json" => HeaderValue::from_static("application/json"),
        text => {
            HeaderValue::from_bytes(text.as_bytes()).unwrap_or(HeaderValue::from_static("application/octet-stream"))
        }
    }
}

fn source(source: Option<&str>) -> HeaderValue {
    match source {
        Some(source) if !source.is_empty() => cloud_event_value(source),
        _ => HeaderValue::from_static(DEFAULT_SOURCE),
    }
}

fn time(moment: Timestamp) -> Option<HeaderValue> {
    HeaderValue::try_from(rfc3339(moment)?).ok()
}

fn sequence(logged: &LoggedEvent) -> HeaderValue {
    HeaderValue::try_from(sequence_text(logged.partition, logged.offset)).unwrap_or(HeaderValue::from_static(""))
}
