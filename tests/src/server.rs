//! The real `laneway` binary, in a folder of its own, with a configuration made for the test.

mod running;

pub use running::Running;

use crate::ports;
use running::ended;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long a start or a stop may take before the test fails. Generous: the machine may be busy,
/// and a store with a million events is opened within it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a process that cannot be awaited otherwise is looked at.
const GLANCE: Duration = Duration::from_millis(5);

/// The binary under test: `LANEWAY_BIN` or, without it, the one that cargo has put beside the
/// running test.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LANEWAY_BIN") {
        return PathBuf::from(path);
    }
    let test = std::env::current_exe().expect("the test has a path");
    let found = test.ancestors().skip(1).take(2).map(|folder| folder.join("laneway")).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("no laneway binary beside {}: run `cargo build -p laneway-app` or set LANEWAY_BIN", test.display())
    })
}

/// Which of the binaries a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// `laneway serve`.
    Both,
    /// `ingest`.
    Ingest,
    /// `worker`.
    Worker,
}

impl Half {
    /// Beside the binary `laneway`.
    fn program(self, laneway: &Path) -> PathBuf {
        match self {
            Self::Both => laneway.to_owned(),
            Self::Ingest => laneway.with_file_name("ingest"),
            Self::Worker => laneway.with_file_name("worker"),
        }
    }

    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Both => &["serve"],
            Self::Ingest | Self::Worker => &[],
        }
    }
}

/// What the configuration of a test says beyond the listening address.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Lines of `[server]`.
    pub server: String,
    /// Lines of `[store]` (the URL is there already).
    pub store: String,
    /// `[[destination]]` tables, and whatever else.
    pub rest: String,
}

impl Settings {
    /// Settings with these destinations only.
    #[must_use]
    pub fn destinations(tables: &[String]) -> Self {
        Self { rest: tables.join("\n"), ..Self::default() }
    }

    /// Adds lines to `[store]`.
    #[must_use]
    pub fn store(mut self, lines: &str) -> Self {
        self.store.push_str(lines);
        self.store.push('\n');
        self
    }

    /// Adds lines to `[server]`.
    #[must_use]
    pub fn server(mut self, lines: &str) -> Self {
        self.server.push_str(lines);
        self.server.push('\n');
        self
    }
}

/// A `[[destination]]` table of a webhook with further lines.
#[must_use]
pub fn webhook(name: &str, url: &str, lines: &str) -> String {
    format!("[[destination]]\nname = \"{name}\"\nurl = \"{url}\"\n{lines}\n")
}

/// A folder with a configuration and a store. It outlives the processes that run in it.
#[derive(Debug)]
pub struct Installation {
    temporary: Option<TempDir>,
    folder: PathBuf,
    address: SocketAddr,
    half: Half,
    /// The binary that is started from now on, if it is not the one under test.
    release: Option<PathBuf>,
}

