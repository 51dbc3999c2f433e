//! Tokens that are made over HTTP, with the real binary: on SQLite, and with two processes over one Redis.

use http::Method;
use laneway_servers::redis::{RedisServer, RedisSettings};
use laneway_tests::client::{Answer, Client};
use laneway_tests::fleet::Fleet;
use laneway_tests::server::{Half, Installation, Settings};
use serde_json::{Value, json};
use std::time::Duration;

const BOSS: &str = "a-token-of-the-file-for-everything";
/// How often it is looked whether a process has heard of something, and how often at most. It does within a second;
/// that tests with a clock of their own hold, and here a machine may be busy.
const GLANCE: Duration = Duration::from_millis(20);
const GLANCES: usize = 500;

async fn ask(client: &Client, method: Method, path: &str, token: &str, body: &Value) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [("content-type", "application/json"), ("authorization", authorization.as_str())];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client.send(method, path, &headers, body).await.expect("an answer")
}

async fn publish(client: &Client, token: &str) -> u16 {
    ask(client, Method::POST, "/v1/events", token, &json!({"type": "t"})).await.status
}

/// Asks for the metrics, which need no store, until the token gets this answer; returns it.
async fn until(client: &Client, token: &str, status: u16) -> Answer {
    let mut last = None;
    for _ in 0..GLANCES {
        let answer = ask(client, Method::GET, "/metrics", token, &Value::Null).await;
        if answer.status == status {
            return answer;
        }
        last = Some(answer);
        tokio::time::sleep(GLANCE).await;
    }
    panic!("no {status}, but {last:?}");
}

fn said(installation: &Installation, arguments: &[&str]) -> String {
    let output = installation.run(arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "laneway {}: {}\n{out}{err}", arguments.join(" "), output.status);
    out.into_owned()
}

