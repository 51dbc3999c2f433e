//! What a well-behaved receiver gets, and what its answers come to.

use crate::events::{OTHER_SECRET, SECRET, attempted, config, deliver, event, retry_reason};
use bytes::Bytes;
use laneway_domain::{Event, EventId, Key, LoggedEvent, Offset, Outcome, TraceParent};
use laneway_ports::{Attempted, Delivery, Sink};
use laneway_webhook::{Credentials, Secret, WebhookConfig, WebhookSink};
use std::sync::Arc;
use std::time::Duration;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

async fn answering(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    server
}

async fn received(config: impl FnOnce(WebhookConfig) -> WebhookConfig, event: Event) -> Request {
    let server = answering(ResponseTemplate::new(204)).await;
    let config = config(crate::events::config(format!("{}/hooks/a?x=1", server.uri())));
    assert_eq!(deliver(&WebhookSink::new(config).unwrap(), event).await, Outcome::Delivered);
    server.received_requests().await.unwrap().remove(0)
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    let values: Vec<_> = request.headers.get_all(name).iter().collect();
    assert_eq!(values.len(), 1, "{name}");
    values[0].to_str().unwrap()
}

#[tokio::test]
async fn an_event_arrives_with_all_its_headers_and_its_bytes() {
    let sent = Event {
        source: Some("https://shop.example/eu".into()),
        subject: Some("order 7".into()),
        time: Some("2026-01-02T03:04:05.6+02:00".into()),
        attributes: [
            ("tenant".into(), "Zürich".into()),
            ("empty".into(), "".into()),
            ("level".into(), (-5).into()),
            ("vip".into(), false.into()),
        ]
        .into(),
        traceparent: TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ..event("evt_1")
    };
    let got = received(|config| config, sent.clone()).await;
    assert_eq!(got.body, sent.data);
    assert_eq!((got.url.path(), got.url.query()), ("/hooks/a", Some("x=1")));
    let expected = [
        ("content-type", "application/json"),
        ("content-length", "19"),
        ("webhook-id", "evt_1"),
        ("ce-specversion", "1.0"),
        ("ce-id", "evt_1"),
        ("ce-type", "order.paid"),
        ("ce-source", "https://shop.example/eu"),
        ("ce-subject", "order%207"),
        ("ce-time", "2026-01-02T03:04:05.6+02:00"),
        ("ce-partitionkey", "order-7"),
        ("ce-tenant", "Z%C3%BCrich"),
        ("ce-empty", ""),
        ("ce-level", "-5"),
        ("ce-vip", "false"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("laneway-sequence", "3-00000000000000000041"),
        ("laneway-attempt", "1"),
        ("user-agent", concat!("Laneway/", env!("CARGO_PKG_VERSION"))),
    ];
    for (name, value) in expected {
        assert_eq!(header(&got, name), value, "{name}");
    }
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(header(&got, "webhook-timestamp").parse::<u64>().unwrap().abs_diff(now) < 100);
    for absent in ["webhook-signature", "authorization", "laneway-redrive", "laneway-replay"] {
        assert!(got.headers.get(absent).is_none(), "{absent}");
    }
}

#[tokio::test]
async fn a_retried_dead_letter_says_that_its_sequence_is_old() {
    let server = answering(ResponseTemplate::new(200)).await;
    let sink = WebhookSink::new(config(server.uri())).unwrap();
    for replay in [None, Some(u64::MAX)] {
        let redriven = Attempted { redrive: true, replay, ..attempted(event("evt_1")) };
        assert_eq!(sink.deliver(&Delivery::of(vec![redriven])).await.outcomes, [Outcome::Delivered]);
        let got = server.received_requests().await.unwrap().pop().unwrap();
        assert_eq!(header(&got, "laneway-redrive"), "true");
        assert_eq!(header(&got, "laneway-sequence"), "3-00000000000000000041");
        let says = got.headers.get("laneway-replay").map(|value| value.to_str().unwrap());
        assert_eq!(says, replay.map(|_| "18446744073709551615"));
    }
}

#[tokio::test]
async fn what_the_producer_left_out_has_its_default() {
    let got = received(|config| config, Event { key: None, ..event("a") }).await;
    assert_eq!(header(&got, "ce-source"), "/laneway");
    assert_eq!(header(&got, "ce-time"), "2023-11-14T22:13:20.25Z");
    for absent in ["ce-subject", "ce-partitionkey"] {
        assert!(got.headers.get(absent).is_none(), "{absent}");
    }
}

#[tokio::test]
async fn an_id_that_no_header_can_carry_is_percent_encoded() {
    let got =
        received(|config| WebhookConfig { secrets: vec![Secret::new(SECRET)], ..config }, event("naïve 1.5%")).await;
    assert_eq!(header(&got, "ce-id"), "na%C3%AFve%201.5%25");
    assert_eq!(header(&got, "webhook-id"), "na%C3%AFve%201%2E5%25");
    verifier(SECRET).verify(&got.body, &got.headers).unwrap();
}

#[tokio::test]
async fn any_bytes_and_any_media_type_pass_unchanged() {
    let all: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let large = all.repeat(80);
    for (content_type, data) in
        [("application/octet-stream", all), ("a/b", large), ("text/plain; charset=\"ü\"", Vec::new())]
    {
        let sent = Event { content_type: content_type.into(), data: data.into(), ..event("a") };
        let got = received(|config| config, sent.clone()).await;
        assert_eq!(got.headers["content-type"].as_bytes(), content_type.as_bytes());
        assert!(got.body == sent.data);
    }
}

fn verifier(secret: &str) -> standardwebhooks::Webhook {
    standardwebhooks::Webhook::new(secret).unwrap()
}

#[tokio::test]
async fn during_a_rotation_both_secrets_verify() {
    let secrets = vec![Secret::new(OTHER_SECRET), Secret::new(SECRET)];
    let got = received(|config| WebhookConfig { secrets, ..config }, event("evt_1")).await;
    verifier(SECRET).verify(&got.body, &got.headers).unwrap();
    verifier(OTHER_SECRET).verify(&got.body, &got.headers).unwrap();
    let stranger = verifier("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    assert!(stranger.verify(&got.body, &got.headers).is_err());
    assert!(verifier(SECRET).verify(b"{}", &got.headers).is_err());
}

#[tokio::test]
async fn custom_headers_and_credentials_are_sent() {
    let with = |config| WebhookConfig {
        headers: vec![("X-Team".into(), Secret::new("a")), ("User-Agent".into(), Secret::new("Mine"))],
        credentials: Some(Credentials::Bearer(Secret::new("t0ken"))),
        ..config
    };
    let got = received(with, event("a")).await;
    assert_eq!(header(&got, "x-team"), "a");
    assert_eq!(header(&got, "user-agent"), "Mine");
    assert_eq!(header(&got, "authorization"), "Bearer t0ken");
}

#[tokio::test]
async fn a_user_in_the_url_becomes_basic_credentials() {
    let with = |config: WebhookConfig| WebhookConfig { url: config.url.replace("://", "://me:p%40s&s+@"), ..config };
    let got = received(with, event("a")).await;
    assert_eq!(header(&got, "authorization"), "Basic bWU6cEBzJnMr");
    let basic = Credentials::Basic { user: "me".into(), password: Secret::new("p@s&s+") };
    let got = received(|config| WebhookConfig { credentials: Some(basic), ..config }, event("a")).await;
    assert_eq!(header(&got, "authorization"), "Basic bWU6cEBzJnMr");
}

#[tokio::test]
async fn every_status_has_its_outcome() {
    for status in
        [200, 201, 202, 204, 299, 300, 301, 302, 304, 307, 308, 400, 401, 404, 408, 410, 422, 425, 429, 500, 503, 599]
    {
        let server = answering(ResponseTemplate::new(status)).await;
        let sink = WebhookSink::new(WebhookConfig { reject: vec![400, 422], ..config(server.uri()) }).unwrap();
        let expected = match status {
            200..=299 => "delivered",
            400 | 422 => "rejected",
            410 => "gone",
            _ => "retry",
        };
        assert_eq!(deliver(&sink, event("a")).await.label(), expected, "{status}");
        assert_eq!(server.received_requests().await.unwrap().len(), 1, "{status} is asked for once");
    }
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let server = answering(ResponseTemplate::new(503).insert_header("retry-after", "30")).await;
    let outcome = deliver(&WebhookSink::new(config(server.uri())).unwrap(), event("a")).await;
    assert!(matches!(outcome, Outcome::Retry { not_before: Some(wait), .. } if wait == Duration::from_secs(30)));
}

#[tokio::test]
async fn a_redirect_is_reported_and_not_followed() {
    let trap = answering(ResponseTemplate::new(200)).await;
    let server = answering(ResponseTemplate::new(307).insert_header("location", trap.uri())).await;
    let reason = retry_reason(deliver(&WebhookSink::new(config(server.uri())).unwrap(), event("a")).await);
    assert!(reason.contains("307") && reason.contains(&trap.uri()), "{reason}");
    assert!(trap.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_reason_never_shows_what_was_secret_in_the_request() {
    let echo = |request: &Request| {
        let headers = request.headers.iter().map(|(n, v)| format!("{n}={} ", v.to_str().unwrap_or_default()));
        ResponseTemplate::new(400).set_body_string(format!("{} {}", headers.collect::<String>(), request.url))
    };
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(echo).mount(&server).await;
    let config = WebhookConfig {
        secrets: vec![Secret::new(SECRET)],
        headers: vec![("a-key".into(), Secret::new("hush-hush"))],
        ..config(format!("{}/?sig=topsecret", server.uri().replace("://", "://me:hunter2@")))
    };
    let reason = retry_reason(deliver(&WebhookSink::new(config).unwrap(), event("a")).await);
    assert!(reason.contains("a-key=[secret]"), "{reason}");
    for hidden in ["hush", "bWU6", "hunter2", "topsecret"] {
        assert!(!reason.contains(hidden), "{reason}");
    }
}

fn keyed(id: &str, key: Option<&str>, offset: u64) -> Attempted {
    let with = Event { key: key.map(|key| Key::new(key).unwrap()), id: EventId::new(id).unwrap(), ..event("x") };
    let logged = attempted(with);
    let event = Arc::new(LoggedEvent { offset: Offset(offset), ..(*logged.event).clone() });
    Attempted { event, attempt: 2, ..logged }
}

#[tokio::test]
async fn of_several_events_those_behind_a_failure_of_their_key_are_not_tried() {
    let server = MockServer::start().await;
    let fails_b =
        |request: &Request| ResponseTemplate::new(if request.headers["webhook-id"] == "b1" { 500 } else { 200 });
    Mock::given(method("POST")).respond_with(fails_b).mount(&server).await;
    let sink = WebhookSink::new(config(server.uri())).unwrap();
    let events = [("a1", Some("a")), ("b1", Some("b")), ("c", None), ("b2", Some("b")), ("a2", Some("a"))];
    let events = events.iter().zip(1..).map(|(&(id, key), offset)| keyed(id, key, offset)).collect();
    let outcomes = sink.deliver(&Delivery::of(events)).await.outcomes;
    let labels: Vec<_> = outcomes.iter().map(Outcome::label).collect();
    assert_eq!(labels, ["delivered", "retry", "delivered", "not-tried", "delivered"]);
    let got = server.received_requests().await.unwrap();
    let of_a: Vec<_> = got
        .iter()
        .filter(|r| r.headers.get("ce-partitionkey").is_some_and(|key| key == "a"))
        .map(|r| header(r, "ce-id"))
        .collect();
    assert_eq!(of_a, ["a1", "a2"]);
    assert!(got.iter().all(|request| header(request, "laneway-attempt") == "2"));
}

#[tokio::test]
async fn many_deliveries_at_once_all_arrive() {
    let server = answering(ResponseTemplate::new(200).set_body_string("ok")).await;
    let sink = WebhookSink::new(config(server.uri())).unwrap();
    let deliveries = (0..500).map(|n| deliver(&sink, Event { data: Bytes::from(format!("{n}")), ..event("a") }));
    for outcome in futures_util::future::join_all(deliveries).await {
        assert_eq!(outcome, Outcome::Delivered);
    }
    let mut got: Vec<u32> = server.received_requests().await.unwrap().iter().map(|r| r.body_json().unwrap()).collect();
    got.sort_unstable();
    assert_eq!(got, (0..500).collect::<Vec<_>>());
}
