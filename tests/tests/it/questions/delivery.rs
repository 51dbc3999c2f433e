//! What became of events.

use super::{Desk, ROUNDED, TWICE, becomes, in_the_past, millis, moment_after, page, says, send, shop::Shop, unbroken};
use std::time::{Duration, SystemTime};

#[tokio::test(flavor = "multi_thread")]
async fn was_it_delivered_where_when_with_which_status_and_after_how_many_attempts() {
    let shop = Shop::open().await;
    let retry = r#"retry = { initial = "50ms", factor = 1, jitter = 0, limit = "1h" }"#;
    let desk = Desk::with(&shop, &[("billing", retry), ("shipping", "types = [\"parcel.*\"]"), ("archive", retry)]);
    let server = desk.installation.start().await;
    // Twice it fails at each of the two that want it.
    shop.answer_times("order-7", 503, r#"{"error":"database is locked"}"#, 4);
    send(&server.client(), "evt_1", "order.paid", "order-7").await;
    for destination in ["billing", "archive"] {
        becomes(&server.client(), "evt_1", destination, "delivered").await;
    }
    let [show] = page::commands(1);
    let said = desk.ask(&show);
    let asked_at = SystemTime::now();
    says(
        &said,
        &["event evt_1", "type order.paid", "key order-7", r#"{"of":"evt_1"}"#, "1 other destination does not want it"],
    );

    let attempts = shop.of("evt_1");
    assert_eq!(attempts.len(), 6, "{attempts:#?}");
    for destination in ["archive", "billing"] {
        let own = said.split_once(&format!("{destination}: DELIVERED\n")).expect("it is delivered").1;
        let at = moment_after(own, "delivered");
        says(own, &["with 200, at attempt"]);
        let number: usize =
            own.split_once("at attempt ").unwrap().1.split('\n').next().unwrap().trim().parse().unwrap();
        let lines: Vec<&str> = own.lines().skip(1).take_while(|line| !line.contains(": DELIVERED")).collect();
        let of = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
        assert_eq!((of("failed with 503 in"), of("delivered with 200 in")), (number - 1, 1), "{own}");
        // When: not before the receiver got what it took, nor after it was asked.
        let taken = attempts.iter().filter(|attempt| attempt.status == 200).map(|attempt| millis(attempt.at)).min();
        assert!(millis(at) + ROUNDED >= taken.unwrap() && at <= asked_at, "{own}");
    }
    let numbers: usize = said.matches("failed with 503 in").count() + said.matches("delivered with 200 in").count();
    assert_eq!(numbers, attempts.len(), "{said}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn which_keys_are_stuck_why_since_when_and_what_was_answered() {
    let shop = Shop::open().await;
    let desk = Desk::with(&shop, &[("billing", TWICE)]);
    let server = desk.installation.start().await;
    let client = server.client();
    let locked = r#"{"error":"the database is locked by the nightly report, and nobody knows for how long"}"#;
    shop.answer("order-7", 503, locked);
    shop.answer("order-8", 422, r#"{"error":"amount is missing"}"#);
    for (id, key) in [("evt_1", "order-7"), ("evt_2", "order-8"), ("evt_3", "order-9"), ("evt_4", "order-7")] {
        send(&client, id, "order.paid", key).await;
    }
    shop.until("both attempts of both", |seen| seen.len() == 5).await;
    client
        .until("billing", "failed twice", |status| {
            status["blocked"].as_array().is_some_and(|all| all.len() == 2 && all.iter().all(|key| key["attempts"] == 2))
        })
        .await;
    let [status] = page::commands(2);
    let said = desk.ask(&status);
    let (destinations, keys) = said.split_once("DESTINATION  KEY").expect("a table of keys");
    // Four events came, one was taken; two keys are stuck, and none was given up.
    let line = destinations.lines().find(|line| line.starts_with("billing")).expect("a line about it");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!((words[1], words[5], words[6], words[7]), ("3", "2", "0", "failing"), "{said}");
    let stuck = |key: &str, answered: &str| {
        let row = keys.lines().position(|line| line.contains(key)).unwrap_or_else(|| panic!("{key}:\n{said}"));
        let row: Vec<&str> = keys.lines().skip(row).collect();
        let words: Vec<&str> = row[0].split_whitespace().collect();
        assert_eq!((words[0], words[1], words[3], words[5]), ("billing", key, "2", "ago"), "{said}");
        assert!(words[6] == "in" && words[7].contains('m'), "the next one is minutes away: {said}");
        says(&row[1..].join("\n"), &["last error: the receiver answered", answered]);
    };
    stuck("key:order-7", &format!("503 Service Unavailable: {locked}"));
    stuck("key:order-8", r#"422 Unprocessable Entity: {"error":"amount is missing"}"#);
    assert!(!keys.contains("order-9"), "{said}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exactly_did_the_receiver_see_and_say_in_a_failed_attempt() {
    let shop = Shop::open().await;
    let lines = format!(
        "secrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]\nheaders = {{ x-api-key = \"the-api-key-of-billing\" }}\n{TWICE}"
    );
    let desk = Desk::with(&shop, &[("billing", &lines), ("archive", "")]);
    let server = desk.installation.start().await;
    let answered = r#"{"error":"amount is missing","path":"/data/amount"}"#;
    shop.answer("order-8", 422, answered);
    send(&server.client(), "evt_2", "order.paid", "order-8").await;
    shop.until("its attempts", |seen| {
        seen.iter().filter(|request| !request.header("x-api-key").is_empty()).count() == 2
    })
    .await;
    let [show] = page::commands(3);
    let said = desk.until(&show, "  2  ");
    let requests: Vec<_> = shop.of("evt_2").into_iter().filter(|seen| !seen.header("x-api-key").is_empty()).collect();
    let mut parts = said.split("failed with 422 in").skip(1);
    for (number, request) in (1..).zip(&requests) {
        let part = parts.next().unwrap_or_else(|| panic!("attempt {number} is not told:\n{said}"));
        let (sent, got): (Vec<&str>, Vec<&str>) =
            part.lines().filter(|line| line.starts_with("       ")).partition(|line| !line.starts_with("       <"));
        let sent = unbroken(&sent.join("\n")).replace('>', "");
        says(&sent, &[&format!("POST {}", shop.url())]);
        assert!(shop.url().ends_with(request.uri.path()), "{}", request.uri);
        for (name, value) in &request.headers {
            let value = value.to_str().expect("a text");
            let shown = match name.as_str() {
                // The connection's, and made by it.
                "host" => continue,
                // Whoever reads this need not be able to send it.
                "webhook-signature" => format!("{name}: v1,…"),
                "x-api-key" => format!("{name}: [secret]"),
                _ => format!("{name}: {value}"),
            };
            says(&sent, &[&shown]);
        }
        assert_eq!(request.header("laneway-attempt"), number.to_string());
        says(&got.join("\n"), &["x-request-id: req-77", "content-type: application/json", answered]);
        // Its body is the event's data.
        assert_eq!(request.body, r#"{"of":"evt_2"}"#);
    }
    says(&said, &[r#"{"of":"evt_2"}"#]);
    assert!(!said.contains("the-api-key") && !said.contains("archive"), "{said}");
    assert!(!said.contains(requests[0].header("webhook-signature")), "{said}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_of_one_key_in_the_last_hour_and_where_is_it() {
    let shop = Shop::open().await;
    let desk =
        Desk::with(&shop, &[("billing", &format!("reject = [422]\n{TWICE}")), ("search", "types = [\"order.sent\"]")]);
    let past = in_the_past(&desk.installation, Duration::from_secs(2 * 3600)).await;
    send(&past.client(), "evt_old", "order.placed", "order-7").await;
    becomes(&past.client(), "evt_old", "billing", "delivered").await;
    past.stop();

    let server = desk.installation.start().await;
    let client = server.client();
    send(&client, "evt_1", "order.paid", "order-7").await;
    becomes(&client, "evt_1", "billing", "delivered").await;
    shop.answer_times("order-7", 422, r#"{"error":"no"}"#, 1);
    send(&client, "evt_2", "order.packed", "order-7").await;
    becomes(&client, "evt_2", "billing", "dead-letter").await;
    shop.answer("order-7", 503, r#"{"error":"busy"}"#);
    send(&client, "evt_3", "order.sent", "order-7").await;
    send(&client, "evt_4", "order.paid", "order-8").await;
    send(&client, "evt_5", "order.closed", "order-7").await;
    becomes(&client, "evt_3", "billing", "blocked").await;
    becomes(&client, "evt_4", "billing", "delivered").await;

    let [list] = page::commands(12);
    let said = format!("\n{}", desk.ask(&list));
    // The latest first; nothing of another key, and nothing of before.
    let events: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("event ")?.split(' ').next()).collect();
    assert_eq!(events, ["evt_5", "evt_3", "evt_2", "evt_1"], "{said}");
    let of = |id: &str| -> &str {
        let rest = said.split_once(&format!("\nevent {id} ")).unwrap().1;
        rest.split("\nevent ").next().unwrap()
    };
    says(of("evt_1"), &["order.paid, key order-7", "billing: DELIVERED", "with 200, at the first attempt"]);
    says(of("evt_2"), &["billing: DEAD LETTER", "since", r#"422 Unprocessable Entity: {"error":"no"}"#]);
    says(of("evt_3"), &["billing: BLOCKED", r#"503 Service Unavailable: {"error":"busy"}"#, "search: BLOCKED"]);
    says(of("evt_5"), &["billing: WAITING", "it waits for the event evt_3 before it"]);
    assert!(!of("evt_5").contains("search"), "{said}");
    server.stop();
}
