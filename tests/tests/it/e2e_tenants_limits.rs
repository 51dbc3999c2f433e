//! What tenants may send, and the end of a tenant.

use http::Method;
use laneway_tests::client::{Answer, Client};
use laneway_tests::receiver::{Behaviour, Receiver, Record};
use laneway_tests::server::{Installation, Running, Settings};
use serde_json::{Value, json};
use std::time::Duration;

const BOSS: &str = "the-token-of-whoever-runs-it";
const SHOP: &str = "the-token-of-the-shop-of-acme";

fn settings(tenants: &str) -> Settings {
    let rest = format!(
        "[tenants]\nschemes = [\"https\", \"http\"]\negress_allow = [\"127.0.0.0/8\"]\n{tenants}\n\
         [[server.token]]\nname = \"boss\"\ntoken = \"{BOSS}\"\n\
         roles = [\"publish\", \"read\", \"operate\", \"admin\"]"
    );
    Settings { rest, ..Settings::default() }
}

/// A shop's own token, in the configuration file.
fn with_a_shop(settings: Settings) -> Settings {
    let shop = format!(
        "\n[[server.token]]\nname = \"shop\"\ntenant = \"acme\"\ntoken = \"{SHOP}\"\nroles = [\"publish\", \"read\"]"
    );
    Settings { rest: settings.rest + &shop, ..settings }
}

async fn ask(client: &Client, method: Method, path: &str, token: &str, body: &Value) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [("content-type", "application/json"), ("authorization", authorization.as_str())];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client.send(method, path, &headers, body).await.expect("an answer")
}

async fn boss(client: &Client, method: Method, path: &str, body: &Value) -> Answer {
    ask(client, method, path, BOSS, body).await
}

/// The last part of a problem's type.
fn kind(answer: &Answer) -> String {
    let kind = answer.json()["type"].as_str().unwrap_or_default().to_owned();
    kind.strip_prefix("urn:laneway:problem:").unwrap_or(&kind).to_owned()
}

