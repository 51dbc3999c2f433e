//! No secret is ever shown: everything that the real binary writes, at its most talkative and with
//! everything going wrong, is searched for every secret in every spelling.

use crate::secrets::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use laneway_http::digest_of;
use laneway_tests::hostile::{Authority, Hostile, Manner};
use laneway_tests::server::{Installation, Settings, webhook};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const RETRY: &str = "breaker = false\nretry = { initial = \"20ms\", factor = 1, limit = \"1h\" }";
/// As talkative as can be, and with backtraces.
const TALKATIVE: [(&str, &str); 3] = [("LANEWAY_LOG", "trace"), ("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")];

/// A receiver, of HTTP/1.1 and HTTP/2, that answers each request with a part of itself: one header
/// after the other, and the whole target.
async fn echo(status: u16) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it listens");
    let turn = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let turn = Arc::clone(&turn);
            let service = service_fn(move |request| {
                let number = turn.fetch_add(1, Ordering::Relaxed);
                async move { Ok::<_, Infallible>(echoed(status, number, &request)) }
            });
            // An end in the middle is the sender hanging up.
            tokio::spawn(async move {
                auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
    address
}

fn echoed(status: u16, number: usize, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut parts: Vec<String> = vec![format!("no {} here", request.uri()), format!("{}", request.uri().path())];
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        parts.push(format!("bad {name}: {value}"));
        parts.push(json!({ name.as_str(): value }).to_string().replace('/', "\\/"));
        if let Some(basic) = value.strip_prefix("Basic ") {
            parts.push(format!("not you, {}", decoded(basic)));
        }
    }
    let mut response = Response::new(Full::from(parts.swap_remove(number % parts.len())));
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    let location = format!("http://echo.example{}", request.uri().path_and_query().map_or("/", |p| p.as_str()));
    response.headers_mut().insert("location", location.parse().expect("a header's value"));
    response
}

/// Destinations that have every kind of secret, at receivers that take, fail, redirect and are not
/// there.
fn destinations(taking: SocketAddr, failing: SocketAddr, moved: SocketAddr, tls: SocketAddr) -> Settings {
    let secrets = format!("secrets = [\"{WHSEC}\", \"file:whsk\"]\nheaders = {{ x-api-key = \"{HEADER}\" }}");
    let basic = format!("basic = {{ user = \"laneway\", password = \"{BASIC}\" }}");
    let bearer = "bearer = \"env:THE_BEARER\"";
    let url = |address: SocketAddr| format!("http://{address}/{URL_PATH}?token={URL_QUERY}");
    let with_user =
        |address: SocketAddr| url(address).replace("http://", &format!("http://me:{URL_PASSWORD_WRITTEN}@"));
    let mut tables = Vec::new();
    for (kind, address) in [("taking", taking), ("failing", failing), ("moved", moved)] {
        let named = |name: &str, url: &str, lines: &str| {
            webhook(&format!("{kind}-{name}"), url, &format!("{secrets}\n{lines}\n{RETRY}"))
        };
        tables.push(named("bearer", &url(address), bearer));
        tables.push(named("basic", &url(address), &basic));
        tables.push(named("user", &with_user(address), "reject = [499]"));
        tables.push(named("h2", &url(address), &format!("http = \"2\"\n{bearer}")));
        tables.push(named("batch", &with_user(address), "batch = { max_events = 5 }"));
    }
    let nobody = "127.0.0.1:1".parse().expect("an address");
    tables.push(webhook("nobody", &with_user(nobody), &format!("{secrets}\n{RETRY}")));
    let pem = "tls = { ca = \"file:ca.pem\", certificate = \"file:client.pem\", key = \"file:client.key\" }";
    tables.push(webhook("mutual", &url(tls).replace("http:", "https:"), &format!("{pem}\n{bearer}\n{RETRY}")));
    Settings::destinations(&tables).server(&format!("tokens = [\"env:THE_TOKEN\", \"{TOKEN}\"]"))
}

