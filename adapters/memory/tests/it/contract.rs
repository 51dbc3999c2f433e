//! The reference store keeps what the ports promise, and a store that is broken on purpose does not.

use async_trait::async_trait;
use laneway_domain::{DestinationName, Offset, Partition};
use laneway_memory::{Disk, MemoryStore, Settings};
use laneway_ports::contract::{Damage, Subject};
use std::time::Duration;

struct Crashing(MemoryStore);

#[async_trait]
impl Subject for Crashing {
    type Store = MemoryStore;

    async fn create(partitions: u32) -> Self {
        Self(MemoryStore::open(Disk::new(partitions), Settings::default()))
    }

    fn store(&self) -> &MemoryStore {
        &self.0
    }

    async fn another(&self) -> Option<MemoryStore> {
        Some(MemoryStore::open(self.0.disk().clone(), Settings::default()))
    }

    async fn reopen(self) -> Self {
        self.0.crash(0);
        Self(MemoryStore::open(self.0.disk().clone(), Settings::default()))
    }

    async fn pass(&self, time: Duration) {
        tokio::time::advance(time).await;
    }

    async fn damage(&self, partition: Partition, offset: Offset, of: &DestinationName, damage: Damage) -> bool {
        match damage {
            Damage::Copy => self.0.disk().damage_copy(partition, offset, of),
            _ => self.0.disk().damage_dead_letter(partition, offset, of),
        }
    }
}

laneway_ports::event_log_contract!(Crashing, #[tokio::test(start_paused = true)]);
laneway_ports::progress_store_contract!(Crashing, #[tokio::test(start_paused = true)]);
laneway_ports::dead_letters_contract!(Crashing, #[tokio::test(start_paused = true)]);
laneway_ports::history_contract!(Crashing, #[tokio::test(start_paused = true)]);
laneway_ports::extent_contract!(Crashing, #[tokio::test(start_paused = true)]);
laneway_ports::workers_contract!(Crashing, #[tokio::test(start_paused = true)]);
laneway_ports::registry_contract!(Crashing, #[tokio::test(start_paused = true)]);
laneway_ports::tokens_contract!(Crashing, #[tokio::test(start_paused = true)]);
laneway_ports::tenants_contract!(Crashing, #[tokio::test(start_paused = true)]);

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_destinations_are_written_and_read_in_pages() {
    laneway_ports::contract::registry::as_many_destinations::<Crashing>(100_000).await;
}
