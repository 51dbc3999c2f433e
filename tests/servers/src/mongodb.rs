//! MongoDB: the one at `LANEWAY_TEST_MONGODB_URI`, or a wire-compatible server of its own.

use crate::{skipped, venv};
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// Names a MongoDB that tests may use: a URI without a path, or with one that is ignored.
pub const URI_VARIABLE: &str = "LANEWAY_TEST_MONGODB_URI";
/// How long a start may take before the test fails. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a server that is starting is looked at.
const GLANCE: Duration = Duration::from_millis(20);
/// The first port that is tried. From here up to where systems begin to give ports to clients.
const FIRST_PORT: u16 = 21_000;
/// How many ports there are from the first on.
const PORTS: u16 = 10_000;

/// What a server of the test's own is started with.
#[derive(Clone, Debug, Default)]
pub struct MongoOptions {
    /// A user and a password; without them nobody may do anything.
    pub login: Option<(String, String)>,
    /// A certificate and its key, both PEM files: then the server speaks TLS only. The third is
    /// the certificate of the authority that issued it.
    pub tls: Option<[PathBuf; 3]>,
    /// Collections of the test's database that are there, and on disk, before the test begins. Name those that are
    /// written while the server may be killed: this one makes a table at the first write to a collection, and if it
    /// dies halfway it does not open its folder again. MongoDB itself has no such moment.
    pub collections: &'static [&'static str],
}

/// A MongoDB with a database for this test.
#[derive(Debug)]
pub struct MongoServer {
    /// `mongodb://host`, with whatever comes before the path.
    origin: String,
    options: String,
    database: String,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    program: PathBuf,
    started_with: MongoOptions,
    address: SocketAddr,
    _port: TcpSocket,
    folder: TempDir,
    child: Option<Child>,
}

impl MongoServer {
    /// The server at `LANEWAY_TEST_MONGODB_URI`, with a database of a new name, or one of its own.
    ///
    /// # Errors
    /// Says why there is neither.
    pub async fn start() -> Result<Self, String> {
        match std::env::var(URI_VARIABLE) {
            Ok(uri) if !uri.is_empty() => Self::at(&uri),
            _ => Self::start_own(MongoOptions::default()).await,
        }
    }

    /// A server of its own, which can be killed, restarted, and told to fail.
    ///
    /// # Errors
    /// Says why there is none: no Python, or no SecantusDB for it.
    pub async fn start_own(options: MongoOptions) -> Result<Self, String> {
        let program = venv::program(venv::SECANTUS).await?;
        let folder = tempfile::Builder::new().prefix("laneway-mongodb-").tempdir().map_err(|e| e.to_string())?;
        let (login, collections) = (options.login.clone(), options.collections);
        let without_login = MongoOptions { login: None, ..options };
        let (address, port) = free_port()?;
        let mut process = Process { program, started_with: without_login, address, _port: port, folder, child: None };
        process.run().await?;
        Self::with(process, login, collections).await
    }

    /// Like [`MongoServer::start`]; without a server the test says that it is skipped, and why.
    pub async fn or_skip(test: &str) -> Option<Self> {
        Self::start().await.map_err(|why| skipped(test, &no_mongodb(&why))).ok()
    }

    /// Like [`MongoServer::start_own`]; without a server the test says that it is skipped, and why.
    pub async fn own_or_skip(test: &str, options: MongoOptions) -> Option<Self> {
        Self::start_own(options).await.map_err(|why| skipped(test, &no_mongodb(&why))).ok()
    }

    fn at(uri: &str) -> Result<Self, String> {
        let (before, options) = uri.split_once('?').unwrap_or((uri, ""));
        let (scheme, rest) = before.split_once("://").ok_or(format!("{URI_VARIABLE} is not a URI"))?;
        let hosts = rest.split('/').next().unwrap_or_default();
        let origin = format!("{scheme}://{hosts}");
        Ok(Self { origin, options: options.to_owned(), database: new_database(), process: None })
    }

