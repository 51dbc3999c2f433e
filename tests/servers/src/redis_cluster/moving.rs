//! Slots that move from one node to another, as `redis-cli --cluster reshard` moves them.

use super::RedisCluster;
use crate::redis::Reply;

/// How many keys go at a time; `redis-cli` moves ten.
const AT_ONCE: usize = 10;

/// A slot on its way.
#[derive(Clone, Copy, Debug)]
pub struct Moving {
    slot: u16,
    from: usize,
    to: usize,
}

impl RedisCluster {
    /// Begins to move a slot to that node, or to another primary. What is new goes there from now on; what there is
    /// stays.
    ///
    /// # Errors
    /// What a node says.
    pub async fn begin_moving(&self, slot: u16, to: Option<usize>) -> Result<Moving, String> {
        let from = self.primary_of(slot).await?;
        let to = match to {
            Some(to) => to,
            None => self.another_primary(from).await?,
        };
        let ids = [self.id(from).await?, self.id(to).await?];
        let number = slot.to_string();
        self.nodes[to].command(&["CLUSTER", "SETSLOT", &number, "IMPORTING", &ids[0]]).await?;
        self.nodes[from].command(&["CLUSTER", "SETSLOT", &number, "MIGRATING", &ids[1]]).await?;
        Ok(Moving { slot, from, to })
    }

    /// Moves all keys of the slot, and ends it.
    ///
    /// # Errors
    /// What a node says.
    pub async fn end_moving(&self, moving: Moving) -> Result<(), String> {
        let Moving { slot, from, to } = moving;
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        let (slot, port) = (slot.to_string(), target.address().port().to_string());
        let host = target.address().ip().to_string();
        loop {
            let keys = source.command(&["CLUSTER", "GETKEYSINSLOT", &slot, &AT_ONCE.to_string()]).await?;
            if keys.items().is_empty() {
                break;
            }
            let mut migrate: Vec<String> = ["MIGRATE", &host, &port, "", "0", "5000", "KEYS"].map(str::to_owned).into();
            migrate.extend(keys.items().iter().map(Reply::text));
            source.command(&migrate).await?;
        }
        let id = self.id(to).await?;
        // The one that gets it first: nobody else may find it without an owner.
        let others = (0..self.nodes.len()).filter(|node| *node != to);
        for node in std::iter::once(to).chain(others) {
            if self.is_primary(node).await? {
                self.nodes[node].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]).await?;
            }
        }
        Ok(())
    }

    async fn id(&self, node: usize) -> Result<String, String> {
        Ok(self.nodes[node].command(&["CLUSTER", "MYID"]).await?.text())
    }

    async fn is_primary(&self, node: usize) -> Result<bool, String> {
        let replication = self.nodes[node].command(&["INFO", "replication"]).await?;
        Ok(replication.field("role").as_deref() == Some("master"))
    }

    /// The next primary behind that one.
    async fn another_primary(&self, than: usize) -> Result<usize, String> {
        for node in (1..self.nodes.len()).map(|n| (than + n) % self.nodes.len()) {
            if self.is_primary(node).await? {
                return Ok(node);
            }
        }
        Err("there is no other primary".to_owned())
    }
}
