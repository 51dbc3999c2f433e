//! Two customers in one server: each gets its own, in order, and neither learns anything of the other, whatever it asks.

use http::Method;
use laneway_http::{Role, routes};
use laneway_tests::client::{Answer, Client};
use laneway_tests::receiver::{Behaviour, Receiver, Record};
use laneway_tests::server::{Installation, Running, Settings};
use serde_json::{Value, json};
use std::time::Duration;

/// Everything of the one tenant has this in it, and nothing else has.
const MARK: &str = "bumblebee";
/// A tenant that is not there, whose name has as many letters.
const NOBODY: &str = "bumblebox";
const BOSS: &str = "the-token-of-whoever-runs-it";

/// The token that the tenant has for a role.
fn token(tenant: &str, role: Role) -> String {
    format!("the-{role}-token-of-{tenant}")
}

fn settings() -> Settings {
    let mut tables = vec![format!(
        "[tenants]\nschemes = [\"https\", \"http\"]\negress_allow = [\"127.0.0.0/8\"]\ndestinations = 3\n\
         changes_per_minute = 1000\nreplays_at_once = 2\n\
         [[server.token]]\nname = \"boss\"\ntoken = \"{BOSS}\"\nroles = [\"publish\", \"read\", \"operate\", \"admin\"]"
    )];
    for tenant in ["acme", MARK] {
        for role in Role::ALL {
            let token = token(tenant, role);
            tables.push(format!(
                "[[server.token]]\nname = \"{role}\"\ntenant = \"{tenant}\"\ntoken = \"{token}\"\nroles = [\"{role}\"]"
            ));
        }
    }
    Settings { rest: tables.join("\n"), ..Settings::default() }
}

async fn ask(client: &Client, method: &Method, path: &str, token: &str, body: &Value) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [("content-type", "application/json"), ("authorization", authorization.as_str())];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client.send(method.clone(), path, &headers, body).await.expect("an answer")
}

/// Two tenants with a destination each, one of which has a key that fails and a dead letter; an operator's destination;
/// and the same events of both, but for what they say.
struct Scene {
    server: Running,
    client: Client,
    own: Receiver,
    others: Receiver,
    operators: Receiver,
    installation: Installation,
}

const KEYS: [&str; 3] = ["k1", "k2", "k3"];
const EVENTS: usize = 30;

impl Scene {
    async fn begin() -> Self {
        let own = Receiver::start(Behaviour::healthy(), 1).await;
        let others = Receiver::start(Behaviour::poisoned(&["bumblebee-stuck", "bumblebee-dead"]), 2).await;
        let operators = Receiver::start(Behaviour::healthy(), 3).await;
        let installation = Installation::new(&settings());
        let server = installation.start().await;
        let client = server.client();
        for (path, receiver, token) in [
            ("/v1/destinations/hook", &own, &*token("acme", Role::Admin)),
            ("/v1/destinations/hook", &others, &token(MARK, Role::Admin)),
            ("/v1/destinations/crm", &operators, BOSS),
        ] {
            let retry = json!({"initial": "200ms", "factor": 1, "limit": "1h"});
            let made = ask(&client, &Method::PUT, path, token, &json!({"url": receiver.url(), "retry": retry})).await;
            assert_eq!(made.status, 201, "{}", made.text());
        }
        let scene = Self { server, client, own, others, operators, installation };
        for n in 0..EVENTS {
            for tenant in ["acme", MARK] {
                let event = json!({"id": format!("e{n}"), "type": format!("{tenant}.paid"), "key": KEYS[n % KEYS.len()],
                    "source": format!("/{tenant}"), "data": {"n": n, "of": tenant}});
                scene.publish(tenant, &event).await;
            }
        }
        for (id, key) in [("bumblebee-1", "bumblebee-stuck"), ("bumblebee-2", "bumblebee-dead")] {
            scene.publish(MARK, &json!({"id": id, "type": "bumblebee.failed", "key": key, "data": MARK})).await;
        }
        let asked = json!({"name": "hook", "roles": ["admin"]});
        let made = ask(&scene.client, &Method::POST, "/v1/tokens", &token(MARK, Role::Admin), &asked).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let blocked = |status: &Value| status["blocked_keys"] == 2;
        scene.status("bumblebee:hook", blocked).await;
        let skip = json!({"key": "key:bumblebee-dead"});
        let path = "/v1/destinations/hook/keys/skip";
        let skipped = ask(&scene.client, &Method::POST, path, &token(MARK, Role::Operate), &skip).await;
        assert_eq!(skipped.status, 200, "{}", skipped.text());
        scene.status("bumblebee:hook", |status| status["dead_letters"] == 1).await;
        scene
    }

