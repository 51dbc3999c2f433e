//! The real binary, as a person meets it at a prompt.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use tempfile::TempDir;

fn laneway(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_laneway"));
    command.current_dir(folder).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(folder: &Path, args: &[&str]) -> Output {
    laneway(folder).args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A server in a folder of its own. It ends when it is dropped.
struct Server {
    folder: TempDir,
    url: String,
    process: Child,
    log: BufReader<ChildStderr>,
}

impl Server {
    fn start(destinations: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let configuration = format!("[server]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'text'\n{destinations}");
        fs::write(folder.path().join("laneway.toml"), configuration).unwrap();
        let mut process = laneway(folder.path()).stdout(Stdio::null()).spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        let mut server = Self { folder, url: String::new(), process, log };
        let line = server.log_line("listening on http://");
        server.url = format!("http://{}", line.split("http://").nth(1).unwrap().split_whitespace().next().unwrap());
        server
    }

    /// The next line of the log with that text.
    fn log_line(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "the log ended without: {text}");
            if line.contains(text) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn run(&self, args: &[&str]) -> Output {
        laneway(self.folder.path()).args(args).env("LANEWAY_URL", &self.url).output().unwrap()
    }

    /// What is written to a file is sent.
    fn send(&self, file: &str, text: &str, more: &[&str]) -> Output {
        fs::write(self.folder.path().join(file), text).unwrap();
        self.run(&[&["send", file], more].concat())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_start_that_fails_leaves_nothing_behind() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (args, expected) in [
        (vec!["--listen", &address], "another process has that address"),
        (vec!["--listen", "192.0.2.1:80"], "server.tokens"),
        (vec!["--store", "sqlite:no-such-folder/laneway.db"], "no-such-folder"),
        (vec!["--config", "no-such-file.toml"], "no-such-file.toml"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = run(folder.path(), &args);
        assert!(!output.status.success() && said(&output).contains(expected), "{args:?}: {}", said(&output));
        assert_eq!(names(folder.path()), Vec::<String>::new(), "{args:?}");
    }
}

#[test]
fn signals_that_mean_nothing_are_answered_in_the_log_and_end_nothing() {
    let mut server = Server::start("");
    for signal in ["USR1", "USR2"] {
        server.signal(signal);
        let line = server.log_line("means nothing to Laneway");
        assert!(line.contains(&format!("SIG{signal}")), "{line}");
    }
    // It goes on, and has its partitions as soon as it would have had them.
    while !server.run(&["ready"]).status.success() {
        assert!(server.process.try_wait().unwrap().is_none(), "it has ended");
    }
    server.signal("TERM");
    assert!(server.process.wait().unwrap().success());
}

#[test]
fn a_hangup_reloads_destinations_and_tokens_and_a_mistake_changes_nothing() {
    let console = |name: &str| format!("[[destination]]\nname = '{name}'\nurl = 'console:'\n");
    let mut server = Server::start(&console("first"));
    let reload = |server: &mut Server, text: &str, line: &str| {
        fs::write(server.folder.path().join("laneway.toml"), text).unwrap();
        server.signal("HUP");
        server.log_line(line)
    };
    let head = "[server]\nlisten = '127.0.0.1:0'\n";
    let log = "[log]\nformat = 'text'\n";
    let known = |server: &Server| {
        let output = server.run(&["status", "--json"]);
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap_or_default()["destinations"].as_array().map(
            |all| {
                let there = all.iter().filter(|one| one["configured"] == true);
                there.map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
            },
        )
    };

    let refused = reload(&mut server, &format!("{head}{log}{}speling = 1\n", console("second")), "was not reloaded");
    assert!(refused.contains("speling") && refused.contains("goes on as before"), "{refused}");

    let both = format!("{head}{log}{}{}", console("first"), console("second"));
    reload(&mut server, &both, "has been reloaded");
    // The worker hears of it within a second.
    while known(&server) != Some(vec!["first".to_owned(), "second".to_owned()]) {}

    let elsewhere = both.replace("127.0.0.1:0'", "127.0.0.1:0'\ntokens = ['a-token-of-some-length']");
    let elsewhere = elsewhere.replace(log, "[log]\nformat = 'json'\n");
    let fixed = reload(&mut server, &elsewhere, "cannot change while Laneway runs");
    assert!(fixed.contains("log") && !fixed.contains("server.listen"), "{fixed}");
    server.log_line("has been reloaded");
    let said = said(&server.run(&["status", "--json", "--token", "a-token-of-some-length"]));
    assert!(said.contains("second"), "{said}");
    let asked = ["-s", "-o", "/dev/null", "-w", "%{http_code}", &format!("{}/v1/status", server.url)];
    assert_eq!(Command::new("curl").args(asked).output().unwrap().stdout, b"401");
}

#[test]
fn a_service_manager_is_told_of_the_start_and_of_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let received = || {
        let mut message = [0; 256];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let mut command = laneway(folder.path());
    command.args(["--listen", "127.0.0.1:0"]).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000");
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (mut ready, mut alive) = (false, false);
    while !(ready && alive) {
        match received().as_str() {
            "WATCHDOG=1" => alive = true,
            other => ready |= other.starts_with("READY=1\nSTATUS=listening on http://127.0.0.1:"),
        }
    }
    assert!(Command::new("kill").args(["-s", "TERM", &process.id().to_string()]).status().unwrap().success());
    while !received().starts_with("STOPPING=1") {}
    assert!(process.wait().unwrap().success());
}

#[test]
fn check_says_what_would_keep_a_store_from_being_made() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a-file"), "x").unwrap();
    fs::create_dir(folder.path().join("a-folder")).unwrap();
    for (store, code, expected) in [
        ("sqlite:laneway.db", 0, "will be made, with 8 partitions"),
        ("sqlite:a-folder/laneway.db", 0, "will be made, with 8 partitions"),
        ("sqlite:nowhere/laneway.db", 1, "the folder nowhere of store.url does not exist: make it (mkdir -p nowhere)"),
        ("sqlite:a-file/laneway.db", 1, "a-file"),
        ("sqlite:a-folder", 1, "a-folder is a folder: store.url needs the path of a file"),
        ("sqlite:a-file", 1, "a-file"),
    ] {
        let output = run(folder.path(), &["check", "--store", store]);
        assert_eq!(output.status.code(), Some(code), "{store}: {}", said(&output));
        assert!(said(&output).contains(expected), "{store}: {}", said(&output));
    }
    assert_eq!(names(folder.path()), ["a-file", "a-folder"], "it changes nothing");
}

#[test]
fn the_file_may_be_whatever_the_endpoint_takes() {
    let server = Server::start("");
    let cloud = r#"{"specversion":"1.0","id":"c1","source":"/s","type":"t","data":1}"#;
    for (file, text, events) in [
        ("lines.ndjson", "{\"type\":\"a\"}\n\n{\"type\":\"b\"}\n".to_owned(), 2),
        ("array.json", "[\n  {\"type\": \"a\",\n   \"data\": [1, 2]},\n  {\"type\": \"b\"}\n]\n".to_owned(), 2),
        ("one.json", "{\n  \"type\": \"a\",\n  \"data\": {\n    \"x\": 1\n  }\n}\n".to_owned(), 1),
        ("cloud.ndjson", format!("{cloud}\n{}\n", cloud.replace("c1", "c2")), 2),
        (
            "mixed.json",
            format!("[{}, {{\"type\":\"a\"}}, {}]", cloud.replace("c1", "c3"), cloud.replace("c1", "c4")),
            3,
        ),
        ("empty.json", "[]".to_owned(), 0),
    ] {
        let output = server.send(file, &text, &[]);
        assert_eq!(said(&output), format!("{events} accepted, 0 duplicates, 0 refused\n"), "{file}");
        assert!(output.status.success(), "{file}");
    }
}

#[test]
fn what_was_refused_can_be_mended_and_sent_again_and_nothing_is_stored_twice() {
    let server = Server::start("");
    for (file, bad, mended, noun) in [
        (
            "l.ndjson",
            "{\"type\":\"a\"}\n{\"typ\":\"b\"}\nno json\n{\"type\":\"d\"}\n",
            "{\"type\":\"a\"}\n{\"type\":\"b\"}\n{\"type\":\"c\"}\n{\"type\":\"d\"}\n",
            "line",
        ),
        (
            "a.json",
            "[{\"type\":\"a\"},\n{\"typ\":\"b\"},\n7,\n{\"type\":\"d\"}]",
            "[{\"type\":\"a\"},\n{\"type\":\"b\"},\n{\"type\":\"c\"},\n{\"type\":\"d\"}]",
            "event",
        ),
    ] {
        let first = server.send(file, bad, &[]);
        let text = said(&first);
        assert_eq!(first.status.code(), Some(3), "{text}");
        assert!(text.contains("2 accepted, 0 duplicates, 2 refused"), "{text}");
        assert!(text.contains(&format!("{noun} 2: ")) && text.contains(&format!("{noun} 3: ")), "{text}");
        let again = text.lines().last().unwrap().trim();
        let command: Vec<&str> = again.strip_prefix("laneway ").unwrap().split(' ').collect();
        assert_eq!((command[0], command[1], command[2]), ("send", file, "--run"), "{text}");
        let second = server.send(file, mended, &command[2..]);
        assert_eq!(said(&second), "2 accepted, 2 duplicates, 0 refused\n", "{file}");
    }
}

#[test]
fn names_that_do_not_exist_are_said_not_to_exist_and_near_ones_suggested() {
    let server = Server::start(
        "[[destination]]\nname = 'billing'\nurl = 'console:'\n[[destination]]\nname = 'off'\nurl = 'console:'\npaused = true\n",
    );
    let unknown = "laneway: there is no destination biling\n  did you mean billing?\n";
    for (args, expected) in [
        (&["status", "-d", "biling"][..], unknown),
        (&["dead-letters", "list", "-d", "biling"], unknown),
        (&["dead-letters", "list", "-d", "biling", "--json"], unknown),
        (&["dead-letters", "show", "biling", "evt_1"], unknown),
        (&["dead-letters", "retry", "-d", "biling"], unknown),
        (&["dead-letters", "discard", "-d", "biling", "--yes"], unknown),
        (&["dead-letters", "discard", "-d", "biling"], unknown),
        (&["keys", "retry", "biling", "k"], unknown),
        (&["keys", "skip", "biling", "k"], unknown),
        (&["destinations", "resume", "biling"], unknown),
        (&["destinations", "replay", "biling", "--since", "1h", "--yes"], unknown),
        (&["destinations", "forget", "biling", "--yes"], unknown),
        (
            &["destinations", "resume", "zzz"],
            "laneway: there is no destination zzz\n  `laneway status` lists the destinations\n",
        ),
        (
            &["keys", "retry", "billing", "k"],
            "laneway: billing is not blocked at key:k\n  `laneway status --keys` lists the keys that are blocked\n",
        ),
        (
            &["dead-letters", "retry", "-d", "billing", "-k", "order-7"],
            "laneway: billing has no dead letters of the key order-7\n  `laneway dead-letters list` shows those that there are\n",
        ),
        (
            &["destinations", "resume", "billing"],
            "laneway: billing is not paused and its breaker is closed: there is nothing to resume\n",
        ),
        (
            &["destinations", "resume", "off"],
            "laneway: off is paused in the configuration; set paused = false in its settings\n",
        ),
    ] {
        let output = server.run(args);
        assert_eq!(said(&output), expected, "{args:?}");
        assert_eq!(output.status.code(), Some(1), "{args:?}");
    }
    let output = server.run(&["dead-letters", "list", "-d", "billing", "-k", "order-7"]);
    assert_eq!(said(&output), "billing has no dead letters of the key order-7\n");
    assert!(output.status.success(), "an empty list is no mistake");
    assert_eq!(said(&server.run(&["dead-letters", "list"])), "there are no dead letters\n");
}

#[test]
fn a_status_is_coloured_only_when_it_is_wanted() {
    let server = Server::start("");
    let plain = said(&server.run(&["status"]));
    assert!(plain.contains("console") && !plain.contains('\u{1b}'), "{plain:?}");
    assert!(said(&server.run(&["status", "--color", "always"])).contains("\u{1b}["));
}

#[test]
fn what_a_shell_and_a_manual_need_is_made() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(folder.path(), &["completions", shell]);
        assert!(output.status.success() && said(&output).contains("dead-letters"), "{shell}");
    }
    let output = run(folder.path(), &["man"]);
    let page = said(&output);
    assert!(page.starts_with(".ie") || page.starts_with(".TH") || page.contains(".TH laneway 1"), "{page}");
    assert!(page.contains("EXIT STATUS"), "{page}");
    assert!(run(folder.path(), &["man", "--dir", "pages"]).status.success());
    let pages = names(&folder.path().join("pages"));
    for page in ["laneway.1", "laneway-send.1", "laneway-dead-letters-list.1"] {
        assert!(pages.iter().any(|name| name == page), "{pages:?}");
    }
}

#[test]
fn output_that_nobody_reads_any_more_ends_a_command_well() {
    let server = Server::start("");
    let mut child =
        laneway(server.folder.path()).args(["status", "--watch"]).env("LANEWAY_URL", &server.url).spawn().unwrap();
    let mut first = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
