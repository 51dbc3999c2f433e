//! A reader who follows a page: one folder, one shell, and the servers that the page starts.

use super::markdown::{Block, Page, commands, repository};
use super::servers::{binary, free, until};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Commands that no test runs as they stand, by their beginning, and why.
pub(super) const NOT_RUN: &[(&str, &str)] = &[
    ("tests/run", "it runs this very test"),
    ("tests/packages", "tests/run runs it"),
    ("deploy/sbom", "tests/sbom runs it, and reads what it writes"),
    ("tests/faults", "it takes minutes; its short form is in e2e_faults.rs"),
    ("tests/soak", "it goes on for as long as one likes; its short form is in e2e_soak.rs"),
    ("tests/mutants", "it takes hours"),
    ("tests/upgrade", "it builds an earlier commit; its short form, without that, is in fleet/upgrade.rs"),
    ("tests/compose", "it needs a Docker engine and takes 12 minutes"),
    ("tests/instructions", "tests/run runs it"),
    ("tests/bench", "it takes hours, and measures nothing on a busy machine"),
    ("docker ", "it needs a Docker daemon; e2e_stack.rs runs the same processes with the same configuration"),
    ("kubectl ", "it needs a cluster; tests/kubernetes checks what it would apply"),
    ("git clone ", "it needs the network"),
    ("cargo install ", "it needs the network and takes minutes"),
    ("cargo build ", "it takes minutes; the binary under test was built by it"),
    ("cargo clippy ", "tests/run runs it"),
    ("cargo fmt", "tests/run runs it"),
    ("cargo test ", "tests/run runs it"),
    ("cargo mutants ", "it takes hours"),
    ("cargo nextest ", "tests/run runs it"),
    ("cargo doc ", "it takes minutes"),
    ("docs/site", "tests/run runs it"),
    ("laneway status --server https://laneway.internal", "the host is nobody's; e2e_tls.rs does the same"),
    ("redis-cli ACL SETUSER ", "rights.rs of the Redis adapter takes the rights from the page, and tries each"),
    ("sudo ", "it changes the machine"),
    ("systemctl ", "it needs systemd"),
];

/// Commands that ask back, and what says yes beforehand: here nobody can be asked.
const ASKING: &[&str] = &[
    "laneway destinations replay",
    "laneway destinations forget",
    "laneway dead-letters discard",
    "laneway keys recover",
    "laneway replay begin",
    "laneway replay end",
];

/// What keeps a terminal to itself until Ctrl-C, the port in the pages at which it answers, and what it is here.
const SERVERS: &[(&str, &str, &str)] = &[
    ("cargo run --release", "8080", "laneway"),
    ("laneway", "8080", "laneway"),
    ("target/release/ingest", "8080", "ingest"),
    ("target/release/worker", "8081", "worker"),
    ("python3 receiver.py", "9000", "python3 receiver.py"),
];

/// Whether no test runs this command.
pub(super) fn is_not_run(command: &str) -> bool {
    NOT_RUN.iter().any(|(beginning, _)| command.starts_with(beginning))
}

struct Server {
    port: &'static str,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A folder, a shell whose variables stay, and servers that end with it.
pub(super) struct Session {
    folder: TempDir,
    servers: Vec<Server>,
    /// What stands for what in the text of pages: ports that others may have are others here.
    instead: Vec<(String, String)>,
    addresses: Vec<(&'static str, SocketAddr)>,
}

impl Session {
    pub(super) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("laneway-pages-").tempdir().expect("a temporary folder");
        let addresses: Vec<_> = ["8080", "8081", "9000"].map(|port| (port, free())).into();
        let instead = addresses.iter().map(|(port, address)| (port.to_string(), address.port().to_string())).collect();
        let examples = folder.path().join("docs/examples");
        fs::create_dir_all(&examples).expect("the folder can be made");
        for file in fs::read_dir(repository().join("docs/examples")).expect("docs/examples is there") {
            let file = file.expect("it can be read");
            fs::copy(file.path(), examples.join(file.file_name())).expect("it can be copied");
        }
        Self { folder, servers: Vec::new(), instead, addresses }
    }

    /// From now on `there` stands for `here` in the text of pages.
    pub(super) fn replace(&mut self, here: &str, there: &str) {
        self.instead.push((here.to_owned(), there.to_owned()));
    }

