//! What holds for any body.

use crate::{CLOUDEVENT, CLOUDEVENTS, JSON, NDJSON, Server};
use axum::body::Body;
use http::Request;
use laneway_http::wire;
use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};

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
}
