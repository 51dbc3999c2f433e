//! Names, errors and queries that were written to do harm: they are shown as text, or not at all.

use crate::{Browser, Server, named};
use http::StatusCode;
use laneway_domain::{BlockedKey, DestinationStatus, Offset, Partition, ProcessStatus, Timestamp};
use proptest::prelude::*;

/// What would be markup if anything were written without being escaped.
const SCRIPTS: [&str; 5] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' autofocus onfocus='alert(1)",
    "</title></textarea><svg onload=alert(1)>",
    "&lt;b&gt; {{7*7}} ${7*7} \u{202e}txt.exe",
];

fn status(text: &str) -> DestinationStatus {
    let key = BlockedKey {
        key: format!("key:{text}"),
        partition: Partition(0),
        head: Offset(1),
        attempts: 1,
        since: Timestamp::from_millis(1),
        next_attempt: None,
        last_error: text.to_owned(),
    };
    DestinationStatus { blocked_keys: 1, blocked: vec![key], ..DestinationStatus::idle(named("billing"), true) }
}

/// The tags of a page with the names of their attributes: what a browser would make of it.
fn shape(text: &str) -> Vec<String> {
    let mut shape = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let tag = &rest[at..];
        let mut quoted = false;
        let end = tag.find(|c| {
            quoted ^= c == '"';
            c == '>' && !quoted
        });
        let end = end.unwrap_or(tag.len() - 1);
        let mut inside = String::new();
        let mut quoted = false;
        for c in tag[..=end].chars() {
            if c == '"' {
                quoted = !quoted;
            } else if !quoted {
                inside.push(c);
            }
        }
        shape.push(inside);
        rest = &tag[end + 1..];
    }
    shape
}

#[tokio::test]
async fn what_comes_from_outside_makes_no_markup() {
    let pages = |text: &str| {
        let server = Server::open();
        server.tells(vec![DestinationStatus { paused: None, ..status(text) }]);
        let process = ProcessStatus { process: text.into(), role: text.into(), release: text.into() };
        let mut report = server.worker.report.lock().unwrap();
        (report.incomplete, report.processes) = (vec![text.to_owned()], vec![process]);
        drop(report);
        server
    };
    let plain = pages("plain");
    for script in SCRIPTS {
        let server = pages(script);
        for path in ["/console", "/console/destinations/billing", "/console/workers"] {
            let page = Browser::new(&server).get(path).await;
            assert_eq!(page.status, StatusCode::OK);
            let expected = Browser::new(&plain).get(path).await;
            assert_eq!(shape(&page.text), shape(&expected.text), "{path}: {script}");
            assert!(!page.text.contains("<script>") && !page.text.contains("<img src=x"), "{path}: {script}");
        }
    }
}

#[tokio::test]
async fn addresses_that_were_made_up_get_a_page_and_no_error_of_the_server() {
    let server = Server::open();
    server.tells(vec![status("a")]);
    let browser = Browser::new(&server);
    for path in [
        "/console/destinations/%3Cscript%3E",
        "/console/destinations/%ff",
        "/console/destinations/..%2f..%2fv1",
        "/console?page=-1&need=nothing&search=%00%ff",
        "/console?page=99999999999999999999999",
        "/console/destinations/billing/keys/skip",
        "/console/sign-in?to=%0d%0aset-cookie:x",
        "/console/.%2e/x",
    ] {
        let page = browser.get(path).await;
        assert!(page.status.as_u16() < 500, "{path}: {}", page.status);
        assert!(!page.text.contains("<script>"), "{path}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_query_and_no_form_is_too_odd(query in "[ -~]{0,200}", body: Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::open();
            server.tells(vec![status("a")]);
            let browser = Browser::new(&server);
            let query: String = query.chars().filter(|c| !" #<>\"\\^`{|}".contains(*c)).collect();
            for path in ["/console", "/console/sign-in", "/console/destinations/billing/keys/skip"] {
                let page = browser.get(&format!("{path}?{query}")).await;
                prop_assert!(page.status.as_u16() < 500, "{path}?{query}: {}", page.text);
            }
            let proof = browser.get("/console/destinations/billing").await.field("csrf");
            for path in ["pause", "resume", "test", "keys/retry", "keys/skip"] {
                let path = format!("/console/destinations/billing/{path}");
                let mut sent = format!("csrf={proof}&key=").into_bytes();
                sent.extend(&body);
                let request = browser.request(http::Method::POST, &path);
                let request = request.header("content-type", "application/x-www-form-urlencoded");
                let page = browser.send(request.body(sent.into()).unwrap()).await;
                prop_assert!(page.status.as_u16() < 500, "{path}: {}", page.text);
            }
            Ok(())
        })?;
    }
}
