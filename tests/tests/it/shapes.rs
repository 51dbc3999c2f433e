//! Every legal shape of an event, as producers send it, and what has to come out at a receiver.

use bytes::Bytes;
use laneway_tests::client::Client;
use serde_json::{Value, json};

const JSON: &str = "application/json";
const CLOUDEVENT: &str = "application/cloudevents+json";
/// The most bytes of one event as it is sent, by default.
const EVENT_BYTES: usize = 256 << 10;
/// How deep `data` may be nested, by default.
const DEPTH: usize = 64;

/// What a receiver has to get of one event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Expected {
    pub(crate) id: String,
    pub(crate) event_type: String,
    pub(crate) key: Option<String>,
    pub(crate) data: Bytes,
}

/// A request, and the events in it.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    what: String,
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    pub(crate) events: Vec<Expected>,
}

impl Shape {
    /// Sends it. It has to be taken.
    pub(crate) async fn send(&self, client: &Client) {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = client.send(http::Method::POST, self.path, &headers, self.body.clone()).await;
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", self.what));
        assert_eq!(answer.status, 202, "{}: {}", self.what, answer.text());
    }

    fn traced(mut self) -> Self {
        self.headers.push(("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()));
        self
    }
}

fn text(event: &Value, field: &str) -> Option<String> {
    event[field].as_str().map(str::to_owned)
}

fn expected(event: &Value, key: &str, data: impl Into<Bytes>) -> Expected {
    let of = |field| text(event, field).expect("it has an id and a type");
    Expected { id: of("id"), event_type: of("type"), key: text(event, key), data: data.into() }
}

/// Laneway's JSON; without data it is `null`.
fn own(what: &str, event: &Value) -> Shape {
    let data = event["data"].to_string();
    one(what, JSON, event, expected(event, "key", data))
}

fn one(what: &str, content_type: &str, event: &Value, expected: Expected) -> Shape {
    let headers = vec![("content-type", content_type.to_owned())];
    Shape { what: what.into(), path: "/v1/events", headers, body: event.to_string().into(), events: vec![expected] }
}

fn structured(what: &str, mut event: Value, data: impl Into<Bytes>) -> Shape {
    event["specversion"] = "1.0".into();
    event["source"] = "/shop".into();
    let expected = expected(&event, "partitionkey", data);
    one(what, CLOUDEVENT, &event, expected)
}

fn binary(what: &str, id: &str, more: &[(&'static str, &str)], body: impl Into<Bytes>) -> Shape {
    let mut headers: Vec<_> =
        [("ce-specversion", "1.0"), ("ce-source", "/shop"), ("ce-type", "order.binary"), ("ce-id", id)]
            .map(|(name, value)| (name, value.to_owned()))
            .into();
    headers.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let body = body.into();
    let expected = Expected { id: id.into(), event_type: "order.binary".into(), key: None, data: body.clone() };
    Shape { what: what.into(), path: "/v1/events", headers, body, events: vec![expected] }
}

fn many(what: &str, content_type: &str, body: String, events: Vec<Expected>) -> Shape {
    let headers = vec![("content-type", content_type.to_owned())];
    Shape { what: what.into(), path: "/v1/events/batch", headers, body: body.into(), events }
}

/// What `data` may be in Laneway's own JSON.
fn with_data() -> Vec<Shape> {
    let event = |id: &str, data: Value| json!({"id": id, "type": "order.data", "data": data});
    let nested = "[".repeat(DEPTH) + &"]".repeat(DEPTH);
    let deep = json!({"id": "deep", "type": "order.data"});
    let body = format!(r#"{{"id":"deep","type":"order.data","data":{nested}}}"#);
    vec![
        own("no data", &json!({"id": "none", "type": "order.data"})),
        own("null", &event("null", Value::Null)),
        own("an empty text", &event("empty", "".into())),
        own("a text of all kinds of characters", &event("text", "\u{0}\n\"\\ ü 鍵 \u{1f600}\u{2028}".into())),
        own("a number", &event("number", json!(-0.5e-7))),
        own("a boolean", &event("boolean", true.into())),
        own("an empty object", &event("object", json!({}))),
        own("an array", &event("array", json!([1, [2, {"a": null}]]))),
        Shape { body: body.into(), ..one("as deep as may be", JSON, &deep, expected(&deep, "key", nested)) },
        own("as large as may be", &{
            let empty = event("large", "".into()).to_string().len();
            event("large", "x".repeat(EVENT_BYTES - empty).into())
        }),
    ]
}

/// What the fields may be.
fn with_fields() -> Vec<Shape> {
    let full = json!({
        "id": "full", "type": "order.full", "key": "order-7", "source": "urn:shop:1", "subject": "7/ü",
        "time": "2026-01-31T12:00:00.123456789+01:00", "data": {"n": 1},
        "attributes": {"text": "ü 100% \"so\"", "empty": "", "yes": true, "no": false, "least": i32::MIN, "most": i32::MAX,
                       "connection": "close", "quoted": "\"a\"", "percent": "%41"},
    });
    let attributes: serde_json::Map<_, _> = (0..64).map(|n| (format!("a{n}"), n.into())).collect();
    let long = |letters: usize| "ü".repeat(letters / 2);
    let longest = json!({"id": long(256), "type": format!("order.{}", long(250)), "key": long(1024), "source": long(1024),
                         "subject": long(1024), "data": 1});
    let key = |id: &str, key: &str| own(key, &json!({"id": id, "type": "order.key", "key": key, "data": id}));
    vec![
        own("all fields", &full),
        own("all fields, with a trace", &json!({"id": "traced", "type": "order.full", "key": "k"})).traced(),
        own("all attributes", &json!({"id": "attributes", "type": "order.full", "attributes": attributes})),
        own("all attributes and a trace", &json!({"id": "both", "type": "order.full", "attributes": attributes}))
            .traced(),
        own(
            "a trace as attribute",
            &json!({"id": "trace", "type": "order.full", "attributes": {"traceparent": "00-0"}}),
        ),
        own("the longest fields", &longest),
        own("a type in other letters", &json!({"id": "größe", "type": "order.größe 鍵", "data": 1})),
        key("key-1", "Straße 7"),
        key("key-2", "鍵-\u{1f600}"),
        key("key-3", "100% \"quoted\" / %C3%BC"),
        key("key-4", " "),
    ]
}

/// CloudEvents in the structured mode.
fn of_structured() -> Vec<Shape> {
    let event = |id: &str, more: Value| {
        let mut event = json!({"id": id, "type": "order.structured"});
        event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        event
    };
    let xml = "<a b=\"ü\">\n</a>";
    vec![
        structured("structured: no data", event("s-none", json!({})), ""),
        structured("structured: JSON", event("s-json", json!({"data": {"a": [1]}})), r#"{"a":[1]}"#),
        structured("structured: null", event("s-null", json!({"data": null})), "null"),
        structured("structured: a key", event("s-key", json!({"data": 1, "partitionkey": "Straße"})), "1"),
        structured(
            "structured: text without a letter",
            event("s-empty", json!({"datacontenttype": "text/plain", "data": ""})),
            "",
        ),
        structured(
            "structured: text",
            event("s-text", json!({"datacontenttype": "text/plain; charset=utf-8", "data": "ü\u{1}"})),
            "ü\u{1}",
        ),
        structured("structured: XML", event("s-xml", json!({"datacontenttype": "application/xml", "data": xml})), xml),
        structured(
            "structured: bytes",
            event("s-bytes", json!({"datacontenttype": "image/png", "data_base64": "AP8NCg=="})),
            vec![0, 255, 13, 10],
        ),
        structured(
            "structured: no bytes",
            event("s-no-bytes", json!({"datacontenttype": "image/png", "data_base64": ""})),
            "",
        ),
        structured(
            "structured: JSON in base64",
            event("s-base64", json!({"data_base64": "eyJhIjoxfQ=="})),
            r#"{"a":1}"#,
        ),
        structured(
            "structured: extensions of all types",
            event("s-extensions", json!({"data": 1, "vip": true, "level": -3, "tenant": "ü"})),
            "1",
        ),
    ]
}

/// CloudEvents in the binary mode.
fn of_binary() -> Vec<Shape> {
    let typed = |what: &str, id: &str, content_type: &'static str, body: Bytes| {
        binary(what, id, &[("content-type", content_type)], body)
    };
    let all_bytes: Vec<u8> = (0..=255).collect();
    let escaped = binary(
        "binary: headers in other letters",
        "b-escaped",
        &[("ce-subject", "%C3%BC%20%22"), ("ce-vip", "true")],
        "",
    );
    let keyed = binary("binary: a key", "b-key", &[("ce-partitionkey", "Stra%C3%9Fe"), ("content-type", JSON)], "1");
    let key = |shape: Shape, key: &str| Shape {
        events: shape.events.into_iter().map(|event| Expected { key: Some(key.into()), ..event }).collect(),
        ..shape
    };
    vec![
        binary("binary: nothing, of no type", "b-none", &[], ""),
        binary("binary: bytes of no type", "b-untyped", &[], all_bytes.clone()),
        typed("binary: nothing, as JSON", "b-json-none", JSON, "".into()),
        typed("binary: JSON", "b-json", "application/vnd.shop+json; v=2", r#"{"a":1}"#.into()),
        typed("binary: nothing, as text", "b-text-none", "text/plain", "".into()),
        typed("binary: text", "b-text", "text/plain; charset=utf-8", "ü\r\n".into()),
        typed("binary: text in another encoding", "b-latin", "text/plain; charset=iso-8859-1", vec![252].into()),
        typed("binary: XML", "b-xml", "application/atom+xml", "<a/>".into()),
        typed("binary: bytes", "b-bytes", "application/octet-stream", all_bytes.into()),
        typed("binary: as many bytes as may be", "b-large", "image/png", vec![255; EVENT_BYTES].into()),
        typed("binary: text that is long in JSON", "b-control", "text/plain", vec![1; EVENT_BYTES].into()),
        escaped,
        key(keyed, "Straße"),
    ]
}

/// Batches of every kind.
fn of_batches() -> Vec<Shape> {
    let event = |id: &str| json!({"id": id, "type": "order.batch", "key": "k", "data": {"id": id}});
    let all = |ids: [&str; 2]| ids.map(|id| expected(&event(id), "key", event(id)["data"].to_string())).to_vec();
    let array = Value::from(vec![event("array-1"), event("array-2")]).to_string();
    let lines = format!("{}\n\n{}\r\n", event("line-1"), event("line-2"));
    let cloud = |id: &str| json!({"specversion": "1.0", "source": "/shop", "id": id, "type": "order.batch"});
    let mut bytes = cloud("cloud-2");
    bytes["data_base64"] = "/w==".into();
    bytes["datacontenttype"] = "application/octet-stream".into();
    let of_cloud = vec![expected(&cloud("cloud-1"), "key", ""), expected(&bytes, "key", vec![255])];
    let cloud = Value::from(vec![cloud("cloud-1"), bytes]).to_string();
    vec![
        many("an array", JSON, array, all(["array-1", "array-2"])),
        many("lines", "application/x-ndjson", lines, all(["line-1", "line-2"])),
        many("a batch of CloudEvents", "application/cloudevents-batch+json", cloud, of_cloud),
    ]
}

/// All of them; no two events have the same id.
pub(crate) fn all() -> Vec<Shape> {
    [with_data(), with_fields(), of_structured(), of_binary(), of_batches()].concat()
}
