//! The stack of docker-compose.yml without containers: its configuration, its processes, its check.

use laneway_servers::mongodb::MongoServer;
use laneway_servers::redis::{RedisServer, RedisSettings};
use laneway_tests::{client::Client, ports, server};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TOKEN: &str = "try-it-out-token";
const SECRET: &str = "whsec_dHJ5LWl0LW91dC1zZWNyZXQtb2YtdGhlLXN0YWNr";
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that is ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").to_owned()
}

/// The stack's configuration, with the addresses of this machine in it.
fn configure(folder: &Path, receiver: SocketAddr, mongo: &str) -> PathBuf {
    let text = std::fs::read_to_string(repository().join("deploy/laneway.toml")).expect("it is there");
    let replace = |text: String, from: &str, to: &str| {
        assert!(text.contains(from), "deploy/laneway.toml has no {from}");
        text.replace(from, to)
    };
    let text = replace(text, "http://receiver:9000/hook", &format!("http://{receiver}/hook"));
    let text = replace(text, "mongodb://mongo:27017/laneway/events", mongo);
    let text = replace(text, "0.0.0.0:", "127.0.0.1:");
    let text = replace(text, "\"10.0.0.0/8\"", "\"127.0.0.0/8\"");
    let path = folder.join("laneway.toml");
    std::fs::write(&path, text).expect("it can be written");
    path
}

fn start(program: PathBuf, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LANEWAY_")) {
        command.env_remove(name);
    }
    Ended(command.envs(variables.iter().copied()).spawn().expect("the binary is there"))
}

async fn ready(address: SocketAddr) {
    let (client, deadline) = (Client::new(address), Instant::now() + PATIENCE);
    while !client.get("/readyz").await.is_ok_and(|answer| answer.status == 200) {
        assert!(Instant::now() < deadline, "{address} does not get ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stack_of_the_compose_file_is_verified() {
    let Some(mongo) = MongoServer::or_skip("the stack of the compose file").await else { return };
    let redis = RedisServer::start(RedisSettings::default()).await.unwrap_or_else(|e| panic!("{e}"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (receiver, ingest, workers) = (ports::free(), ports::free(), [ports::free(), ports::free()]);
    let collection = mongo.url("events", "");
    let config = configure(folder.path(), receiver, &collection).display().to_string();
    let url = redis.url();
    let variables = [
        ("LANEWAY_CONFIG", config.as_str()),
        ("LANEWAY_TOKENS", TOKEN),
        ("LANEWAY_STORE", &url),
        ("RECEIVER_SECRET", SECRET),
    ];
    let begin = |program: PathBuf, half: Option<&str>, address: SocketAddr| {
        let address = address.to_string();
        let arguments: Vec<&str> = half.into_iter().chain(["--listen", address.as_str()]).collect();
        start(program, &arguments, &variables)
    };
    // As in the image: one binary, and its halves as commands.
    let half = |half, address| begin(server::binary(), Some(half), address);
    let mut running = vec![begin(env!("CARGO_BIN_EXE_receiver").into(), None, receiver), half("ingest", ingest)];
    running.extend(workers.map(|address| half("worker", address)));
    for address in [ingest, workers[0], workers[1]] {
        ready(address).await;
    }
    let mut healthy = Command::new(server::binary());
    healthy.args(["ready", "--server", &format!("http://{ingest}")]).env_clear();
    assert!(healthy.status().expect("it runs").success(), "the health check of the image");
    let verified = Command::new(env!("CARGO_BIN_EXE_verify"))
        .args(["--ingest", &format!("http://{ingest}"), "--receiver", &format!("http://{receiver}")])
        .args(["--mongodb", &collection, "--events", "2000"])
        .env("LANEWAY_TOKEN", TOKEN)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&[verified.stdout, verified.stderr].concat()).into_owned();
    println!("{said}");
    assert!(verified.status.success() && said.contains("2000 events"), "{said}");
    drop(running);
    let unverified = Command::new(env!("CARGO_BIN_EXE_verify"))
        .args(["--ingest", &format!("http://{ingest}"), "--events", "10", "--seconds", "1"])
        .output()
        .expect("it runs");
    assert_eq!(unverified.status.code(), Some(1), "a stack that is down is not verified");
}
