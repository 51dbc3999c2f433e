//! CloudEvents 1.0 in its three modes.

use crate::{Answer, CLOUDEVENT, CLOUDEVENTS, Server};
use axum::body::Body;
use http::Request;
use laneway_domain::{Event, TraceParent};

async fn binary(server: &Server, headers: &[(&str, &str)], body: &'static str) -> Answer {
    let request =
        headers.iter().fold(Request::post("/v1/events"), |request, (name, value)| request.header(*name, *value));
    server.send(request.body(Body::from(body)).unwrap()).await
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn the_trace_of_a_request_goes_with_each_of_its_events_and_a_broken_one_with_none() {
    let event = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
    let other = r#"{"specversion":"1.0","id":"2","source":"/s","type":"t"}"#;
    for (values, kept) in [(vec![TRACE], true), (vec!["nonsense"], false), (vec![TRACE, TRACE], false), (vec![], false)]
    {
        for (path, content_type, body, count) in [
            ("/v1/events", "application/cloudevents+json", event.to_owned(), 1),
            ("/v1/events", "application/json", r#"{"type":"t"}"#.to_owned(), 1),
            ("/v1/events/batch", "application/cloudevents-batch+json", format!("[{event},{other}]"), 2),
        ] {
            let server = Server::new();
            let request = Request::post(path).header("content-type", content_type);
            let request = values.iter().fold(request, |request, value| request.header("traceparent", *value));
            assert!(server.send(request.body(Body::from(body)).unwrap()).await.status.is_success());
            let expected = kept.then(|| TraceParent::parse(TRACE).unwrap());
            let stored: Vec<_> = server.stored().await.into_iter().map(|event| event.traceparent).collect();
            assert_eq!(stored, vec![expected; count], "{content_type} {values:?}");
        }
    }
}

const REQUIRED: [(&str, &str); 4] = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];

#[tokio::test]
async fn the_three_modes_of_one_event_store_the_same_event() {
    let structured = r#"{"specversion":"1.0","id":"A-1","source":"/shop","type":"order.paid","subject":"Müller 100%",
        "time":"2026-01-31T12:00:00Z","partitionkey":"order-7","tenant":"acme","vip":true,"level":-3,
        "datacontenttype":"application/vnd.shop+json; v=2","data":{"sum": 1.50}}"#;
    let headers = [
        ("ce-specversion", "1.0"),
        ("CE-ID", "A-1"),
        ("ce-source", "/shop"),
        ("ce-type", "order.paid"),
        ("ce-subject", "M%C3%BCller%20100%25"),
        ("ce-time", "2026-01-31T12:00:00Z"),
        ("ce-partitionkey", "order-7"),
        ("ce-tenant", "acme"),
        ("ce-vip", "true"),
        ("ce-level", "-3"),
        ("content-type", "application/vnd.shop+json; v=2"),
    ];
    let servers = [Server::new(), Server::new(), Server::new()];
    servers[0].post("/v1/events", CLOUDEVENT, structured).await.accepted();
    servers[1].post("/v1/events", CLOUDEVENTS, format!("[{structured}]")).await.batch();
    binary(&servers[2], &headers, "{\"sum\": 1.50}").await.accepted();
    let events = [servers[0].only().await, servers[1].only().await, servers[2].only().await];
    assert_eq!(events[0].subject.as_deref(), Some("Müller 100%"));
    assert_eq!(events[0].key.as_ref().unwrap().as_str(), "order-7");
    assert_eq!(events[0].attributes.len(), 3);
    assert_eq!(events[0].data, "{\"sum\": 1.50}");
    assert_eq!(events[0], events[1]);
    assert_eq!(events[0].attributes["vip"], true.into());
    assert_eq!(events[0].attributes["level"], (-3).into());
    // Headers have no types: their attributes are texts, and the same texts.
    let texts = events[0].attributes.iter().map(|(name, value)| (name.clone(), value.text().into())).collect();
    assert_eq!(Event { attributes: texts, ..events[0].clone() }, events[2]);
}

#[tokio::test]
async fn an_event_without_data_has_none_in_any_mode() {
    let servers = [Server::new(), Server::new()];
    let body = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
    servers[0].post("/v1/events", CLOUDEVENT, body).await.accepted();
    binary(&servers[1], &REQUIRED, "").await.accepted();
    let event = servers[0].only().await;
    assert!(event.data.is_empty());
    assert_eq!(event, servers[1].only().await);
}

