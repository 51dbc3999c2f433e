//! The interface as an OpenAPI document, taken at its word by others: a generated client works on the real binary, a
//! fuzzer finds no answer that the document does not have, and its examples are sent as they are.

mod examples;

use laneway_tests::effort;
use laneway_tests::python::{self, Python};
use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Installation, Settings, tail};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The list of the tools.
const TOOLS: &str = "interface/requirements.txt";
const TOKEN: &str = "opens-everything";
/// What schemathesis draws its requests from.
const SEED: &str = "20261127";
/// How many requests it makes up of each operation, at most, in each of its ways, in the long form.
const LONG: usize = 2000;

/// The same, where the short form has `short` (`LANEWAY_API_REQUESTS`, which `tests/run --requests` sets, goes before
/// both).
fn requests(short: usize) -> String {
    let asked = std::env::var("LANEWAY_API_REQUESTS").ok();
    asked.unwrap_or_else(|| effort::scaled(short, LONG).to_string())
}

/// A server that has a token for everything.
fn with_token() -> Installation {
    Installation::new(&Settings::default().server(&format!("tokens = [\"{TOKEN}\"]")))
}

fn document() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json")
}

/// Runs a program of the tools to its end, off the runtime that the receivers live in.
async fn ended(mut command: Command) -> Output {
    let run = move || command.stdin(Stdio::null()).output().expect("the program starts");
    tokio::task::spawn_blocking(run).await.expect("it ends")
}

/// What a program has said, which has to have succeeded.
#[track_caller]
fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_others_generate_works() {
    let python = match Python::with(TOOLS) {
        Ok(python) => python,
        Err(why) => return effort::skipped(&format!("e2e_interface: openapi-python-client is not to be had: {why}")),
    };
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let installation = with_token();
    let server = installation.start().await;
    let mut generator = Command::new(python.program("openapi-python-client"));
    generator.args(["generate", "--meta", "none", "--fail-on-warning", "--output-path", "laneway_client"]);
    generator.arg("--path").arg(document()).arg("--config").arg(python::folder().join("interface/generator.yml"));
    generator.current_dir(installation.folder());
    said(&ended(generator).await);
    let mut client = Command::new(python.program("python"));
    client.arg(python::folder().join("interface/client.py"));
    client.args([installation.address().to_string(), TOKEN.to_owned(), receiver.url()]);
    client.env("PYTHONPATH", installation.folder());
    let seen: Value = serde_json::from_str(&said(&ended(client).await)).expect("JSON");
    server.stop();
    assert_eq!(seen["delivered"], 3, "{seen}");
    let history: Vec<&str> = seen["history"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let expected = [
        "deleted; no event waited for it",
        "a new signing secret",
        "resumed",
        "paused: they move house",
        "changed rate, types",
        "made",
    ];
    assert_eq!(history, expected);
    assert_eq!(receiver.seen(), 5, "three events and two tests");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fuzzer_finds_no_answer_that_is_not_documented() {
    let python = match Python::with(TOOLS) {
        Ok(python) => python,
        Err(why) => return effort::skipped(&format!("e2e_interface: schemathesis is not to be had: {why}")),
    };
    let installation = with_token();
    let server = installation.start().await;
    let mut schemathesis = Command::new(python.program("schemathesis"));
    schemathesis.arg("--config-file").arg(python::folder().join("interface/schemathesis.toml")).arg("run");
    schemathesis.arg(document()).arg("--url").arg(format!("http://{}", installation.address()));
    schemathesis.args(["--seed", SEED, "--max-examples", &requests(10)]);
    schemathesis.env("LANEWAY_TOKEN", TOKEN).env("NO_COLOR", "1").env("PYTHONPATH", python::folder().join("interface"));
    schemathesis.current_dir(installation.folder());
    let output = ended(schemathesis).await;
    let logged = tail(&installation.stderr());
    let out = said(&output);
    let summary = out.lines().map(str::trim).find(|line| line.contains(" generated, ")).unwrap_or_default();
    let requests: usize = summary.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default();
    assert!(requests > 1000 && summary.ends_with(" passed"), "{out}\n{logged}");
    assert!(!logged.contains("panicked"), "{logged}");
    server.stop();
}

/// A server where two tenants have tokens for everything, and may do as much as they like.
fn with_tenants() -> Installation {
    let mut tables = vec![format!(
        "[tenants]\nschemes = [\"https\", \"http\"]\negress_allow = [\"127.0.0.0/8\"]\n\
         changes_per_minute = 1000000\ntests_per_minute = 1000000\n\
         replays_per_minute = 1000000\nsearches_per_minute = 1000000\nreplays_at_once = 1000\ntokens = 10000\n\
         destinations = 10000\n[[server.token]]\nname = \"boss\"\ntoken = \"{TOKEN}\"\n\
         roles = [\"publish\", \"read\", \"operate\", \"admin\"]"
    )];
    for tenant in ["acme", "bumblebee"] {
        tables.push(format!(
            "[[server.token]]\nname = \"all\"\ntenant = \"{tenant}\"\ntoken = \"the-token-of-{tenant}-for-all\"\n\
             roles = [\"publish\", \"read\", \"operate\", \"admin\"]"
        ));
    }
    Installation::new(&Settings { rest: tables.join("\n"), ..Settings::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_of_a_tenant_gets_a_byte_of_what_another_one_has() {
    let python = match Python::with(TOOLS) {
        Ok(python) => python,
        Err(why) => return effort::skipped(&format!("e2e_interface: schemathesis is not to be had: {why}")),
    };
    let installation = with_tenants();
    let server = installation.start().await;
    let mut fuzz = Command::new(python.program("python"));
    fuzz.arg("-B").arg(python::folder().join("interface/two_tenants.py")).arg(document());
    fuzz.args([installation.address().to_string(), requests(25), SEED.to_owned()]).env("LANEWAY_TOKEN", TOKEN);
    let output = ended(fuzz).await;
    let logged = tail(&installation.stderr());
    let out = said(&output);
    let tried: Value = out.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    let count = |what: &str| tried[what].as_u64().unwrap_or_default();
    assert!(count("requests") > 1000 && count("twins") > 200 && count("done") > 100, "{out}\n{logged}");
    assert!(!logged.contains("panicked"), "{logged}");
    server.stop();
}
