//! How it is now, and being told of it.

use super::{
    Desk, GLANCE, GLANCES, ROUNDED, TWICE, becomes, in_the_past, millis, page, says, send, shop::Shop, tables,
};
use laneway_tests::server::{Installation, Settings};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// `2m5s`, in seconds.
fn seconds(text: &str) -> f64 {
    let (mut all, mut number) = (0.0, String::new());
    for c in text.chars() {
        let unit = match c {
            'd' => 86_400.0,
            'h' => 3600.0,
            'm' => 60.0,
            's' => 1.0,
            digit => {
                number.push(digit);
                continue;
            }
        };
        all += number.parse::<f64>().expect("a number") * unit;
        number.clear();
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_behind_in_time_is_each_destination_and_when_has_it_caught_up() {
    const EVENTS: usize = 3000;
    let (shop, slow, stuck) = (Shop::open().await, Shop::open().await, Shop::open().await);
    let mut all = tables(&shop, &[("archive", "")]);
    all.extend(tables(&slow, &[("billing", "max_in_flight = 1")]));
    all.extend(tables(
        &stuck,
        &[("crm", "types = [\"order.last\"]\nretry = { initial = \"1h\", factor = 1, limit = \"48h\" }")],
    ));
    let desk = Desk::at(Installation::new(&Settings::destinations(&all)));
    stuck.answer("", 503, "");
    let past = in_the_past(&desk.installation, Duration::from_secs(3 * 3600)).await;
    let client = past.client();
    desk.ask("laneway destinations pause billing");
    let event = |n: usize| json!({"id": format!("e{n}"), "type": "order.paid", "key": format!("k{}", n % 50)});
    client.accepted_all(&(0..EVENTS).map(event).collect::<Vec<_>>()).await;
    send(&client, "last", "order.last", "k0").await;
    becomes(&client, "last", "archive", "delivered").await;
    past.stop();

    let server = desk.installation.start().await;
    slow.slow(Duration::from_millis(10));
    desk.ask("laneway destinations resume billing");
    let [status] = page::commands(9);
    // It takes some seconds until there is a rate that can be told.
    let mut said = String::new();
    for _ in 0..GLANCES {
        said = desk.ask(&status);
        let of_billing = said.split_once("\nbilling").map(|(_, rest)| rest.split("\ncrm").next().unwrap_or(rest));
        if of_billing.is_some_and(|own| own.contains("caught up in")) && said.contains("not caught up at this rate") {
            break;
        }
        tokio::time::sleep(GLANCE * 10).await;
    }
    let line = |name: &str| -> Vec<&str> {
        let begins = |line: &&str| line.starts_with(name);
        said.lines().find(begins).unwrap_or_else(|| panic!("{name}: {said}")).split_whitespace().collect()
    };
    let archive = line("archive");
    assert_eq!((archive[1], archive[2], archive[archive.len() - 1]), ("0", "-", "ok"), "{said}");
    // By the order of keys its oldest is from the first second of the backlog, or a later one.
    let billing = line("billing");
    assert!(billing.contains(&"3h") && billing[billing.len() - 1] == "late", "{said}");
    let crm = line("crm");
    assert!(crm.contains(&"3h") && crm.contains(&"failing"), "{said}");
    says(&said, &["since", "the receiver answered 503", "not caught up at this rate"]);
    // When: what waits by what goes a second, as the same answer has them.
    let waiting: f64 = billing.iter().find_map(|word| word.parse().ok()).expect("a number");
    let rate: f64 = billing.iter().find_map(|word| word.strip_suffix("/s")?.parse().ok()).expect("a rate");
    let told = said.split_once("caught up in ").expect("a time").1.split_whitespace().next().expect("a time");
    let (told, expected) = (seconds(told), waiting / rate);
    assert!((0.4..2.5).contains(&(told / expected)), "{told} s are told, {expected:.0} s expected:\n{said}");

    // And so it comes: nothing waits, nothing is old.
    slow.mend();
    server.client().settled("billing").await;
    let said = desk.ask("laneway status --destination billing");
    says(&said, &["billing 0 -"]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_when_a_destination_is_paused_or_has_been_down_for_ten_minutes() {
    const SOON: Duration = Duration::from_secs(2);
    let (chat, gone, down) = (Shop::open().await, Shop::open().await, Shop::open().await);
    let configuration = page::question(11).toml;
    for needed in ["types = [\"laneway.*\"]", "breaker_after = \"10m\"", "https://chat.example/hooks/laneway"] {
        assert!(configuration.contains(needed), "{configuration}");
    }
    // As the page has it, but for ten minutes that a test has no time for.
    let configuration =
        configuration.replace("https://chat.example/hooks/laneway", chat.url()).replace("\"10m\"", "\"2s\"");
    let quick = r#"retry = { initial = "20ms", factor = 1, jitter = 0, limit = "1h" }"#;
    let mut all = vec![configuration];
    all.extend(tables(&gone, &[("gone", "types = [\"gone.*\"]")]));
    all.extend(tables(&down, &[("down", &format!("types = [\"down.*\"]\n{quick}"))]));
    let desk = Desk::at(Installation::new(&Settings::destinations(&all)));
    let server = desk.installation.start().await;
    let client = server.client();
    gone.answer("", 410, "moved away");
    down.answer("", 503, "");
    send(&client, "evt_1", "gone.done", "a").await;
    for n in 0..20 {
        send(&client, &format!("evt_d{n}"), "down.done", &format!("d{n}")).await;
    }
    let told = |event_type: &'static str| {
        let requests = chat.requests();
        requests.into_iter().find(|request| request.header("ce-type") == event_type).map(|request| {
            let said: Value = serde_json::from_slice(&request.body).expect("JSON");
            (request.at, said)
        })
    };
    chat.until("the pause and the outage are told", |_| {
        told("laneway.destination.paused").is_some() && told("laneway.breaker.opened").is_some()
    })
    .await;
    let (_, paused) = told("laneway.destination.paused").unwrap();
    assert_eq!(paused["destination"], "gone", "{paused}");
    let text = paused["text"].as_str().expect("a sentence");
    assert!(text.contains("gone is paused") && text.contains("410") && text.contains("moved away"), "{text}");
    // So it is said of each event that waits there, in whichever partition.
    for (id, key) in [("evt_2", "b"), ("evt_3", "c"), ("evt_4", "d")] {
        send(&client, id, "gone.done", key).await;
        let said = desk.until(&format!("laneway why gone {id}"), "gone: WAITING");
        says(&said, &["gone is paused since", "410"]);
    }
    let (told_at, opened) = told("laneway.breaker.opened").unwrap();
    assert_eq!(opened["destination"], "down", "{opened}");
    let text = opened["text"].as_str().expect("a sentence");
    assert!(text.contains("down is down") && text.contains("503"), "{text}");
    let since = u128::from(opened["since"].as_u64().expect("a moment"));
    assert!(millis(told_at) + ROUNDED >= since + SOON.as_millis(), "{opened} was told too early");

    // And when that is over.
    down.mend();
    chat.until("its end is told", |_| told("laneway.breaker.closed").is_some()).await;
    server.stop();
}

/// The samples of a metrics page, by name and destination.
fn samples(page: &str) -> BTreeMap<String, Vec<(String, f64)>> {
    let mut all: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let destination = labels.split_once("destination=\"").map_or("", |(_, rest)| rest.split('"').next().unwrap());
        let value = value.parse().unwrap_or(f64::NAN);
        all.entry(name.to_owned()).or_default().push((destination.to_owned(), value));
    }
    all
}

/// The rules of the file for Prometheus: name and expression.
fn rules() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus/laneway.rules.yml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let alerts = text.split("- alert: ").skip(1).map(|alert| {
        let field = |name: &str| alert.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
        assert!(field("summary:").is_some() && field("action:").is_some(), "{alert}");
        let name = alert.lines().next().expect("a name").trim().to_owned();
        (name, field("expr:").expect("an expression").to_owned())
    });
    alerts.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn which_metrics_are_there_and_what_wakes_somebody() {
    let (shop, gone) = (Shop::open().await, Shop::open().await);
    let mut all =
        tables(&shop, &[("billing", &format!("reject = [422]\n{TWICE}")), ("archive", "types = [\"other\"]")]);
    all.extend(tables(&gone, &[("crm", "")]));
    let desk = Desk::at(Installation::new(&Settings::destinations(&all)));
    let server = desk.installation.start().await;
    let client = server.client();
    shop.answer("order-7", 503, "");
    shop.answer("order-8", 422, "");
    gone.answer("", 410, "");
    for (id, key) in [("evt_1", "order-7"), ("evt_2", "order-8"), ("evt_3", "order-9")] {
        send(&client, id, "order.paid", key).await;
    }
    becomes(&client, "evt_1", "billing", "blocked").await;
    becomes(&client, "evt_2", "billing", "dead-letter").await;
    becomes(&client, "evt_3", "billing", "delivered").await;
    client.until("crm", "paused", |status| status["paused"].is_string()).await;
    client.until("billing", "counted", |status| status["dead_letters"] == 1 && status["blocked_keys"] == 1).await;

    let [metrics] = page::commands(17);
    let operating = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let operating = std::fs::read_to_string(operating).expect("the page is there");
    let mut fired = BTreeSet::new();
    // Numbers of dead letters are counted anew every few seconds.
    for _ in 0..GLANCES {
        fired.clear();
        let said = desk.ask(&metrics);
        let samples = samples(&said);
        let of = |name: &str, destination: &str| -> Option<f64> {
            let found = samples.get(name)?.iter().find(|(of, _)| of == destination)?;
            Some(found.1)
        };
        assert_eq!(of("laneway_events_accepted_total", ""), Some(3.0), "{said}");
        for (alert, expression) in rules() {
            let words: Vec<&str> = expression.split_whitespace().collect();
            let named = expression.split(|c: char| !c.is_alphanumeric() && c != '_');
            for name in named.filter(|name| name.starts_with("laneway_")) {
                assert!(operating.contains(&format!("`{name}`")), "{alert}: {name} is no metric");
            }
            // What looks at a moment; the others look at what has changed.
            let [name, comparison, bound] = words[..] else { continue };
            let Some(found) = samples.get(name) else { continue };
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a number") };
            for (destination, value) in found {
                let fires = match comparison {
                    "==" => value == &bound,
                    ">" => value > &bound,
                    other => panic!("{alert}: {other}"),
                };
                if fires {
                    fired.insert(format!("{alert} {destination}"));
                }
            }
        }
        if fired.len() >= 3 {
            break;
        }
        tokio::time::sleep(GLANCE).await;
    }
    let expected = ["LanewayDeadLetters billing", "LanewayDestinationPaused crm", "LanewayKeysBlocked billing"];
    assert_eq!(fired.into_iter().collect::<Vec<_>>(), expected);
    assert!(rules().len() >= 10);
    server.stop();
}
