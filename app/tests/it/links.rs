//! Links to the console, and tokens that a tenant makes itself: in several processes over the reference store, with paused
//! time.

use crate::tokens::{BOSS, Process, SEEN_WITHIN, boss};
use laneway_domain::{Revision, Role, Roles, Tenant};
use laneway_http::{LINK_PREFIX, Token};
use laneway_memory::{Disk, Fault};
use laneway_ports::{TokenStore as _, encoded_book};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const ACME: &str = "the-token-of-acme";
const OTHER: &str = "the-token-of-other";

fn of_tenant(text: &str, tenant: &str, roles: &[Role]) -> Token {
    let name = format!("{tenant}:file");
    let token = Token::new(text).unwrap().named(&name, Roles::of(roles.iter().copied()));
    token.of_tenant(Tenant::new(tenant).unwrap())
}

/// A process whose file has a token for everything, and one of each of two tenants.
async fn process(disk: &Arc<Disk>) -> Process {
    let all = [Role::Read, Role::Operate, Role::Admin];
    let tenants = vec![of_tenant(ACME, "acme", &all), of_tenant(OTHER, "other", &Role::ALL)];
    Process::with(disk, [boss(), tenants].concat()).await
}

impl Process {
    async fn link_as(&self, token: &str, asked: &Json) -> String {
        let made = self.send("POST", "/v1/portal-links", token, asked).await.is(201);
        assert_eq!(made.headers["cache-control"], "no-store");
        let url = made.json["url"].as_str().unwrap();
        let secret = url.strip_prefix("http://localhost/console/enter#").unwrap();
        assert!(secret.starts_with(LINK_PREFIX), "{secret}");
        secret.to_owned()
    }

    /// What somebody gets who came by a link: something that every role but `publish` opens.
    async fn by(&self, link: &str) -> u16 {
        self.send("GET", "/nowhere", link, &Json::Null).await.status
    }
}

const IN: u16 = 404;
const OUT: u16 = 401;

#[tokio::test(start_paused = true)]
async fn a_link_is_known_to_every_process_and_ends_when_it_expires() {
    let disk = Disk::new(1);
    let (here, there) = (process(&disk).await, process(&disk).await);
    let made = here.send("POST", "/v1/portal-links", BOSS, &json!({"tenant": "acme", "lasts": "10m"})).await.is(201);
    let facts = (&made.json["tenant"], &made.json["roles"]);
    assert_eq!(facts, (&json!("acme"), &json!(["read", "operate", "admin"])));
    let link = made.json["url"].as_str().unwrap().split('#').nth(1).unwrap().to_owned();
    assert_eq!(here.by(&link).await, IN, "here at once");
    sleep(SEEN_WITHIN).await;
    let new = process(&disk).await;
    for process in [&here, &there, &new] {
        assert_eq!(process.by(&link).await, IN);
        process.publish(&link).await.problem(403, "forbidden");
    }
    // Nothing is written for the second one.
    let revision = here.store.tokens(Revision::ORIGIN).await.unwrap().revision;
    let another = there.link_as(BOSS, &json!({"tenant": "other", "roles": ["publish"]})).await;
    assert_eq!(here.store.tokens(Revision::ORIGIN).await.unwrap().revision, revision);
    here.publish(&another).await.is(202);
    sleep(Duration::from_secs(600)).await;
    for process in [&here, &there, &new] {
        let detail = process.send("GET", "/nowhere", &link, &Json::Null).await.problem(401, "unauthorized");
        assert!(detail.contains("has expired"), "{detail}");
        process.publish(&another).await.is(202);
    }
}

