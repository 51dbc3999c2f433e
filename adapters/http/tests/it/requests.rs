//! Single events in Laneway's JSON, and everything that can be wrong with one.

use crate::{CLOUDEVENTS, JSON, Server, Setup, post};
use axum::body::Body;
use http::Request;
use laneway_http::Token;
use uuid::Uuid;

async fn refused(body: &str) -> crate::Answer {
    let server = Server::new();
    let answer = server.post("/v1/events", JSON, body.to_owned()).await;
    assert!(server.stored().await.is_empty(), "{body}");
    answer
}

#[tokio::test]
async fn an_event_is_stored_as_it_was_sent() {
    let server = Server::new();
    let body = r#" {"id":"evt_1","type":"order.paid","key":"order-7","data": { "b" : [1, 2.50e3,"\u00e9"] ,"a":null},
        "source":"shop","subject":"seven","time":"2026-01-31T12:00:00.5+01:00",
        "attributes":{"tenant":"acme","vip":true,"level":3,"none":null}} "#;
    let accepted = server.post("/v1/events", JSON, body).await.accepted();
    assert_eq!((accepted.id.as_str(), accepted.offset.0, accepted.duplicate), ("evt_1", 0, false));
    let event = server.only().await;
    assert_eq!(event.event_type.as_str(), "order.paid");
    assert_eq!(event.key.unwrap().as_str(), "order-7");
    assert_eq!(event.data, r#"{ "b" : [1, 2.50e3,"\u00e9"] ,"a":null}"#);
    assert_eq!((event.source.as_deref(), event.subject.as_deref()), (Some("shop"), Some("seven")));
    assert_eq!(event.time.as_deref(), Some("2026-01-31T12:00:00.5+01:00"));
    assert_eq!(&*event.content_type, "application/json");
    let attributes: Vec<_> = event.attributes.into_iter().map(|(name, value)| (String::from(name), value)).collect();
    assert_eq!(attributes, [("level".into(), 3.into()), ("tenant".into(), "acme".into()), ("vip".into(), true.into())]);
    assert_eq!(event.traceparent, None);
}