/// What the commands and pages say, of a server that has been running for a while.
async fn asked(installation: &Installation, client: &laneway_tests::client::Client) -> Vec<u8> {
    let mut said = Vec::new();
    let bearer = format!("Bearer {TOKEN}");
    for path in ["/v1/status", "/metrics", "/v1/dead-letters", "/readyz", "/healthz", "/v1/nothing", "/v1/destinations"]
    {
        for token in [bearer.as_str(), "Bearer wrong-wrong-wrong-wrong"] {
            let answer =
                client.send(http::Method::GET, path, &[("authorization", token)], "").await.expect("an answer");
            said.extend(format!("{:?}", answer.headers).bytes());
            said.extend(answer.body);
        }
    }
    let variables =
        [TALKATIVE.as_slice(), &[("LANEWAY_TOKEN", TOKEN), ("THE_TOKEN", OTHER_TOKEN), ("THE_BEARER", BEARER)]]
            .concat();
    let server = format!("http://me:{URL_PASSWORD_WRITTEN}@127.0.0.1:1");
    let no_user = format!("http://:{BASIC}@127.0.0.1:1");
    let no_scheme = format!("me:{BASIC}@127.0.0.1");
    let query = format!("http://127.0.0.1:1/?{URL_QUERY}");
    let commands: [&[&str]; 15] = [
        &["tokens", "list", "--json"],
        &["tokens", "changes"],
        &["tokens", "revoke", "made", "--yes"],
        &["status", "--server", &no_user],
        &["status", "--server", &no_scheme],
        &["status", "--server", &query],
        &["check"],
        &["status", "--keys"],
        &["status", "--json"],
        &["dead-letters", "list", "--json"],
        &["dead-letters", "show", "taking-basic", "nothing"],
        &["keys", "retry", "failing-basic", "k0"],
        &["destinations", "resume", "failing-user"],
        &["status", "--server", &server, "--token", OTHER_TOKEN],
        &["status", "--token", OTHER_TOKEN, "--unknown"],
    ];
    for command in commands {
        let output = installation.run_with(command, &variables);
        said.extend(output.stdout);
        said.extend(output.stderr);
    }
    said
}

/// A token that is made over HTTP, used, and revoked; `said` gets all that is answered but the one answer that tells
/// it.
async fn made_token(client: &laneway_tests::client::Client, said: &mut Vec<u8>) -> String {
    let boss = format!("Bearer {TOKEN}");
    let choice = |name: &str| json!({"name": name, "roles": ["publish", "read", "admin"]}).to_string();
    let headers = [("content-type", "application/json"), ("authorization", boss.as_str())];
    let answer = client.send(http::Method::POST, "/v1/tokens", &headers, choice("made")).await.expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let made = answer.json()["token"].as_str().expect("a token").to_owned();
    let own = format!("Bearer {made}");
    for token in [boss.as_str(), own.as_str(), &format!("{own}x")] {
        let headers = [("content-type", "application/json"), ("authorization", token)];
        for (method, path, body) in [
            (http::Method::GET, "/v1/tokens", String::new()),
            (http::Method::GET, "/v1/token-changes", String::new()),
            (http::Method::GET, "/v1/status", String::new()),
            (http::Method::POST, "/v1/tokens", choice("made")),
            (http::Method::POST, "/v1/events", json!({"type": "t", "data": 1}).to_string()),
        ] {
            let answer = client.send(method, path, &headers, body).await.expect("an answer");
            said.extend(format!("{:?}", answer.headers).bytes());
            said.extend(answer.body);
        }
    }
    let revoked = client.send(http::Method::DELETE, "/v1/tokens/made", &headers, "").await.expect("an answer");
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    said.extend(revoked.body);
    made
}

