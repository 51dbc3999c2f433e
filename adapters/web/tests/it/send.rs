//! An event that is written by hand.

use crate::{Browser, PUBLISHER, Server, tokens};
use http::StatusCode;
use laneway_domain::{Offset, Partition};
use laneway_ports::{EventLog as _, LogRecord};

async fn stored(server: &Server) -> Vec<std::sync::Arc<laneway_domain::LoggedEvent>> {
    let mut all = Vec::new();
    for partition in 0..4 {
        let chunk = server.store.read(Partition(partition), Offset(0), usize::MAX, usize::MAX).await.unwrap();
        all.extend(chunk.records.into_iter().filter_map(|record| match record {
            LogRecord::Event(event) => Some(event),
            _ => None,
        }));
    }
    all
}

#[tokio::test]
async fn an_event_is_accepted_with_its_data_as_it_was_written() {
    let server = Server::with(tokens());
    let browser = Browser::signed_in(&server, PUBLISHER).await;
    let page = browser.get("/console/send").await;
    let fields = [
        ("type", "order.paid"),
        ("key", "order 7 <b>"),
        ("id", "evt-1"),
        ("source", "by hand"),
        ("subject", ""),
        ("data", "{ \"total\": 12.50,\r\n \"note\": \"</textarea><script>\" }"),
    ];
    let answer = browser.submit(&page, "/console/send", &fields).await;
    // It may not read, and so is not led to the event.
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/console/send"));
    let after = browser.get("/console/send").await;
    assert!(after.text.contains("The event evt-1 is accepted"), "{}", after.text);
    let [event] = &stored(&server).await[..] else { panic!("one event") };
    assert_eq!(
        (event.event.event_type.as_str(), event.event.key.as_ref().unwrap().as_str()),
        ("order.paid", "order 7 <b>")
    );
    assert_eq!(&event.event.data[..], &b"{ \"total\": 12.50,\r\n \"note\": \"</textarea><script>\" }"[..]);
}

#[tokio::test]
async fn what_is_wrong_is_told_beside_the_form_which_keeps_what_was_written() {
    let server = Server::open();
    let browser = Browser::new(&server);
    let page = browser.get("/console/send").await;
    let long = format!("\"{}\"", "x".repeat(300 * 1024));
    for (fields, status, told) in [
        ([("type", "order.paid"), ("data", "{\"a\": </textarea><script>")], 422, "The data is no JSON"),
        ([("type", ""), ("data", "{}")], 422, "type"),
        ([("type", "laneway.test.x"), ("data", "{}")], 422, "laneway."),
        ([("type", "order.paid"), ("data", &long)], 413, "bytes"),
    ] {
        let answer = browser.submit(&page, "/console/send", &fields).await;
        assert_eq!(answer.status.as_u16(), status, "{}", &answer.text[..2000.min(answer.text.len())]);
        assert!(answer.text.contains(told) && answer.text.contains("name=\"data\""), "{told}");
        assert!(!answer.text.contains("<script>"), "{told}");
    }
    assert!(stored(&server).await.is_empty());
}
