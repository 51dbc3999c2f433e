//! A primary with a replica, and a Sentinel that replaces the one by the other.

use crate::redis::{RedisServer, RedisSettings, ask, free_port};
use crate::waiting::wait;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// What the Sentinel calls them.
const SERVICE: &str = "main";
/// How long the primary may be silent before the Sentinel replaces it.
pub const DOWN_AFTER: Duration = Duration::from_secs(1);

/// Two servers, one of which replicates the other, and a Sentinel whose word alone counts. Ended when dropped.
#[derive(Debug)]
pub struct RedisSentinel {
    servers: [RedisServer; 2],
    port: u16,
    tls_port: Option<u16>,
    child: Child,
    _folder: TempDir,
}

impl RedisSentinel {
    /// Starts them, and resolves when the Sentinel knows both servers.
    ///
    /// # Errors
    /// Says what does not come about.
    pub async fn start(settings: RedisSettings) -> Result<Self, String> {
        Self::start_in(settings, [None, None]).await
    }

    /// The same with the data of both in these folders, which stay. What is in the first one is what there is: the
    /// second server replicates the first.
    ///
    /// # Errors
    /// As [`RedisSentinel::start`].
    pub async fn start_in(settings: RedisSettings, kept: [Option<&Path>; 2]) -> Result<Self, String> {
        let settings = settings.with("repl-diskless-sync-delay", 0);
        let [first, second] = kept;
        // Whoever looks for processes that were left behind finds the Sentinel by its folder too.
        let beside = first.map(Path::to_owned);
        let first = RedisServer::start_in(settings.clone(), first).await?;
        let servers = [first, RedisServer::start_in(settings.clone(), second).await?];
        let folder = tempfile::Builder::new().prefix("laneway-sentinel-").tempdir().map_err(|e| e.to_string())?;
        let (port, tls_port) = (free_port()?, settings.tls().map(|_| free_port()).transpose()?);
        let [primary, replica] = &servers;
        let (host, watched) = (primary.address().ip().to_string(), primary.port().to_string());
        replica.command(&["REPLICAOF", &host, &watched]).await?;
        // A Sentinel asks a primary for its replicas at once, and then every ten seconds.
        wait("the replica follows", async || follows(primary).await).await?;
        let down_after = DOWN_AFTER.as_millis();
        let mut text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor {SERVICE} {host} {watched} 1\n\
             sentinel down-after-milliseconds {SERVICE} {down_after}\nsentinel failover-timeout {SERVICE} 10000\n"
        );
        if let (Some(tls), Some(tls_port)) = (settings.tls(), tls_port) {
            text.extend(tls.settings(tls_port).iter().map(|(name, value)| format!("{name} {value}\n")));
        }
        let file = folder.path().join("sentinel.conf");
        std::fs::write(&file, text).map_err(|e| e.to_string())?;
        let mut command = Command::new(primary.program());
        command.arg(&file).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(folder) = beside {
            command.current_dir(folder);
        }
        let child = command.spawn().map_err(|e| e.to_string())?;
        let sentinel = Self { servers, port, tls_port, child, _folder: folder };
        let knows = async || {
            let known = sentinel.ask(&["SENTINEL", "REPLICAS", SERVICE]).await?;
            if known.items().len() == 1 { Ok(()) } else { Err(known.text()) }
        };
        wait("the Sentinel knows the replica", knows).await?;
        Ok(sentinel)
    }

    async fn ask(&self, command: &[&str]) -> Result<crate::redis::Reply, String> {
        ask(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)), command).await
    }

    /// The URL of the service.
    #[must_use]
    pub fn url(&self) -> String {
        let (scheme, port) = self.tls_port.map_or(("redis", self.port), |port| ("rediss", port));
        format!("{scheme}-sentinel://127.0.0.1:{port}?sentinelServiceName={SERVICE}")
    }

    /// Both servers.
    #[must_use]
    pub fn servers(&self) -> &[RedisServer; 2] {
        &self.servers
    }

    /// The server with that number, to be killed, restarted, stopped.
    ///
    /// # Panics
    /// If there is none.
    pub fn server_mut(&mut self, server: usize) -> &mut RedisServer {
        &mut self.servers[server]
    }

    /// The number of the server that the Sentinel calls the primary.
    ///
    /// # Errors
    /// If it does not answer, or names another.
    pub async fn primary(&self) -> Result<usize, String> {
        let named = self.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]).await?;
        let port = named.items().get(1).and_then(|port| u16::try_from(port.number()?).ok());
        let primary = self.servers.iter().position(|server| Some(server.port()) == port);
        primary.ok_or_else(|| format!("the Sentinel names {}", named.text()))
    }

    /// Waits until another server than `old` is the primary, by the Sentinel's word and its own.
    ///
    /// # Errors
    /// What is said instead.
    pub async fn wait_failover(&self, old: usize) -> Result<usize, String> {
        wait("the replica is promoted", async || {
            let primary = self.primary().await?;
            let info = self.servers[primary].command(&["INFO", "replication"]).await?;
            match info.field("role").as_deref() {
                Some("master") if primary != old => Ok(primary),
                role => Err(format!("server {primary} is {role:?}")),
            }
        })
        .await
    }

    /// Waits until one server replicates the other, and the Sentinel knows that.
    ///
    /// # Errors
    /// What is not so.
    pub async fn wait_replicated(&self) -> Result<(), String> {
        wait("the replica follows", async || follows(&self.servers[self.primary().await?]).await).await
    }
}

/// Whether somebody replicates the server.
async fn follows(primary: &RedisServer) -> Result<(), String> {
    let replication = primary.command(&["INFO", "replication"]).await?.text();
    if replication.contains("state=online") { Ok(()) } else { Err(replication) }
}

impl Drop for RedisSentinel {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