#[tokio::test(start_paused = true)]
async fn links_end_everywhere_within_a_second_with_those_of_their_tenant_and_with_their_maker() {
    let disk = Disk::new(1);
    let (here, there) = (process(&disk).await, process(&disk).await);
    let chief = here.create("chief", &["admin"]).await;
    let of_boss = here.link_as(BOSS, &json!({"tenant": "acme"})).await;
    let of_chief = here.link_as(&chief, &json!({"tenant": "acme"})).await;
    let of_other = here.link_as(&chief, &json!({"tenant": "other"})).await;
    sleep(SEEN_WITHIN).await;
    for process in [&here, &there] {
        for link in [&of_boss, &of_chief, &of_other] {
            assert_eq!(process.by(link).await, IN);
        }
    }
    let ended = there.send("DELETE", "/v1/portal-links?tenant=acme", BOSS, &Json::Null).await.is(200);
    assert_eq!(ended.json, json!({"tenant": "acme", "ended": true}));
    assert_eq!((there.by(&of_boss).await, there.by(&of_chief).await, there.by(&of_other).await), (OUT, OUT, IN));
    sleep(SEEN_WITHIN).await;
    assert_eq!((here.by(&of_boss).await, here.by(&of_chief).await, here.by(&of_other).await), (OUT, OUT, IN));
    // One that is made right after is another one.
    let fresh = there.link_as(BOSS, &json!({"tenant": "acme"})).await;
    assert_eq!((there.by(&fresh).await, here.by(&fresh).await), (IN, IN));
    there.revoke("chief").await.is(200);
    assert_eq!((there.by(&of_other).await, there.by(&fresh).await), (OUT, IN));
    sleep(SEEN_WITHIN).await;
    assert_eq!((here.by(&of_other).await, here.by(&fresh).await), (OUT, IN));
    // A failover loses neither the key nor that links were ended.
    let replica = disk.tokens_replica();
    here.send("DELETE", "/v1/portal-links?tenant=acme", BOSS, &Json::Null).await.is(200);
    sleep(SEEN_WITHIN).await;
    disk.fail_over_tokens(replica);
    sleep(SEEN_WITHIN).await;
    assert_eq!((here.by(&fresh).await, there.by(&fresh).await), (OUT, OUT));
}

