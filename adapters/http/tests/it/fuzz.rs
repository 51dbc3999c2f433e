//! Bodies and headers that are nearly right, in every media type: taken or refused, and refused well.

use crate::{Answer, CLOUDEVENT, CLOUDEVENTS, JSON, NDJSON, Server};
use axum::body::Body;
use http::{HeaderName, HeaderValue, Request};
use laneway_domain::Event;
use laneway_fuzz::{Sample, cases, corpus, corpus_lines, mutated};
use laneway_http::wire;
use proptest::prelude::*;
use proptest::sample::select;
use serde::de::IgnoredAny;
use tokio::runtime::{Builder, Runtime};

/// Cases of a quick run; each makes a store of its own.
const QUICK: u32 = 400;

/// What events are made of.
const PIECES: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\n",
    b"\r\n",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"\xc3\xa9",
    b"\xef\xbb\xbf",
    b"null",
    b"true",
    b"1e5",
    b"-0",
    b"99999999999999999999",
    b"\"type\":",
    b"\"id\":",
    b"\"key\":",
    b"\"data\":",
    b"\"attributes\":",
    b"\"time\":\"2026-01-31T12:00:00Z\"",
    b"\"specversion\":\"1.0\"",
    b"\"source\":\"s\"",
    b"\"subject\":\"\"",
    b"\"datacontenttype\":\"text/plain\"",
    b"\"data_base64\":\"AA==\"",
    b"\"partitionkey\":\"k\"",
    b"\"\"",
    b"{}",
    b"[]",
    b" ",
    b"\0",
];

/// What header values are made of.
const HEADER_PIECES: &[&[u8]] = &[
    b"%",
    b"%20",
    b"%0a",
    b"%00",
    b"%ff",
    b"%E2%82%AC",
    b"\"",
    b"\\",
    b"\\\"",
    b"1.0",
    b"application/json",
    b"+json",
    b";",
    b"; charset=utf-8",
    b"charset=latin1",
    b"text/plain",
    b"2026-01-31T12:00:00Z",
    b" ",
    b"\t",
    b"\xe2\x82\xac",
];

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Where the samples of this name belong, and as what.
fn place(name: &str) -> (&'static str, &'static str) {
    match name.split('-').next().unwrap_or_default() {
        "event" => ("/v1/events", JSON),
        "events" => ("/v1/events/batch", JSON),
        "lines" => ("/v1/events/batch", NDJSON),
        "ce" => ("/v1/events", CLOUDEVENT),
        "ces" => ("/v1/events/batch", CLOUDEVENTS),
        "binary" => ("/v1/events", "text/plain"),
        other => panic!("what is {other}?"),
    }
}

fn request(path: &str, media: &str, body: &[u8], binary: bool) -> Request<Body> {
    let mut request = Request::post(path).header("content-type", media);
    if binary {
        for (name, value) in [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "s"), ("ce-type", "t")] {
            request = request.header(name, value);
        }
    }
    request.body(Body::from(body.to_vec())).unwrap()
}

/// Checks a refusal: a problem that says what and, if it says where, a place that exists.
fn refused_well(answer: &Answer, body: &[u8]) {
    assert!(answer.status.is_client_error(), "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{answer:?}");
    let problem: wire::Problem = answer.read();
    assert_eq!(problem.status, answer.status.as_u16());
    assert!(problem.type_uri.starts_with(wire::PROBLEM_TYPES) && !problem.detail.is_empty(), "{problem:?}");
    if let Some(position) = &problem.position {
        let line = 1 + body[..position.byte].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(position.line, line, "{problem:?}");
    }
}

/// Checks a 202: what it tells of is stored, at that place, within all bounds; nothing else is.
async fn taken_well(server: &Server, answer: &Answer) -> Vec<Event> {
    let told = if answer.body.starts_with(b"{\"events\":") { answer.batch() } else { vec![answer.accepted()] };
    let stored = server.stored().await;
    assert_eq!(told.iter().filter(|event| !event.duplicate).count(), stored.len());
    for accepted in &told {
        assert!(stored.iter().any(|event| event.id == accepted.id), "{accepted:?}");
    }
    for event in &stored {
        event.clone().check().unwrap();
        let essence = event.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let json = essence.ends_with("/json") || essence.ends_with("+json");
        let read = event.data.is_empty() || serde_json::from_slice::<IgnoredAny>(&event.data).is_ok();
        assert!(!json || read, "{event:?}");
    }
    stored
}

