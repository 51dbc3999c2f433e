//! What the real binary sends, read by other people's libraries: Standard Webhooks signatures by the
//! `standardwebhooks` packages of crates.io and PyPI, CloudEvents by the SDK of PyPI.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, StatusCode, Uri};
use laneway_tests::client::Client;
use laneway_tests::effort;
use laneway_tests::python::{self, Python};
use laneway_tests::server::{Installation, Settings, webhook};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// An ed25519 key beside them: libraries that do not know `v1a` pass it over.
const PRIVATE: &str = "whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

/// A request as it came in.
#[derive(Clone, Debug)]
struct Recorded {
    destination: String,
    headers: HeaderMap,
    body: Bytes,
}

type Record = Arc<Mutex<Vec<Recorded>>>;

async fn record(State(record): State<Record>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let destination = uri.path().trim_start_matches('/').to_owned();
    record.lock().unwrap().push(Recorded { destination, headers, body });
    StatusCode::NO_CONTENT
}

/// A receiver that takes everything; its address, and what it has taken.
async fn receiver() -> (String, Record) {
    let recorded = Record::default();
    let service = Router::new().fallback(record).with_state(Arc::clone(&recorded));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it listens").to_string();
    tokio::spawn(async move { axum::serve(listener, service).await });
    (address, recorded)
}

/// Destinations with the old secret, with both of a rotation, with the new one; and a batch.
fn settings(address: &str) -> Settings {
    let at = |name: &str, lines: String| webhook(name, &format!("http://{address}/{name}"), &lines);
    Settings::destinations(&[
        at("old", format!("secrets = [\"{OLD}\"]")),
        at("both", format!("secrets = [\"{PRIVATE}\", \"{NEW}\", \"{OLD}\"]")),
        at("new", format!("secrets = [\"{NEW}\"]")),
        at("batch", format!("secrets = [\"{NEW}\", \"{OLD}\"]\nbatch = {{ max_events = 10, linger = \"500ms\" }}")),
    ])
}

fn signed_by(destination: &str) -> &'static [&'static str] {
    match destination {
        "old" => &["old"],
        "new" => &["new"],
        _ => &["new", "old"],
    }
}

/// Events with everything that an encoding can get wrong, as `POST /v1/events` takes them.
fn json_events() -> Vec<Value> {
    let texts = ["plain", "Zürich €", "100% \"sure\"", "a b", "%41", "😀", "semi;colon,comma", "back\\slash"];
    let full = |(n, text): (usize, &&str)| {
        json!({
            "id": format!("e {n} {text}"), "type": "order.paid", "key": format!("k {text}"),
            "source": "urn:shop/eu?a=b%20c", "subject": text, "time": "2026-01-02T03:04:05.678+02:00",
            "attributes": {"tenant": text, "region": "eu-1"}, "data": {"text": text, "n": n, "list": [1, 2.5, null]}
        })
    };
    let mut events: Vec<Value> = texts.iter().enumerate().map(full).collect();
    events.push(json!({"id": "bare", "type": "t", "data": null}));
    events.push(json!({"id": "id.with.stops", "type": "t", "data": [1]}));
    events
}

/// Sends an event of another media type, as CloudEvents binary mode has it.
async fn send_text(client: &Client, id: &str, text: &str) -> Value {
    let headers = [
        ("content-type", "text/plain;charset=utf-8"),
        ("ce-specversion", "1.0"),
        ("ce-id", id),
        ("ce-type", "note"),
        ("ce-source", "/notes"),
    ];
    let answer = client.send(Method::POST, "/v1/events", &headers, text.to_owned()).await.expect("an answer");
    assert_eq!(answer.status, 202, "{}", answer.text());
    json!({"id": id, "type": "note", "source": "/notes", "content_type": "text/plain;charset=utf-8", "text": text})
}

/// Lets the real binary deliver; what was sent, and all requests that came in.
async fn delivered() -> (Vec<Value>, Vec<Recorded>) {
    let (address, recorded) = receiver().await;
    let installation = Installation::new(&settings(&address));
    let server = installation.start().await;
    let client = server.client();
    let mut sent = json_events();
    client.accepted_all(&sent).await;
    sent.push(send_text(&client, "note-1", "two\nlines, and ünïcode").await);
    for name in ["old", "both", "new", "batch"] {
        client.settled(name).await;
    }
    server.stop();
    let requests = recorded.lock().unwrap().clone();
    let ids: BTreeSet<&str> = requests.iter().map(|r| r.destination.as_str()).collect();
    assert_eq!(ids.len(), 4, "every destination was delivered to");
    (sent, requests)
}

/// The crate's verifier says the same of every request.
fn check_with_the_crate(requests: &[Recorded]) {
    for request in requests {
        for (name, secret) in [("old", OLD), ("new", NEW)] {
            let verifier = Webhook::new(secret).expect("a secret");
            let expected = signed_by(&request.destination).contains(&name);
            assert_eq!(verifier.verify(&request.body, &request.headers).is_ok(), expected, "{name}: {request:?}");
            assert!(verifier.verify(b"{}", &request.headers).is_err(), "{request:?}");
        }
    }
}

fn check_with_python(python: &Python, sent: &[Value], requests: &[Recorded]) -> Value {
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), Value::from(value.to_str().expect("headers are ASCII")))
    };
    let requests = requests.iter().map(|r| {
        let headers: serde_json::Map<String, Value> = r.headers.iter().map(header).collect();
        json!({"headers": headers, "body": STANDARD.encode(&r.body), "signed_by": signed_by(&r.destination)})
    });
    let given = json!({
        "secrets": {"old": OLD, "new": NEW}, "events": sent, "requests": requests.collect::<Vec<_>>()
    });
    let script = python::folder().join("standards.py");
    let mut command = Command::new(python.program("python"));
    let command = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("Python starts");
    child.stdin.take().expect("it is piped").write_all(given.to_string().as_bytes()).expect("Python reads");
    let output = child.wait_with_output().expect("Python ends");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    serde_json::from_str(&out).expect("it prints JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn other_peoples_libraries_verify_and_read_what_is_sent() {
    let (sent, requests) = delivered().await;
    check_with_the_crate(&requests);
    let python = match Python::with("standards.txt") {
        Ok(python) => python,
        Err(why) => return effort::skipped(&format!("e2e_standards: the packages of PyPI are not to be had: {why}")),
    };
    let counts = check_with_python(&python, &sent, &requests);
    let signatures: usize = requests.iter().map(|r| signed_by(&r.destination).len()).sum();
    assert_eq!(counts["signatures"], signatures);
    assert_eq!(counts["events"], 4 * sent.len(), "{counts}");
    assert!(counts["batches"].as_u64() > Some(0), "no batch had several events: {counts}");
}
