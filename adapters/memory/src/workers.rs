//! The register of workers. It is not on the disk: a store may forget it.

use crate::{Call, MemoryStore};
use async_trait::async_trait;
use laneway_ports::{Present, StoreError, WorkerId, Workers};
use std::time::Duration;

#[async_trait]
impl Workers for MemoryStore {
    fn is_shared(&self) -> bool {
        true
    }

    async fn announce(&self, worker: &WorkerId, ttl: Duration) -> Result<Vec<WorkerId>, StoreError> {
        self.begin(Call::Register)?;
        let now = self.disk().now();
        Ok(self.disk().registered(|register| register.announce(worker, ttl, now)))
    }

    async fn report(&self, worker: &WorkerId, report: String) -> Result<(), StoreError> {
        self.begin(Call::Register)?;
        self.disk().registered(|register| register.report(worker, report))
    }

    async fn leave(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.begin(Call::Register)?;
        self.disk().registered(|register| register.leave(worker));
        Ok(())
    }

    async fn present(&self) -> Result<Vec<Present>, StoreError> {
        self.begin(Call::Register)?;
        let now = self.disk().now();
        Ok(self.disk().registered(|register| register.present(now)))
    }

    async fn tell(&self, to: &WorkerId, message: String) -> Result<bool, StoreError> {
        self.begin(Call::Register)?;
        let now = self.disk().now();
        self.disk().registered(|register| register.tell(to, message, now))
    }

    async fn inbox(&self, worker: &WorkerId) -> Result<Vec<String>, StoreError> {
        self.begin(Call::Register)?;
        let now = self.disk().now();
        Ok(self.disk().registered(|register| register.inbox(worker, now)))
    }

    async fn answer(&self, question: &str, worker: &WorkerId, answer: String) -> Result<(), StoreError> {
        self.begin(Call::Register)?;
        let now = self.disk().now();
        self.disk().registered(|register| register.answer(question, worker, answer, now))
    }

    async fn answers(&self, question: &str) -> Result<Vec<(WorkerId, String)>, StoreError> {
        self.begin(Call::Register)?;
        let now = self.disk().now();
        Ok(self.disk().registered(|register| register.answers(question, now)))
    }
}