#[tokio::test(start_paused = true)]
async fn a_link_is_taken_as_long_as_somebody_can_tell_whether_it_was_ended() {
    let process = process(&Disk::new(1)).await;
    let link = process.link_as(BOSS, &json!({"tenant": "acme"})).await;
    process.let_fail(Some(Fault::RetryLater));
    sleep(Duration::from_secs(4)).await;
    assert_eq!(process.by(&link).await, IN);
    sleep(Duration::from_secs(2)).await;
    process.send("GET", "/nowhere", &link, &Json::Null).await.problem(503, "tokens-unconfirmed");
    process.let_fail(None);
    sleep(SEEN_WITHIN).await;
    assert_eq!(process.by(&link).await, IN);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_of_links_is_kept_in_a_format_of_its_own_and_sealed() {
    let disk = Disk::new(1);
    let process = process(&disk).await;
    process.create("shop", &["publish"]).await;
    let text = async || {
        let book = process.store.tokens(Revision::ORIGIN).await.unwrap().book.unwrap();
        encoded_book(Revision::ORIGIN, &book).unwrap()
    };
    assert!(text().await.starts_with("1 "), "as it was, until somebody makes a link");
    let link = process.link_as(BOSS, &json!({"tenant": "acme"})).await;
    let kept = text().await;
    assert!(kept.starts_with("2 ") && kept.contains(r#""links":{"key":""#), "{kept}");
    assert!(!kept.contains(link.split('.').nth(1).unwrap()), "a link is kept nowhere");
    // To end what nobody has made writes nothing.
    let empty = crate::links::process(&Disk::new(1)).await;
    empty.send("DELETE", "/v1/portal-links?tenant=acme", BOSS, &Json::Null).await.is(200);
    assert_eq!(empty.store.tokens(Revision::ORIGIN).await.unwrap().revision, Revision::ORIGIN);
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_wrongly_of_links_gets_a_precise_problem() {
    let process = process(&Disk::new(1)).await;
    for (token, body, status, field, said) in [
        (BOSS, json!({}), 422, "/tenant", "say the tenant"),
        (BOSS, json!({"tenant": "A"}), 422, "", "cannot be a tenant's name"),
        (BOSS, json!({"tenant": "acme", "lasts": "25h"}), 422, "/lasts", "between 1s and 24h"),
        (BOSS, json!({"tenant": "acme", "lasts": "soon"}), 422, "/lasts", "is not a duration"),
        (BOSS, json!({"tenant": "acme", "roles": []}), 422, "/roles", "no role"),
        (BOSS, json!({"tenant": "acme", "roles": ["rule"]}), 422, "/roles/0", "is none of"),
        (BOSS, json!({"tenant": "acme", "expires": "1h"}), 422, "", "unknown field"),
        (ACME, json!({"tenant": "other"}), 422, "/tenant", "the token is the tenant acme's"),
        (ACME, json!({"tenant": "nobody"}), 422, "/tenant", "the token is the tenant acme's"),
        (ACME, json!({"roles": ["read", "publish"]}), 403, "/roles", "has not the role \"publish\" itself"),
    ] {
        let answer = process.send("POST", "/v1/portal-links", token, &body).await;
        assert_eq!(answer.json["field"].as_str().unwrap_or_default(), field, "{body}: {answer:?}");
        let detail = answer.problem(status, if status == 403 { "forbidden" } else { "invalid" });
        assert!(detail.contains(said), "{body}: {detail}");
    }
    process.send("DELETE", "/v1/portal-links", BOSS, &Json::Null).await.problem(422, "invalid");
    process.send("DELETE", "/v1/portal-links?tenant=other", ACME, &Json::Null).await.problem(422, "invalid");
    process.send("DELETE", "/v1/portal-links", ACME, &Json::Null).await.is(200);
    // A tenant makes one for itself, with what it has.
    let own = process.link_as(ACME, &json!({})).await;
    assert_eq!(process.by(&own).await, IN);
    // Whoever came by it makes nothing that would outlast it, though it has the role.
    for (method, path, body) in [
        ("POST", "/v1/portal-links", json!({})),
        ("DELETE", "/v1/portal-links", Json::Null),
        ("POST", "/v1/tokens", json!({"name": "x", "roles": ["read"]})),
        ("GET", "/v1/tokens", Json::Null),
        ("GET", "/v1/token-changes", Json::Null),
        ("DELETE", "/v1/tokens/x", Json::Null),
    ] {
        let refused = process.send(method, path, &own, &body).await.problem(403, "forbidden");
        assert!(refused.contains("came by a link"), "{refused}");
    }
    let open = Process::with(&Disk::new(1), Vec::new()).await;
    open.send("POST", "/v1/portal-links", "", &json!({"tenant": "acme"})).await.problem(409, "conflict");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_makes_lists_and_revokes_its_own_tokens_and_knows_of_no_others() {
    let process = process(&Disk::new(1)).await;
    process.create("ops", &["read"]).await;
    process.create_as(OTHER, "shop", &["read"]).await.is(201);
    let made = process.create_as(ACME, "shop", &["read", "operate"]).await.is(201);
    assert_eq!(made.json["name"], "acme:shop");
    process.create_as(ACME, "acme:second", &["admin"]).await.is(201);
    let names = |page: &Json| -> Vec<String> {
        let of = |item: &Json| item["name"].as_str().unwrap_or_default().to_owned();
        page["items"].as_array().unwrap().iter().map(of).collect()
    };
    let list = process.send("GET", "/v1/tokens", ACME, &Json::Null).await.is(200).json;
    assert_eq!(names(&list), ["acme:file", "acme:second", "acme:shop"]);
    let page = process.send("GET", "/v1/tokens?limit=1&after=file", ACME, &Json::Null).await.is(200).json;
    assert_eq!((names(&page), &page["next"]), (vec!["acme:second".to_owned()], &json!("acme:second")));
    let journal = process.send("GET", "/v1/token-changes", ACME, &Json::Null).await.is(200).json;
    assert_eq!(names(&journal), ["acme:second", "acme:shop"]);
    assert!(!list.to_string().contains("other") && !journal.to_string().contains("other"));
    // What somebody else has is as what nobody has, byte by byte.
    for (method, path) in [("DELETE", "/v1/tokens/TENANT:shop"), ("GET", "/v1/tokens?after=TENANT:shop")] {
        let of = async |tenant: &str| {
            let answer = process.send(method, &path.replace("TENANT", tenant), ACME, &Json::Null).await.is(404);
            answer.json.to_string().replace(tenant, "T")
        };
        assert_eq!(of("other").await, of("nobody").await);
    }
    let (other, nobody) = (
        process.create_as(ACME, "other:shop", &["read"]).await.is(404),
        process.create_as(ACME, "nobody:shop", &["read"]).await.is(404),
    );
    assert_eq!(other.json.to_string().replace("other", "nobody"), nobody.json.to_string());
    // Never more than it has itself.
    let refused = process.create_as(ACME, "third", &["read", "publish"]).await.problem(403, "forbidden");
    assert!(refused.contains("has not the role \"publish\" itself"), "{refused}");
    process.create_as(ACME, "shop", &["read"]).await.problem(409, "conflict");
    // Its own, whoever made them; and one of the file is changed in the file.
    process.create("acme:third", &["publish"]).await;
    for own in ["third", "acme:second"] {
        process.send("DELETE", &format!("/v1/tokens/{own}"), ACME, &Json::Null).await.is(200);
    }
    process.send("DELETE", "/v1/tokens/file", ACME, &Json::Null).await.problem(409, "conflict");
    process.send("DELETE", "/v1/tokens/third", ACME, &Json::Null).await.problem(404, "not-found");
    process.send("DELETE", "/v1/tokens/ops", ACME, &Json::Null).await.problem(404, "not-found");
    // The operator sees all.
    assert_eq!(names(&process.get("/v1/tokens").await).len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_has_ten_tokens_and_others_are_not_concerned() {
    let process = process(&Disk::new(1)).await;
    for n in 0..10 {
        process.create_as(ACME, &format!("t{n}"), &["read"]).await.is(201);
    }
    for by in [ACME, BOSS] {
        let full = process.create_as(by, if by == ACME { "more" } else { "acme:more" }, &["read"]).await;
        let full = full.problem(409, "conflict");
        assert!(full.contains("the tenant acme has 10 tokens") && full.contains("tenants.tokens"), "{full}");
    }
    process.create_as(OTHER, "shop", &["read"]).await.is(201);
    process.send("DELETE", "/v1/tokens/t3", ACME, &Json::Null).await.is(200);
    process.create_as(ACME, "more", &["read"]).await.is(201);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_changes_too_much_is_slowed_down_and_nobody_else() {
    let process = process(&Disk::new(1)).await;
    let revoke = async |token: &str| process.send("DELETE", "/v1/tokens/nothing", token, &Json::Null).await;
    for _ in 0..120 {
        revoke(ACME).await.is(404);
    }
    let slowed = revoke(ACME).await.is(429);
    assert_eq!(slowed.headers["retry-after"], "1");
    assert!(slowed.problem(429, "too-often").contains("tenants.changes_per_minute"));
    revoke(OTHER).await.is(404);
    revoke(BOSS).await.is(404);
    process.send("GET", "/v1/tokens", ACME, &Json::Null).await.is(200);
    sleep(Duration::from_secs(1)).await;
    revoke(ACME).await.is(404);
    // Whoever may not do it is told that, and is not counted.
    let link = process.link_as(BOSS, &json!({"tenant": "other", "roles": ["read"]})).await;
    for _ in 0..200 {
        process.send("DELETE", "/v1/tokens/nothing", &link, &Json::Null).await.is(403);
    }
    revoke(OTHER).await.is(404);
}
