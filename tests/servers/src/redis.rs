//! A Redis server of a test's own.

pub use crate::resp::{Reply, ask};
use crate::venv;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

const DEFAULT_PROGRAM: &str = "redis-server";
/// How long a start may take before the test fails. Generous: the machine may be busy, and a large
/// file may have to be loaded.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a server that is starting is looked at.
const GLANCE: Duration = Duration::from_millis(10);
/// How often another port is tried; another process may take one between the look and the start.
const MOST_PORTS: u32 = 20;
/// The first port that is tried. A Cluster's nodes also use the port 10,000 above.
const FIRST_PORT: u16 = 11_000;
/// How many ports there are from the first on; below those that systems give to clients, also
/// 10,000 above.
const PORTS: u16 = 10_000;

/// Names the program that tests start as Redis, instead of `redis-server`; `valkey` is a Valkey from the Python package
/// index.
pub const SERVER_VARIABLE: &str = "LANEWAY_TEST_REDIS_SERVER";

/// Settings beyond, or instead of, those that are safe: AOF, fsync always, no snapshots.
#[derive(Clone, Debug, Default)]
pub struct RedisSettings {
    settings: Vec<(String, String)>,
    program: Option<PathBuf>,
    tls: Option<TlsFiles>,
}

/// What a server speaks TLS with, beside plain text on its port for tests, to whoever has a certificate of that
/// authority.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Of the server, with its key.
    pub certificate: (PathBuf, PathBuf),
    /// Of the authority.
    pub ca: PathBuf,
}

impl TlsFiles {
    /// As settings of a server, or of a Sentinel, that has the port for TLS.
    pub(crate) fn settings(&self, port: u16) -> [(&'static str, String); 7] {
        let (certificate, key) = &self.certificate;
        [
            ("tls-port", port.to_string()),
            ("tls-cert-file", certificate.display().to_string()),
            ("tls-key-file", key.display().to_string()),
            ("tls-ca-cert-file", self.ca.display().to_string()),
            ("tls-auth-clients", "yes".to_owned()),
            // A Cluster tells others of the port for TLS only if its nodes speak it among themselves.
            ("tls-cluster", "yes".to_owned()),
            ("tls-replication", "yes".to_owned()),
        ]
    }
}

impl RedisSettings {
    /// The same with TLS.
    #[must_use]
    pub fn with_tls(self, files: TlsFiles) -> Self {
        Self { tls: Some(files), ..self }
    }

    /// With what the servers speak TLS.
    pub(crate) fn tls(&self) -> Option<&TlsFiles> {
        self.tls.as_ref()
    }

    /// For a Valkey.
    ///
    /// # Errors
    /// Says why there is none.
    pub async fn valkey() -> Result<Self, String> {
        Ok(Self { program: Some(venv::program(venv::VALKEY).await?), ..Self::default() })
    }

    /// The same with one setting more, as in `redis.conf`.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "so that texts and numbers can be written alike")]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }
}

/// A Redis on 127.0.0.1 with a data folder of its own. Ended when dropped.
#[derive(Debug)]
pub struct RedisServer {
    address: SocketAddr,
    tls_port: u16,
    settings: RedisSettings,
    environment: Vec<(String, String)>,
    folder: Folder,
    child: Option<Child>,
}

/// Where a server has its data.
#[derive(Debug)]
enum Folder {
    /// It goes with the server.
    Temporary(TempDir),
    /// It was there before, and stays.
    Kept(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(folder) => folder,
        }
    }
}

impl RedisServer {
    /// Starts a server, and resolves when it answers.
    ///
    /// # Errors
    /// Says why it does not start, with the end of its log.
    pub async fn start(settings: RedisSettings) -> Result<Self, String> {
        Self::start_in(settings, None).await
    }

