//! Pages that are kept up to date.

use crate::{Browser, READER, Server, tokens};
use axum::body::Body;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

/// The next words of the stream; `None` once it has ended.
async fn next(body: &mut Body) -> Option<String> {
    let frame = body.frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

async fn open(browser: &Browser<'_>) -> http::Response<Body> {
    let request = browser.request(Method::GET, "/console/live").body(Body::empty()).unwrap();
    browser.server.router.clone().oneshot(request).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_page_is_told_of_what_is_new_and_of_its_end_within_a_second() {
    let server = Server::with(tokens());
    let reader = Browser::signed_in(&server, READER).await;
    let response = open(&reader).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(response.headers().contains_key("content-security-policy"));
    let mut body = response.into_body();
    for _ in 0..3 {
        assert_eq!(next(&mut body).await.unwrap(), "event: changed\ndata: now\n\n");
    }
    let revoked = tokio::time::Instant::now();
    server.tokens.replace(tokens().into_iter().filter(|token| token.name() != Some("reader")).collect());
    assert_eq!(next(&mut body).await.unwrap(), "event: ended\ndata: now\n\n");
    assert!(revoked.elapsed() <= std::time::Duration::from_secs(1));
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test(start_paused = true)]
async fn whoever_signs_out_elsewhere_is_told_too() {
    let server = Server::with(tokens());
    let reader = Browser::signed_in(&server, READER).await;
    let mut body = open(&reader).await.into_body();
    assert!(next(&mut body).await.unwrap().contains("changed"));
    let page = reader.get("/console").await;
    reader.submit(&page, "/console/sign-out", &[]).await;
    assert!(next(&mut body).await.unwrap().contains("ended"));
}

#[tokio::test(start_paused = true)]
async fn all_who_look_share_one_status_a_second_and_too_many_are_turned_away() {
    let server = Server::open();
    let browser = Browser::new(&server);
    let mut open_pages = Vec::new();
    loop {
        let response = open(&browser).await;
        if response.status() != StatusCode::OK {
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            break;
        }
        open_pages.push(response.into_body());
    }
    assert_eq!(open_pages.len(), 128);
    let before = *server.worker.asked.lock().unwrap();
    for _ in 0..5 {
        let all = futures_util::future::join_all(open_pages.iter_mut().map(next)).await;
        assert!(all.iter().all(|word| word.as_deref() == Some("event: changed\ndata: now\n\n")));
    }
    let asked = *server.worker.asked.lock().unwrap() - before;
    assert!((1..=6).contains(&asked), "{asked} times in 5 seconds, for {} pages", open_pages.len());
    // Who goes makes room.
    open_pages.pop();
    assert_eq!(open(&browser).await.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_waits_for_nobody_who_looks() {
    let server = Server::open();
    let browser = Browser::new(&server);
    let mut body = open(&browser).await.into_body();
    next(&mut body).await.unwrap();
    server.stop.send_replace(true);
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test]
async fn a_page_that_asks_for_itself_takes_no_message_away() {
    let server = Server::open();
    let browser = Browser::new(&server);
    let page = browser.get("/console/send").await;
    browser.submit(&page, "/console/send", &[("type", "order.paid"), ("id", "evt-1")]).await;
    // Also where its stream is led to another page.
    for (name, value) in [("x-laneway-live", "yes"), ("accept", "text/event-stream")] {
        let request = browser.request(Method::GET, "/console").header(name, value).body(Body::empty()).unwrap();
        assert!(!browser.send(request).await.text.contains("is accepted"), "{name}");
    }
    assert!(browser.get("/console").await.text.contains("The event evt-1 is accepted"));
}