#[tokio::test]
async fn data_of_any_type_is_kept_byte_for_byte() {
    for (member, content_type, data) in [
        (r#""datacontenttype":"text/plain","data":"a\nb""#, "text/plain", &b"a\nb"[..]),
        (r#""datacontenttype":"text/plain","data_base64":"/wA=""#, "text/plain", b"\xff\x00"),
        (r#""data_base64":"eyJhIjogMX0=""#, "application/json", b"{\"a\": 1}"),
        (r#""data":"text""#, "application/json", b"\"text\""),
    ] {
        let server = Server::new();
        let body = format!(r#"{{{member},"specversion":"1.0","id":"1","source":"/s","type":"t"}}"#);
        server.post("/v1/events", CLOUDEVENT, body).await.accepted();
        let event = server.only().await;
        assert_eq!((&*event.content_type, event.data.as_ref()), (content_type, data), "{member}");
    }
    let server = Server::new();
    binary(&server, &[&REQUIRED[..], &[("content-type", "image/x-nothing")]].concat(), "\u{0}\u{ff}").await.accepted();
    assert_eq!(server.only().await.data, "\u{0}\u{ff}");
    let server = Server::new();
    binary(&server, &REQUIRED, "bytes of who knows what").await.accepted();
    assert_eq!(&*server.only().await.content_type, "application/octet-stream");
}

#[tokio::test]
async fn what_cloudevents_requires_is_required() {
    for (without, field) in [("specversion", "/specversion"), ("id", "/id"), ("source", "/source"), ("type", "/type")] {
        let members = [("specversion", "1.0"), ("id", "1"), ("source", "/s"), ("type", "t")];
        let members: Vec<String> = members
            .iter()
            .filter(|(name, _)| *name != without)
            .map(|(name, value)| format!("\"{name}\":\"{value}\""))
            .collect();
        let server = Server::new();
        server.post("/v1/events", CLOUDEVENT, format!("{{{}}}", members.join(","))).await.invalid(field);
        let headers: Vec<_> = REQUIRED.into_iter().filter(|(name, _)| *name != format!("ce-{without}")).collect();
        binary(&server, &headers, "").await.invalid(&format!("ce-{without}"));
        assert!(server.stored().await.is_empty());
    }
}

#[tokio::test]
async fn a_wrong_member_is_named() {
    let server = Server::new();
    for (member, field) in [
        (r#""specversion":"0.3""#, "/specversion"),
        (r#""specversion":1.0"#, "/specversion"),
        (r#""specversion":"1.0","Tenant":"a""#, "/Tenant"),
        (r#""specversion":"1.0","tenant":[]"#, "/tenant"),
        (r#""specversion":"1.0","tenant":4294967296"#, "/tenant"),
        (r#""specversion":"1.0","tenant":"a\rb""#, "/tenant"),
        (r#""specversion":"1.0","partitionkey":"""#, "/partitionkey"),
        (r#""specversion":"1.0","time":"now""#, "/time"),
        (r#""specversion":"1.0","data":1,"data_base64":"AA==""#, "/data_base64"),
        (r#""specversion":"1.0","data_base64":"?""#, "/data_base64"),
        (r#""specversion":"1.0","data_base64":"e30x""#, "/data_base64"),
        (r#""specversion":"1.0","data":{},"datacontenttype":"text/plain""#, "/data"),
        (r#""specversion":"1.0","datacontenttype":"""#, "/datacontenttype"),
    ] {
        let body = format!(r#"{{{member},"id":"1","source":"/s","type":"t"}}"#);
        server.post("/v1/events", CLOUDEVENT, body).await.invalid(field);
    }
    assert!(server.stored().await.is_empty());
}

#[tokio::test]
async fn a_wrong_header_is_named() {
    let server = Server::new();
    for (name, value) in [
        ("ce-datacontenttype", "text/plain"),
        ("ce-id", "2"),
        ("ce-time", "now"),
        ("ce-subject", "%FF"),
        ("ce-tenant", "a%0Ab"),
        ("ce-tenant_id", "a"),
        ("ce-data", "a"),
    ] {
        let headers = [&REQUIRED[..], &[(name, value)]].concat();
        binary(&server, &headers, "").await.invalid(name);
    }
    assert!(server.stored().await.is_empty());
}

#[tokio::test]
async fn json_data_must_be_json_in_binary_mode_too() {
    let server = Server::new();
    let headers = [&REQUIRED[..], &[("content-type", "application/json")]].concat();
    let problem = binary(&server, &headers, "{\"a\":\n oops}").await.problem(400, "malformed");
    assert_eq!(problem.position.unwrap().line, 2);
    binary(&server, &headers, " {\"a\": 1}\n").await.accepted();
    assert_eq!(server.only().await.data, " {\"a\": 1}\n");
}

#[tokio::test]
async fn an_idempotency_key_is_no_id_for_a_cloudevent() {
    let server = Server::new();
    let headers = [("ce-specversion", "1.0"), ("ce-source", "/s"), ("ce-type", "t"), ("idempotency-key", "k")];
    binary(&server, &headers, "").await.invalid("ce-id");
}

#[tokio::test]
async fn more_extensions_than_fit_are_refused() {
    let server = Server::new();
    let names: Vec<String> = (0..65).map(|n| format!("ce-x{n}")).collect();
    let headers: Vec<_> = REQUIRED.into_iter().chain(names.iter().map(|name| (name.as_str(), "v"))).collect();
    let problem = binary(&server, &headers, "").await.problem(422, "invalid");
    assert!(problem.detail.contains("at most 64"), "{}", problem.detail);
    binary(&server, &headers[..REQUIRED.len() + 64], "").await.accepted();
}
