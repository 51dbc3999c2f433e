//! Bad input: each a precise problem, and nothing half done.

use super::*;

/// A mechanism that sends what a file of the server's environment holds.
const OIDC: &str = "mongodb://h.example/d/c?authMechanism=MONGODB-OIDC&authMechanismProperties=";

#[tokio::test(start_paused = true)]
async fn settings_that_make_no_sense_have_their_place_and_change_nothing() {
    let process = Process::new().await;
    process.put("a", &json!({"url": "https://h.example/"})).await.is(201);
    let (before, kept) = (process.last().await, process.kept().await);
    let table = [
        (json!({"url": "https://h.example/", "retyr": {}}), "/retyr", "did you mean \"retry\""),
        (
            json!({"url": "https://h.example/", "retry": {"initail": "1s"}}),
            "/retry/initail",
            "did you mean \"initial\"",
        ),
        (json!({"types": ["a"]}), "", "url is missing"),
        (json!({"url": "http://10.0.0.1/"}), "/url", "egress.allow"),
        (json!({"url": "http://169.254.169.254/latest"}), "/url", "169.254.169.254"),
        (json!({"url": "http://[::1]/"}), "/url", "::1"),
        (json!({"url": "env:HOME"}), "/url", "configuration file only"),
        (json!({"url": "mongodb://h.example/d/c?tls=true&tlsCAFile=/dev/zero"}), "/url", "configuration file only"),
        (
            json!({"url": "mongodb://h.example/d/c?tls=true&tlsCertificateKeyFile=/k"}),
            "/url",
            "configuration file only",
        ),
        (json!({"url": format!("{OIDC}ENVIRONMENT:k8s")}), "/url", "configuration file only"),
        (json!({"url": "mongodb://u@h.example/d/c?authMechanism=MONGODB-X509&tls=true"}), "/url", "file only"),
        (json!({"url": "mongodb://u:p@h.example/d/c?authMechanism=GSSAPI"}), "/url", ""),
        (json!({"url": "https://h.example/", "bearer": "env:HOME"}), "/bearer", "configuration file only"),
        (
            json!({"url": "https://h.example/", "headers": {"x": "file:/etc/passwd"}}),
            "/headers/x",
            "configuration file only",
        ),
        (
            json!({"url": "https://h.example/", "secrets": ["file:/etc/passwd"]}),
            "/secrets/0",
            "configuration file only",
        ),
        (json!({"url": "https://h.example/", "secrets": ["hunter2"]}), "/secrets/0", "whsec_"),
        (json!({"url": "https://h.example/", "secrets": "x"}), "/secrets", "a list"),
        (json!({"url": "https://h.example/", "secrets": [{"id": "sec_0"}]}), "/secrets/0", "names no secret"),
        (json!({"url": "https://h.example/", "headers": {"x": "…"}}), "/headers/x", "none here that could be kept"),
        (json!({"url": "https://h.example/", "max_in_flight": 10_001}), "/max_in_flight", "use 1 to 10000"),
        (json!({"url": "https://h.example/", "name": "b"}), "/name", "leave it out"),
    ];
    for (settings, field, what) in table {
        for name in ["a", "new"] {
            let problem = process.put(name, &settings).await.problem(422, "invalid");
            assert_eq!(problem["field"], field, "{settings}: {problem}");
            assert!(problem["detail"].as_str().unwrap().contains(what), "{settings}: {problem}");
            assert_eq!(problem["mistakes"][0]["field"], field, "{problem}");
        }
    }
    let both = process.put("a", &json!({"url": "ftp://x", "rate": 0})).await.problem(422, "invalid");
    let fields: Vec<&Json> = both["mistakes"].as_array().unwrap().iter().map(|mistake| &mistake["field"]).collect();
    assert_eq!(fields, ["/url", "/rate"]);
    assert_eq!((process.last().await, process.kept().await), (before, kept));
}

#[tokio::test(start_paused = true)]
async fn names_have_bounds() {
    let process = Process::new().await;
    for good in ["x", &"x".repeat(64)] {
        process.put(good, &console()).await.is(201);
    }
    let before = process.last().await;
    for bad in [&"x".repeat(65), "Billing", "a%20b", "-a", "a%2Fb", "%ff"] {
        let problem = process.put(bad, &console()).await.problem(422, "invalid");
        assert!(problem["detail"].as_str().is_some(), "{bad}: {problem}");
    }
    assert_eq!(process.last().await, before);
}

