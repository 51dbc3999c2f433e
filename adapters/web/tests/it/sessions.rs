//! Who is signed in, and until when.

use crate::{BOSS, Browser, READER, Server, tokens};
use http::StatusCode;
use laneway_domain::{Link, Links, Revision, Role, Roles, Tenant, Timestamp};
use laneway_http::{LinkKey, Token, digest_of};

#[tokio::test]
async fn without_tokens_everyone_is_in_and_with_them_whoever_signs_in() {
    let open = Server::open();
    let page = Browser::new(&open).get("/console").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("<h1>Overview</h1>") && !page.text.contains("Sign out"), "{}", page.text);

    let server = Server::with(tokens());
    let browser = Browser::new(&server);
    let page = browser.get("/console").await;
    assert_eq!((page.status, page.header("location")), (StatusCode::SEE_OTHER, "/console/sign-in"));
    let page = browser.get("/console/destinations/a?x=1").await;
    assert_eq!(page.header("location"), "/console/sign-in?to=%2Fconsole%2Fdestinations%2Fa%3Fx%3D1");
    let page = browser.get(page.header("location")).await;
    assert_eq!((page.status, page.field("to")), (StatusCode::OK, "/console/destinations/a?x=1".to_owned()));

    let wrong = browser.submit(&page, "/console/sign-in", &[("token", "another-token")]).await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    assert!(wrong.text.contains("This token is not known") && !wrong.text.contains("another-token"), "{}", wrong.text);

    let before = browser.cookie.lock().unwrap().clone().unwrap();
    let fields = [("token", " a-token-that-reads\r\n"), ("to", "/console/workers")];
    let answer = browser.submit(&wrong, "/console/sign-in", &fields).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/console/workers"));
    assert_ne!(
        browser.cookie.lock().unwrap().clone().unwrap(),
        before,
        "a cookie from before would be somebody else's"
    );
    let page = browser.get("/console/workers").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("the token reader") && page.text.contains("Sign out"), "{}", page.text);

    let left = browser.submit(&page, "/console/sign-out", &[]).await;
    assert_eq!((left.status, left.header("location")), (StatusCode::SEE_OTHER, "/console/sign-in"));
    assert_eq!(browser.get("/console").await.status, StatusCode::SEE_OTHER);
    assert!(browser.get("/console/sign-in").await.text.contains("You are signed out."));
}

