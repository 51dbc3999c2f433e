//! Bad input over HTTP: each answered precisely, nothing stored, and nothing else disturbed.

use bytes::Bytes;
use http::Method;
use laneway_tests::checker;
use laneway_tests::client::{Answer, Client};
use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Installation, Settings, webhook};
use laneway_tests::store::Store;
use serde_json::json;
use std::collections::BTreeSet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const JSON: &str = "application/json";

/// A request that is to be refused.
struct Bad {
    what: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Bytes,
    status: u16,
    /// What the problem's `type` ends with.
    kind: &'static str,
    /// What the answer has to say, of which field or where.
    says: &'static [&'static str],
}

fn bad(
    what: &'static str,
    body: impl Into<Bytes>,
    status: u16,
    kind: &'static str,
    says: &'static [&'static str],
) -> Bad {
    Bad { what, path: "/v1/events", headers: vec![("content-type", JSON)], body: body.into(), status, kind, says }
}

fn batch(
    what: &'static str,
    body: impl Into<Bytes>,
    status: u16,
    kind: &'static str,
    says: &'static [&'static str],
) -> Bad {
    Bad { path: "/v1/events/batch", ..bad(what, body, status, kind, says) }
}

fn nested(depth: usize) -> String {
    format!(r#"{{"type":"t","data":{}{}}}"#, "[".repeat(depth), "]".repeat(depth))
}

/// A batch of good events, but for this one at index 1.
fn with(second: &str) -> String {
    format!(r#"[{{"type":"t","id":"in-bad-batch"}},{second},{{"type":"t"}}]"#)
}

fn of_json() -> Vec<Bad> {
    vec![
        bad("malformed JSON", r#"{"type":"t",}"#, 400, "malformed", &["\"line\":1", "\"byte\":12"]),
        bad("JSON that ends early", r#"{"type":"t""#, 400, "malformed", &["\"position\""]),
        bad("two documents", r#"{"type":"t"} {"type":"t"}"#, 400, "malformed", &["\"byte\":13"]),
        bad("no body", "", 400, "malformed", &[]),
        bad("invalid UTF-8", &b"{\"type\":\"t\",\"data\":\"\xff\"}"[..], 400, "malformed", &["UTF-8"]),
        bad("an array", "[]", 422, "invalid", &[]),
        bad("a number as type", r#"{"type":5}"#, 422, "invalid", &["\"/type\""]),
        bad("an object as key", r#"{"type":"t","key":{}}"#, 422, "invalid", &["\"/key\""]),
        bad("an array as attribute", r#"{"type":"t","attributes":{"a":[1]}}"#, 422, "invalid", &["/attributes/a"]),
        bad("no type", r#"{"data":1}"#, 422, "invalid", &["type"]),
        bad("an unknown field", r#"{"type":"t","colour":1}"#, 422, "invalid", &["colour"]),
        bad("a field twice", r#"{"type":"t","type":"u"}"#, 422, "invalid", &["type"]),
        bad("an empty key", r#"{"type":"t","key":""}"#, 422, "invalid", &["/key"]),
        bad("a time that is none", r#"{"type":"t","time":"yesterday"}"#, 422, "invalid", &["/time"]),
        bad("CR LF in an attribute", r#"{"type":"t","attributes":{"a":"x\r\ny"}}"#, 422, "invalid", &["/attributes/a"]),
        bad("CR LF in the key", r#"{"type":"t","key":"x\r\nwebhook-id: y"}"#, 422, "invalid", &["/key"]),
        bad("LF in the id", r#"{"type":"t","id":"x\ny"}"#, 422, "invalid", &["/id"]),
        bad("200-deep JSON", nested(200), 422, "invalid", &["deep"]),
        bad(
            "an oversize event",
            format!(r#"{{"type":"t","data":"{}"}}"#, "x".repeat(256 * 1024)),
            413,
            "event-too-large",
            &["262144"],
        ),
    ]
}

fn of_batches() -> Vec<Bad> {
    let many = |count: usize, event: &str| format!("[{}]", vec![event; count].join(","));
    let large = format!(r#"{{"type":"t","data":"{}"}}"#, "x".repeat(100_000));
    vec![
        batch("a batch of 1001", many(1001, r#"{"type":"t"}"#), 413, "batch-too-large", &["1000"]),
        batch("a batch of 9 MB", many(90, &large), 413, "batch-too-large", &["8388608"]),
        batch("a batch with a bad event", with(r#"{"type":"t","colour":1}"#), 422, "invalid", &["/1"]),
        batch("a batch with a broken event", with(r#"{"type":}"#), 400, "malformed", &["position"]),
        batch(
            "a batch with an oversize event",
            with(&format!(r#"{{"type":"t","data":"{}"}}"#, "x".repeat(262_144))),
            413,
            "event-too-large",
            &["/1"],
        ),
        batch("no array", "5", 422, "invalid", &[]),
    ]
}

fn of_media() -> Vec<Bad> {
    let typed = |content_type| Bad {
        headers: vec![("content-type", content_type)],
        ..bad(content_type, r#"{"type":"t"}"#, 415, "unsupported-media-type", &["application/json"])
    };
    let binary = |what, more: &[(&'static str, &'static str)], says| Bad {
        headers: [&[("content-type", JSON), ("ce-specversion", "1.0")], more].concat(),
        ..bad(what, "{}", 422, "invalid", says)
    };
    vec![
        typed("text/plain"),
        typed("application/x-www-form-urlencoded"),
        Bad { headers: vec![], ..bad("no content type", r#"{"type":"t"}"#, 415, "unsupported-media-type", &[]) },
        binary("a CloudEvent without a type", &[("ce-id", "x"), ("ce-source", "/")], &["ce-type"]),
        Bad {
            headers: vec![("content-type", "application/cloudevents+json")],
            ..bad(
                "a CloudEvent of version 0.3",
                r#"{"specversion":"0.3","id":"x","source":"/","type":"t"}"#,
                422,
                "invalid",
                &["specversion"],
            )
        },
    ]
}

fn check(bad: &Bad, answer: &Answer) {
    let text = answer.text();
    let what = bad.what;
    assert_eq!(answer.status, bad.status, "{what}: {text}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
    let problem = answer.json();
    assert!(problem["type"].as_str().is_some_and(|t| t.ends_with(bad.kind)), "{what}: {text}");
    assert_eq!(problem["status"], bad.status, "{what}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{what}: {text}");
    for part in bad.says {
        assert!(text.contains(part), "{what}: {part} is not in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_answered_precisely_and_disturbs_nothing() {
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let installation = Installation::new(&Settings::destinations(&[webhook("main", &receiver.url(), "")]));
    let server = installation.start().await;
    let client = server.client();
    let cases: Vec<Bad> = of_json().into_iter().chain(of_batches()).chain(of_media()).collect();
    let mut wrong = Vec::new();
    for (n, case) in cases.iter().enumerate() {
        let answer = client.send(Method::POST, case.path, &case.headers, case.body.clone()).await;
        let answer = answer.unwrap_or_else(|e| panic!("{}: no answer: {e}", case.what));
        if let Err(panic) = std::panic::catch_unwind(|| check(case, &answer)) {
            wrong.push(panic.downcast_ref::<String>().cloned().unwrap_or_default());
        }
        client.accepted(&json!({"id": format!("good-{n}"), "type": "t", "key": "good", "data": n})).await;
    }
    assert!(wrong.is_empty(), "{} answers are wrong:\n{}", wrong.len(), wrong.join("\n"));
    receiver.taken(cases.len()).await;
    client.settled("main").await;
    server.stop();
    let stored = Store::open(&installation.database()).events();
    let ids: BTreeSet<String> = stored.iter().map(|event| event.id.clone()).collect();
    assert_eq!(ids, (0..cases.len()).map(|n| format!("good-{n}")).collect(), "something bad was stored");
    let found = checker::check(&stored, &receiver.record(), &BTreeSet::new(), false);
    found.assert_clean("main");
    assert_eq!(found.duplicates, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_that_are_not_there_are_said_to_be() {
    let installation = Installation::new(&Settings::default());
    let server = installation.start().await;
    let client = server.client();
    let missing = client.get("/v2/events").await.expect("an answer");
    assert_eq!((missing.status, missing.header("content-type")), (404, "application/problem+json"));
    let method = client.get("/v1/dead-letters/retry").await.expect("an answer");
    assert_eq!((method.status, method.header("allow")), (405, "POST"));
    let method = client.send(Method::DELETE, "/v1/events", &[], "").await.expect("an answer");
    let mut allowed: Vec<&str> = method.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!((method.status, allowed.as_slice()), (405, ["GET", "HEAD", "POST"].as_slice()));
}

async fn posted(client: &Client, token: Option<&str>) -> Answer {
    let mut headers = vec![("content-type", JSON)];
    headers.extend(token.map(|token| ("authorization", token)));
    client.send(Method::POST, "/v1/events", &headers, r#"{"type":"t","key":"k"}"#).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_right_token_nobody_gets_in() {
    let settings = Settings::default().server(r#"tokens = ["0123456789abcdef-first", "0123456789abcdef-second"]"#);
    let installation = Installation::new(&settings);
    let server = installation.start().await;
    let client = server.client();
    for token in [None, Some("Bearer 0123456789abcdef"), Some("Bearer "), Some("Basic 0123456789abcdef-first")] {
        let answer = posted(&client, token).await;
        assert_eq!(answer.status, 401, "{token:?}");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{token:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    for token in ["Bearer 0123456789abcdef-first", "Bearer 0123456789abcdef-second"] {
        assert_eq!(posted(&client, Some(token)).await.status, 202, "{token}");
    }
    for path in ["/v1/status", "/metrics", "/v1/dead-letters"] {
        assert_eq!(client.get(path).await.expect("an answer").status, 401, "{path}");
    }
    assert_eq!(client.get("/healthz").await.expect("an answer").status, 200);
    server.stop();
    assert_eq!(Store::open(&installation.database()).events().len(), 2);
    let output = installation.stdout() + &installation.stderr();
    assert!(!output.contains("0123456789abcdef"), "a token was printed");
}

/// What a raw connection is answered to these bytes, until the server closes it.
async fn raw(installation: &Installation, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(installation.address()).await.expect("the server listens");
    stream.write_all(bytes).await.expect("the server reads");
    stream.shutdown().await.ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_http_stores_nothing_and_disturbs_nobody() {
    let installation = Installation::new(&Settings::default());
    let server = installation.start().await;
    let head = "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let broken = [
        "\x00\x01\x02\x03\r\n\r\n".to_owned(),
        "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: nonsense\r\n\r\n".to_owned(),
        format!("{head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{head}content-length: 100\r\n\r\n{{\"type\":\"t\""),
        format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n"),
        format!("{head}x-large: {}\r\n\r\n", "x".repeat(1 << 20)),
    ];
    for request in broken {
        let answer = raw(&installation, request.as_bytes()).await;
        let start = &request[..request.len().min(90)];
        assert!(!answer.starts_with("HTTP/1.1 2"), "{start:?} was answered with {answer}");
        server.client().accepted(&json!({"type": "t", "data": start})).await;
    }
    server.stop();
    assert_eq!(Store::open(&installation.database()).events().len(), 6);
}