/// Asks until the answer is so.
async fn until(client: &Client, path: &str, what: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
    for _ in 0..3_000 {
        let answer = boss(client, Method::GET, path, &Value::Null).await;
        if wanted(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{path} never came to this: {what}");
}

/// Sends until it is taken: what was used is paid back at the limit that holds now.
async fn until_sent(client: &Client, token: &str, event: &Value) {
    for _ in 0..3_000 {
        let answer = ask(client, Method::POST, "/v1/events", token, event).await;
        if answer.status == 202 {
            return;
        }
        assert_eq!(
            (answer.status, answer.headers["retry-after"].as_bytes()),
            (429, b"1".as_slice()),
            "{}",
            answer.text()
        );
    }
    panic!("the tenant may never send again");
}

fn batch(tenant: &str, count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({"type": "t", "tenant": tenant, "key": "k", "data": {"n": n, "of": tenant}})).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_used_its_quota_up_waits_and_nobody_else_does() {
    let installation = Installation::new(&with_a_shop(settings("events_per_second = 100000\nevent_bytes = \"2KiB\"")));
    let server = installation.start().await;
    let client = server.client();
    let limited = json!({"events_per_second": 1, "destinations": 0});
    let set = boss(&client, Method::PUT, "/v1/tenants/acme", &limited).await;
    assert_eq!((set.status, &set.json()["own_limits"]), (200, &limited), "{}", set.text());
    assert_eq!(set.json()["limits"]["event_bytes"], 2048, "what is not said holds as for all: {}", set.text());
    // A batch of any size comes through, and has to be paid back: 60 s of credit, less a second's.
    let send = async |token: &str, body: Value| {
        let path = if body.is_array() { "/v1/events/batch" } else { "/v1/events" };
        ask(&client, Method::POST, path, token, &body).await
    };
    assert_eq!(send(SHOP, batch("acme", 60).into()).await.status, 202);
    let event = json!({"type": "t", "tenant": "acme", "key": "k"});
    for token in [SHOP, BOSS] {
        let refused = send(token, event.clone()).await;
        assert_eq!((refused.status, kind(&refused).as_str()), (429, "too-often"), "{}", refused.text());
        assert!(refused.text().contains("the tenant acme has sent as much as it may (1 events a second)"));
        let after: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((50..=61).contains(&after), "{after}");
    }
    // Others', in the same request: theirs are stored, and it is said of each event which it was.
    let mixed: Vec<Value> = [batch("acme", 2), batch("b", 2), vec![json!({"type": "t"})]].concat();
    let parted = send(BOSS, mixed.into()).await;
    assert_eq!((parted.status, kind(&parted).as_str()), (503, "batch-incomplete"), "{}", parted.text());
    let stored: Vec<Value> =
        parted.json()["events"].as_array().unwrap().iter().map(|event| event["stored"].clone()).collect();
    assert_eq!(stored, ["no", "no", "yes", "yes", "yes"]);
    // What can never be stored is refused as any event that is not right, and nobody pays for it.
    let wrong = [batch("b", 1), vec![json!({"type": "t", "tenant": "c", "data": "x".repeat(3_000)})]].concat();
    let refused = send(BOSS, wrong.into()).await;
    assert_eq!((refused.status, kind(&refused).as_str()), (413, "event-too-large"), "{}", refused.text());
    // Without the limit it may go on within a second; with one on size, what is larger may not.
    let set = boss(&client, Method::PUT, "/v1/tenants/acme", &json!({})).await;
    assert_eq!((set.status, set.json()["limits"]["events_per_second"].clone()), (200, json!(100_000)));
    until_sent(&client, SHOP, &event).await;
    let large = send(SHOP, json!({"type": "t", "data": "x".repeat(3_000)})).await;
    assert_eq!((large.status, kind(&large).as_str()), (413, "event-too-large"), "{}", large.text());
    assert!(large.text().contains("one of the tenant acme may have at most 2048"), "{}", large.text());
    // The limit on destinations is its own, too.
    assert_eq!(boss(&client, Method::PUT, "/v1/tenants/acme", &json!({"destinations": 1})).await.status, 200);
    let put = async |name: &str| {
        boss(&client, Method::PUT, &format!("/v1/destinations/{name}"), &json!({"url": "http://127.0.0.1:9/"})).await
    };
    let statuses = [put("acme:one").await.status, put("acme:two").await.status, put("b:one").await.status];
    assert_eq!(statuses, [201, 409, 201]);
    // One whose destinations' names stand before those of a tenant that its own name stands behind.
    assert_eq!(put("acme-eu:one").await.status, 201);
    for limit in [1, 2, 3, 100] {
        let (mut names, mut after) = (Vec::new(), String::new());
        loop {
            let page =
                boss(&client, Method::GET, &format!("/v1/tenants?limit={limit}{after}"), &Value::Null).await.json();
            names.extend(page["items"].as_array().unwrap().iter().map(|item| item["tenant"].clone()));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(names, ["acme-eu", "acme", "b"], "{limit} at a time");
    }
    // A tenant sees what it may, and nothing of another.
    let own = ask(&client, Method::GET, "/v1/tenants/acme", SHOP, &Value::Null).await;
    assert_eq!((own.status, own.json()["destinations"].clone()), (200, json!(1)), "{}", own.text());
    server.stop();
}

/// Two tenants whose events an operator's destination gets as well, which fails at one key of each.
struct Scene {
    server: Running,
    client: Client,
    crm: Receiver,
    installation: Installation,
}

const EVENTS: usize = 20;

impl Scene {
    async fn begin() -> Self {
        let crm = Receiver::start(Behaviour::poisoned(&["bad"]), 1).await;
        let installation = Installation::new(&settings(""));
        let server = installation.start().await;
        let client = server.client();
        let retry = json!({"initial": "1h", "factor": 1, "limit": "9h"});
        for (name, url) in [("crm", crm.url()), ("acme:hook", "http://127.0.0.1:9/".into())] {
            let (path, settings) = (format!("/v1/destinations/{name}"), json!({"url": url, "retry": retry}));
            assert_eq!(boss(&client, Method::PUT, &path, &settings).await.status, 201);
        }
        let made =
            boss(&client, Method::POST, "/v1/tokens", &json!({"name": "acme:shop", "roles": ["publish", "read"]}))
                .await;
        assert_eq!(made.status, 201, "{}", made.text());
        let scene = Self { server, client, crm, installation };
        for tenant in ["acme", "b"] {
            for (n, key) in (0..EVENTS).map(|n| (n, if n % 5 == 0 { "bad" } else { "good" })) {
                let event =
                    json!({"id": format!("e{n}"), "type": "t", "tenant": tenant, "key": key, "data": {"of": tenant}});
                assert_eq!(boss(&scene.client, Method::POST, "/v1/events", &event).await.status, 202);
            }
        }
        until(&scene.client, "/v1/status?destination=crm", "both keys are blocked", |answer| {
            answer.status == 200 && answer.json()["destinations"][0]["blocked_keys"] == 2
        })
        .await;
        // One of its events is a dead letter, the others behind it wait.
        let skip = json!({"key": "tenant:acme:bad"});
        let skipped = boss(&scene.client, Method::POST, "/v1/destinations/crm/keys/skip", &skip).await;
        assert_eq!(skipped.status, 200, "{}", skipped.text());
        until(&scene.client, "/v1/dead-letters?destination=crm", "one dead letter", |answer| {
            answer.json()["dead_letters"].as_array().is_some_and(|letters| letters.len() == 1)
        })
        .await;
        scene
    }

    /// What an operator finds of a tenant.
    async fn shown_of(&self, tenant: &str) -> String {
        let mut all = String::new();
        for path in [
            format!("/v1/events?tenant={tenant}"),
            format!("/v1/events/e3?tenant={tenant}"),
            "/v1/attempts?limit=1000".to_owned(),
            "/v1/dead-letters".to_owned(),
            "/v1/status".to_owned(),
            "/v1/destinations".to_owned(),
            "/v1/tokens".to_owned(),
        ] {
            all += &boss(&self.client, Method::GET, &path, &Value::Null).await.text();
        }
        all
    }
}

fn taken_of(record: &Record, tenant: &str) -> usize {
    let of = |body: &[u8]| serde_json::from_slice::<Value>(body).is_ok_and(|data| data["of"] == tenant);
    record.deliveries.iter().filter(|delivery| of(&delivery.body)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_tenant_is_gone_with_everything_and_nobody_elses_is_touched() {
    let Scene { server, client, crm, installation } = Scene::begin().await;
    let scene = Scene { server, client, crm, installation };
    let mut links = Vec::new();
    for tenant in ["acme", "b"] {
        let made = boss(&scene.client, Method::POST, "/v1/portal-links", &json!({"tenant": tenant})).await.json();
        links.push(made["url"].as_str().and_then(|url| url.split_once('#')).expect("a link").1.to_owned());
    }
    let deleted = boss(&scene.client, Method::DELETE, "/v1/tenants/acme", &Value::Null).await;
    // Whoever came by a link is out, and others are not.
    for (link, status) in links.iter().zip([401, 200]) {
        let authorization = format!("Bearer {link}");
        let headers = [("authorization", authorization.as_str())];
        let asked = scene.client.send(Method::GET, "/v1/status", &headers, String::new()).await.expect("an answer");
        assert_eq!(asked.status, status, "{}", asked.text());
    }
    let counts = ["destinations", "tokens", "dead_letters"].map(|what| deleted.json()[what].clone());
    assert_eq!((deleted.status, counts), (200, [1, 1, 1].map(Value::from)), "{}", deleted.text());
    // Nothing of it is shown, waits, or is taken; what is another's is as it was.
    until(&scene.client, "/v1/status?destination=crm", "only the other's key is blocked", |answer| {
        let crm = &answer.json()["destinations"][0];
        crm["blocked_keys"] == 1 && crm["blocked"][0]["key"] == "tenant:b:bad" && crm["pending"] == EVENTS / 5
    })
    .await;
    let shown = scene.shown_of("acme").await;
    assert!(!shown.contains("acme"), "{shown}");
    let others = boss(&scene.client, Method::GET, "/v1/events?tenant=b&limit=1000", &Value::Null).await;
    assert_eq!(others.json()["items"].as_array().unwrap().len(), EVENTS);
    let refused = boss(&scene.client, Method::POST, "/v1/events", &json!({"type": "t", "tenant": "acme"})).await;
    assert_eq!((refused.status, kind(&refused).as_str()), (409, "conflict"), "{}", refused.text());
    assert!(refused.text().contains("Its name can be used again when"), "{}", refused.text());
    let put =
        boss(&scene.client, Method::PUT, "/v1/destinations/acme:new", &json!({"url": "http://127.0.0.1:9/"})).await;
    assert_eq!(put.status, 409, "{}", put.text());
    for (path, wanted) in [
        ("/v1/tokens", json!({"name": "acme:late", "roles": ["read"]})),
        ("/v1/portal-links", json!({"tenant": "acme"})),
    ] {
        let refused = boss(&scene.client, Method::POST, path, &wanted).await;
        assert_eq!((refused.status, kind(&refused).as_str()), (409, "conflict"), "{path}: {}", refused.text());
        assert!(refused.text().contains("Its name can be used again when"), "{path}: {}", refused.text());
    }
    let limit = boss(&scene.client, Method::PUT, "/v1/tenants/acme", &json!({})).await;
    assert_eq!(limit.status, 409, "{}", limit.text());
    let again = boss(&scene.client, Method::DELETE, "/v1/tenants/acme", &Value::Null).await;
    assert_eq!((again.status, again.json()["destinations"].clone()), (200, json!(0)), "{}", again.text());
    // It stays so over a crash, also where the operator wants all of it once more.
    let taken = taken_of(&scene.crm.record(), "acme");
    scene.server.kill();
    let server = scene.installation.start().await;
    let client = server.client();
    let replay = json!({"from": "beginning"});
    let begun = boss(&client, Method::PUT, "/v1/destinations/crm/replays/all", &replay).await;
    assert!(matches!(begun.status, 200..=202), "{}", begun.text());
    until(&client, "/v1/destinations/crm/replays/all", "the replay is done", |answer| answer.json()["state"] == "done")
        .await;
    let record = scene.crm.record();
    assert_eq!(taken_of(&record, "acme"), taken, "nothing of a deleted tenant is delivered");
    assert!(taken_of(&record, "b") >= 2 * (EVENTS - EVENTS / 5), "{}", taken_of(&record, "b"));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_of_the_file_is_not_deleted_behind_its_back() {
    let of_file = with_a_shop(Settings {
        rest: settings("").rest + "\n" + &laneway_tests::server::webhook("acme:filed", "http://127.0.0.1:9/", ""),
        ..Settings::default()
    });
    let installation = Installation::new(&of_file);
    let server = installation.start().await;
    let client = server.client();
    let made = boss(&client, Method::PUT, "/v1/destinations/acme:hook", &json!({"url": "http://127.0.0.1:9/"})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let refused = boss(&client, Method::DELETE, "/v1/tenants/acme", &Value::Null).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(
        refused
            .text()
            .contains("the configuration file has the destination acme:filed, the token acme:shop: take that out"),
        "{}",
        refused.text()
    );
    let there = boss(&client, Method::GET, "/v1/destinations/acme:hook", &Value::Null).await;
    assert_eq!(there.status, 200, "nothing was done");
    server.stop();
    // Whoever does what the answer says has the tenant deleted, also what was in the file before.
    installation.configure(&settings(""));
    let server = installation.start().await;
    let client = server.client();
    let deleted = boss(&client, Method::DELETE, "/v1/tenants/acme", &Value::Null).await;
    assert_eq!((deleted.status, deleted.json()["destinations"].clone()), (200, json!(2)), "{}", deleted.text());
    let left = boss(&client, Method::GET, "/v1/destinations", &Value::Null).await;
    assert!(!left.text().contains("acme"), "{}", left.text());
    server.stop();
}
