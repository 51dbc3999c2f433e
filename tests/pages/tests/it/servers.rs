//! What a journey needs besides the pages' own commands: the binary, free ports, a receiver, a Redis.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything that a page promises may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often something that cannot be awaited otherwise is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// The binary under test: `LANEWAY_BIN` or, without it, the one that cargo has put beside the running test.
pub(super) fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LANEWAY_BIN") {
        return PathBuf::from(path);
    }
    let test = std::env::current_exe().expect("the test has a path");
    let found = test.ancestors().skip(1).take(2).map(|folder| folder.join("laneway")).find(|path| path.is_file());
    found.expect("no laneway binary beside the test: run `cargo build -p laneway-app --bins` or set LANEWAY_BIN")
}

/// The ports that are given out: below those that systems give to clients, and below those of the other tests.
const PORTS: std::ops::Range<u32> = 4_000..10_000;
/// How many ports one test process has to itself before it meets those of the process with the next id.
const PORTS_EACH: u32 = 8;

/// An address of this machine that nobody listens on, and that no test beside this one gets: runners start a process
/// for each test, whose ids are close to each other.
pub(super) fn free() -> SocketAddr {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let many = PORTS.end - PORTS.start;
    for _ in 0..many {
        let number = std::process::id() * PORTS_EACH + GIVEN.fetch_add(1, Ordering::SeqCst);
        let port = u16::try_from(PORTS.start + number % many).expect("ports are below 65,536");
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().expect("it is bound");
        }
    }
    panic!("no free port in {PORTS:?} on 127.0.0.1");
}

/// Waits until `done` says so.
///
/// # Panics
/// If that takes too long, with what `said` returns.
pub(super) fn until(what: &str, mut done: impl FnMut() -> bool, said: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}:\n{}", said());
        std::thread::sleep(GLANCE);
    }
}

/// A receiver that answers every delivery with the same status, until it is told another one.
pub(super) struct Receiver {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    seen: Arc<AtomicUsize>,
}

impl Receiver {
    pub(super) fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let made = Self { address, status: Arc::new(AtomicU16::new(status)), seen: Arc::default() };
        let (status, seen) = (Arc::clone(&made.status), Arc::clone(&made.seen));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (status, seen) = (Arc::clone(&status), Arc::clone(&seen));
                std::thread::spawn(move || serve(&stream, &status, &seen));
            }
        });
        made
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    pub(super) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub(super) fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

/// Answers one request after the other on a connection, until it is closed.
fn serve(stream: &TcpStream, status: &AtomicU16, seen: &AtomicUsize) {
    let mut from = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if !from.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                return;
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(bytes) = line.strip_prefix("content-length:") {
                length = bytes.trim().parse().expect("a length is a number");
            }
            if line.is_empty() {
                break;
            }
        }
        if from.read_exact(&mut vec![0; length]).is_err() {
            return;
        }
        seen.fetch_add(1, Ordering::SeqCst);
        let answer = format!("HTTP/1.1 {} As Told\r\ncontent-length: 0\r\n\r\n", status.load(Ordering::SeqCst));
        let mut to = stream;
        if to.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// A Redis with the settings that docs/redis.md asks for.
pub(super) struct Redis {
    pub(super) address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Redis {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = free();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--aof-load-truncated", "no"])
            .args(["--maxmemory-policy", "noeviction"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed, by tests/run");
        let made = Self { address, child, _folder: folder };
        until("Redis listens", || TcpStream::connect(made.address).is_ok(), String::new);
        made
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
