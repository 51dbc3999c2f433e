//! Secrets: sealed in the store, never shown again, kept, replaced and rotated.

use super::*;

const OTHER: &str = "whsec_bm90IHRoZSBzYW1lIGFzIHRoZSBvdGhlciBvbmUh";

fn all_kinds() -> Json {
    json!({"url": "https://me:hunter2@h.example/x", "secrets": [SECRET], "headers": {"x-api-key": "hunter3"}})
}

#[tokio::test(start_paused = true)]
async fn what_is_secret_is_neither_kept_openly_nor_shown() {
    let process = Process::new().await;
    process.put("a", &all_kinds()).await.is(201);
    let shown = process.get("/v1/destinations/a").await.json;
    let list = process.get("/v1/destinations").await.json;
    let changes = process.get("/v1/destinations/a/changes").await.json;
    for text in [shown.to_string(), list.to_string(), changes.to_string(), process.kept().await] {
        for secret in ["hunter2", "hunter3", "C2FVsBQI"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let settings = &shown["settings"];
    assert_eq!((&settings["url"], &settings["headers"]), (&json!("https://…@h.example/…"), &json!({"x-api-key": "…"})));
    let secret = &settings["secrets"][0];
    assert!(secret["id"].as_str().unwrap().starts_with("sec_") && secret["created"].is_string(), "{settings}");
    assert_eq!(secret.get("expires"), None);
}

#[tokio::test(start_paused = true)]
async fn what_was_shown_and_is_sent_back_changes_nothing() {
    let process = Process::new().await;
    let made = process.put("a", &all_kinds()).await.is(201);
    let shown = process.settings("a").await;
    assert_eq!(process.put("a", &shown).await.is(200).revision(), made.revision());
    assert_eq!(process.patch("a", &shown).await.is(200).revision(), made.revision());
    assert_eq!(process.put("a", &all_kinds()).await.is(200).revision(), made.revision());
    // A user or a path that is not shown does not go to another host.
    for url in ["https://…@evil.example/x", "https://evil.example/…", "https://…@evil.example/…"] {
        process.patch("a", &json!({ "url": url })).await.problem(422, "invalid");
    }
}

#[tokio::test(start_paused = true)]
async fn secrets_are_kept_unless_others_are_named() {
    let process = Process::new().await;
    process.put("a", &all_kinds()).await.is(201);
    let id = async |at: usize| process.settings("a").await["secrets"][at]["id"].clone();
    let first = id(0).await;
    process.put("a", &json!({"url": "https://h.example/"})).await.is(200);
    assert_eq!(process.settings("a").await["secrets"].as_array().unwrap().len(), 1);
    assert_eq!(id(0).await, first);
    process.patch("a", &json!({"rate": 5})).await.is(200);
    assert_eq!(id(0).await, first);
    // One that is named by its id, and a new one.
    process.patch("a", &json!({"secrets": [{"id": first}, OTHER]})).await.is(200);
    assert_eq!(id(0).await, first);
    let second = id(1).await;
    process.patch("a", &json!({"secrets": [{"id": second}]})).await.is(200);
    assert_eq!(id(0).await, second);
    process.put("a", &json!({"url": "https://h.example/", "secrets": []})).await.is(200);
    assert_eq!(process.settings("a").await, json!({"url": "https://h.example/"}));
    let changes = process.get("/v1/destinations/a/changes").await.json;
    assert_eq!(changes["items"][0]["what"], "changed rate, secrets");
}

/// A rotation that is taken back: whoever wanted signatures does not end up without any.
#[tokio::test(start_paused = true)]
async fn a_secret_that_is_to_stay_does_not_expire_and_not_all_may() {
    let process = Process::new().await;
    process.put("a", &all_kinds()).await.is(201);
    let path = "/v1/destinations/a/rotate-secret";
    process.send("POST", path, &[("if-match", "*")], r#"{"keep":"2h"}"#).await.is(200);
    let rotated = process.settings("a").await;
    let old = &rotated["secrets"][0];
    assert!(old["expires"].is_string(), "{rotated}");
    let refused = process.patch("a", &json!({"secrets": [{"id": old["id"]}]})).await.problem(422, "invalid");
    assert_eq!(refused["field"], "/secrets", "{refused}");
    assert_eq!(process.settings("a").await, rotated);
    process.patch("a", &json!({"secrets": [SECRET]})).await.is(200);
    let kept = process.settings("a").await["secrets"].clone();
    assert_eq!((kept.as_array().unwrap().len(), &kept[0]["id"]), (1, &old["id"]), "{kept}");
    assert!(kept[0].get("expires").is_none(), "{kept}");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_makes_a_secret_and_tells_it_once() {
    let process = Process::new().await;
    let made = process.put("a", &all_kinds()).await.is(201);
    let path = "/v1/destinations/a/rotate-secret";
    process.post(path, &json!({})).await.problem(428, "precondition-required");
    let tag = made.tag();
    let headers = [("if-match", tag.as_str()), ("idempotency-key", "rotation-1")];
    let rotated = process.send("POST", path, &headers, r#"{"keep":"2h"}"#).await.is(200);
    let secret = rotated.json["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_") && rotated.revision() > made.revision());
    let settings = process.settings("a").await;
    let secrets = settings["secrets"].as_array().unwrap();
    assert_eq!(secrets.len(), 2);
    assert!(secrets[0]["expires"].is_string() && secrets[1].get("expires").is_none(), "{settings}");
    assert!(!settings.to_string().contains(&secret) && !process.kept().await.contains(&secret[6..]));
    // The same request again is the same secret; another one finds another state.
    let again = process.send("POST", path, &headers, r#"{"keep":"2h"}"#).await.is(200);
    assert_eq!((again.json["secret"].as_str(), again.revision()), (Some(&*secret), rotated.revision()));
    process.send("POST", path, &[("if-match", &tag)], "").await.problem(412, "precondition-failed");
    let bad = process.send("POST", path, &[("if-match", "*")], r#"{"keep":"soon"}"#).await.problem(422, "invalid");
    assert_eq!(bad["field"], "/keep");
    // Nothing is kept of those before.
    process.send("POST", path, &[("if-match", "*")], r#"{"keep":"0s"}"#).await.is(200);
    assert_eq!(process.settings("a").await["secrets"].as_array().unwrap().len(), 1);
    // No more are in use at the same time than a receiver can be asked to look through.
    for _ in 1..8 {
        process.send("POST", path, &[("if-match", "*")], "").await.is(200);
    }
    let full = process.send("POST", path, &[("if-match", "*")], "").await.problem(409, "conflict");
    assert_eq!(full["field"], "/secrets", "{full}");
}

#[tokio::test(start_paused = true)]
async fn a_process_with_another_key_does_not_start() {
    let process = Process::new().await;
    process.put("a", &all_kinds()).await.is(201);
    let wrong = Reader::new(EgressPolicy::default(), Arc::new(Keyring::of(&[[8; KEY_BYTES]]).unwrap()), Vec::new());
    let refused = all(&*process.stores.registry, &wrong, &Targets::default()).await.err().unwrap().to_string();
    assert!(refused.contains("destination a") && refused.contains("store.key"), "{refused}");
    // With the old key behind the new one it does, and what is sealed from then on is sealed with the new one.
    let both = Arc::new(Keyring::of(&[[8; KEY_BYTES], [7; KEY_BYTES]]).unwrap());
    let reader = Reader::new(EgressPolicy::default(), both, Vec::new());
    assert!(all(&*process.stores.registry, &reader, &Targets::default()).await.is_ok());
    let record = process.stores.registry.records(&[name("a")]).await.unwrap().remove(0);
    assert!(reader.read(&record).sink.is_ok() && wrong.read(&record).sink.is_err());
}
