//! How much memory the servers take.

use crate::failure::Effect;
use crate::inspection::parse_info;
use crate::store::RedisStore;
use async_trait::async_trait;
use fred::types::ClusterHash;
use fred::types::config::Server;
use futures_util::future::join_all;
use laneway_ports::{Extent, StoreError, StoreExtent, StorePart};

#[async_trait]
impl StoreExtent for RedisStore {
    async fn extent(&self) -> Extent {
        let nodes = self.shared.redis.primaries();
        let mut extent = Extent::default();
        for asked in join_all(nodes.iter().map(|node| self.memory_of(node.as_ref()))).await {
            match asked {
                Ok(part) => extent.parts.push(part),
                Err(error) => extent.not_asked.push(error.to_string()),
            }
        }
        extent.parts.sort_by(|a, b| a.name.cmp(&b.name));
        extent
    }
}

impl RedisStore {
    async fn memory_of(&self, node: Option<&Server>) -> Result<StorePart, StoreError> {
        let name = match node {
            Some(node) => format!("Redis at {node}"),
            None => format!("Redis at {}", self.shared.redis.place()),
        };
        let there = self.shared.redis.at(node);
        let answer = there.command("INFO", ClusterHash::Random, vec!["memory".into()], Effect::Reads).await?;
        let info = parse_info(&answer.into_string().unwrap_or_default());
        let number = |field: &str| info.get(field).and_then(|text| text.parse::<u64>().ok());
        let bytes = number("used_memory")
            .ok_or_else(|| StoreError::unknown(format!("{name} does not say how much memory it takes")))?;
        // 0: whatever the machine has.
        Ok(StorePart { name, bytes, most: number("maxmemory").filter(|most| *most > 0) })
    }
}