#[tokio::test]
async fn a_type_is_enough() {
    let server = Server::new();
    let accepted = server.post("/v1/events", JSON, r#"{"type":"a","key":null,"id":null}"#).await.accepted();
    assert_eq!(Uuid::parse_str(accepted.id.as_str()).unwrap().get_version_num(), 7);
    let event = server.only().await;
    assert_eq!((event.key, event.source, event.data.as_ref()), (None, None, &b"null"[..]));
}

#[tokio::test]
async fn an_id_that_comes_again_is_answered_with_the_first_ones_place() {
    let server = Server::new();
    let send = || server.post("/v1/events", JSON, r#"{"id":"x","type":"a","key":"k"}"#);
    let first = send().await.accepted();
    let second = send().await.accepted();
    assert!(!first.duplicate && second.duplicate);
    assert_eq!((first.partition, first.offset), (second.partition, second.offset));
    assert_eq!(server.stored().await.len(), 1);
}

#[tokio::test]
async fn an_idempotency_key_stands_in_for_an_id() {
    let server = Server::new();
    let send = |key: &str, body: &'static str| {
        let request = post("/v1/events", JSON, body);
        let (mut parts, body) = request.into_parts();
        parts.headers.insert("idempotency-key", key.parse().unwrap());
        server.send(Request::from_parts(parts, body))
    };
    assert_eq!(send("try-1", r#"{"type":"a"}"#).await.accepted().id.as_str(), "try-1");
    assert!(send("\"try-1\"", r#"{"type":"a"}"#).await.accepted().duplicate);
    // An event with an id is its own key.
    assert_eq!(send("try-1", r#"{"id":"own","type":"a"}"#).await.accepted().id.as_str(), "own");
    send(&"k".repeat(300), r#"{"type":"a"}"#).await.invalid("idempotency-key");
    send("", r#"{"type":"a"}"#).await.invalid("idempotency-key");
}

#[tokio::test]
async fn malformed_json_is_answered_with_its_place() {
    for (body, line, column, what) in [
        ("", 1, 1, "expected a value but found the end"),
        ("{\"type\":\"é\", oops}", 1, 14, "expected a name in double quotes but found `o`"),
        ("{\"type\":\"a\",\n \"data\":{\"x\":}}", 2, 14, "expected a value but found `}`"),
        ("{\"type\":\"a\"} x", 1, 14, "expected the end but found `x`"),
        ("{\"type\":\"a\",\"data\":[1,2", 1, 24, "expected `,` or `]` but found the end"),
        ("{\"type\":\"\\ud800\"}", 1, 10, "half of one"),
    ] {
        let problem = refused(body).await.problem(400, "malformed");
        let position = problem.position.unwrap();
        assert_eq!((position.line, position.column), (line, column), "{body}: {problem:?}");
        assert!(problem.detail.contains(what), "{body}: {}", problem.detail);
    }
}

#[tokio::test]
async fn invalid_utf_8_is_answered_with_its_place() {
    let server = Server::new();
    let body = b"{\"type\":\"a\",\n\"data\":\"\xff\"}".to_vec();
    let problem = server.post("/v1/events", JSON, body).await.problem(400, "malformed");
    assert!(problem.detail.contains("0xFF"), "{}", problem.detail);
    let position = problem.position.unwrap();
    assert_eq!((position.line, position.column, position.byte), (2, 9, 21));
}

#[tokio::test]
async fn a_wrong_field_is_named_with_the_reason() {
    for (body, field, reason) in [
        ("{}", "/type", "is missing"),
        (r#"{"type":null}"#, "/type", "is missing"),
        (r#"{"type":""}"#, "/type", "is empty"),
        (r#"{"type":5}"#, "/type", "is a number; it must be a string"),
        (r#"{"type":"a","key":["k"]}"#, "/key", "is an array; it must be a string"),
        (r#"{"type":"a","id":"x\r\ny"}"#, "/id", "control character U+000D"),
        (r#"{"type":"a","time":"yesterday"}"#, "/time", "RFC 3339"),
        (r#"{"type":"a","source":""}"#, "/source", "is empty"),
        (r#"{"type":"a","kye":"k"}"#, "/kye", "did you mean `key`?"),
        (r#"{"type":"a","Type":"k"}"#, "/Type", "did you mean `type`?"),
        (r#"{"type":"a","payload":1}"#, "/payload", "its fields are id, type, key, data"),
        (r#"{"type":"a","specversion":"1.0"}"#, "/specversion", "application/cloudevents+json"),
        (r#"{"type":"a","type":"b"}"#, "/type", "is there twice"),
        (r#"{"type":"a","data":1,"data":2}"#, "/data", "is there twice"),
        (r#"{"type":"a","attributes":[]}"#, "/attributes", "is an array; it must be an object"),
        (r#"{"type":"a","attributes":{"tenant":{}}}"#, "/attributes/tenant", "is an object"),
        (r#"{"type":"a","attributes":{"tenant":1.5}}"#, "/attributes/tenant", "send it as a string"),
        (r#"{"type":"a","attributes":{"tenant":"a\nb"}}"#, "/attributes/tenant", "U+000A"),
        (r#"{"type":"a","attributes":{"Tenant":"a"}}"#, "/attributes/Tenant", "a-z and 0-9"),
        (r#"{"type":"a","attributes":{"a/b é":"a"}}"#, "/attributes/a~1b é", "a-z and 0-9"),
        (r#"{"type":"a","attributes":{"type":"a"}}"#, "/attributes/type", "reserved"),
        (r#"{"type":"a","attributes":{"x":"a","x":"b"}}"#, "/attributes/x", "is there twice"),
        ("[]", "", "/v1/events/batch"),
        ("7", "", "is a number; an event is an object"),
    ] {
        let problem = refused(body).await.invalid(field);
        assert!(problem.detail.contains(reason), "{body}: {}", problem.detail);
    }
}

#[tokio::test]
async fn the_place_of_a_wrong_field_is_told() {
    let problem = refused("{\"type\":\"a\",\n  \"key\": 7}").await.invalid("/key");
    let position = problem.position.unwrap();
    assert_eq!((position.line, position.column), (2, 10));
}

#[tokio::test]
async fn data_may_be_nested_64_deep_and_no_deeper() {
    let nested = |levels: usize| format!(r#"{{"type":"a","data":{}1{}}}"#, "[".repeat(levels), "]".repeat(levels));
    let server = Server::new();
    server.post("/v1/events", JSON, nested(64)).await.accepted();
    for levels in [65, 200, 100_000] {
        let problem = refused(&nested(levels)).await.invalid("/data");
        assert!(problem.detail.contains("deeper than 64"), "{}", problem.detail);
        assert_eq!(problem.position.unwrap().byte, 19 + 64);
    }
}

#[tokio::test]
async fn a_media_type_that_is_not_taken_is_answered_with_those_that_are() {
    let server = Server::new();
    let problem = server.post("/v1/events", "text/plain", "{}").await.problem(415, "unsupported-media-type");
    assert!(problem.detail.contains("text/plain") && problem.detail.contains("application/cloudevents+json"));
    let problem = server.post("/v1/events", "application/x-ndjson", "{}").await.problem(415, "unsupported-media-type");
    assert_eq!(problem.detail, "a body of \"application/x-ndjson\" goes to /v1/events/batch");
    let bare = Request::post("/v1/events").body(Body::from("{}")).unwrap();
    let problem = server.send(bare).await.problem(415, "unsupported-media-type");
    assert_eq!(problem.detail, "say what the body is: add the header Content-Type: application/json");
}

#[tokio::test]
async fn other_paths_and_methods_are_problems_too() {
    let server = Server::new();
    let root = server.get("/").await.problem(404, "not-found");
    assert!(root.detail.contains("the console is at /console"), "{}", root.detail);
    let problem = server.get("/v1/evnets").await.problem(404, "not-found");
    assert!(problem.detail.contains("/v1/evnets"));
    let answer = server.get("/v1/dead-letters/retry").await;
    answer.problem(405, "method-not-allowed");
    assert_eq!(answer.headers["allow"], "POST");
    let answer = server.post("/v1/status", JSON, "").await;
    answer.problem(405, "method-not-allowed");
    assert_eq!(answer.headers["allow"], "GET,HEAD");
}

#[tokio::test]
async fn without_a_token_nothing_but_health_is_answered() {
    let server = Server::with(Setup { tokens: vec![Token::new("s3cret").unwrap()], ..Setup::default() });
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    for path in ["/metrics", "/v1/status", "/v1/dead-letters", "/v1/dead-letters/a/0/0", "/nothing"] {
        let answer = server.get(path).await;
        answer.problem(401, "unauthorized");
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"laneway\"");
    }
    for path in ["/v1/events", "/v1/events/batch", "/v1/dead-letters/retry", "/v1/destinations/a/resume"] {
        server.post(path, JSON, "{}").await.problem(401, "unauthorized");
    }
    let with = |token: &str| {
        let (mut parts, body) = post("/v1/events", JSON, r#"{"type":"a"}"#).into_parts();
        parts.headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        server.send(Request::from_parts(parts, body))
    };
    let wrong = with("guess").await;
    let problem = wrong.problem(401, "unauthorized");
    assert!(!problem.detail.contains("guess") && !problem.detail.contains("s3cret"));
    assert_eq!(wrong.headers["www-authenticate"], "Bearer realm=\"laneway\", error=\"invalid_token\"");
    assert!(server.stored().await.is_empty());
    with("s3cret").await.accepted();
}

#[tokio::test]
async fn a_batch_of_cloudevents_is_taken_at_either_door() {
    let server = Server::new();
    let body = r#"[{"specversion":"1.0","id":"1","source":"s","type":"a"}]"#;
    assert_eq!(server.post("/v1/events", CLOUDEVENTS, body).await.batch().len(), 1);
    assert!(server.post("/v1/events/batch", CLOUDEVENTS, body).await.batch()[0].duplicate);
}

#[tokio::test]
async fn laneways_own_types_are_refused_whichever_way_they_come_and_that_of_a_test_is_not() {
    let cloud =
        |event_type: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"urn:laneway","type":"{event_type}"}}"#);
    for (event_type, taken) in [
        ("laneway.destination.paused", false),
        ("laneway.", false),
        ("laneway.test.more", false),
        ("laneway.test", true),
        ("laneway", true),
        ("lanewayish.thing", true),
        ("Laneway.destination.paused", true),
    ] {
        let plain = format!(r#"{{"type":"{event_type}"}}"#);
        for (path, content_type, body, field) in [
            ("/v1/events", JSON, plain.clone(), "/type"),
            ("/v1/events/batch", JSON, format!("[{plain}]"), "/0/type"),
            ("/v1/events/batch", "application/x-ndjson", plain.clone(), "/0/type"),
            ("/v1/events", "application/cloudevents+json", cloud(event_type), "/type"),
            ("/v1/events/batch", CLOUDEVENTS, format!("[{}]", cloud(event_type)), "/0/type"),
        ] {
            let server = Server::new();
            let answer = server.post(path, content_type, body).await;
            if taken {
                assert_eq!(answer.status, 202, "{event_type} {content_type}: {answer:?}");
            } else {
                let problem = answer.invalid(field);
                assert!(problem.detail.contains("only Laneway itself"), "{problem:?}");
                assert!(server.stored().await.is_empty(), "{event_type} {content_type}");
            }
        }
        let binary = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", event_type)];
        let request =
            binary.iter().fold(Request::post("/v1/events"), |request, (name, value)| request.header(*name, *value));
        let answer = Server::new().send(request.body(Body::empty()).unwrap()).await;
        if taken { assert_eq!(answer.status, 202) } else { drop(answer.invalid("ce-type")) }
    }
}
