//! What holds for any body.

use crate::{CLOUDEVENT, CLOUDEVENTS, JSON, NDJSON, Server};
use axum::body::Body;
use http::Request;
use laneway_http::wire;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};

/// What the HTTP binding of CloudEvents, section 3.1.3.2, says must be encoded.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Bytes: none in particular, or cut and glued from what events are made of.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        &b"{"[..],
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\n",
        b"\"",
        b"\\",
        b"\xff",
        b"\xc3\xa9",
        b"null",
        b"1e5",
        b"{\"type\":\"a\"}",
        b"\"type\":",
        b"\"id\":",
        b"\"key\":",
        b"\"data\":",
        b"\"attributes\":",
        b"\"specversion\":\"1.0\"",
        b"\"source\":\"s\"",
        b"\"type\":\"t\"",
        b"\"id\":\"i\"",
        b"\"data_base64\":\"AA==\"",
        b"\"x\"",
        b"true",
        b"{\"a\":1}",
        b"\\ud800",
        b"\0",
    ]);
    prop_oneof![
        any::<Vec<u8>>(),
        prop::collection::vec(piece.clone(), 0..24).prop_map(|pieces| pieces.concat()),
        prop::collection::vec(piece, 0..12).prop_map(|pieces| [&b"{"[..], &pieces.join(&b","[..]), b"}"].concat()),
    ]
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_body_of_any_media_type_is_taken_or_refused_with_a_problem(
        body in body(),
        media in prop::sample::select(vec![JSON, NDJSON, CLOUDEVENT, CLOUDEVENTS, "text/plain", "application/json;charset=x"]),
        path in prop::sample::select(vec!["/v1/events", "/v1/events/batch"]),
        binary: bool,
    ) {
        runtime().block_on(async {
            let server = Server::new();
            let mut request = Request::post(path).header("content-type", media);
            if binary {
                for (name, value) in [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "s"), ("ce-type", "t")] {
                    request = request.header(name, value);
                }
            }
            let answer = server.send(request.body(Body::from(body)).unwrap()).await;
            let stored = server.stored().await.len();
            if answer.status == 202 {
                let told = if answer.body.starts_with(b"{\"events\":") {
                    answer.batch().iter().filter(|event| !event.duplicate).count()
                } else {
                    answer.accepted();
                    1
                };
                assert_eq!(told, stored);
            } else {
                assert_eq!(answer.headers["content-type"], "application/problem+json");
                assert!(answer.status.is_client_error(), "{answer:?}");
                let problem: wire::Problem = answer.read();
                assert_eq!(problem.status, answer.status.as_u16());
                assert_eq!(stored, 0);
            }
        });
    }

    #[test]
    fn data_comes_out_as_it_went_in(value in any_json(), pretty: bool, key in "[^\\p{Cc}]{1,20}") {
        let data = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let key_json = serde_json::to_string(&key).unwrap();
        runtime().block_on(async {
            let server = Server::new();
            let body = format!("{{\"data\":  {data} ,\"type\":\"t\",\"key\":{key_json}}}");
            server.post("/v1/events", JSON, body).await.accepted();
            let event = server.only().await;
            assert_eq!(event.data, data);
            assert_eq!(event.key.unwrap().as_str(), key);
        });
    }

    #[test]
    fn a_batch_stores_what_its_events_would_alone(ids in prop::collection::vec("[a-e]", 0..12), lines: bool) {
        runtime().block_on(async {
            let (together, alone) = (Server::new(), Server::new());
            let events: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":"{id}","type":"t","key":"{id}"}}"#)).collect();
            let mut expected = Vec::new();
            for event in &events {
                expected.push(alone.post("/v1/events", JSON, event.clone()).await.accepted());
            }
            let (media, body) =
                if lines { (NDJSON, events.join("\n")) } else { (JSON, format!("[{}]", events.join(","))) };
            assert_eq!(together.post("/v1/events/batch", media, body).await.batch(), expected);
            assert_eq!(together.stored().await, alone.stored().await);
        });
    }

    #[test]
    fn the_three_modes_of_one_cloudevent_store_the_same_event(
        texts in prop::collection::vec("[^\\p{Cc}]{1,20}", 5),
        extensions in prop::collection::btree_map("x[a-z0-9]{1,8}", "[^\\p{Cc}]{0,20}", 0..4),
        data in prop::option::of(any_json()),
    ) {
        let names = ["id", "source", "type", "subject", "partitionkey"];
        let attributes: Vec<(&str, &str)> = [("specversion", "1.0"), ("time", "2026-01-31T12:00:00Z")]
            .into_iter()
            .chain(names.into_iter().zip(texts.iter().map(String::as_str)))
            .chain(extensions.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .collect();
        let mut members: Vec<String> =
            attributes.iter().map(|(name, value)| format!("\"{name}\":{}", serde_json::json!(value))).collect();
        let data = data.map(|data| data.to_string());
        members.extend(data.iter().map(|data| format!("\"data\":{data}")));
        let structured = format!("{{{}}}", members.join(","));
        let mut binary = Request::post("/v1/events");
        for (name, value) in &attributes {
            binary = binary.header(format!("ce-{name}"), utf8_percent_encode(value, ENCODED).to_string());
        }
        if data.is_some() {
            binary = binary.header("content-type", JSON);
        }
        let binary = binary.body(Body::from(data.unwrap_or_default())).unwrap();
        runtime().block_on(async {
            let servers = [Server::new(), Server::new(), Server::new()];
            servers[0].post("/v1/events", CLOUDEVENT, structured.clone()).await.accepted();
            servers[1].post("/v1/events/batch", CLOUDEVENTS, format!("[{structured}]")).await.batch();
            servers[2].send(binary).await.accepted();
            let event = servers[0].only().await;
            assert_eq!(event.id.as_str(), texts[0]);
            assert_eq!(event.attributes.len(), extensions.len());
            assert_eq!(event, servers[1].only().await);
            assert_eq!(event, servers[2].only().await);
        });
    }
}
