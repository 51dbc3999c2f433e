//! No file left for a connection: real `EMFILE`, in a process of its own that may have few files open.

use crate::events::{config, deliver, event};
use laneway_domain::{Cause, Doing, End, Outcome};
use laneway_webhook::WebhookSink;
use std::fs::File;
use std::process::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Says to the test that it is the process with few files.
const CHILD: &str = "LANEWAY_TEST_FEW_FILES";
const NAME: &str = "files::an_attempt_without_a_file_for_its_connection_counts_against_nobody";

#[test]
fn an_attempt_without_a_file_for_its_connection_counts_against_nobody() {
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(with_few_files());
    }
    let this = std::env::current_exe().unwrap();
    let mut child = Command::new("sh");
    child.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", this.to_str().unwrap(), NAME, "--exact", "--nocapture"]);
    let output = child.env(CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

async fn with_few_files() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = WebhookSink::new(config(format!("http://{}/", listener.local_addr().unwrap()))).unwrap();
    let mut taken = Vec::new();
    let full = loop {
        match File::open("/dev/null") {
            Ok(file) => taken.push(file),
            Err(error) => break error,
        }
    };
    assert_eq!(full.raw_os_error(), Some(24), "EMFILE: {full}");
    let outcome = deliver(&sink, event("a")).await;
    assert_eq!(outcome.end(), End::Failed(Cause::Shortage), "{outcome:?}");
    let meaning = outcome.end().meaning();
    assert_eq!(
        (meaning.doing, meaning.counts_for_event, meaning.counts_for_destination),
        (Doing::Ourselves, false, false)
    );
    let Outcome::Retry { reason, .. } = &outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("Too many open files"), "{reason}");
    drop(taken);
    let receiver = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"{ \"total\" : 12.50 }") {
            assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0);
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    };
    let (outcome, ()) = tokio::join!(deliver(&sink, event("a")), receiver);
    assert_eq!(outcome, Outcome::Delivered, "as soon as there are files again");
}