#[tokio::test]
async fn no_text_that_is_typed_passes_for_a_certificate() {
    let server =
        Server::with([tokens(), vec![Token::of_certificate("boss.internal").named("chief", Roles::ALL)]].concat());
    let browser = Browser::new(&server);
    for text in ["\0certificate\0boss.internal", "boss.internal", "lwp_\0certificate\0boss.internal", "lwp_é"] {
        let page = browser.get("/console/sign-in").await;
        let answer = browser.submit(&page, "/console/sign-in", &[("token", text)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{text:?}");
        let answer = browser.submit(&page, "/console/enter", &[("link", text), ("go", "yes")]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{text:?}");
        assert_eq!(browser.get("/console").await.status, StatusCode::SEE_OTHER, "{text:?}");
    }
}

#[tokio::test]
async fn a_browser_is_led_to_the_console_and_a_program_is_not() {
    let server = Server::open();
    let browser = Browser::new(&server);
    let root = async |accept: &str| {
        let request = browser.request(http::Method::GET, "/").header("accept", accept);
        let page = server.send(request.body(axum::body::Body::empty()).unwrap()).await;
        (page.status.as_u16(), page.header("location").to_owned(), page.header("content-type").to_owned())
    };
    assert_eq!(root("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8").await, (303, "/console".into(), String::new()));
    for accept in ["*/*", "application/json", ""] {
        assert_eq!(root(accept).await, (404, String::new(), "application/problem+json".into()), "{accept}");
    }
}

#[tokio::test]
async fn whoever_signs_in_is_led_nowhere_else() {
    let server = Server::with(tokens());
    for to in
        ["https://evil.example", "//evil.example", "/v1/status", "/console//evil", "/console\\evil", "javascript:x"]
    {
        let browser = Browser::new(&server);
        let page = browser.get("/console/sign-in").await;
        let answer = browser.submit(&page, "/console/sign-in", &[("token", BOSS), ("to", to)]).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/console"), "{to}");
    }
}

#[tokio::test]
async fn a_session_ends_with_its_token_at_the_next_request() {
    let server = Server::with(tokens());
    let (reader, boss) = (Browser::signed_in(&server, READER).await, Browser::signed_in(&server, BOSS).await);
    assert_eq!(reader.get("/console").await.status, StatusCode::OK);
    server.tokens.replace(tokens().into_iter().filter(|token| token.name() != Some("reader")).collect());
    let page = reader.get("/console").await;
    assert_eq!((page.status, page.header("location")), (StatusCode::SEE_OTHER, "/console/sign-in"));
    assert!(reader.get("/console/sign-in").await.text.contains("Your session has ended"));
    assert_eq!(boss.get("/console").await.status, StatusCode::OK);
    // The same token again is no way back into the same session.
    server.tokens.replace(tokens());
    assert_eq!(reader.get("/console").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_server_that_gets_tokens_asks_for_them_at_once_and_one_that_loses_them_no_more() {
    let server = Server::open();
    let browser = Browser::new(&server);
    assert_eq!(browser.get("/console").await.status, StatusCode::OK);
    server.tokens.replace(tokens());
    assert_eq!(browser.get("/console").await.status, StatusCode::SEE_OTHER);
    server.tokens.replace(Vec::new());
    assert_eq!(browser.get("/console").await.status, StatusCode::OK);
    assert_eq!(browser.get("/console/sign-in").await.header("location"), "/console");
}

#[tokio::test]
async fn a_cookie_is_secure_where_the_browser_comes_over_tls() {
    let server = Server::with(tokens());
    let get = |proto: &'static str| {
        let request = http::Request::builder().uri("/console/sign-in").header("host", "localhost");
        server.send(request.header("x-forwarded-proto", proto).body(axum::body::Body::empty()).unwrap())
    };
    assert!(get("https").await.header("set-cookie").ends_with("; HttpOnly; SameSite=Lax; Secure"));
    assert!(get("http").await.header("set-cookie").ends_with("; HttpOnly; SameSite=Lax"));
}

#[tokio::test]
async fn one_status_a_second_is_asked_for_however_many_look() {
    let server = Server::open();
    let browser = Browser::new(&server);
    for _ in 0..20 {
        assert_eq!(browser.get("/console").await.status, StatusCode::OK);
    }
    let asked = *server.worker.asked.lock().unwrap();
    // A slow machine may take more than a second for twenty pages.
    assert!((1..10).contains(&asked), "{asked}");
}

/// The secret of a link to a tenant's console that the boss has made, which expires then, by a clock that began with the
/// server.
fn link(server: &Server, expires: Timestamp) -> String {
    let key = LinkKey::new(&[7; 32]).unwrap();
    server.tokens.set_links(Some((key.clone(), Links::new("sealed", Revision(1)))));
    let (tenant, roles) = (Tenant::new("acme").unwrap(), Roles::of([Role::Read]));
    let link = Link { tenant, roles, made: Timestamp::from_millis(1), expires, maker: "boss".into() };
    key.sign(&link, &digest_of(BOSS.as_bytes())).unwrap()
}

#[tokio::test]
async fn a_link_signs_in_whoever_wants_that_and_takes_no_sessions_place_before() {
    let server = Server::with(tokens());
    let secret = link(&server, Timestamp::from_millis(3_600_000));
    let browser = Browser::signed_in(&server, READER).await;
    let entrance = browser.get("/console/enter").await;
    assert_eq!((entrance.status, entrance.header("referrer-policy")), (StatusCode::OK, "same-origin"));
    // What is not this page's form does nothing: another site's, say.
    let forged = browser.post("/console/enter", &[("csrf", "x"), ("link", &secret), ("go", "yes")]).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    let asked = browser.submit(&entrance, "/console/enter", &[("link", &secret)]).await;
    assert!(asked.text.contains("<h1>Sign in to acme?</h1>"), "{}", asked.text);
    assert!(asked.text.contains("You are signed in with the token reader now. That session ends."), "{}", asked.text);
    assert!(browser.get("/console/workers").await.text.contains("the token reader"), "nothing has changed");

    let cookie = browser.cookie.lock().unwrap().clone();
    let fields = [("link", &*asked.field("link")), ("go", "yes")];
    let entered = browser.submit(&asked, "/console/enter", &fields).await;
    assert_eq!((entered.status, entered.header("location")), (StatusCode::SEE_OTHER, "/console"));
    assert_ne!(*browser.cookie.lock().unwrap(), cookie);
    let page = browser.get("/console").await;
    assert!(
        page.text.contains("a link of the token boss, until") && !page.text.contains(">Tokens</a>"),
        "{}",
        page.text
    );
    assert!(!page.text.contains("lwp_"));
    // With its maker it ends.
    server.tokens.replace(tokens().into_iter().filter(|token| token.name() != Some("boss")).collect());
    assert_eq!(browser.get("/console").await.header("location"), "/console/sign-in");
    let page = browser.get("/console/sign-in").await;
    assert!(page.text.contains("Your session has ended. This link was ended."), "{}", page.text);
}

#[tokio::test]
async fn whoever_opens_a_link_that_is_over_is_told_so() {
    let server = Server::with(tokens());
    let browser = Browser::new(&server);
    let entrance = browser.get("/console/enter").await;
    let open =
        async |secret: &str| browser.submit(&entrance, "/console/enter", &[("link", secret), ("go", "yes")]).await;
    let expired = open(&link(&server, Timestamp::from_millis(2))).await;
    assert_eq!(expired.status, StatusCode::GONE);
    assert!(expired.text.contains("<h1>This link has expired</h1>"), "{}", expired.text);
    // A token is none: whoever has one signs in with it.
    for none in ["", "lwp_", "lwp_a.b", BOSS] {
        let page = open(none).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{none}");
        assert!(page.text.contains("<h1>There is no such link</h1>"), "{}", page.text);
    }
    assert_eq!(browser.get("/console").await.status, StatusCode::SEE_OTHER);
    // With the address before it, as it is copied.
    let whole = format!(" http://localhost:8080/console/enter#{}\n", link(&server, Timestamp::from_millis(3_600_000)));
    assert_eq!(open(&whole).await.status, StatusCode::SEE_OTHER);
    // Where nobody is asked for a token, nobody has to sign in.
    assert_eq!(Browser::new(&Server::open()).get("/console/enter").await.header("location"), "/console");
}