impl Installation {
    /// A new folder with `laneway.toml`, and a port of its own.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let temporary = tempfile::Builder::new().prefix("laneway-test-").tempdir().expect("a temporary folder");
        let folder = temporary.path().to_owned();
        let made = Self { temporary: Some(temporary), folder, address: ports::free(), half: Half::Both, release: None };
        made.configure(settings);
        made
    }

    /// The same in a folder that exists and stays.
    #[must_use]
    pub fn inside(folder: &Path, settings: &Settings) -> Self {
        let made = Self {
            temporary: None,
            folder: folder.to_owned(),
            address: ports::free(),
            half: Half::Both,
            release: None,
        };
        made.configure(settings);
        made
    }

    /// One of several processes with a store in common, in a folder that exists and stays. `store` and
    /// `rest` are the configuration's lines.
    pub(crate) fn member(folder: &Path, half: Half, store: &str, rest: &str) -> Self {
        let made = Self { temporary: None, folder: folder.to_owned(), address: ports::free(), half, release: None };
        let address = made.address;
        made.write_config(&format!(
            "[server]\nlisten = \"{address}\"\n[worker]\nlisten = \"{address}\"\n[store]\n{store}\n\
             [egress]\nallow = [\"127.0.0.0/8\"]\n\n{rest}\n"
        ));
        made
    }

    /// From now on this binary is started here, of another release perhaps; `None`: the one under test.
    pub fn use_release(&mut self, laneway: Option<PathBuf>) {
        self.release = laneway;
    }

    /// A new folder without any configuration.
    #[must_use]
    pub fn bare() -> Self {
        let made = Self::new(&Settings::default());
        fs::remove_file(made.config_path()).expect("the configuration was written");
        made
    }

    /// Writes the configuration anew; the next start reads it.
    pub fn configure(&self, settings: &Settings) {
        let Settings { server, store, rest } = settings;
        let address = self.address;
        let text = format!(
            "[server]\nlisten = \"{address}\"\n{server}\n[store]\nurl = \"sqlite:laneway.db\"\n{store}\n\
             [egress]\nallow = [\"127.0.0.0/8\"]\n\n{rest}\n"
        );
        self.write_config(&text);
    }

    /// Writes this text as the configuration.
    pub fn write_config(&self, text: &str) {
        fs::write(self.config_path(), text).expect("laneway.toml can be written");
    }

    /// Where the configuration is.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.folder.join("laneway.toml")
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The SQLite file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.folder.join("laneway.db")
    }

    /// Where the server listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What all processes so far have written to standard output.
    #[must_use]
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("stdout")).unwrap_or_default()).into_owned()
    }

    /// What all processes so far have written to standard error.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("stderr")).unwrap_or_default()).into_owned()
    }

    fn output(&self, name: &str) -> File {
        let path = self.folder.join(name);
        OpenOptions::new().create(true).append(true).open(path).expect("the output file can be opened")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let laneway = self.release.clone().unwrap_or_else(binary);
        self.prepared(Command::new(self.half.program(&laneway)), arguments)
    }

    fn prepared(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LANEWAY_")) {
            command.env_remove(name);
        }
        command
    }

    /// Starts `laneway` with these arguments, without waiting for anything.
    #[must_use]
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        self.spawned(self.command(arguments))
    }

    fn spawned(&self, mut command: Command) -> Running {
        let command = command.stdout(self.output("stdout")).stderr(self.output("stderr"));
        let child = command.spawn().expect("the laneway binary can be started");
        Running { child, address: self.address, folder: self.folder.clone() }
    }

    /// Starts the server, without waiting for anything.
    #[must_use]
    pub fn begin(&self) -> Running {
        self.spawn(self.half.arguments())
    }

    /// Starts the server and waits until it says that it is ready.
    ///
    /// # Panics
    /// If it ends or does not get ready in a minute; with what it has written.
    pub async fn start(&self) -> Running {
        self.made_ready(self.begin()).await
    }

    /// The same with a program before the binary that becomes it in the end (`exec`), and with
    /// variables of its own.
    ///
    /// # Panics
    /// As [`Installation::start`].
    pub async fn start_under(&self, wrapper: &[&str], variables: &[(&str, &str)]) -> Running {
        let mut command = match wrapper {
            [] => self.command(&["serve"]),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary());
                self.prepared(command, &["serve"])
            }
        };
        command.envs(variables.iter().copied());
        self.made_ready(self.spawned(command)).await
    }

    async fn made_ready(&self, mut running: Running) -> Running {
        if let Err(what) = running.ready().await {
            panic!("laneway {what}\n--- stdout\n{}\n--- stderr\n{}", tail(&self.stdout()), tail(&self.stderr()));
        }
        running
    }

    /// Runs another command of the binary to its end.
    ///
    /// # Panics
    /// If it takes longer than a minute.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, &[])
    }

    /// The same with variables of its own.
    ///
    /// # Panics
    /// As [`Installation::run`].
    #[must_use]
    pub fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut child = self
            .command(arguments)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the laneway binary can be started");
        let out = read_all(child.stdout.take().expect("it is piped"));
        let err = read_all(child.stderr.take().expect("it is piped"));
        let status = ended(&mut child, PATIENCE).unwrap_or_else(|| {
            child.kill().ok();
            panic!("laneway {} did not end", arguments.join(" "))
        });
        let text = |reader: std::thread::JoinHandle<Vec<u8>>| reader.join().expect("the reader ends with the process");
        Output { status, stdout: text(out), stderr: text(err) }
    }

    /// Runs a line of a shell as somebody types it at a terminal of so many columns; `laneway` there is the binary under
    /// test, and `y` what is answered to a question. Both streams are what the terminal shows.
    ///
    /// # Panics
    /// If it takes longer than a minute.
    #[must_use]
    pub fn at_terminal(&self, columns: usize, line: &str, variables: &[(&str, &str)]) -> Output {
        let binaries = binary().parent().expect("it is in a folder").to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(binaries).chain(std::env::split_paths(&path)));
        // What is typed is not shown; what was shown before that was said is left out.
        let typed = format!("stty -echo rows 40 cols {columns}; printf '\\001'; {line}");
        let mut command =
            self.prepared(Command::new("script"), &["--quiet", "--return", "--command", &typed, "/dev/null"]);
        command.env("PATH", path.expect("no folder has a colon in its name")).env("SHELL", "/bin/sh");
        let command = command.envs(variables.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program script is there");
        let mut keyboard = child.stdin.take().expect("it is piped");
        keyboard.write_all(b"y\n").ok();
        let out = read_all(child.stdout.take().expect("it is piped"));
        let err = read_all(child.stderr.take().expect("it is piped"));
        let status = ended(&mut child, PATIENCE).unwrap_or_else(|| {
            child.kill().ok();
            panic!("{line} did not end")
        });
        drop(keyboard);
        let text = |reader: std::thread::JoinHandle<Vec<u8>>| reader.join().expect("the reader ends with the process");
        let mut shown = text(out);
        let begins = shown.iter().position(|byte| *byte == 1).map_or(0, |at| at + 1);
        Output { status, stdout: shown.split_off(begins), stderr: text(err) }
    }

    /// The folder's path, which from now on stays after the test, for a look at what went wrong.
    pub fn keep(&mut self) -> PathBuf {
        self.temporary.take().map_or_else(|| self.folder.clone(), TempDir::keep)
    }
}

fn read_all(mut from: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).ok();
        bytes
    })
}

/// The last lines of a text.
#[must_use]
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