    async fn with(process: Process, login: Option<(String, String)>, collections: &[&str]) -> Result<Self, String> {
        let options = match &process.started_with.tls {
            Some([_, _, authority]) => format!("tls=true&tlsCAFile={}", authority.display()),
            None => String::new(),
        };
        let origin = format!("mongodb://{}", process.address);
        let mut server = Self { origin, options, database: new_database(), process: Some(process) };
        server.answering().await?;
        server.make(collections).await?;
        if let Some((user, password)) = login {
            let create = doc! {
                "createUser": &user, "pwd": &password, "roles": ["root"], "mechanisms": ["SCRAM-SHA-256"],
            };
            server.admin(create).await?;
            server.kill().await;
            if let Some(process) = &mut server.process {
                process.started_with.login = Some((user.clone(), password.clone()));
                server.origin = format!("mongodb://{user}:{password}@{}", process.address);
                server.options = join(&server.options, "authSource=admin");
            }
            server.restart().await?;
        }
        Ok(server)
    }

    /// The URL of a collection in this test's database, as a destination has it; with further
    /// options (`a=b&c=d`) or `""`.
    #[must_use]
    pub fn url(&self, collection: &str, options: &str) -> String {
        let options = join(&self.options, options);
        let mark = if options.is_empty() { "" } else { "?" };
        format!("{}/{}/{collection}{mark}{options}", self.origin, self.database)
    }

    /// `host:port` of a server of its own; nothing of another one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.process.as_ref().map(|process| process.address)
    }

    /// The process id of a server of its own that is running.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref()?.child.as_ref()?.id()
    }

    /// This test's database, over a new client that waits at most [`PATIENCE`] for a server.
    ///
    /// # Errors
    /// If the URI cannot be used.
    pub async fn database(&self) -> Result<Database, String> {
        Ok(self.client().await?.database(&self.database))
    }

    async fn client(&self) -> Result<Client, String> {
        let mark = if self.options.is_empty() { "" } else { "?" };
        let uri = format!("{}/{mark}{}", self.origin, self.options);
        let mut options = ClientOptions::parse(uri).await.map_err(|e| e.to_string())?;
        options.server_selection_timeout = Some(PATIENCE);
        options.heartbeat_freq = Some(Duration::from_millis(500));
        Client::with_options(options).map_err(|e| e.to_string())
    }

    async fn admin(&self, command: Document) -> Result<Document, String> {
        self.client().await?.database("admin").run_command(command).await.map_err(|e| e.to_string())
    }

    async fn answering(&self) -> Result<(), String> {
        let ping = tokio::time::timeout(PATIENCE, self.admin(doc! { "ping": 1 }));
        match ping.await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(format!("the server did not answer a ping in {PATIENCE:?}")),
        }
    }

    /// Makes collections of this test's database, and waits until they are on disk.
    async fn make(&self, collections: &[&str]) -> Result<(), String> {
        if collections.is_empty() {
            return Ok(());
        }
        let database = self.database().await?;
        for name in collections {
            database.create_collection(*name).await.map_err(|e| format!("the collection {name}: {e}"))?;
        }
        self.admin(doc! { "fsync": 1 }).await.map(drop)
    }

    /// Makes the next `times` of these commands fail as `how` says (`failCommand`): for instance
    /// `{"errorCode": 10107}`, `{"closeConnection": true}`, or
    /// `{"writeConcernError": {"code": 64, "errmsg": "…"}}`, which writes all the same.
    ///
    /// # Errors
    /// If the server does not have fail points.
    pub async fn fail(&self, commands: &[&str], times: i32, mut how: Document) -> Result<(), String> {
        how.insert("failCommands", commands);
        self.admin(doc! { "configureFailPoint": "failCommand", "mode": { "times": times }, "data": how })
            .await
            .map(drop)
    }

    /// Ends what [`MongoServer::fail`] began.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn fail_no_more(&self) -> Result<(), String> {
        self.admin(doc! { "configureFailPoint": "failCommand", "mode": "off" }).await.map(drop)
    }

    /// `kill -9` of a server of its own, and waits for its end.
    pub async fn kill(&mut self) {
        let Some(mut child) = self.process.as_mut().and_then(|process| process.child.take()) else { return };
        // It may have ended by itself; then there is nothing to kill.
        child.start_kill().ok();
        child.wait().await.ok();
    }

    /// Starts a server of its own again where it was, with its data; kills it before if it runs.
    ///
    /// # Errors
    /// If it does not start; with what it has written.
    pub async fn restart(&mut self) -> Result<(), String> {
        self.kill().await;
        let process = self.process.as_mut().ok_or("this server is not the test's own")?;
        process.run().await?;
        self.answering().await
    }

    /// Sends a signal to a server of its own, such as `STOP` and `CONT`.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&self, name: &str) -> Result<(), String> {
        let pid = self.pid().ok_or("the server is not running, or not the test's own")?;
        let command = format!("kill -{name} {pid}");
        let sent = std::process::Command::new("sh").args(["-c", &command]).status().map_err(|e| e.to_string())?;
        if sent.success() { Ok(()) } else { Err(format!("{command} failed")) }
    }
}