    /// The secret of a link to that tenant's console.
    async fn link(&self, tenant: &str, roles: &[Role]) -> String {
        let roles: Vec<&str> = roles.iter().map(|role| role.name()).collect();
        let asked = json!({"tenant": tenant, "roles": roles});
        let made = ask(&self.client, &Method::POST, "/v1/portal-links", BOSS, &asked).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["url"].as_str().and_then(|url| url.split_once('#')).expect("a secret").1.to_owned()
    }

    async fn publish(&self, tenant: &str, event: &Value) {
        let taken = ask(&self.client, &Method::POST, "/v1/events", &token(tenant, Role::Publish), event).await;
        assert_eq!(taken.status, 202, "{}", taken.text());
    }

    /// Waits until an operator sees the destination so.
    async fn status(&self, destination: &str, wanted: impl Fn(&Value) -> bool) {
        let path = format!("/v1/status?destination={destination}");
        for _ in 0..3000 {
            let answer = ask(&self.client, &Method::GET, &path, BOSS, &Value::Null).await;
            if answer.status == 200 && wanted(&answer.json()["destinations"][0]) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{destination} never came to that");
    }
}

/// The numbers of the events of a tenant's key, in the order in which they were taken for the first time.
fn order(record: &Record, tenant: &str, key: &str) -> Vec<u64> {
    let mut seen = Vec::new();
    for delivery in record.deliveries.iter().filter(|delivery| delivery.taken && delivery.key.as_deref() == Some(key)) {
        let data: Value = serde_json::from_slice(&delivery.body).expect("JSON");
        let n = data["n"].as_u64().unwrap_or_default();
        if data["of"] == tenant && !seen.contains(&n) {
            seen.push(n);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_gets_its_own_in_order_and_the_operator_gets_everybodys() {
    let scene = Scene::begin().await;
    scene.operators.until("all events", |record| record.taken.values().sum::<u32>() >= 2 * EVENTS as u32 + 2).await;
    scene.status("acme:hook", |status| status["pending"] == 0).await;
    let (own, others, operators) = (scene.own.record(), scene.others.record(), scene.operators.record());
    for (nth, key) in KEYS.iter().enumerate() {
        let expected: Vec<u64> = (0..EVENTS as u64).filter(|n| *n as usize % KEYS.len() == nth).collect();
        assert_eq!(order(&own, "acme", key), expected);
        assert_eq!(order(&others, MARK, key), expected);
        for tenant in ["acme", MARK] {
            assert_eq!(order(&operators, tenant, key), expected, "{tenant}");
        }
    }
    let texts = |record: &Record| -> String {
        record.deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.body).into_owned()).collect()
    };
    assert!(!texts(&own).contains(MARK) && !texts(&others).contains("acme"));
    // The same ids again are duplicates of the tenant's own, and of nobody else's.
    let again = json!({"id": "e0", "type": "t", "source": "/acme", "key": "k1"});
    for (tenant, duplicate) in [("acme", true), (MARK, false)] {
        let taken = ask(&scene.client, &Method::POST, "/v1/events", &token(tenant, Role::Publish), &again).await;
        assert_eq!(taken.json()["duplicate"], duplicate, "{tenant}");
    }
    // A tenant sends its own events only.
    let foreign = json!({"type": "t", "tenant": MARK});
    let refused = ask(&scene.client, &Method::POST, "/v1/events", &token("acme", Role::Publish), &foreign).await;
    assert_eq!((refused.status, &refused.json()["field"]), (422, &json!("/tenant")), "{}", refused.text());
    scene.server.stop();
}

/// What to ask of a route: the path with the names of somebody's things, and a body that it understands.
fn asked(path: &str, tenant: &str) -> (String, Value) {
    let whole = path
        .replace("{name}", &format!("{tenant}:hook"))
        .replace("{destination}", &format!("{tenant}:hook"))
        .replace("{tenant}", tenant)
        .replace("{partition}", "0")
        .replace("{offset}", "0")
        .replace("/replays/{id}", "/replays/r1")
        .replace("{id}", &format!("{tenant}-1"));
    let whole = if path == "/v1/portal-links" { format!("{path}?tenant={tenant}") } else { whole };
    let selection = json!({"destination": format!("{tenant}:hook"), "dry_run": true});
    let changes = json!({"changes": [{"name": format!("{tenant}:hook"), "op": "delete"}]});
    let body = match path {
        _ if path.starts_with("/v1/dead-letters/") => selection,
        "/v1/destinations" => changes,
        _ if path.ends_with("/keys/replay") => json!({"key": format!("{tenant}-dead"), "dry_run": true}),
        _ if path.contains("/keys/") => json!({"key": format!("key:{tenant}-stuck")}),
        _ if path.ends_with("/replay") => json!({"since": "beginning"}),
        _ if path.ends_with("/replays/{id}") => json!({"dry_run": true}),
        "/v1/tokens" => json!({"name": format!("{tenant}:hook"), "roles": ["admin"]}),
        "/v1/portal-links" => json!({"tenant": tenant, "roles": ["admin"]}),
        "/v1/destinations/{name}" => json!({"url": "https://example.com/", "paused": true}),
        _ => json!({}),
    };
    (whole, body)
}

/// The answer without what differs between any two: the name that was asked for, and when the answer was made.
fn plain(answer: &Answer, tenant: &str) -> (u16, String) {
    let text = answer.text().replace(tenant, "T");
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(mut members)) => {
            members.remove("at");
            (answer.status, Value::Object(members).to_string())
        }
        _ => (answer.status, text),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_tenant_has_is_as_if_it_were_not_there_on_every_route_with_every_role() {
    let scene = Scene::begin().await;
    let mut tried = 0;
    for route in routes().filter(|route| !route.path.starts_with("/v1/events") || route.method == "GET") {
        let Some(needs) = route.role else { continue };
        let method: Method = route.method.parse().expect("a method");
        for (role, by_link) in Role::ALL.into_iter().flat_map(|role| [(role, false), (role, true)]) {
            let mine = if by_link { scene.link("acme", &[role]).await } else { token("acme", role) };
            let of = async |tenant: &str| {
                let (path, body) = asked(route.path, tenant);
                let body = if method == Method::GET || method == Method::DELETE { Value::Null } else { body };
                plain(&ask(&scene.client, &method, &path, &mine, &body).await, tenant)
            };
            let (real, unreal) = (of(MARK).await, of(NOBODY).await);
            let case = format!("{} {} as {role}, by link: {by_link}", route.method, route.path);
            assert_eq!(real, unreal, "{case}");
            assert!(!real.1.contains(MARK), "{case}: {}", real.1);
            let is_refused = needs != role || !route.tenants || (by_link && !route.links);
            assert_eq!(real.0 == 403, is_refused, "{case}: {real:?}");
            let named = route.path.contains("{name}") || route.path.contains("{destination}");
            if !is_refused && (named || route.path.ends_with("{id}") || route.path.ends_with("{tenant}")) {
                assert_eq!(real.0, 404, "{case}: {}", real.1);
            }
            tried += 1;
        }
    }
    assert!(tried > 250, "{tried}");
    // It has still all that it had.
    scene.status("bumblebee:hook", |status| status["dead_letters"] == 1 && status["blocked_keys"] == 1).await;
    let tokens = ask(&scene.client, &Method::GET, "/v1/tokens", &token(MARK, Role::Admin), &Value::Null).await;
    assert!(tokens.text().contains("\"bumblebee:hook\"") && !tokens.text().contains("acme"), "{}", tokens.text());
    let record = ask(&scene.client, &Method::GET, "/v1/destinations/bumblebee:hook", BOSS, &Value::Null).await;
    assert_eq!((record.status, &record.json()["state"]), (200, &json!("active")), "{}", record.text());
    scene.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_counts_and_cursors_have_only_what_is_the_tenants_own() {
    let scene = Scene::begin().await;
    scene.status("acme:hook", |status| status["pending"] == 0 && status["in_flight"] == 0).await;
    let mine = token("acme", Role::Read);
    let get = async |path: &str| {
        let answer = ask(&scene.client, &Method::GET, path, &mine, &Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(!answer.text().contains(MARK) && !answer.text().contains("crm"), "{path}: {}", answer.text());
        answer.json()
    };
    let names = |found: &Value| -> Vec<String> {
        let all = found.as_array().cloned().unwrap_or_default();
        all.iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(names(&get("/v1/destinations").await["items"]), ["acme:hook"]);
    let status = get("/v1/status").await;
    assert_eq!(names(&status["destinations"]), ["acme:hook"]);
    assert_eq!((&status["partitions"], &status["workers"]), (&json!([]), &Value::Null));
    assert_eq!(get("/v1/dead-letters").await["dead_letters"], json!([]));
    // Page by page, all of its events come, each once.
    let (mut ids, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(&format!("/v1/events?limit=7{after}")).await;
        ids.extend(page["items"].as_array().expect("a list").iter().map(|event| event["id"].clone()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(ids.len(), EVENTS, "{ids:?}");
    // An id that both have is each one's own, with its own destinations and no word of others.
    let way = get("/v1/events/e0?source=/acme").await;
    let destinations: Vec<&Value> =
        way["items"][0]["destinations"].as_array().expect("a list").iter().map(|at| &at["destination"]).collect();
    assert_eq!((destinations, &way["items"][0]["not_wanted"]), (vec![&json!("acme:hook")], &json!(0)));
    let attempts = get("/v1/attempts?limit=1000").await;
    assert_eq!(attempts["items"].as_array().expect("a list").len(), EVENTS);
    // The other one sees what failed at its own, and the operator sees everything.
    let theirs = ask(&scene.client, &Method::GET, "/v1/dead-letters", &token(MARK, Role::Read), &Value::Null).await;
    assert_eq!(theirs.json()["dead_letters"][0]["lane_key"], "tenant:bumblebee:bumblebee-dead", "{}", theirs.text());
    let all = ask(&scene.client, &Method::GET, "/v1/destinations", BOSS, &Value::Null).await;
    assert_eq!(names(&all.json()["items"]), ["acme:hook", "bumblebee:hook", "crm"]);
    scene.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tenant_may_make_is_bounded() {
    let scene = Scene::begin().await;
    let put = async |tenant: &str, name: &str, url: &str| {
        let path = format!("/v1/destinations/{name}");
        let token = if tenant.is_empty() { BOSS.to_owned() } else { token(tenant, Role::Admin) };
        ask(&scene.client, &Method::PUT, &path, &token, &json!({"url": url})).await
    };
    for url in ["console:", "mongodb://archive.example/db/events", "ftp://files.example/"] {
        let refused = put("acme", "other", url).await;
        assert_eq!(
            (refused.status, &refused.json()["mistakes"][0]["field"]),
            (422, &json!("/url")),
            "{}",
            refused.text()
        );
        assert!(refused.text().contains("to https, http only"), "{}", refused.text());
    }
    assert_eq!(put("", "printed", "console:").await.status, 201, "an operator's may be anything");
    // It has one already, and may have three: one more by itself, and of two together the first.
    assert_eq!(put("acme", "second", "https://hooks.acme.example/").await.status, 201);
    let settings = json!({"url": "https://hooks.acme.example/"});
    let changes = json!({"changes": [
        {"name": "third", "op": "put", "settings": settings},
        {"name": "acme:fourth", "op": "put", "settings": settings},
        {"name": "hook", "op": "patch", "settings": {"rate": 7}},
    ]});
    let many = ask(&scene.client, &Method::POST, "/v1/destinations", &token("acme", Role::Admin), &changes).await;
    let statuses: Vec<Value> =
        many.json()["results"].as_array().expect("a list").iter().map(|result| result["status"].clone()).collect();
    assert_eq!(statuses, [201, 409, 200], "{}", many.text());
    let refused = put("acme", "fourth", "https://hooks.acme.example/").await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("the tenant acme has 3 destinations"), "{}", refused.text());
    // What is there can be changed, others are not concerned, and room comes back.
    assert_eq!(put("acme", "third", "https://other.acme.example/").await.status, 200);
    assert_eq!(put(MARK, "second", "https://hooks.bumblebee.example/").await.status, 201);
    let path = "/v1/destinations/second";
    let gone = ask(&scene.client, &Method::DELETE, path, &token("acme", Role::Admin), &Value::Null).await;
    assert!(matches!(gone.status, 200 | 202), "{}", gone.text());
    assert_eq!(put("acme", "fourth", "https://hooks.acme.example/").await.status, 201);
    scene.server.stop();
}

/// Each change by itself: what is not the tenant's is not there, and the rest is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_a_name_of_somebody_else_is_answered_one_by_one() {
    let scene = Scene::begin().await;
    let of = async |tenant: &str| {
        let changes = json!({"changes": [
            {"name": "hook", "op": "patch", "settings": {"rate": 7}},
            {"name": format!("{tenant}:hook"), "op": "delete"},
            {"name": "acme:second", "op": "put", "settings": {"url": "https://hooks.acme.example/"}},
        ]});
        let admin = token("acme", Role::Admin);
        let answer = ask(&scene.client, &Method::POST, "/v1/destinations", &admin, &changes).await;
        let results = answer.json()["results"].as_array().expect("a list").clone();
        let statuses: Vec<u64> = results.iter().map(|result| result["status"].as_u64().unwrap_or_default()).collect();
        (answer.status, statuses, results[1].to_string().replace(tenant, "T"))
    };
    let (real, unreal) = (of(MARK).await, of(NOBODY).await);
    assert_eq!((real.0, &real.1), (200, &vec![200, 404, 201]), "{}", real.2);
    assert_eq!((unreal.0, &unreal.1), (200, &vec![200, 404, 200]), "{}", unreal.2);
    assert_eq!(real.2, unreal.2);
    scene.status("bumblebee:hook", |status| status["dead_letters"] == 1).await;
    scene.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tenant_does_is_bounded() {
    let scene = Scene::begin().await;
    let send = async |tenant: &str, method: Method, path: &str, role: Role, body: &Value| {
        ask(&scene.client, &method, path, &token(tenant, role), body).await
    };
    // Thirty tests in a minute, and no more; others test as before.
    let test =
        async |tenant: &str| send(tenant, Method::POST, "/v1/destinations/hook/test", Role::Operate, &json!({})).await;
    let mut slowed = test("acme").await;
    for _ in 0..200 {
        if slowed.status == 429 {
            break;
        }
        assert_eq!(slowed.status, 200, "{}", slowed.text());
        slowed = test("acme").await;
    }
    assert_eq!((slowed.status, &slowed.json()["type"]), (429, &json!("urn:laneway:problem:too-often")));
    assert!(["1", "2"].contains(&slowed.header("retry-after")), "{slowed:?}");
    assert!(slowed.text().contains("tenants.tests_per_minute"), "{}", slowed.text());
    assert_eq!(test(MARK).await.status, 200);
    // Two replays under way, and the same again is no other.
    let pause = send("acme", Method::POST, "/v1/destinations/hook/pause", Role::Operate, &json!({})).await;
    assert_eq!(pause.status, 200, "{}", pause.text());
    let replay = async |id: &str| {
        let path = format!("/v1/destinations/hook/replays/{id}");
        send("acme", Method::PUT, &path, Role::Operate, &json!({"from": "beginning"})).await
    };
    for id in ["r1", "r2"] {
        let begun = replay(id).await;
        assert_eq!(begun.status, 201, "{}", begun.text());
    }
    let more = replay("r3").await;
    assert_eq!(more.status, 409, "{}", more.text());
    assert!(more.text().contains("has 2 replays under way") && more.text().contains("tenants.replays_at_once"));
    assert_eq!(replay("r1").await.status, 200);
    let path = "/v1/destinations/hook/replays/r1";
    assert_eq!(send("acme", Method::DELETE, path, Role::Operate, &Value::Null).await.status, 200);
    assert_eq!(replay("r3").await.status, 201);
    // What its destination says to proxies.
    for name in ["x-forwarded-for", "Forwarded", "host", "laneway-id", "ce-source", "connection"] {
        let patch = json!({"headers": {name: "x"}});
        let refused = send("acme", Method::PATCH, "/v1/destinations/hook", Role::Admin, &patch).await;
        let field = &refused.json()["mistakes"][0]["field"];
        assert_eq!((refused.status, field), (422, &json!("/headers")), "{name}: {}", refused.text());
    }
    scene.server.stop();
}

/// The file is read again: what it says holds for what is changed from then on, and what is there stays and works.
#[tokio::test(flavor = "multi_thread")]
async fn bounds_that_become_narrower_leave_what_is_there() {
    let scene = Scene::begin().await;
    let narrower = settings().rest.replace("schemes = [\"https\", \"http\"]", "schemes = [\"https\"]");
    scene.installation.configure(&Settings { rest: narrower, ..Settings::default() });
    scene.server.signal("HUP");
    for _ in 0..3000 {
        if scene.installation.stderr().contains("the configuration has been reloaded") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let patch = async |body: &Value| {
        ask(&scene.client, &Method::PATCH, "/v1/destinations/hook", &token("acme", Role::Admin), body).await
    };
    let refused = patch(&json!({"url": format!("{}/elsewhere", scene.own.url())})).await;
    assert!(refused.status == 422 && refused.text().contains("to https only"), "{}", refused.text());
    let other = patch(&json!({"rate": 9})).await;
    assert_eq!(other.status, 200, "{}", other.text());
    let path = "/v1/destinations/hook/rotate-secret";
    let authorization = format!("Bearer {}", token("acme", Role::Admin));
    let headers = [
        ("content-type", "application/json"),
        ("authorization", authorization.as_str()),
        ("if-match", other.header("etag")),
    ];
    let rotated = scene.client.send(Method::POST, path, &headers, "{}").await.expect("an answer");
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    scene.server.stop();
}