/// What a request says that is not read would be meant for something.
#[tokio::test(start_paused = true)]
async fn a_body_or_header_that_is_none_is_refused_where_little_is_asked() {
    let process = Process::new().await;
    let made = process.put("a", &console()).await.is(201);
    let path = |what: &str| format!("/v1/destinations/a/{what}");
    for what in ["resume", "test", "pause", "rotate-secret"] {
        for (body, status, kind) in [("{\"x\":1}", 422, "invalid"), ("[1]", 422, "invalid"), ("{", 400, "malformed")] {
            let headers = [("if-match", made.tag())];
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            process.send("POST", &path(what), &headers, body).await.problem(status, kind);
        }
    }
    let shown = process.send("GET", "/v1/destinations/a", &[("if-none-match", "\u{84}")], "").await;
    assert_eq!(shown.problem(422, "invalid")["field"], "if-none-match");
    let name = [("idempotency-key", "\u{84}")];
    for (path, events) in [("/v1/events", r#"{"type":"t","id":"has-its-own"}"#), ("/v1/events/batch", "[]")] {
        let refused = process.send("POST", path, &name, events).await.problem(422, "invalid");
        assert_eq!(refused["field"], "idempotency-key", "{path}");
    }
    assert_eq!(process.get("/v1/destinations/a").await.is(200).revision(), made.revision());
}

#[tokio::test(start_paused = true)]
async fn what_progress_is_kept_by_cannot_change() {
    let process = Process::new().await;
    process.put("a", &json!({"url": "console:", "ordering": "strict"})).await.is(201);
    let before = process.last().await;
    for (settings, field) in [
        (json!({"url": "console:"}), "/ordering"),
        (json!({"url": "console:", "ordering": "none"}), "/ordering"),
        (json!({"url": "console:", "ordering": "strict", "from": "beginning"}), "/from"),
    ] {
        let problem = process.put("a", &settings).await.problem(409, "conflict");
        assert_eq!(problem["field"], field, "{settings}");
    }
    process.patch("a", &json!({"ordering": "key"})).await.problem(409, "conflict");
    assert_eq!(process.last().await, before);
    // What says the same as before is no change.
    process.put("a", &json!({"url": "console:", "ordering": "strict", "from": "end"})).await.is(200);
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_none_and_media_types_that_are_others() {
    let process = Process::new().await;
    let path = "/v1/destinations/a";
    process.send("PUT", path, &[], "{").await.problem(400, "malformed");
    process.send("PUT", path, &[], "").await.problem(400, "malformed");
    process.send("PUT", path, &[], "[]").await.problem(422, "invalid");
    for (method, media) in [("PUT", "text/plain"), ("PATCH", "text/plain"), ("PUT", "application/merge-patch+json")] {
        process.send(method, path, &[("content-type", media)], "{}").await.problem(415, "unsupported-media-type");
    }
    process.send("PUT", &format!("{path}?adopt=maybe"), &[], "{}").await.problem(422, "invalid");
    let large = json!({"url": "https://h.example/", "headers": {"x": "y".repeat(300_000)}});
    process.put("a", &large).await.problem(413, "settings-too-large");
    process.post("/v1/destinations", &json!({"change": []})).await.problem(422, "invalid");
    assert_eq!(process.last().await, Revision::ORIGIN);
}

#[tokio::test(start_paused = true)]
async fn without_a_key_there_are_no_secrets() {
    let process = Process::with(Setup { key: None, ..Setup::default() }).await;
    for settings in [
        json!({"url": "https://h.example/", "secrets": [SECRET]}),
        json!({"url": "https://u:p@h.example/"}),
        json!({"url": "https://h.example/", "headers": {"x": "y"}}),
        json!({"url": "https://h.example/", "bearer": "hunter2"}),
        json!({"url": "https://h.example/", "basic": {"user": "u", "password": "p"}}),
    ] {
        let problem = process.put("a", &settings).await.problem(409, "conflict");
        assert!(problem["detail"].as_str().unwrap().contains("store.key"), "{settings}: {problem}");
    }
    assert_eq!(process.last().await, Revision::ORIGIN);
    process.put("a", &json!({"url": "https://h.example/"})).await.is(201);
}