impl Process {
    /// Starts the server and waits until its port answers.
    async fn run(&mut self) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        command.args(["--host", "127.0.0.1", "--port", &self.address.port().to_string(), "--log-level", "WARNING"]);
        command.arg("--storage-path").arg(self.folder.path().join("data"));
        command.args(["--sync-on-commit", "--enable-test-commands"]);
        if let Some([certificate, key, _]) = &self.started_with.tls {
            command.arg("--tls-cert-file").arg(certificate).arg("--tls-key-file").arg(key);
        }
        if self.started_with.login.is_some() {
            command.arg("--auth");
        }
        let log = self.folder.path().join("log");
        let output = || OpenOptions::new().create(true).append(true).open(&log).map_err(|e| e.to_string());
        command.current_dir(self.folder.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(output()?).stderr(output()?);
        let child = command.spawn().map_err(|e| format!("{}: {e}", self.program.display()))?;
        let child = self.child.insert(child);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).await.is_err() {
            let ended = child.try_wait().map_err(|e| e.to_string())?;
            if ended.is_some() || Instant::now() > deadline {
                self.child = None;
                return Err(format!("the server did not start: {}", tail(&log)));
            }
            tokio::time::sleep(GLANCE).await;
        }
        Ok(())
    }
}

fn join(options: &str, more: &str) -> String {
    [options, more].into_iter().filter(|some| !some.is_empty()).collect::<Vec<_>>().join("&")
}

fn new_database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
    format!("laneway_test_{}_{now}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A port that nobody else has, and the socket that keeps it so: bound, never listening, and shared
/// with whoever was told of it, so that a restarted server finds its port free.
fn free_port() -> Result<(SocketAddr, TcpSocket), String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORTS {
        let step = std::process::id().wrapping_mul(37).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let place = u16::try_from(step % u32::from(PORTS)).unwrap_or_default();
        let address: SocketAddr = (Ipv4Addr::LOCALHOST, FIRST_PORT + place).into();
        let reserve = || {
            let socket = TcpSocket::new_v4()?;
            // Not to be shared while it is taken, so that it was nobody's, and from then on to be.
            socket.set_reuseaddr(false)?;
            socket.bind(address)?;
            socket.set_reuseaddr(true)?;
            Ok::<_, std::io::Error>(socket)
        };
        if let Ok(socket) = reserve() {
            return Ok((address, socket));
        }
    }
    Err("no port is free".to_owned())
}

/// The end of a log.
fn tail(path: &Path) -> String {
    const MOST: usize = 2000;
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let from = text.char_indices().rev().nth(MOST).map_or(0, |(at, _)| at);
    text[from..].to_owned()
}

fn no_mongodb(why: &str) -> String {
    format!("no MongoDB ({URI_VARIABLE} is not set, or not used here, and none can be started): {why}")
}