fn write_files(installation: &Installation) -> (String, String) {
    let authority = Authority::new();
    let client = authority.certificate("laneway.example", 2999);
    let write =
        |name: &str, text: &str| std::fs::write(installation.folder().join(name), text).expect("it can be written");
    write("ca.pem", &authority.pem());
    write("client.pem", &client.certificate);
    write("client.key", &client.key);
    write("whsk", WHSK);
    (client.key, client.certificate)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_written_while_it_runs_has_a_secret() {
    let (taking, failing, moved) = (echo(200).await, echo(500).await, echo(302).await);
    let certificate = Authority::new().certificate("127.0.0.1", 2999);
    let stranger = Hostile::with_tls(Manner::Closes, &certificate).await;
    let installation = Installation::new(&destinations(taking, failing, moved, stranger.address()));
    let (key, _) = write_files(&installation);
    let variables = [TALKATIVE.as_slice(), &[("THE_TOKEN", OTHER_TOKEN), ("THE_BEARER", BEARER)]].concat();
    let server = installation.start_under(&[], &variables).await;
    let client = server.client();
    let events: Vec<Value> = (0..4).map(|n| json!({"type": "t", "key": format!("k{n}"), "data": n})).collect();
    let headers = [("content-type", "application/json"), ("authorization", &*format!("Bearer {OTHER_TOKEN}"))];
    let body = Value::from(events).to_string();
    let answer = client.send(http::Method::POST, "/v1/events/batch", &headers, body).await.expect("an answer");
    assert_eq!(answer.status, 202, "{}", answer.text());
    let mut said = Vec::new();
    // Every part of a request has been echoed by then.
    let attempts = |page: &str| {
        let of = |l: &&str| l.starts_with("laneway_deliveries_total") && l.contains("failing-") && l.contains("retry");
        page.lines().filter(of).all(|l| l.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()) > Some(120))
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    let authorization = format!("Bearer {TOKEN}");
    loop {
        let page = client.send(http::Method::GET, "/metrics", &[("authorization", &authorization)], "").await;
        let page = page.expect("an answer").text();
        if page.contains("failing-") && attempts(&page) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{page}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let made = made_token(&client, &mut said).await;
    said.extend(asked(&installation, &client).await);
    server.signal("ABRT");
    assert!(!server.end().success());
    let mut search = Search::new(&key);
    search.add("a token made over HTTP", &made);
    search.add("the digest of a token made over HTTP", &String::from(digest_of(made.as_bytes())));
    search.look("pages and commands", &said);
    let (out, err) = (installation.stdout(), installation.stderr());
    assert!(err.contains("TRACE") && err.contains("[secret]"), "it was not as talkative as can be: {}", err.len());
    search.look("standard output", out.as_bytes());
    search.look("standard error", err.as_bytes());
    search.assert_clean();
}

/// Configurations that are wrong with a secret at hand, each with variables for it.
fn mistakes() -> Vec<(String, Vec<(&'static str, String)>)> {
    let d = |lines: &str| format!("[[destination]]\nname = \"d\"\nurl = \"https://d.example/\"\n{lines}\n");
    let at = |url: &str| format!("[[destination]]\nname = \"d\"\nurl = \"{url}\"\n");
    let files = vec![
        d(&format!("secrets = [\"{WHSEC}!!\"]")),
        d(&format!("secrets = [\"x{WHSEC}\"]")),
        d(&format!("secrets = \"{WHSEC}\"")),
        d(&format!("secrets = {{ a = \"{WHSEC}\" }}")),
        d(&format!("secrets = [[\"{WHSEC}\"]]")),
        d(&format!("secret = [\"{WHSEC}\"]")),
        d(&format!("secrets = [\"{WHSK}AAAA\"]")),
        d(&format!("secrets = [\"{WHSEC}\", \"{WHSK}\"")),
        d(&format!("secrets = [\"{WHSEC}]\nbearer = \"{BEARER}\"")),
        d(&format!("bearer = \"{BEARER}\\u0007\"")),
        d(&format!("bearer = \"{BEARER}")),
        d(&format!("bearer = {BEARER}")),
        d(&format!("bearer = [\"{BEARER}\"]")),
        d(&format!("bearer = \"{BEARER}\"\nbearer = \"{BEARER}\"")),
        d(&format!("bearer = \"{BEARER}\"\nbasic = {{ user = \"me\", password = \"{BASIC}\" }}")),
        d(&format!("basic = {{ user = \"m:e\", password = \"{BASIC}\" }}")),
        d(&format!("basic = {{ password = \"{BASIC}\" }}")),
        d(&format!("basic = \"me:{BASIC}\"")),
        d(&format!("headers = {{ x-key = \"{HEADER}\\n\" }}")),
        d(&format!("headers = {{ host = \"{HEADER}\" }}")),
        d(&format!("headers = {{ \"x key\" = \"{HEADER}\" }}")),
        d(&format!("headers = [\"x-key: {HEADER}\"]")),
        d(&format!("headers = {{ x-key = [\"{HEADER}\"] }}")),
        d(&format!("headers = {{ authorization = \"{HEADER}\" }}\nbearer = \"{BEARER}\"")),
        d("tls = { certificate = \"file:client.pem\", key = \"file:ca.pem\" }"),
        d("tls = { certificate = \"file:client.key\", key = \"file:client.key\" }"),
        d("tls = { ca = \"file:client.key\" }"),
        d("tls = { key = \"file:client.key\" }"),
        d("timeout = \"file:client.key\""),
        at(&format!("http://me:{BASIC}@[::1/")),
        at(&format!("http://me:{BASIC}@10.0.0.1/{URL_PATH}?{URL_QUERY}")),
        at(&format!("http://me:{BASIC}@/{URL_PATH}")),
        at(&format!("ftp://me:{BASIC}@d.example/{URL_PATH}?{URL_QUERY}")),
        at(&format!("me:{BASIC}@d.example/{URL_PATH}")),
        at(&format!("http://me:{BASIC}@d.example:99999/")),
        at(&format!("console:{BASIC}")),
        at(&format!("mongodb://me:{BASIC}@127.0.0.1:1/db/c?serverSelectionTimeoutMS=300&appName={URL_QUERY}")),
        at(&format!("mongodb://me:{BASIC}@@127.0.0.1:1/")),
        at(&format!("mongodb+srv://me:{BASIC}@no-such-name.invalid/db/c")),
        format!("{}bearer = \"{BEARER}\"\n", at(&format!("http://me:{BASIC}@d.example/"))),
        format!("[server]\ntokens = [\"{}\"]\n", &TOKEN[..15]),
        format!("[server]\ntokens = \"{TOKEN}\"\n"),
        format!("[server]\ntokens = [\"{TOKEN} {TOKEN}\"]\n"),
        format!("[server]\ntokens = {TOKEN}\n"),
        format!("[store]\nurl = \"redis://:{BASIC}@127.0.0.1:1/0\"\n"),
        format!("[store]\nurl = \"redis://me:{BASIC}@127.0.0.1:1/x/y\"\n"),
        format!("[store]\nurl = \"rediss://me:{BASIC}@no-such-name.invalid:6379\"\n"),
        format!("[store]\nurl = \"redis-cluster://me:{BASIC}@127.0.0.1:1\"\n"),
        format!("[store]\nurl = \"redis://me:{BASIC}@\"\n"),
        format!("[store]\nurl = \"redi://me:{BASIC}@127.0.0.1\"\n"),
        format!("[store]\nurl = \"me:{BASIC}@127.0.0.1\"\n"),
    ];
    let mut all: Vec<_> = files.into_iter().map(|file| (file, Vec::new())).collect();
    let variables = [
        ("LANEWAY_TOKENS", format!("{},{TOKEN}", &TOKEN[..15])),
        ("LANEWAY_TOKEN5", TOKEN.to_owned()),
        ("LANEWAY_STORE", format!("redis://:{BASIC}@127.0.0.1:1/zero")),
        ("LANEWAY_DESTINATION__D__SECRETS", format!("{WHSEC}!!")),
        ("LANEWAY_DESTINATION__D__SECRETS", format!("[{WHSEC}")),
        ("LANEWAY_DESTINATION__D__HEADERS", format!("x-key: {HEADER}")),
        ("LANEWAY_DESTINATION__D__BASIC", format!("{{ user = \"me\", password = \"{BASIC}\"")),
        ("LANEWAY_DESTINATION__D__BEARER", format!("{BEARER}\u{7}")),
        ("LANEWAY_DESTINATION__D__BEARERS", BEARER.to_owned()),
        ("LANEWAY_DESTINATION__D__URL", format!("http://me:{BASIC}@[::1/")),
    ];
    all.extend(variables.into_iter().map(|variable| (d(""), vec![variable])));
    all
}

#[test]
fn no_mistake_in_a_configuration_shows_what_stands_beside_it() {
    let installation = Installation::new(&Settings::default());
    let (key, _) = write_files(&installation);
    let mut search = Search::new(&key);
    for (number, (file, variables)) in mistakes().into_iter().enumerate() {
        installation.write_config(&file);
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let variables = [TALKATIVE.as_slice(), &variables].concat();
        let output = installation.run_with(&["check"], &variables);
        let said = [output.stdout.as_slice(), &output.stderr].concat();
        let shown = String::from_utf8_lossy(&said);
        let tolerated = file.contains("mongodb") || file.contains("redis");
        assert!(!output.status.success() || tolerated, "mistake {number} is none:\n{file}\n{shown}");
        assert!(!said.is_empty(), "mistake {number} is not explained:\n{file}");
        search.look(&format!("mistake {number}"), &said);
    }
    search.assert_clean();
}

/// Servers with passwords that cannot be reached, each as a whole configuration.
fn unreachable(address: SocketAddr) -> Vec<String> {
    let start =
        format!("[server]\nlisten = \"{address}\"\n[log]\nfilter = \"trace\"\n[egress]\nallow = [\"127.0.0.0/8\"]\n");
    let store = |url: String| format!("{start}[store]\nurl = \"{url}\"\n");
    let destination = |url: String| format!("{start}[[destination]]\nname = \"d\"\nurl = \"{url}\"\n{RETRY}\n");
    vec![
        store(format!("redis://me:{BASIC}@127.0.0.1:1/0")),
        store(format!("rediss://:{URL_PASSWORD_WRITTEN}@127.0.0.1:1")),
        store(format!("redis-cluster://me:{BASIC}@127.0.0.1:1")),
        destination(format!("mongodb://me:{BASIC}@127.0.0.1:1/db/c?serverSelectionTimeoutMS=300")),
        destination(format!("mongodb://me:{URL_PASSWORD_WRITTEN}@127.0.0.1:1/db/c?tls=true&connectTimeoutMS=300")),
        destination(format!("http://me:{URL_PASSWORD_WRITTEN}@127.0.0.1:1/{URL_PATH}?{URL_QUERY}")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_named_without_its_password() {
    /// How long a start may go on trying; what it does then has been said by then.
    const GIVE_IT: std::time::Duration = std::time::Duration::from_secs(5);
    let installation = Installation::new(&Settings::default());
    let (key, _) = write_files(&installation);
    let mut search = Search::new(&key);
    for (number, config) in unreachable(installation.address()).into_iter().enumerate() {
        installation.write_config(&config);
        let mut server = installation.spawn(&["serve"]);
        if let Ok(Ok(())) = tokio::time::timeout(GIVE_IT, server.ready()).await {
            let client = server.client();
            client.accepted(&json!({"type": "t", "key": "k"})).await;
            let failed = |s: &Value| s["blocked"][0]["attempts"].as_u64() >= Some(2);
            let status = client.until("d", "attempted twice", failed).await;
            search.look(&format!("the status of {number}"), status.to_string().as_bytes());
        }
        server.kill();
        let said = installation.stdout() + &installation.stderr();
        assert!(!said.is_empty(), "{number} says nothing");
        search.look(&format!("configuration {number}"), said.as_bytes());
    }
    search.assert_clean();
}