    fn address(&self, port: &str) -> SocketAddr {
        self.addresses.iter().find(|(of_page, _)| *of_page == port).expect("it is one of the pages' ports").1
    }

    /// Posts JSON to whatever listens on port 8080 of the pages, and returns its answer.
    pub(super) fn post(&self, path: &str, body: &str) -> Value {
        let body = body.replace('\'', "'\\''");
        let (success, said) = self.command(&format!(
            "curl --silent --show-error localhost:8080{path} -H 'content-type: application/json' -d '{body}'"
        ));
        assert!(success, "{said}");
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e} in {said}"))
    }

    /// Posts an event that has to be accepted.
    pub(super) fn accepted(&self, event: &Value) {
        let answer = self.post("/v1/events", &event.to_string());
        assert!(answer["offset"].is_u64(), "{answer}");
    }

    /// Waits until `laneway status` says of a destination what is `wanted`.
    pub(super) fn status(&self, destination: &str, what: &str, wanted: impl Fn(&Value) -> bool) {
        let now = || {
            let (success, said) = self.command("laneway status --json");
            assert!(success, "{said}");
            let all: Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e} in {said}"));
            let of = |one: &&Value| one["name"] == destination || one["destination"] == destination;
            all["destinations"].as_array().and_then(|all| all.iter().find(of)).cloned().unwrap_or(all)
        };
        until(what, || wanted(&now()), || now().to_string());
    }

    /// The text of a page as it has to be here.
    fn here(&self, text: &str) -> String {
        replaced(text, &self.instead)
    }

    /// Writes a block into a file of the folder.
    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), self.here(text)).expect("it can be written");
    }

    fn bash(&self, script: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args(["120", "bash", "-c", script]).current_dir(self.folder.path()).stdin(Stdio::null());
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LANEWAY_")) {
            command.env_remove(name);
        }
        let binaries = binary().parent().expect("it is in a folder").to_owned();
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(binaries).chain(std::env::split_paths(&rest)));
        command.env("PATH", path.expect("no folder has a colon in its name"));
        // An editor that a person would sit at leaves what it was given.
        command.env("VISUAL", "true");
        command.env("LANEWAY_LISTEN", self.address("8080").to_string());
        command.env("LANEWAY_WORKER__LISTEN", self.address("8081").to_string());
    }

    /// Runs a block, and returns what its commands printed on standard output.
    ///
    /// # Panics
    /// If one fails, with what it said.
    pub(super) fn run(&mut self, block: &Block) -> String {
        let mut printed = String::new();
        for command in commands(block).iter().filter(|command| !is_not_run(command)) {
            if let Some(&(_, port, program)) = SERVERS.iter().find(|(typed, ..)| typed == command) {
                self.serve(port, program);
                continue;
            }
            let (success, output) = self.command(command);
            assert!(success, "{}: `{command}` failed:\n{output}", block.place);
            printed.push_str(&output);
        }
        printed
    }

    /// Runs one command; whether it succeeded, and all that it printed.
    pub(super) fn command(&self, command: &str) -> (bool, String) {
        let asked = ASKING.iter().find(|asking| command.starts_with(**asking));
        let command =
            asked.map_or_else(|| command.to_owned(), |asking| command.replacen(asking, &format!("{asking} --yes"), 1));
        // The variables that a command exports are there for the next one, as in one terminal.
        let script = format!(
            "set -euo pipefail\n[ -f .exported ] && . ./.exported\n{}\nexport -p >.exported",
            self.here(&command)
        );
        let output = self.bash(&script).output().expect("bash is there");
        let text = [output.stdout, if output.status.success() { Vec::new() } else { output.stderr }].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Starts a server, in place of one that answers at the same port, and waits until it does.
    pub(super) fn serve(&mut self, port: &'static str, program: &str) {
        self.stop(port);
        let log = |what: &str| fs::File::create(self.printed_path(port).with_extension(what)).expect("it can be made");
        let script = format!("[ -f .exported ] && . ./.exported; exec {program}");
        let mut command = Command::new("bash");
        command.args(["-c", &script]).current_dir(self.folder.path()).stdin(Stdio::null());
        self.prepare(&mut command);
        let child = command.stdout(log("out")).stderr(log("err")).spawn().expect("bash is there");
        self.servers.push(Server { port, child });
        let address = self.address(port);
        let error = self.printed_path(port).with_extension("err");
        let said = || fs::read_to_string(&error).unwrap_or_default();
        let child = &mut self.servers.last_mut().expect("it was pushed").child;
        let answers = || {
            let ended = child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "{program} ended with {ended:?}:\n{}", said());
            if port == "9000" { TcpStream::connect(address).is_ok() } else { ready(address) }
        };
        until(&format!("{program} is ready"), answers, said);
    }

    /// Stops what answers at this port of the pages, if anything does, as a reader does with Ctrl-C.
    pub(super) fn stop(&mut self, port: &str) {
        let Some(found) = self.servers.iter().position(|server| server.port == port) else { return };
        let mut server = self.servers.remove(found);
        let told = Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status();
        assert!(told.is_ok_and(|status| status.success()), "a server ended by itself");
        server.child.wait().expect("it ends");
    }

    fn printed_path(&self, port: &str) -> PathBuf {
        self.folder.path().join(format!("printed-{port}"))
    }

    /// What the server at this port has printed since it was started.
    pub(super) fn printed(&self, port: &str) -> String {
        fs::read_to_string(self.printed_path(port).with_extension("out")).unwrap_or_default()
    }

    /// Waits until the server at this port has printed something.
    pub(super) fn prints(&self, port: &str, what: &str, wanted: impl Fn(&str) -> bool) {
        until(&format!("{what} is printed"), || wanted(&self.printed(port)), || self.printed(port));
    }
}

