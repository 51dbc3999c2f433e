//! A Sentinel that replaces the primary.

use super::{append, append_surely, connect, ids_from, wait_for};
use laneway_domain::Offset;
use laneway_servers::redis::{RedisServer, RedisSettings};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// One Sentinel, whose word alone counts. Ended when dropped.
struct Sentinel {
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl Sentinel {
    fn watch(primary: &RedisServer) -> Self {
        let folder = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = folder.path().join("sentinel.conf");
        let (host, watched) = (primary.address().ip(), primary.address().port());
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main {host} {watched} 1\n\
             sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 10000\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(&file).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { port, child: command.spawn().unwrap(), _folder: folder }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn replica_of(primary: &RedisServer) -> RedisServer {
    let replica = RedisServer::start(RedisSettings::default()).await.unwrap();
    let (host, port) = (primary.address().ip().to_string(), primary.address().port().to_string());
    replica.command(&["REPLICAOF", &host, &port]).await.unwrap();
    let linked = async || {
        let info = primary.command(&["INFO", "replication"]).await.unwrap().text();
        info.contains("state=online").then_some(())
    };
    wait_for("the replica is in sync", linked).await;
    replica
}

#[tokio::test]
async fn a_primary_that_sentinel_replaces_is_followed_without_loss() {
    let mut primary = RedisServer::start(RedisSettings::default()).await.unwrap();
    let replica = replica_of(&primary).await;
    let sentinel = Sentinel::watch(&primary);
    let url = format!("redis-sentinel://127.0.0.1:{}?sentinelServiceName=main", sentinel.port);
    let store =
        wait_for("the Sentinel answers", async || connect(&url, |options| options.replicas = 1).await.ok()).await;
    for n in 0..20 {
        append(&store, &format!("a{n}")).await.unwrap();
    }
    // A Sentinel learns of replicas by asking the primary every ten seconds.
    let sentinel_knows = async || {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], sentinel.port));
        let known = laneway_servers::redis::ask(address, &["SENTINEL", "REPLICAS", "main"]).await.ok()?;
        (known.items().len() == 1).then_some(())
    };
    wait_for("the Sentinel knows the replica", sentinel_knows).await;
    primary.kill();
    let promoted = async || {
        // A promotion cuts the connections of that moment.
        let info = replica.command(&["INFO", "replication"]).await.ok()?;
        (info.field("role").as_deref() == Some("master")).then_some(())
    };
    wait_for("the replica is promoted", promoted).await;
    primary.restart().await.unwrap();
    append_surely(&store, "b").await;
    let mut ids = ids_from(&store, Offset(0)).await;
    ids.dedup();
    assert_eq!(ids.len(), 21, "{ids:?}");
    assert_eq!((ids[0].as_str(), ids[19].as_str(), ids[20].as_str()), ("a0", "a19", "b"));
}
