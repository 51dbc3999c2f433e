//! What Prometheus gets: held against its own checker, and against the alerts that come with Laneway.

use laneway_servers::redis::{RedisServer, RedisSettings};
use laneway_tests::effort::skipped;
use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Installation, Running, Settings, webhook};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where the rules are.
fn rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus")
}

/// Runs Prometheus' tool, if it is here, with something to read.
fn promtool(arguments: &[&str], page: &str) -> Option<Output> {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(rules()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        skipped("metrics and alerts are not checked by promtool: it is not here (Debian's package prometheus has it)");
        return None;
    };
    child.stdin.take().expect("it is piped").write_all(page.as_bytes()).expect("promtool reads");
    Some(child.wait_with_output().expect("promtool ends"))
}

/// A server at which one destination works and one does not, and what it says when both have had something.
async fn page(installation: &Installation, store: Option<&str>) -> String {
    let environment: Vec<(&str, &str)> = store.map(|url| ("LANEWAY_STORE__URL", url)).into_iter().collect();
    let server: Running = installation.start_under(&[], &environment).await;
    let client = server.client();
    for n in 0..3 {
        client.accepted(&json!({"type": "t", "key": format!("k{n}"), "data": n})).await;
    }
    client.settled("well").await;
    for _ in 0..1500 {
        let page = client.get("/metrics").await.expect("an answer").text();
        // Gauges are set every few seconds.
        if page.contains("laneway_blocked_keys{destination=\"fails\"} 3") {
            server.stop();
            return page;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("nothing is said to be blocked: {}", client.get("/metrics").await.expect("an answer").text());
}

fn check(page: &str) {
    if let Some(said) = promtool(&["check", "metrics"], page) {
        let text = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(said.status.success() && text.trim().is_empty(), "{text}\n{page}");
    }
    // What no checker knows: each family says what it is.
    let of = |what: &str| -> BTreeSet<String> {
        let lines = page.lines().filter_map(|line| line.strip_prefix(what)?.split(' ').next());
        lines.map(str::to_owned).collect()
    };
    let (typed, helped) = (of("# TYPE "), of("# HELP "));
    assert_eq!(typed.difference(&helped).collect::<Vec<_>>(), Vec::<&String>::new(), "{page}");
    assert!(page.contains("laneway_build_info{version=\""), "{page}");
    for name in ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"] {
        assert!(page.contains(name), "{name} is not in:\n{page}");
    }
}

async fn settings() -> (Receiver, Receiver, Settings) {
    let (well, fails) =
        (Receiver::start(Behaviour::healthy(), 1).await, Receiver::start(Behaviour::failing(1.0), 2).await);
    let destinations = [webhook("well", &well.url(), ""), webhook("fails", &fails.url(), "breaker = false")];
    let settings = Settings::destinations(&destinations);
    (well, fails, settings)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_measured_is_as_prometheus_wants_it() {
    let (_well, _fails, settings) = settings().await;
    check(&page(&Installation::new(&settings), None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_on_redis() {
    let redis = RedisServer::start(RedisSettings::default()).await.unwrap_or_else(|e| panic!("{e}"));
    let (_well, _fails, settings) = settings().await;
    let page = page(&Installation::new(&settings), Some(&redis.url())).await;
    check(&page);
    // An alert looks for their growth, so that they begin at nothing and not with the first loss.
    for name in ["laneway_log_losses_total", "laneway_lost_events_total"] {
        assert!(page.lines().any(|line| line == format!("{name} 0")), "{name} is not in:\n{page}");
    }
}

#[test]
fn every_alert_fires_at_what_it_is_for_and_at_nothing_else() {
    for arguments in [&["check", "rules", "laneway.rules.yml"][..], &["test", "rules", "laneway.test.yml"]] {
        let Some(said) = promtool(arguments, "") else { return };
        let text = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(said.status.success(), "{arguments:?}: {text}");
    }
    let alerts = |file: &str, field: &str| -> BTreeSet<String> {
        let text = std::fs::read_to_string(rules().join(file)).expect(file);
        let names = text.split(field).skip(1).filter_map(|rest| rest.trim_start().split([',', '}', '\n']).next());
        names.map(str::to_owned).collect()
    };
    assert_eq!(
        alerts("laneway.rules.yml", "- alert:"),
        alerts("laneway.test.yml", "alertname:"),
        "which alerts are tested"
    );
}

/// What Grafana asks for, as rules that Prometheus can check.
#[test]
fn a_dashboard_asks_what_prometheus_understands() {
    let text = std::fs::read_to_string(rules().join("../grafana/laneway.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets: Vec<&Value> = panels.filter_map(|panel| panel["targets"].as_array()).flatten().collect();
    assert!(targets.len() > 20, "{} questions", targets.len());
    let rule = |target: &&Value| {
        let mut asked = target["expr"].as_str().expect("a question").replace("$__rate_interval", "5m");
        for variable in ["$job", "$instance", "$destination"] {
            asked = asked.replace(variable, ".*");
        }
        json!({"record": "asked", "expr": asked})
    };
    let all: Vec<Value> = targets.iter().map(rule).collect();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    // What is JSON is YAML.
    write!(file, "{}", json!({"groups": [{"name": "dashboard", "rules": all}]})).expect("it is written");
    let path = file.path().to_str().expect("a plain name");
    let Some(said) = promtool(&["check", "rules", "--lint=none", path], "") else { return };
    let text = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{text}");
}

/// The documentation has every metric that an alert or a dashboard asks for.
#[test]
fn what_alerts_and_dashboards_ask_for_is_documented() {
    let documented = std::fs::read_to_string(rules().join("../../docs/operating.md")).expect("the page");
    for file in ["laneway.rules.yml", "laneway.test.yml", "../grafana/laneway.json"] {
        let text = std::fs::read_to_string(rules().join(file)).expect(file);
        let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        for name in words.filter(|word| word.starts_with("laneway_")) {
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(documented.contains(&format!("`{name}`")), "{file}: {name} is not documented");
        }
    }
}
