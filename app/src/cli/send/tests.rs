//! `send` against a server that stores as Laneway does, and fails as the test says.

use super::super::tests::{Asked, Server, answer};
use super::*;
use crate::cli::client_tls::ClientTls;
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

/// The ids that were stored, in their order.
type Log = Arc<Mutex<Vec<String>>>;

fn ids(asked: &Asked) -> Vec<String> {
    let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
    asked.text().lines().map(id).collect()
}

/// Stores what is not known yet and answers as the API does.
fn store(log: &Log, ids: &[String]) -> Response<Full<Bytes>> {
    let mut log = log.lock().unwrap();
    let mut entry = |id: &String| {
        let duplicate = log.contains(id);
        if !duplicate {
            log.push(id.clone());
        }
        serde_json::json!({ "id": id, "partition": 0, "offset": 0, "duplicate": duplicate })
    };
    let events: Vec<_> = ids.iter().map(&mut entry).collect();
    answer(202, &serde_json::json!({ "events": events }).to_string())
}

fn problem(status: u16, more: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut body = serde_json::json!({ "type": "t", "title": "t", "status": status, "detail": "because" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut response = answer(status, &body.to_string());
    response.headers_mut().insert("retry-after", "0".parse().unwrap());
    response
}

async fn serve(
    fail: impl Fn(&[String], usize) -> Option<Response<Full<Bytes>>> + Send + Sync + 'static,
) -> (Server, Log) {
    let log = Log::default();
    let stored = log.clone();
    let server = Server::start(move |asked, index| {
        let ids = ids(asked);
        fail(&ids, index).unwrap_or_else(|| store(&stored, &ids))
    });
    (server.await, log)
}

fn file(lines: &[String]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for line in lines {
        writeln!(file, "{line}").unwrap();
    }
    file
}

fn events(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!(r#"{{"type":"t","key":"k","data":{n}}}"#)).collect()
}

/// Sends the lines in batches of `batch` as the run `r`; what was counted, and how it ended.
async fn send(server: &Server, lines: &[String], batch: usize, retry_for: Duration) -> (Tally, Result<(), Failure>) {
    let client = Client::new(&server.url(), None, &ClientTls::default()).unwrap();
    let mut sender = Sender::new(&client, Progress::new(None), retry_for);
    let file = file(lines);
    let mut groups = lines::read(file.reopen().unwrap(), "r".into(), batch);
    let ended = sender.all(&mut groups).await;
    (sender.tally, ended)
}

fn run_ids(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|n| format!("r-{n}")).collect()
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn every_line_arrives_once_and_in_order() {
    let (server, log) = serve(|_, _| None).await;
    let (tally, ended) = send(&server, &events(25), 10, LONG).await;
    ended.unwrap();
    assert_eq!(tally, Tally { accepted: 25, duplicates: 0, refused: 0 });
    assert_eq!(*log.lock().unwrap(), run_ids(1..=25));
    assert_eq!(server.asked().len(), 3);
    let (again, ended) = send(&server, &events(25), 7, LONG).await;
    ended.unwrap();
    assert_eq!(again, Tally { accepted: 0, duplicates: 25, refused: 0 });
}

#[tokio::test]
async fn a_503_is_waited_out_and_nothing_overtakes() {
    let (server, log) = serve(|_, index| (index % 2 == 0).then(|| problem(503, &serde_json::json!({})))).await;
    let (tally, ended) = send(&server, &events(30), 10, LONG).await;
    ended.unwrap();
    assert_eq!((tally.accepted, server.asked().len()), (30, 6));
    assert_eq!(*log.lock().unwrap(), run_ids(1..=30));
}

#[tokio::test]
async fn of_a_batch_stored_in_part_the_rest_follows() {
    let log = Log::default();
    let stored = log.clone();
    let server = Server::start(move |asked, index| {
        let ids = ids(asked);
        if index > 0 {
            return store(&stored, &ids);
        }
        store(&stored, &ids[..2]);
        let became = ["yes", "yes", "no", "unknown"];
        let event = |(id, stored)| serde_json::json!({ "id": id, "stored": stored });
        let events: Vec<_> = ids.iter().zip(became).map(event).collect();
        problem(503, &serde_json::json!({ "events": events }))
    })
    .await;
    let (tally, ended) = send(&server, &events(4), 10, LONG).await;
    ended.unwrap();
    assert_eq!(tally, Tally { accepted: 4, duplicates: 0, refused: 0 });
    assert_eq!(ids(&server.asked()[1]), run_ids(3..=4));
}

#[tokio::test]
async fn refused_lines_are_left_out_and_the_others_stored_in_order() {
    let bad: BTreeSet<String> = run_ids([2, 5, 6]).into_iter().collect();
    let (server, log) = serve(move |ids, _| {
        let index = ids.iter().position(|id| bad.contains(id))?;
        let field = format!("/{index}/key");
        Some(problem(422, &serde_json::json!({ "detail": format!("{field} is empty"), "field": field })))
    })
    .await;
    let mut lines = events(8);
    lines[3] = "no json".to_owned();
    let (tally, ended) = send(&server, &lines, 10, LONG).await;
    ended.unwrap();
    assert_eq!(tally, Tally { accepted: 4, duplicates: 0, refused: 4 });
    assert_eq!(*log.lock().unwrap(), run_ids([1, 3, 7, 8]));
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_halved() {
    let (server, log) = serve(|ids, _| (ids.len() > 2).then(|| problem(413, &serde_json::json!({})))).await;
    let (tally, ended) = send(&server, &events(9), 9, LONG).await;
    ended.unwrap();
    assert_eq!(tally.accepted, 9);
    assert_eq!(*log.lock().unwrap(), run_ids(1..=9));
}

#[tokio::test]
async fn a_server_that_never_takes_anything_is_given_up() {
    let (server, _) = serve(|_, _| Some(problem(503, &serde_json::json!({ "detail": "the disk is full" })))).await;
    let (tally, ended) = send(&server, &events(3), 10, Duration::from_millis(50)).await;
    let failure = ended.unwrap_err();
    let expected = format!("nothing could be sent to {} for 0 s: the disk is full", server.url());
    assert_eq!(failure.what, expected);
    assert_eq!(tally, Tally::default());
}

/// The URL of a server that does not run.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_server_that_was_never_there_is_not_waited_for() {
    let (url, input) = (nobody().await, file(&events(1)));
    let source = crate::config::Given::default().with_var("LANEWAY_URL", &url);
    let command = ["laneway", "send", input.path().to_str().unwrap(), "--retry-for", "1h"];
    let command = <super::super::Cli as clap::Parser>::try_parse_from(command).unwrap();
    let failure = super::super::run(command, &source).await.unwrap_err();
    assert!(failure.what.starts_with(&format!("{url} cannot be reached: ")), "{failure}");
    assert_eq!(failure.advice.unwrap(), "start it with `laneway serve`, or say where it is with --server URL");
}

#[tokio::test]
async fn a_server_that_was_there_is_waited_for_as_long_as_asked() {
    let client = Client::new(&nobody().await, None, &ClientTls::default()).unwrap();
    let mut sender = Sender::new(&client, Progress::new(None), FIRST_CONTACT * 1000);
    sender.contacted = true;
    // As if nothing had worked for long already.
    sender.failing_since = Instant::now().checked_sub(FIRST_CONTACT * 2);
    sender.wait = Duration::from_millis(1);
    assert!(matches!(sender.attempt(&[]).await, Verdict::Again { .. }));
    sender.rest(None, "nobody is there").await.unwrap();
}

#[tokio::test]
async fn what_no_repetition_would_help_ends_it_at_once() {
    let (server, _) = serve(|_, _| Some(answer(401, ""))).await;
    let (_, ended) = send(&server, &events(3), 1, LONG).await;
    assert!(ended.unwrap_err().advice.unwrap().contains("LANEWAY_TOKEN"));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn the_command_ends_with_a_code_and_says_how_to_go_on() {
    let source = |server: &Server| crate::config::Given::default().with_var("LANEWAY_URL", &server.url());
    let command = |file: &tempfile::NamedTempFile| {
        let path = file.path().to_str().unwrap();
        <super::super::Cli as clap::Parser>::try_parse_from(["laneway", "send", path, "--run", "r"]).unwrap()
    };
    let mut lines = events(2);
    lines.push("[]".into());
    let input = file(&lines);
    let (server, log) = serve(|_, _| None).await;
    let failure = super::super::run(command(&input), &source(&server)).await.unwrap_err();
    assert_eq!((failure.code, failure.what.as_str()), (EXIT_REFUSED, ""));
    assert_eq!(*log.lock().unwrap(), run_ids(1..=2));
    let (server, _) = serve(|_, _| Some(answer(404, ""))).await;
    let failure = super::super::run(command(&input), &source(&server)).await.unwrap_err();
    let path = input.path().display();
    assert!(failure.advice.unwrap().ends_with(&format!("laneway send {path} --run r")));
}
