//! The register of workers. A file has one process, so that the register is in its memory: nobody
//! else could look, and nothing of it is worth keeping when the process ends.

use crate::SqliteStore;
use async_trait::async_trait;
use laneway_ports::{Present, Register, StoreError, WorkerId, Workers};
use std::sync::PoisonError;
use std::time::Duration;

impl SqliteStore {
    fn registered<T>(&self, act: impl FnOnce(&mut Register) -> T) -> T {
        act(&mut self.register.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Workers for SqliteStore {
    fn is_shared(&self) -> bool {
        false
    }

    async fn announce(&self, worker: &WorkerId, ttl: Duration) -> Result<Vec<WorkerId>, StoreError> {
        Ok(self.registered(|register| register.announce(worker, ttl, self.clock.now())))
    }

    async fn report(&self, worker: &WorkerId, report: String) -> Result<(), StoreError> {
        self.registered(|register| register.report(worker, report))
    }

    async fn leave(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.registered(|register| register.leave(worker));
        Ok(())
    }

    async fn present(&self) -> Result<Vec<Present>, StoreError> {
        Ok(self.registered(|register| register.present(self.clock.now())))
    }

    async fn tell(&self, to: &WorkerId, message: String) -> Result<bool, StoreError> {
        self.registered(|register| register.tell(to, message, self.clock.now()))
    }

    async fn inbox(&self, worker: &WorkerId) -> Result<Vec<String>, StoreError> {
        Ok(self.registered(|register| register.inbox(worker, self.clock.now())))
    }

    async fn answer(&self, question: &str, worker: &WorkerId, answer: String) -> Result<(), StoreError> {
        self.registered(|register| register.answer(question, worker, answer, self.clock.now()))
    }

    async fn answers(&self, question: &str) -> Result<Vec<(WorkerId, String)>, StoreError> {
        Ok(self.registered(|register| register.answers(question, self.clock.now())))
    }
}
