//! What the sink sends is what a receiver's half (`laneway_domain::receiver`) reads.

use crate::events::{OTHER_SECRET, SECRET, attempted, config, event};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use laneway_domain::receiver::{Arrival, CloudEventMembers, NotVerified, Sequence, Verifier};
use laneway_domain::{Event, Offset, Partition, Timestamp};
use laneway_ports::{Attempted, Delivery, Sink};
use laneway_webhook::{Secret, WebhookConfig, WebhookSink};
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::time::UNIX_EPOCH;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

async fn sent(secrets: &[&str], batch: bool, events: Vec<Attempted>) -> Request {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(204)).mount(&server).await;
    let secrets = secrets.iter().map(|text| Secret::new(*text)).collect();
    let settings = WebhookConfig { secrets, batch, ..config(server.uri()) };
    WebhookSink::new(settings).unwrap().deliver(&Delivery::of(events)).await;
    server.received_requests().await.unwrap().remove(0)
}

fn verified(secret: &str, got: &Request, body: &[u8]) -> Result<(), NotVerified> {
    let now = Timestamp::ZERO.after(UNIX_EPOCH.elapsed().unwrap());
    Verifier::new([secret]).unwrap().verify(|name| got.headers.get(name)?.to_str().ok(), body, now)
}

#[tokio::test]
async fn every_secret_of_a_rotation_verifies_and_no_other() {
    let seed = [7; 32];
    let private = format!("whsk_{}", STANDARD.encode(seed));
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let public = format!("whpk_{}", STANDARD.encode(pair.public_key()));
    for batch in [false, true] {
        let got = sent(&[OTHER_SECRET, &private, SECRET], batch, vec![attempted(event("naïve 1.5%"))]).await;
        for secret in [SECRET, OTHER_SECRET, &public] {
            assert_eq!(verified(secret, &got, &got.body), Ok(()));
            assert_eq!(verified(secret, &got, b"{}"), Err(NotVerified::Signature));
        }
        let stranger = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert_eq!(verified(stranger, &got, &got.body), Err(NotVerified::Signature));
    }
    let unsigned = sent(&[], false, vec![attempted(event("a"))]).await;
    assert_eq!(verified(SECRET, &unsigned, &unsigned.body), Err(NotVerified::Missing("webhook-signature")));
}

#[tokio::test]
async fn an_arrival_is_read_from_a_request_and_from_a_batch() {
    let redriven = Attempted { attempt: 14, redrive: true, ..attempted(event("evt_1")) };
    let keyless = attempted(Event { key: None, ..event("evt_2") });
    let first = Arrival {
        id: "evt_1".into(),
        tenant: None,
        source: None,
        key: Some("order-7".into()),
        sequence: Sequence { partition: Partition(3), offset: Offset(41) },
        attempt: 14,
        redrive: true,
        replay: None,
    };
    let second = Arrival { id: "evt_2".into(), key: None, attempt: 1, redrive: false, ..first.clone() };
    for (event, expected) in [(redriven.clone(), &first), (keyless.clone(), &second)] {
        let got = sent(&[], false, vec![event]).await;
        assert_eq!(&Arrival::of_headers(|name| got.headers.get(name)?.to_str().ok()).unwrap(), expected);
    }
    let got = sent(&[], true, vec![redriven, keyless]).await;
    let members: Vec<CloudEventMembers> = got.body_json().unwrap();
    let arrivals: Vec<Arrival> = members.into_iter().map(|of| of.try_into().unwrap()).collect();
    assert_eq!(arrivals, [first, second]);
}