fn refused(installation: &Installation, arguments: &[&str]) -> String {
    let output = installation.run(arguments);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    err
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_used_listed_and_revoked_from_the_command_line() {
    let file =
        format!("[[server.token]]\nname = \"boss\"\ntoken = \"{BOSS}\"\nroles = [\"publish\", \"read\", \"admin\"]");
    let installation = Installation::new(&Settings { rest: file, ..Settings::default() });
    let server = installation.start().await;
    // The token alone is on standard output, for a pipe.
    let made = said(&installation, &["tokens", "create", "shop", "--role", "publish", "--role", "read"]);
    let token = made.strip_suffix('\n').expect("a line");
    assert!(token.starts_with("lwt_") && token.len() == 47, "{made}");
    let client = server.client();
    assert_eq!(publish(&client, token).await, 202);
    assert_eq!(ask(&client, Method::GET, "/v1/tokens", token, &Value::Null).await.status, 403);
    let again = refused(&installation, &["tokens", "create", "shop", "--role", "read"]);
    assert!(again.contains("there is a token shop already, which the token boss made"), "{again}");

    // It survives a kill, and its hash alone is in the store.
    server.kill();
    let store = std::fs::read(installation.database()).unwrap();
    let log = std::fs::read(installation.folder().join("laneway.db-wal")).unwrap_or_default();
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!holds(&store, &token[4..]) && !holds(&log, &token[4..]));
    assert!(holds(&store, "the token boss") || holds(&log, "the token boss"));
    let server = installation.start().await;
    let client = server.client();
    assert_eq!(publish(&client, token).await, 202);

    let table = said(&installation, &["tokens", "list"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["TOKEN", "ROLES", "FROM", "CREATED", "CREATED", "BY"]);
    assert_eq!(lines[1], ["boss", "publish,", "read,", "admin", "file"]);
    assert_eq!(
        // Between them when: a date, a time, an offset.
        (&lines[2][..4], &lines[2][7..]),
        (&["shop", "publish,", "read", "api"][..], &["the", "token", "boss"][..])
    );
    let json = said(&installation, &["tokens", "list", "--json"]);
    let listed: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((listed.len(), &listed[1]["roles"]), (2, &json!(["publish", "read"])), "{json}");

    let unasked = refused(&installation, &["tokens", "revoke", "shop"]);
    assert!(unasked.contains("say --yes"), "{unasked}");
    let of_file = refused(&installation, &["tokens", "revoke", "boss", "--yes"]);
    assert!(of_file.contains("[[server.token]]") && of_file.contains("SIGHUP"), "{of_file}");
    assert!(said(&installation, &["tokens", "revoke", "shop", "--yes"]).starts_with("shop is revoked"));
    assert_eq!(publish(&client, token).await, 401);
    let changes = said(&installation, &["tokens", "changes"]);
    assert!(changes.contains("revoked") && changes.contains("made, with the roles publish, read"), "{changes}");
    server.stop();
    assert!(!installation.stderr().contains(&token[4..]));
    assert!(installation.stderr().contains("a token was revoked over HTTP"), "{}", installation.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_made_and_ended_from_the_command_line() {
    let file = format!("[[server.token]]\nname = \"boss\"\ntoken = \"{BOSS}\"\nroles = [\"read\", \"admin\"]");
    let installation = Installation::new(&Settings { rest: file, ..Settings::default() });
    let server = installation.start().await;
    let client = server.client();
    // The link alone is on standard output, for a pipe.
    let made = said(&installation, &["tokens", "link", "acme", "--lasts", "2h", "--role", "read"]);
    let entrance = format!("http://{}/console/enter#lwp_", installation.address());
    assert!(made.starts_with(&entrance) && made.lines().count() == 1, "{made}");
    let secret = made.trim().split_once('#').expect("a secret").1.to_owned();
    let status = async |secret: &str| {
        let answer = ask(&client, Method::GET, "/v1/status", secret, &Value::Null).await;
        assert!(answer.status != 200 || answer.json()["destinations"] == json!([]), "{}", answer.text());
        answer.status
    };
    assert_eq!(status(&secret).await, 200);
    let json: Value = serde_json::from_str(&said(&installation, &["tokens", "link", "acme", "--json"])).unwrap();
    assert_eq!((&json["tenant"], &json["roles"]), (&json!("acme"), &json!(["read", "operate", "admin"])), "{json}");
    let refused_link = refused(&installation, &["tokens", "link", "acme", "--lasts", "2d"]);
    assert!(refused_link.contains("between 1s and 24h"), "{refused_link}");
    assert!(refused(&installation, &["tokens", "end-links", "acme"]).contains("say --yes"));
    // It is known after a restart, too.
    server.kill();
    let server = installation.start().await;
    let client = server.client();
    let known = ask(&client, Method::GET, "/v1/status", &secret, &Value::Null).await;
    assert_eq!(known.status, 200, "{}", known.text());
    assert!(said(&installation, &["tokens", "end-links", "acme", "--yes"]).starts_with("all links of acme"));
    let ended = ask(&client, Method::GET, "/v1/status", &secret, &Value::Null).await;
    assert!(ended.status == 401 && ended.text().contains("was ended"), "{}", ended.text());
    server.stop();
    let logged = installation.stderr();
    assert!(logged.contains("a link to the console was made") && !logged.contains(&secret), "{logged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tokens_says_what_to_add_before_it_makes_one() {
    let installation = Installation::new(&Settings::default());
    let server = installation.start().await;
    let what = refused(&installation, &["tokens", "create", "shop", "--role", "publish"]);
    assert!(what.contains("has no token") && what.contains("[[server.token]]"), "{what}");
    assert_eq!(said(&installation, &["tokens", "list"]), "there is no token: this server asks nobody for one\n");
    assert_eq!(publish(&server.client(), "whatever").await, 202);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_does_to_a_token_holds_at_the_other_also_when_redis_hangs() {
    let redis = RedisServer::start(RedisSettings::default()).await.unwrap();
    let fleet = Fleet::new(
        &redis.url(),
        4,
        "",
        &format!("[[server.token]]\nname = \"boss\"\ntoken = \"{BOSS}\"\nroles = [\"read\", \"admin\"]"),
    );
    let ingest = fleet.start(Half::Ingest, 1).await.remove(0);
    let worker = fleet.start(Half::Worker, 1).await.remove(0);
    let create = async |at: &Client, name: &str| {
        let made =
            ask(at, Method::POST, "/v1/tokens", BOSS, &json!({"name": name, "roles": ["read", "publish"]})).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["token"].as_str().unwrap().to_owned()
    };
    let (at_ingest, at_worker) = (ingest.client(), worker.client());
    let first = create(&at_ingest, "first").await;
    until(&at_worker, &first, 200).await;
    let second = create(&at_worker, "second").await;
    until(&at_ingest, &second, 200).await;
    assert_eq!(publish(&at_ingest, &second).await, 202);
    let revoked = ask(&at_worker, Method::DELETE, "/v1/tokens/first", BOSS, &Value::Null).await;
    assert_eq!((revoked.status, &revoked.json()["name"]), (200, &json!("first")));
    until(&at_ingest, &first, 401).await;

    // Nobody can say whether it still stands: that is told, and is over by itself.
    redis.stop().unwrap();
    let unconfirmed = until(&at_ingest, &second, 503).await;
    assert_eq!(unconfirmed.json()["type"], "urn:laneway:problem:tokens-unconfirmed");
    assert_eq!(unconfirmed.header("retry-after"), "1");
    let of_file = ask(&at_ingest, Method::GET, "/metrics", BOSS, &Value::Null).await;
    assert_eq!(of_file.status, 200);
    redis.cont().unwrap();
    until(&at_ingest, &second, 200).await;
    until(&at_worker, &second, 200).await;
}