    /// The same with its data in this folder, which stays; there may be data of an earlier server.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub async fn start_in(mut settings: RedisSettings, kept: Option<&Path>) -> Result<Self, String> {
        settings.program = Some(program(settings.program).await?);
        let mut tried = String::new();
        for _ in 0..MOST_PORTS {
            let folder = match kept {
                Some(kept) => Folder::Kept(kept.to_owned()),
                None => {
                    let made = tempfile::Builder::new().prefix("laneway-redis-").tempdir();
                    Folder::Temporary(made.map_err(|e| e.to_string())?)
                }
            };
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
            let tls_port = free_port()?;
            let (settings, environment) = (settings.clone(), Vec::new());
            let mut server = Self { address, tls_port, settings, environment, folder, child: None };
            match server.restart().await {
                Ok(()) => return Ok(server),
                Err(error) if error.contains("Address already in use") => tried = error,
                Err(error) => return Err(error),
            }
        }
        Err(format!("no free port for a Redis: {tried}"))
    }

    /// Sets one setting more, or another value of it, from its next start on.
    pub fn with_setting(&mut self, name: &str, value: impl ToString) {
        self.settings = std::mem::take(&mut self.settings).with(name, value);
    }

    /// Sets the variables that it is started with from its next start on, besides those of the test.
    pub fn with_environment(&mut self, variables: &[(&str, &str)]) {
        self.environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    }

    /// Starts the server again, on its port and with its data, after it was ended.
    ///
    /// # Errors
    /// Says why it does not start.
    pub async fn restart(&mut self) -> Result<(), String> {
        self.launch()?;
        self.wait_until_ready().await
    }

    /// The same without waiting for it to answer.
    ///
    /// # Errors
    /// If the program is not there.
    pub fn launch(&mut self) -> Result<(), String> {
        self.kill();
        let port = self.address.port().to_string();
        let folder = self.folder.path().display().to_string();
        let mut command = Command::new(self.program());
        let fixed = [
            ("port", port.as_str()),
            ("bind", "127.0.0.1"),
            ("dir", &folder),
            ("logfile", "redis.log"),
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("save", ""),
        ];
        let own = self.settings.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in fixed.into_iter().chain(own) {
            command.arg(format!("--{name}")).arg(value);
        }
        for (name, value) in self.settings.tls.iter().flat_map(|tls| tls.settings(self.tls_port)) {
            command.arg(format!("--{name}")).arg(value);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let spawned = command.spawn().map_err(|error| {
            let program = self.program().display();
            format!("cannot start {program} ({error}); these tests need it: apt-get install redis-server")
        });
        self.child = Some(spawned?);
        Ok(())
    }

    async fn wait_until_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let why = match self.command(&["PING"]).await {
                Ok(_) => return Ok(()),
                // A server that wants a password, or denies this to strangers, is there.
                Err(error) if error.starts_with("NOAUTH") || error.starts_with("NOPERM") => return Ok(()),
                Err(error) => error,
            };
            let ended = self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if ended || Instant::now() > deadline {
                return Err(format!("redis-server at {} does not answer ({why}):\n{}", self.address, self.log_end()));
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("redis.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }

    /// What is started.
    #[must_use]
    pub fn program(&self) -> &Path {
        self.settings.program.as_deref().unwrap_or(Path::new(DEFAULT_PROGRAM))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port that others come to: that for TLS, if it speaks that.
    #[must_use]
    pub fn port(&self) -> u16 {
        if self.settings.tls.is_some() { self.tls_port } else { self.address.port() }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.settings.tls.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{}:{}", self.address.ip(), self.port())
    }

    /// Its process, while it has one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it was started and not killed.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Where its data is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The files of its AOF, in the order in which they are loaded.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn aof_files(&self) -> Result<Vec<PathBuf>, String> {
        let folder = self.folder.path().join("appendonlydir");
        let listed = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut files: Vec<PathBuf> = listed.filter_map(Result::ok).map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|kind| kind == "aof" || kind == "rdb"));
        files.sort();
        Ok(files)
    }

    /// Kills it (SIGKILL), and resolves when it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may be gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends it as a service manager does (SIGTERM), and resolves when it is gone. Whatever it has written is fsynced.
    ///
    /// # Errors
    /// If it has no process.
    pub fn terminate(&mut self) -> Result<(), String> {
        self.signal("TERM")?;
        let mut child = self.child.take().ok_or("the server has no process")?;
        child.wait().map(|_| ()).map_err(|error| format!("the server cannot be waited for: {error}"))
    }

    /// Stops it where it is (SIGSTOP).
    ///
    /// # Errors
    /// If it has no process.
    pub fn stop(&self) -> Result<(), String> {
        self.signal("STOP")
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// If it has no process.
    pub fn cont(&self) -> Result<(), String> {
        self.signal("CONT")
    }

    fn signal(&self, signal: &str) -> Result<(), String> {
        let pid = self.pid().ok_or("the server has no process")?;
        let status = Command::new("sh").arg("-c").arg(format!("kill -{signal} {pid}")).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("cannot send SIG{signal} to {pid}: {other:?}")),
        }
    }

    /// Makes a stream anew without its last entries, so that their ids can be given out again. (XSETID does not do that
    /// everywhere: Valkey goes back behind no entry that was deleted.)
    ///
    /// # Errors
    /// What Redis says.
    pub async fn rewind(&self, stream: &str, gone: usize) -> Result<(), String> {
        let entries = self.command(&["XRANGE", stream, "-", "+"]).await?;
        self.command(&["DEL", stream]).await?;
        let kept = entries.items().len().saturating_sub(gone);
        for entry in entries.items().iter().take(kept) {
            let [id, fields] = entry.items() else { return Err(format!("{stream} is no stream")) };
            let mut add = vec![b"XADD".to_vec(), stream.into(), id.text().into_bytes()];
            add.extend(fields.items().iter().map(|field| match field {
                Reply::Bulk(Some(bytes)) => bytes.clone(),
                other => other.text().into_bytes(),
            }));
            self.command(&add).await?;
        }
        Ok(())
    }

    /// Sends one command, on a connection of its own.
    ///
    /// # Errors
    /// What Redis says, or why it could not be asked.
    pub async fn command<A: AsRef<[u8]>>(&self, arguments: &[A]) -> Result<Reply, String> {
        ask(self.address, arguments).await
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What is started as Redis: what the test says, or who runs it.
async fn program(of_test: Option<PathBuf>) -> Result<PathBuf, String> {
    match (of_test, std::env::var_os(SERVER_VARIABLE)) {
        (Some(program), _) => Ok(program),
        (None, Some(named)) if named == "valkey" => venv::program(venv::VALKEY).await,
        (None, Some(named)) if !named.is_empty() => Ok(named.into()),
        (None, _) => Ok(DEFAULT_PROGRAM.into()),
    }
}

/// A port that nobody has, and the one 10,000 above neither.
pub(crate) fn free_port() -> Result<u16, String> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run at the same time begin at different ports.
    let start = u16::try_from(std::process::id() * 97 % u32::from(PORTS)).unwrap_or(0);
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    for _ in 0..PORTS {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST_PORT + start.wrapping_add(nth) % PORTS;
        if free(port) && free(port + 10_000) {
            return Ok(port);
        }
    }
    Err("there is no free port".to_owned())
}