/// A text in which each second one stands for the first one, all at once: what was put in is not looked at again, since
/// the port that stands for one of the pages' ports can have the number of another one of theirs. Of those that begin at
/// the same place, the longest counts.
fn replaced(text: &str, instead: &[(String, String)]) -> String {
    let (mut replaced, mut rest) = (String::new(), text);
    loop {
        let found = instead.iter().filter_map(|(from, to)| Some((rest.find(from)?, from, to)));
        let Some((at, from, to)) = found.min_by_key(|(at, from, _)| (*at, Reverse(from.len()))) else { break };
        replaced.push_str(&rest[..at]);
        replaced.push_str(to);
        rest = &rest[at + from.len()..];
    }
    replaced + rest
}

#[test]
fn what_stands_for_a_port_is_not_taken_for_another_one() {
    let instead = [("8080", "9000"), ("8081", "8080"), ("9000", "9002"), ("host:9000", "there")];
    let instead = instead.map(|(from, to)| (from.to_owned(), to.to_owned()));
    assert_eq!(replaced("a:8080 8081, b:9000; host:9000", &instead), "a:9000 8080, b:9002; there");
}

/// Whether `/readyz` answers 200.
fn ready(address: SocketAddr) -> bool {
    let url = format!("http://{address}/readyz");
    let asked = Command::new("curl").args(["--silent", "--fail", "--output", "/dev/null", &url]).status();
    asked.expect("curl is installed").success()
}

/// A page that is followed from its beginning to its end.
pub(super) struct Walk {
    page: Page,
    at: usize,
    visited: BTreeSet<usize>,
}

impl Walk {
    pub(super) fn of(name: &str) -> Self {
        Self { page: Page::read(name), at: 0, visited: BTreeSet::new() }
    }

    /// The next block in this language ("" for none); of commands, the next that a test runs.
    ///
    /// # Panics
    /// If there is none.
    pub(super) fn next(&mut self, language: &str) -> Block {
        let wanted = |block: &Block| block.language == language && !(language == "sh" && only_not_run(block));
        let found = self.page.blocks[self.at..].iter().position(wanted);
        let found =
            self.at + found.unwrap_or_else(|| panic!("{} has no further block of {language:?}", self.page.name));
        self.visited.insert(found);
        self.at = found + 1;
        self.page.blocks[found].clone()
    }

    /// Holds that no block of commands was left out.
    pub(super) fn end(self) {
        for (n, block) in self.page.blocks.iter().enumerate() {
            let left_out = block.language == "sh" && !only_not_run(block) && !self.visited.contains(&n);
            assert!(!left_out, "{}: this test does not run these commands:\n{}", block.place, block.text);
        }
    }
}

/// Whether no test runs any of a block's commands.
pub(super) fn only_not_run(block: &Block) -> bool {
    commands(block).iter().all(|command| is_not_run(command))
}
