//! A Redis Cluster of a test's own, on loopback.

mod moving;

pub use moving::Moving;

use crate::redis::{RedisServer, RedisSettings};
use crate::waiting::wait;
use std::time::Duration;

/// How many slots a Cluster has.
pub const SLOTS: usize = 16_384;
/// How long a node may be silent before the others take it for dead. Short, so that tests are; long
/// enough that a busy machine does not look like a dead one.
pub const NODE_TIMEOUT: Duration = Duration::from_millis(1500);

/// A Cluster. The first nodes are made primaries; failovers change that.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts `primaries` nodes with all slots spread evenly, and `replicas` further nodes, the
    /// nth of which replicates the nth primary (and so on around).
    ///
    /// # Errors
    /// Says which node does what instead.
    pub async fn start(primaries: usize, replicas: usize, settings: RedisSettings) -> Result<Self, String> {
        let settings = settings
            .with("cluster-enabled", "yes")
            .with("cluster-node-timeout", NODE_TIMEOUT.as_millis())
            // A replica is promoted however late it is: tests want to see what happens then.
            .with("cluster-replica-validity-factor", 0)
            .with("repl-diskless-sync-delay", 0);
        let mut nodes = Vec::new();
        for _ in 0..primaries + replicas {
            nodes.push(RedisServer::start(settings.clone()).await?);
        }
        let cluster = Self { nodes };
        cluster.introduce(primaries).await?;
        cluster.replicate(primaries).await?;
        cluster.wait_healthy().await?;
        Ok(cluster)
    }

    async fn introduce(&self, primaries: usize) -> Result<(), String> {
        for (nth, node) in self.nodes.iter().enumerate() {
            let epoch = (nth + 1).to_string();
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await?;
            if nth < primaries {
                let (first, last) = (nth * SLOTS / primaries, (nth + 1) * SLOTS / primaries - 1);
                node.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await?;
            }
            if let Some(first) = self.nodes.first().filter(|_| nth > 0) {
                let (host, port) = (first.address().ip().to_string(), first.port().to_string());
                node.command(&["CLUSTER", "MEET", &host, &port]).await?;
            }
        }
        let all = self.nodes.len();
        wait("all nodes know all others", async || {
            for node in &self.nodes {
                let known = node.command(&["CLUSTER", "NODES"]).await?.text();
                let met =
                    known.lines().filter(|line| !line.contains("handshake") && line.contains(" connected")).count();
                if met != all {
                    return Err(format!("{} knows:\n{known}", node.address()));
                }
            }
            Ok(())
        })
        .await
    }

    async fn replicate(&self, primaries: usize) -> Result<(), String> {
        for (nth, replica) in self.nodes.iter().skip(primaries).enumerate() {
            let Some(primary) = self.nodes.get(nth % primaries) else { continue };
            let id = primary.command(&["CLUSTER", "MYID"]).await?.text();
            replica.command(&["CLUSTER", "REPLICATE", &id]).await?;
        }
        Ok(())
    }

    /// Its URL, with all of its nodes.
    #[must_use]
    pub fn url(&self) -> String {
        let mut urls = self.nodes.iter().map(RedisServer::url);
        let first = urls.next().unwrap_or_default().replacen("://", "-cluster://", 1);
        let others: Vec<String> = urls.filter_map(|url| Some(format!("node={}", url.split_once("://")?.1))).collect();
        format!("{first}?{}", others.join("&"))
    }

    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The node with that number, to be killed, restarted, stopped.
    ///
    /// # Panics
    /// If there is none.
    pub fn node_mut(&mut self, node: usize) -> &mut RedisServer {
        &mut self.nodes[node]
    }

    /// The nodes that have the slot, as the running ones say: the primary, then its replicas.
    ///
    /// # Errors
    /// If nobody knows.
    pub async fn nodes_of(&self, slot: u16) -> Result<Vec<usize>, String> {
        let mut why = "no node is running".to_owned();
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            match self.nodes_of_by(node, slot).await {
                Ok(nodes) => return Ok(nodes),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// By CLUSTER NODES: CLUSTER SLOTS leaves out replicas that have not replicated anything yet.
    async fn nodes_of_by(&self, asked: &RedisServer, slot: u16) -> Result<Vec<usize>, String> {
        let known = asked.command(&["CLUSTER", "NODES"]).await?.text();
        let lines: Vec<Vec<&str>> = known.lines().map(|line| line.split_ascii_whitespace().collect()).collect();
        let has = |line: &&Vec<&str>| line.iter().skip(8).any(|range| contains(range, slot));
        let primary = lines.iter().find(has).ok_or(format!("nobody has slot {slot}"))?;
        let id = primary.first().copied().unwrap_or_default();
        let replicas = lines.iter().filter(|line| line.get(3) == Some(&id));
        let node = |line: &Vec<&str>| {
            let (address, _) = line.get(1)?.split_once('@')?;
            self.nodes.iter().position(|node| node.address().to_string() == address)
        };
        Ok(std::iter::once(primary).chain(replicas).filter_map(node).collect())
    }

    /// The primary that has the slot.
    ///
    /// # Errors
    /// If nobody knows.
    pub async fn primary_of(&self, slot: u16) -> Result<usize, String> {
        let nodes = self.nodes_of(slot).await?;
        nodes.first().copied().ok_or(format!("slot {slot} is on a node of somebody else"))
    }

    /// Waits until all running nodes say that another node than `old` is the slot's primary.
    ///
    /// # Errors
    /// What they say instead.
    pub async fn wait_failover(&self, slot: u16, old: usize) -> Result<usize, String> {
        wait("a replica is promoted", async || {
            let mut new = None;
            for node in self.nodes.iter().filter(|node| node.is_running()) {
                let nodes = self.nodes_of_by(node, slot).await?;
                new = nodes.first().copied().filter(|primary| *primary != old);
                if new.is_none()
                    || node.command(&["CLUSTER", "INFO"]).await?.field("cluster_state").as_deref() != Some("ok")
                {
                    return Err(format!("{} still says that {nodes:?} have slot {slot}", node.address()));
                }
            }
            new.ok_or("nobody is running".to_owned())
        })
        .await
    }

    /// Waits until every running node finds the Cluster in order, and every running replica has
    /// what its primary has.
    ///
    /// # Errors
    /// What is not in order.
    pub async fn wait_healthy(&self) -> Result<(), String> {
        wait("the cluster is healthy", async || {
            for node in self.nodes.iter().filter(|node| node.is_running()) {
                let info = node.command(&["CLUSTER", "INFO"]).await?;
                let replication = node.command(&["INFO", "replication"]).await?;
                let linked = replication.field("role").as_deref() == Some("master")
                    || replication.field("master_link_status").as_deref() == Some("up");
                if info.field("cluster_state").as_deref() != Some("ok") || !linked {
                    return Err(format!("{}:\n{}\n{}", node.address(), info.text(), replication.text()));
                }
            }
            self.check_replicas().await
        })
        .await
    }

    /// Waits until all nodes find the Cluster in order, and so many of them replicate another; also while
    /// events flow, when no replica ever has exactly what its primary has.
    ///
    /// # Errors
    /// What is not in order.
    pub async fn wait_replicated(&self, replicas: usize) -> Result<(), String> {
        wait("the replicas follow", async || {
            let mut linked = 0;
            for node in &self.nodes {
                let info = node.command(&["CLUSTER", "INFO"]).await?;
                let replication = node.command(&["INFO", "replication"]).await?;
                if info.field("cluster_state").as_deref() != Some("ok") {
                    return Err(format!("{}:\n{}", node.address(), info.text()));
                }
                linked += usize::from(replication.field("master_link_status").as_deref() == Some("up"));
            }
            if linked == replicas { Ok(()) } else { Err(format!("{linked} of {replicas} replicas follow")) }
        })
        .await
    }

    /// Every primary has the replicas that say so.
    async fn check_replicas(&self) -> Result<(), String> {
        let (mut replicas, mut connected) = (0, 0);
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            let replication = node.command(&["INFO", "replication"]).await?;
            if replication.field("role").as_deref() == Some("master") {
                let text = replication.text();
                let all = format!("offset={},", replication.field("master_repl_offset").unwrap_or_default());
                let in_sync = |line: &&str| line.contains("state=online") && line.contains(&all);
                connected += text.lines().filter(|line| line.starts_with("slave")).filter(in_sync).count();
            } else {
                replicas += 1;
            }
        }
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            let known = node.command(&["CLUSTER", "NODES"]).await?.text();
            let seen = known.lines().filter(|line| line.contains("slave ") && line.contains(" connected")).count();
            if seen != replicas || connected != replicas {
                return Err(format!(
                    "{connected} of {replicas} replicas are in sync, and {} knows of {seen}:\n{known}",
                    node.address()
                ));
            }
        }
        Ok(())
    }
}

/// Whether a range of slots, as in `0-5460` or `7`, has this one.
fn contains(range: &str, slot: u16) -> bool {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
}

/// The slot of all keys with that hash tag (CRC16/XMODEM of it, modulo 16384).
#[must_use]
pub fn slot_of(tag: &str) -> u16 {
    let mut crc = 0_u16;
    for byte in tag.bytes() {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
        }
    }
    crc % 16_384
}
