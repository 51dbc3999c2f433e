use super::*;
use crate::client::Client;

async fn deliver(receiver: &Receiver, offset: u64, key: &str) -> Result<u16, String> {
    let (id, sequence) = (format!("e{offset}"), format!("3-{offset:020}"));
    let headers = [
        ("webhook-id", id.as_str()),
        ("laneway-sequence", &sequence),
        ("laneway-attempt", "1"),
        ("ce-partitionkey", key),
    ];
    let sent = Client::new(receiver.address).send(http::Method::POST, "/hook", &headers, "body").await;
    sent.map(|answer| answer.status)
}

#[tokio::test]
async fn it_records_what_came_and_fails_a_poisoned_key() {
    let receiver = Receiver::start(Behaviour::poisoned(&["b c"]), 1).await;
    assert_eq!(deliver(&receiver, 7, "a").await, Ok(200));
    assert_eq!(deliver(&receiver, 8, "b%20c").await, Ok(500));
    let record = receiver.record();
    assert_eq!(record.taken, BTreeMap::from([("e7".to_owned(), 1)]));
    let first = &record.deliveries[0];
    assert_eq!((first.sequence, first.key.as_deref(), first.body.as_ref()), ((3, 7), Some("a"), &b"body"[..]));
    assert_eq!(record.deliveries[1].key.as_deref(), Some("b c"));
}

#[tokio::test]
async fn a_delivery_without_its_headers_is_noticed() {
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    Client::new(receiver.address).post("/hook", "{}").await.unwrap();
    assert_eq!(receiver.record().broken.len(), 1);
}

#[tokio::test]
async fn it_goes_down_and_comes_up_on_the_same_port() {
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    assert_eq!(deliver(&receiver, 1, "a").await, Ok(200));
    receiver.close().await;
    assert!(deliver(&receiver, 2, "a").await.is_err());
    receiver.up().await;
    assert_eq!(deliver(&receiver, 3, "a").await, Ok(200));
}

#[tokio::test]
async fn about_as_many_fail_as_were_to() {
    let receiver = Receiver::start(Behaviour::failing(0.2), 7).await;
    for offset in 0..500 {
        deliver(&receiver, offset, "a").await.unwrap();
    }
    let taken = receiver.record().taken.len();
    assert!((350..450).contains(&taken), "{taken} of 500 were taken at a failure rate of 0.2");
}
