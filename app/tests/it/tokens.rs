//! Tokens that are made over the HTTP interface: the service and who follows, in several processes over the reference
//! store, with paused time.

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use laneway_app::registry::{KEY_BYTES, Keyring};
use laneway_app::tokens::MadeTokens;
use laneway_domain::{MAX_TOKENS, Revision, Role, Roles, TokenBook};
use laneway_http::{Api, CurrentActBounds, Hosts, Limits, TOKEN_PREFIX, Token, Tokens, router};
use laneway_memory::{Call, Disk, Fault, Faults, MemoryStore, Settings};
use laneway_ports::{Stores, TokenStore as _};
use serde_json::{Value as Json, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tower::ServiceExt as _;

pub(crate) const BOSS: &str = "the-boss-of-the-file";
/// Within which every process sees what another one did.
pub(crate) const SEEN_WITHIN: Duration = Duration::from_secs(1);

/// What goes wrong at the store's tokens, and how often it was asked for them.
#[derive(Default)]
pub(crate) struct Trouble {
    fault: Mutex<Option<Fault>>,
    asked: AtomicUsize,
}

impl Faults for Trouble {
    fn fault(&self, call: Call) -> Option<Fault> {
        if call != Call::Tokens {
            return None;
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        *self.fault.lock().unwrap()
    }
}

/// A process: its HTTP interface, its tokens, and who follows them.
pub(crate) struct Process {
    router: Router,
    pub(crate) tokens: Tokens,
    pub(crate) store: Arc<MemoryStore>,
    trouble: Arc<Trouble>,
    following: JoinHandle<()>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.following.abort();
    }
}

pub(crate) fn boss() -> Vec<Token> {
    vec![Token::new(BOSS).unwrap().named("boss", Roles::ALL)]
}

impl Process {
    /// One whose file has a token for everything.
    pub(crate) async fn on(disk: &Arc<Disk>) -> Self {
        Self::with(disk, boss()).await
    }

    pub(crate) async fn with(disk: &Arc<Disk>, file: Vec<Token>) -> Self {
        Self::in_trouble(disk, file, None).await
    }

    async fn in_trouble(disk: &Arc<Disk>, file: Vec<Token>, fault: Option<Fault>) -> Self {
        let trouble = Arc::new(Trouble { fault: Mutex::new(fault), ..Trouble::default() });
        let settings = Settings { faults: Some(trouble.clone()), ..Settings::default() };
        let store = Arc::new(MemoryStore::open(disk.clone(), settings));
        let stores = Stores::of(store.clone());
        let tokens = Tokens::of(file);
        let keys = Arc::new(Keyring::of(&[[7; KEY_BYTES]]).unwrap());
        let made = Arc::new(MadeTokens::new(stores.tokens.clone(), tokens.clone()).sealing(keys));
        made.begin().await;
        let following = tokio::spawn(made.clone().follow());
        let router = router(Api {
            log: Some(stores.log.clone()),
            dead_letters: stores.dead_letters.clone(),
            lookup: None,
            operations: None,
            destinations: None,
            token_admin: Some(made),
            tenant_admin: None,
            tenant_door: None,
            metrics: Arc::new(String::new),
            spans: None,
            limits: Limits::default().into(),
            tokens: tokens.clone(),
            tenants: CurrentActBounds::default(),
            hosts: Hosts::default(),
        });
        Self { router, tokens, store, trouble, following }
    }

    pub(crate) fn let_fail(&self, fault: Option<Fault>) {
        *self.trouble.fault.lock().unwrap() = fault;
    }

    pub(crate) async fn send(&self, method: &str, path: &str, token: &str, body: &Json) -> Answer {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request =
            request.header("content-type", "application/json").header("authorization", format!("Bearer {token}"));
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let json = if body.is_empty() { Json::Null } else { serde_json::from_slice(&body).unwrap_or(Json::Null) };
        Answer { status: parts.status.as_u16(), headers: parts.headers, json }
    }

    pub(crate) async fn create_as(&self, token: &str, name: &str, roles: &[&str]) -> Answer {
        self.send("POST", "/v1/tokens", token, &json!({ "name": name, "roles": roles })).await
    }

    /// Makes a token, and returns its text.
    pub(crate) async fn create(&self, name: &str, roles: &[&str]) -> String {
        let made = self.create_as(BOSS, name, roles).await.is(201);
        made.json["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn revoke(&self, name: &str) -> Answer {
        self.send("DELETE", &format!("/v1/tokens/{name}"), BOSS, &Json::Null).await
    }

    pub(crate) async fn get(&self, path: &str) -> Json {
        self.send("GET", path, BOSS, &Json::Null).await.is(200).json
    }

    /// What an event that is sent with this token gets.
    pub(crate) async fn publish(&self, token: &str) -> Answer {
        self.send("POST", "/v1/events", token, &json!({ "type": "t" })).await
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Json,
}

impl Answer {
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The text of the problem that it must be.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, kind: &str) -> String {
        let answer = self.is(status);
        assert_eq!(answer.json["type"], format!("urn:laneway:problem:{kind}"), "{answer:?}");
        answer.json["detail"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_opens_its_roles_everywhere_within_a_second_and_nothing_once_it_is_revoked() {
    let disk = Disk::new(1);
    let (here, there) = (Process::on(&disk).await, Process::on(&disk).await);
    let made = here.create_as(BOSS, "shop", &["publish", "publish"]).await.is(201);
    assert_eq!(made.headers["cache-control"], "no-store");
    assert_eq!((&made.json["name"], &made.json["roles"]), (&json!("shop"), &json!(["publish"])));
    let token = made.json["token"].as_str().unwrap();
    assert!(token.starts_with(TOKEN_PREFIX) && token.len() == TOKEN_PREFIX.len() + 43, "{token}");
    // Here at once.
    here.publish(token).await.is(202);
    assert!(here.create_as(token, "x", &["read"]).await.problem(403, "forbidden").contains("\"admin\""));
    sleep(SEEN_WITHIN).await;
    there.publish(token).await.is(202);
    there.send("GET", "/v1/tokens", token, &Json::Null).await.problem(403, "forbidden");
    assert_eq!(there.revoke("shop").await.is(200).json["name"], "shop");
    there.publish(token).await.problem(401, "unauthorized");
    sleep(SEEN_WITHIN).await;
    here.publish(token).await.problem(401, "unauthorized");
    here.revoke("shop").await.problem(404, "not-found");
    // The name is free, and the text another one.
    assert_ne!(here.create("shop", &["publish"]).await, token);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_listed_with_where_they_are_from_and_changes_with_who_made_them() {
    let disk = Disk::new(1);
    let file = [boss(), vec![Token::new("one-without-a-name").unwrap()]].concat();
    let process = Process::with(&disk, file).await;
    let admin = process.create("admin", &["admin"]).await;
    process.create_as(&admin, "shop", &["read", "publish"]).await.is(201);
    let list = process.get("/v1/tokens").await;
    let shown: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| (&token["name"], &token["roles"], &token["origin"], &token["created_by"]))
        .collect();
    let all = json!(["publish", "read", "operate", "admin"]);
    let expected = [
        (&Json::Null, &all, &json!("file"), &Json::Null),
        (&json!("admin"), &json!(["admin"]), &json!("api"), &json!("the token boss")),
        (&json!("boss"), &all, &json!("file"), &Json::Null),
        (&json!("shop"), &json!(["publish", "read"]), &json!("api"), &json!("the token admin")),
    ];
    assert_eq!(shown, expected);
    assert!(list["items"][3]["created"].as_str().unwrap().starts_with("2023-11-14T22:13"), "{list}");
    // Page by page; the one without a name is on the first.
    let names = |page: &Json| page["items"].as_array().unwrap().iter().map(|t| t["name"].clone()).collect::<Vec<_>>();
    let first = process.get("/v1/tokens?limit=2").await;
    assert_eq!((names(&first), &first["next"]), (vec![Json::Null, json!("admin"), json!("boss")], &json!("boss")));
    let second = process.get("/v1/tokens?limit=2&after=boss").await;
    assert_eq!((names(&second), second.get("next")), (vec![json!("shop")], None));

    process.revoke("shop").await.is(200);
    let changes = process.get("/v1/token-changes").await;
    let said: Vec<_> = changes["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| [&line["name"], &line["by"], &line["what"]].map(|text| text.as_str().unwrap()))
        .collect();
    let expected = [
        ["shop", "the token boss", "revoked"],
        ["shop", "the token admin", "made, with the roles publish, read"],
        ["admin", "the token boss", "made, with the roles admin"],
    ];
    assert_eq!(said, expected);
    let before = process.get(&format!("/v1/token-changes?limit=1&before={}", changes["items"][1]["revision"])).await;
    assert_eq!(before["items"], json!([changes["items"][2]]));
    // Neither a token nor what it is recognised by.
    let kept = serde_json::to_value(process.store.tokens(Revision::ORIGIN).await.unwrap().book.unwrap()).unwrap();
    let digest = kept["tokens"]["admin"]["digest"].as_str().unwrap();
    for page in [list.to_string(), changes.to_string()] {
        assert!(!page.contains(&admin) && !page.contains(digest) && !page.contains("lwt_"), "{page}");
    }
    assert!(!kept.to_string().contains(&admin[4..]));
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_wrongly_gets_a_precise_problem_and_changes_nothing() {
    let process = Process::on(&Disk::new(1)).await;
    process.create("shop", &["read"]).await;
    let before = process.get("/v1/tokens").await;
    let long = "x".repeat(65);
    let cases = [
        (
            json!({"name": "shop", "roles": ["read"]}),
            409,
            "conflict",
            "/name",
            "there is a token shop already, which the token boss made",
        ),
        (
            json!({"name": "boss", "roles": ["read"]}),
            409,
            "conflict",
            "",
            "the configuration file has a token boss already",
        ),
        (json!({"name": "", "roles": ["read"]}), 422, "invalid", "/name", "1 to 64 of a-z"),
        (json!({"name": long, "roles": ["read"]}), 422, "invalid", "/name", "1 to 64 of a-z"),
        (json!({"name": "Shop", "roles": ["read"]}), 422, "invalid", "/name", "\"Shop\" is no name"),
        (json!({"name": "a", "roles": []}), 422, "invalid", "/roles", "no role"),
        (json!({"name": "a", "roles": ["read", "opperate"]}), 422, "invalid", "/roles/1", "did you mean \"operate\"?"),
        (
            json!({"name": "a", "roles": ["root"]}),
            422,
            "invalid",
            "/roles/0",
            "\"root\" is none of \"publish\", \"read\"",
        ),
        (json!({"name": "a"}), 422, "invalid", "", "missing field `roles`"),
        (json!({"name": "a", "roles": ["read"], "tenant": "acme"}), 422, "invalid", "", "unknown field `tenant`"),
        (json!({"name": "A:a", "roles": ["read"]}), 422, "invalid", "/name", "is no name"),
        (json!({"name": "a:b:c", "roles": ["read"]}), 422, "invalid", "/name", "is no name"),
        (json!({"name": "a", "roles": ["read"], "token": "lwt_mine"}), 422, "invalid", "", "unknown field `token`"),
    ];
    for (body, status, kind, field, said) in cases {
        let answer = process.send("POST", "/v1/tokens", BOSS, &body).await;
        assert_eq!(answer.json["field"].as_str().unwrap_or_default(), field, "{body}: {answer:?}");
        let detail = answer.problem(status, kind);
        assert!(detail.contains(said), "{body}: {detail}");
    }
    let of_file = process.revoke("boss").await.problem(409, "conflict");
    assert!(of_file.contains("take it out of [[server.token]]"), "{of_file}");
    process.revoke("nobody").await.problem(404, "not-found");
    process.revoke("NO").await.problem(422, "invalid");
    for path in ["/v1/tokens?limit=0", "/v1/tokens?after=A", "/v1/tokens?x=1", "/v1/token-changes?before=x"] {
        process.send("GET", path, BOSS, &Json::Null).await.problem(422, "invalid");
    }
    assert_eq!(process.get("/v1/tokens").await, before);
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_tokens_than_there_can_be() {
    let process = Process::on(&Disk::new(1)).await;
    // Made one after the other, each would be checked with all before it.
    let token = |n: usize| {
        let token =
            json!({"digest": format!("{n:064x}"), "roles": ["read"], "made_at": n + 1, "at": 0, "by": "a test"});
        (format!("t{n}"), token)
    };
    let tokens: serde_json::Map<String, Json> = (0..MAX_TOKENS).map(token).collect();
    let book = json!({"revision": MAX_TOKENS, "tokens": tokens, "revoked": {}, "forgotten": 0, "changes": []});
    let book: TokenBook = serde_json::from_value(book).unwrap();
    assert!(process.store.write_tokens(Revision::ORIGIN, &book).await.unwrap());
    let full = process.create_as(BOSS, "more", &["read"]).await.problem(409, "conflict");
    assert!(full.contains("20000 tokens"), "{full}");
    process.revoke("t7").await.is(200);
    process.create("more", &["read"]).await;
}

/// It would ask for a token from then on, and nobody has one. Or it would not, and the token would protect nothing.
#[tokio::test(start_paused = true)]
async fn a_server_that_asks_nobody_for_a_token_makes_none_and_stays_open() {
    let disk = Disk::new(1);
    let (open, closed) = (Process::with(&disk, Vec::new()).await, Process::on(&disk).await);
    let refused = open.create_as("", "shop", &["publish"]).await.problem(409, "conflict");
    assert!(refused.contains("[[server.token]]") && refused.contains("SIGHUP"), "{refused}");
    // Another process on the store has made one: that concerns those that ask for tokens.
    let token = closed.create("shop", &["publish"]).await;
    sleep(SEEN_WITHIN).await;
    for presented in [token.as_str(), "", "lwt_anything"] {
        open.publish(presented).await.is(202);
    }
    closed.publish("").await.problem(401, "unauthorized");
    // The file gets one: from then on both count.
    assert!(open.tokens.replace(boss()));
    open.publish(&token).await.is(202);
    open.publish("lwt_anything").await.problem(401, "unauthorized");
    open.create("another", &["read"]).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_locks_everyone_out_by_revoking_the_last_admin() {
    let process = Process::on(&Disk::new(1)).await;
    let admin = process.create("admin", &["admin"]).await;
    process.create("reader", &["read"]).await;
    let revoke = async |name: &str| process.send("DELETE", &format!("/v1/tokens/{name}"), &admin, &Json::Null).await;
    // The file's only token is one that publishes now.
    let shop = Token::new("the-shop-of-the-file").unwrap().named("boss", Roles::of([Role::Publish]));
    assert!(process.tokens.replace(vec![shop]));
    let refused = revoke("admin").await.problem(409, "conflict");
    assert!(refused.contains("the last token with the role \"admin\"") && refused.contains("SIGHUP"), "{refused}");
    revoke("reader").await.is(200);
    process.create_as(&admin, "second", &["admin"]).await.is(201);
    revoke("admin").await.is(200);
    process.tokens.replace(boss());
    process.revoke("second").await.is(200);
}

#[tokio::test(start_paused = true)]
async fn of_a_name_that_both_have_the_files_token_counts_and_the_other_can_still_be_revoked() {
    let process = Process::on(&Disk::new(1)).await;
    let token = process.create("shop", &["publish"]).await;
    let of_file = Token::new("the-shop-of-the-file").unwrap().named("shop", Roles::of([Role::Read]));
    process.tokens.replace([boss(), vec![of_file]].concat());
    process.publish(&token).await.problem(401, "unauthorized");
    let list = process.get("/v1/tokens").await;
    assert!(list["incomplete"][0].as_str().unwrap().contains("a token shop was made over HTTP too"), "{list}");
    assert_eq!((&list["items"][1]["name"], &list["items"][1]["origin"]), (&json!("shop"), &json!("file")));
    process.revoke("shop").await.is(200);
    process.revoke("shop").await.problem(409, "conflict");
    assert_eq!(process.get("/v1/tokens").await["incomplete"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_confirmed_for_five_seconds_gets_a_503_and_goes_on_by_itself() {
    for fault in [Fault::No, Fault::RetryLater, Fault::Unknown { happened: false }] {
        let process = Process::on(&Disk::new(1)).await;
        let token = process.create("shop", &["publish"]).await;
        process.let_fail(Some(fault));
        sleep(Duration::from_millis(4_700)).await;
        process.publish(&token).await.is(202);
        sleep(Duration::from_millis(600)).await;
        let answer = process.publish(&token).await;
        assert_eq!(answer.headers["retry-after"], "1");
        let detail = answer.problem(503, "tokens-unconfirmed");
        assert!(detail.contains("5 s") && detail.contains("tokens of its configuration file work"), "{detail}");
        // One that it does not know may have been made elsewhere meanwhile.
        process.publish("lwt_unknown").await.problem(503, "tokens-unconfirmed");
        process.publish("no-token-at-all").await.problem(401, "unauthorized");
        process.publish(BOSS).await.is(202);
        assert!(process.create_as(BOSS, "another", &["read"]).await.status >= 500);
        process.let_fail(None);
        sleep(SEEN_WITHIN).await;
        process.publish(&token).await.is(202);
        process.publish("lwt_unknown").await.problem(401, "unauthorized");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_starts_without_an_answer_takes_made_tokens_as_soon_as_there_is_one() {
    let disk = Disk::new(1);
    let token = Process::on(&disk).await.create("shop", &["publish"]).await;
    let late = Process::in_trouble(&disk, boss(), Some(Fault::RetryLater)).await;
    late.publish(&token).await.problem(503, "tokens-unconfirmed");
    late.publish(BOSS).await.is(202);
    late.let_fail(None);
    sleep(SEEN_WITHIN).await;
    late.publish(&token).await.is(202);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_again_and_says_so_if_it_stays_lost() {
    let process = Process::on(&Disk::new(1)).await;
    // Looks fail with it too: nothing is told to have happened.
    process.let_fail(Some(Fault::Unknown { happened: true }));
    process.create_as(BOSS, "shop", &["read"]).await.problem(503, "outcome-unknown");
    process.let_fail(None);
    process.create("shop", &["read"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_failover_has_undone_is_done_again() {
    let disk = Disk::new(1);
    let (here, there) = (Process::on(&disk).await, Process::on(&disk).await);
    let leaked = here.create("leaked", &["publish"]).await;
    let replica = disk.tokens_replica();
    here.revoke("leaked").await.is(200);
    let lost = here.create("lost", &["publish"]).await;
    sleep(SEEN_WITHIN).await;
    disk.fail_over_tokens(replica);
    sleep(SEEN_WITHIN).await;
    // Also a process that starts now, and knows nothing but the store.
    let new = Process::on(&disk).await;
    for process in [&here, &there, &new] {
        process.publish(&leaked).await.problem(401, "unauthorized");
        process.publish(&lost).await.is(202);
    }
    let told = there.get("/v1/token-changes").await;
    assert_eq!(told["items"].as_array().unwrap().len(), 3, "{told}");
    // It is written back once.
    let last = there.store.tokens(Revision::ORIGIN).await.unwrap().revision;
    sleep(SEEN_WITHIN).await;
    assert_eq!(there.store.tokens(Revision::ORIGIN).await.unwrap().revision, last);
}

#[tokio::test(start_paused = true)]
async fn many_at_once_in_two_processes_are_all_made_and_each_name_once() {
    let disk = Disk::new(1);
    let processes = [Process::on(&disk).await, Process::on(&disk).await];
    let each = |n: usize| {
        let process = &processes[n % 2];
        async move { process.create_as(BOSS, &format!("t{}", n / 2), &["read"]).await.status }
    };
    let statuses = futures_util::future::join_all((0..16).map(each)).await;
    let count = |of: u16| statuses.iter().filter(|status| **status == of).count();
    assert_eq!((count(201), count(409)), (8, 8), "{statuses:?}");
    assert_eq!(processes[0].get("/v1/tokens").await["items"].as_array().unwrap().len(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_request_asks_the_store_nothing() {
    let process = Process::on(&Disk::new(1)).await;
    let token = process.create("shop", &["publish"]).await;
    let asked = process.trouble.asked.load(Ordering::Relaxed);
    for _ in 0..100 {
        process.publish(&token).await.is(202);
        process.publish("lwt_unknown").await.is(401);
    }
    // No time has passed for the one that follows.
    assert_eq!(process.trouble.asked.load(Ordering::Relaxed), asked);
}
