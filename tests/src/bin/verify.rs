//! The end-to-end check of a running stack: exits with 0 if every event arrived, in order.

use clap::Parser;
use http::Method;
use laneway_tests::client::Client;
use laneway_tests::verification::{Numbered, Report};
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Events of one request.
const BATCH: usize = 100;
/// One batch in so many is sent twice, with the same ids.
const TWICE: usize = 5;
/// How often the receiver is asked how far it is.
const GLANCE: Duration = Duration::from_millis(100);

/// Sends events into a running Laneway and checks that each one arrives, in order per key.
#[derive(Parser)]
struct Settings {
    /// The ingest
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    ingest: String,
    /// The receiver that has the events delivered
    #[arg(long, default_value = "http://127.0.0.1:9000")]
    receiver: String,
    /// The collection that has them too: mongodb://host/database/collection
    #[arg(long)]
    mongodb: Option<String>,
    /// A token of the ingest
    #[arg(long, env = "LANEWAY_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// How many
    #[arg(long, default_value_t = 5000)]
    events: usize,
    /// On how many keys
    #[arg(long, default_value_t = 100)]
    keys: usize,
    /// How long it may take, in seconds
    #[arg(long, default_value_t = 120)]
    seconds: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match verify(&Settings::parse()).await {
        Ok(said) => {
            println!("verified: {said}");
            ExitCode::SUCCESS
        }
        Err(what) => {
            eprintln!("NOT verified: {what}");
            ExitCode::FAILURE
        }
    }
}

async fn verify(settings: &Settings) -> Result<String, String> {
    let run = format!("verify-{:016x}", rand::random::<u64>());
    let deadline = Instant::now() + Duration::from_secs(settings.seconds);
    let sent = send(settings, &run, deadline).await?;
    let report = arrived(settings, &run, deadline).await?;
    if report.out_of_order > 0 {
        return Err(format!("{} of {} events came out of order", report.out_of_order, report.taken));
    }
    let mut said =
        format!("{} events ({sent} sent) arrived in order, {} of them more than once", report.taken, report.duplicates);
    if let Some(url) = &settings.mongodb {
        let stored = stored(url, &run, settings.events as u64, deadline).await?;
        said.push_str(&format!("; MongoDB has {stored}"));
    }
    Ok(said)
}

async fn client(url: &str) -> Result<Client, String> {
    let uri: http::Uri = url.parse().map_err(|e| format!("{url}: {e}"))?;
    let host = uri.host().ok_or_else(|| format!("{url} has no host"))?;
    let mut found = tokio::net::lookup_host((host, uri.port_u16().unwrap_or(80)))
        .await
        .map_err(|e| format!("{host} was not found: {e}"))?;
    found.next().map(Client::new).ok_or_else(|| format!("{host} has no address"))
}

/// Sends all events, some batches twice, and returns how many were sent in all.
async fn send(settings: &Settings, run: &str, deadline: Instant) -> Result<usize, String> {
    let ingest = client(&settings.ingest).await?;
    let events: Vec<Value> = (0..settings.events)
        .map(|i| {
            let key = format!("{run}-{}", i % settings.keys);
            let data = Numbered { run: run.to_owned(), key: key.clone(), n: (i / settings.keys) as u64 };
            json!({"id": format!("{run}-{i}"), "type": "verify.numbered", "source": "/verify", "key": key, "data": data})
        })
        .collect();
    let mut sent = 0;
    for (n, batch) in events.chunks(BATCH).enumerate() {
        let times = if n % TWICE == 0 { 2 } else { 1 };
        for _ in 0..times {
            accepted(&ingest, settings.token.as_deref(), batch, deadline).await?;
            sent += batch.len();
        }
    }
    Ok(sent)
}

/// Sends a batch until it is accepted: an ingest that says 503 wants it again.
async fn accepted(ingest: &Client, token: Option<&str>, batch: &[Value], deadline: Instant) -> Result<(), String> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    let body = Value::from(batch.to_vec()).to_string();
    loop {
        let answer = ingest.send(Method::POST, "/v1/events/batch", &headers, body.clone()).await;
        let what = match answer {
            Ok(answer) if answer.status == 202 => return Ok(()),
            Ok(answer) if answer.status < 500 => return Err(format!("{}: {}", answer.status, answer.text())),
            Ok(answer) => format!("{}: {}", answer.status, answer.text()),
            Err(what) => what,
        };
        if Instant::now() > deadline {
            return Err(format!("the ingest did not take a batch in time; last: {what}"));
        }
        tokio::time::sleep(GLANCE).await;
    }
}

async fn arrived(settings: &Settings, run: &str, deadline: Instant) -> Result<Report, String> {
    let receiver = client(&settings.receiver).await?;
    loop {
        let answer = receiver.get(&format!("/runs/{run}")).await?;
        let report: Report = serde_json::from_slice(&answer.body).map_err(|e| format!("the receiver: {e}"))?;
        if report.taken >= settings.events as u64 {
            return Ok(report);
        }
        if Instant::now() > deadline {
            let events = settings.events;
            return Err(format!("only {} of {events} events arrived in {} s", report.taken, settings.seconds));
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// Waits until the collection has the run's events, and counts them.
async fn stored(url: &str, run: &str, events: u64, deadline: Instant) -> Result<u64, String> {
    let (server, path) = url
        .strip_prefix("mongodb://")
        .and_then(|rest| rest.split_once('/'))
        .ok_or("--mongodb wants mongodb://host/database/collection")?;
    let (database, collection) = path.split_once('/').ok_or("--mongodb has no collection")?;
    let client = mongodb::Client::with_uri_str(format!("mongodb://{server}")).await.map_err(|e| e.to_string())?;
    let collection = client.database(database).collection::<Document>(collection);
    let ours = doc! { "_id": { "$regex": format!("^{run}-") } };
    loop {
        let found = collection.count_documents(ours.clone()).await.map_err(|e| format!("MongoDB: {e}"))?;
        if found >= events {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(format!("MongoDB has only {found} of {events} events"));
        }
        tokio::time::sleep(GLANCE).await;
    }
}
