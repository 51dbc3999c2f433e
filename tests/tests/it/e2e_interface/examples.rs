//! The examples of the document are sent as they are.

use super::*;
use futures_util::stream::{self, StreamExt as _};
use http::Method;
use laneway_tests::client::Client;
use serde_json::json;

/// Servers that run side by side: each is a process, and does little.
const AT_ONCE: usize = 4;

/// An example of a request's body.
struct Example {
    method: Method,
    path: String,
    /// Headers without which the request is refused, with the values that their schemas have as examples.
    headers: Vec<(String, String)>,
    media: String,
    value: Value,
    status: u64,
    place: String,
}

/// The destination that the examples are about.
const NAME: &str = "billing";

/// All examples of the document.
fn examples(document: &Value) -> Vec<Example> {
    let mut all = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let headers: Vec<_> = operation["parameters"].as_array().into_iter().flatten().filter_map(needed).collect();
            let bodies = operation["requestBody"]["content"].as_object().into_iter().flatten();
            for (media, body) in bodies {
                for (name, example) in body["examples"].as_object().into_iter().flatten() {
                    let example = Example {
                        method: method.to_uppercase().parse().expect("a method"),
                        path: path.replace("{name}", NAME).replace("{tenant}", "acme"),
                        headers: headers.iter().map(|header| with_value(document, header)).collect(),
                        media: media.clone(),
                        value: example["value"].clone(),
                        status: example["x-laneway-status"].as_u64().expect("a status"),
                        place: format!("{method} {path}: {name}"),
                    };
                    all.push(example);
                }
            }
        }
    }
    all
}

fn needed(parameter: &Value) -> Option<Value> {
    (parameter["in"] == "header" && parameter["required"] == true).then(|| parameter.clone())
}

fn with_value(document: &Value, header: &Value) -> (String, String) {
    let schema = header["schema"]["$ref"].as_str().and_then(|to| document.pointer(to.trim_start_matches('#')));
    let value = schema.and_then(|schema| schema["example"].as_str()).expect("its schema has an example");
    (header["name"].as_str().expect("a name").to_owned(), value.to_owned())
}

/// A destination with a key that is blocked or, where the example is about dead letters or a pause, what that needs.
async fn prepare(client: &Client, receiver: &Receiver, path: &str) {
    let settings = json!({"url": receiver.url(), "breaker": false, "retry": {"initial": "1h", "limit": "2h"}});
    let json = [("content-type", "application/json")];
    let made = client.send(Method::PUT, &format!("/v1/destinations/{NAME}"), &json, settings.to_string()).await;
    assert_eq!(made.expect("an answer").status, 201);
    client.accepted(&json!({"type": "order.paid", "key": "order-7", "id": "payment-1", "data": 1})).await;
    client.until(NAME, "its key is blocked", |status| status["blocked_keys"] == 1).await;
    let tell = async |what: &str, body: Value| {
        let answer = client.post(&format!("/v1/destinations/{NAME}/{what}"), body.to_string()).await;
        assert_eq!(answer.expect("an answer").status, 200, "{what}");
    };
    if path.contains("dead-letters") {
        tell("keys/skip", json!({"key": "key:order-7"})).await;
        client.until(NAME, "its event is a dead letter", |status| status["dead_letters"] == 1).await;
    } else if path.ends_with("/resume") {
        tell("pause", json!({})).await;
    }
}

/// Sends it to a server of its own; what was wrong.
async fn sent(example: Example) -> Option<String> {
    let receiver = Receiver::start(Behaviour::answering(500), 1).await;
    // Tokens can be made only where somebody is asked for one.
    let about_tokens = ["/v1/tokens", "/v1/portal-links"].iter().any(|path| example.path.starts_with(path));
    let installation = if about_tokens { with_token() } else { Installation::new(&Settings::default()) };
    let server = installation.start().await;
    let client = server.client();
    if !about_tokens {
        prepare(&client, &receiver, &example.path).await;
    }
    let token = about_tokens.then(|| ("authorization", format!("Bearer {TOKEN}")));
    let headers = example.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let headers = headers.chain([("content-type", example.media.as_str())]);
    let headers: Vec<_> = headers.chain(token.as_ref().map(|(name, value)| (*name, value.as_str()))).collect();
    // What is not JSON stands in the document as a text.
    let body = if example.media.ends_with("json") && !example.media.ends_with("ndjson") {
        example.value.to_string()
    } else {
        example.value.as_str().expect("a text").to_owned()
    };
    let answer = client.send(example.method, &example.path, &headers, body).await.expect("an answer");
    server.stop();
    let wrong = u64::from(answer.status) != example.status;
    wrong.then(|| format!("{}: {} instead of {}: {}", example.place, answer.status, example.status, answer.text()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_document_shows_can_be_sent() {
    let installation = Installation::new(&Settings::default());
    let server = installation.start().await;
    let document = server.client().get("/openapi.json").await.expect("an answer").json();
    server.stop();
    let kept: Value = serde_json::from_slice(&std::fs::read(super::document()).expect("it is kept")).expect("JSON");
    assert!(document == kept, "the server's document is another one than docs/openapi.json");
    let examples = examples(&document);
    assert!(examples.len() > 15, "{} examples", examples.len());
    let wrong: Vec<String> =
        stream::iter(examples).map(sent).buffer_unordered(AT_ONCE).filter_map(async |it| it).collect().await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}