/// Sends it to a new server and checks whatever comes of it.
async fn send(path: &str, media: &str, body: &[u8], binary: bool) {
    let server = Server::new();
    let answer = server.send(request(path, media, body, binary)).await;
    if answer.status == 202 {
        taken_well(&server, &answer).await;
        // Another reader has to agree that this is JSON.
        let lines: Vec<&[u8]> = if media == NDJSON { body.split(|byte| *byte == b'\n').collect() } else { vec![body] };
        for line in lines.into_iter().filter(|line| !binary && !line.trim_ascii().is_empty()) {
            assert!(serde_json::from_slice::<IgnoredAny>(line).is_ok(), "{:?}", String::from_utf8_lossy(line));
        }
    } else {
        refused_well(&answer, body);
        assert_eq!(server.stored().await.len(), 0);
    }
}

#[test]
fn every_body_of_the_corpus_is_taken_or_refused_with_a_problem() {
    runtime().block_on(async {
        for Sample { name, bytes } in corpus("ingest") {
            println!("{name}");
            let (path, media) = place(&name);
            send(path, media, &bytes, media == "text/plain").await;
        }
    });
}

fn bodies() -> impl Strategy<Value = (String, Vec<u8>)> {
    let samples = corpus("ingest");
    let seeds = samples.iter().map(|sample| sample.bytes.clone()).collect();
    mutated(seeds, PIECES).prop_map(move |(which, bytes)| (samples[which].name.clone(), bytes))
}

/// Some of a corpus line's header: its name, and its value as bytes.
fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let value = line[colon + 1..].trim_ascii();
    Some((HeaderName::from_bytes(&line[..colon]).ok()?, HeaderValue::from_bytes(value).ok()?))
}

fn headers() -> impl Strategy<Value = Vec<(HeaderName, HeaderValue)>> {
    let lines: Vec<Vec<u8>> = corpus_lines("ce-headers").into_iter().map(|line| line.bytes).collect();
    let one = mutated(lines, HEADER_PIECES).prop_filter_map("no header", |(_, line)| header(&line));
    prop::collection::vec(one, 0..5)
}

/// A CloudEvent in binary mode, complete but for what `headers` put in place of its own or besides.
async fn send_binary(headers: &[(HeaderName, HeaderValue)], replace: bool, body: &[u8]) {
    let server = Server::new();
    let mut request = request("/v1/events", "application/octet-stream", body, true);
    for (name, value) in headers {
        if replace {
            request.headers_mut().insert(name, value.clone());
        } else {
            request.headers_mut().append(name, value.clone());
        }
    }
    let answer = server.send(request).await;
    if answer.status == 202 {
        let events = taken_well(&server, &answer).await;
        assert!(events.iter().all(|event| event.data == body || !event.content_type.contains("octet")));
    } else {
        refused_well(&answer, body);
        assert_eq!(server.stored().await.len(), 0);
    }
}

#[test]
fn every_header_of_the_corpus_is_read_or_refused() {
    runtime().block_on(async {
        for Sample { name, bytes } in corpus_lines("ce-headers") {
            println!("{name}");
            let header: Vec<_> = header(&bytes).into_iter().collect();
            for replace in [true, false] {
                send_binary(&header, replace, b"{}").await;
            }
        }
    });
}

proptest! {
    #![proptest_config(cases(QUICK))]

    #[test]
    fn a_changed_body_is_taken_or_refused_with_a_problem((name, body) in bodies()) {
        let (path, media) = place(&name);
        runtime().block_on(send(path, media, &body, media == "text/plain"));
    }

    #[test]
    fn a_body_at_any_door_and_of_any_media_type_is_taken_or_refused(
        (_, body) in bodies(),
        path in select(vec!["/v1/events", "/v1/events/batch"]),
        media in select(vec![JSON, NDJSON, CLOUDEVENT, CLOUDEVENTS, "text/plain", "application/vnd.a+json"]),
        binary: bool,
    ) {
        // At the door for single events the headers of a CloudEvent make any other body its data.
        let binary = binary && path == "/v1/events" && !media.starts_with("application/cloudevents");
        runtime().block_on(send(path, media, &body, binary));
    }

    #[test]
    fn changed_headers_of_a_cloudevent_are_read_or_refused(
        headers in headers(), replace: bool, body in prop::collection::vec(any::<u8>(), 0..20)
    ) {
        runtime().block_on(send_binary(&headers, replace, &body));
    }
}
