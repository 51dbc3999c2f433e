//! The register of workers, in a slot of its own; `lua/workers.lua` says what is in it.

use crate::dead_letters::field;
use crate::failure::Effect;
use crate::progress::answer;
use crate::store::RedisStore;
use async_trait::async_trait;
use bytes::Bytes;
use laneway_ports::{MAX_REPORT_BYTES, Present, StoreError, WorkerId, Workers};
use std::time::Duration;

fn ids(answer: fred::types::Value) -> Result<Vec<WorkerId>, StoreError> {
    let mut ids: Vec<WorkerId> = answer::texts(answer)?.into_iter().map(WorkerId).collect();
    ids.sort();
    Ok(ids)
}

fn bytes(worker: &WorkerId) -> Bytes {
    worker.0.clone().into()
}

impl RedisStore {
    fn register(&self) -> [String; 2] {
        [self.shared.keys.workers(), self.shared.keys.reports()]
    }
}

#[async_trait]
impl Workers for RedisStore {
    async fn announce(&self, worker: &WorkerId, ttl: Duration) -> Result<Vec<WorkerId>, StoreError> {
        // A time of zero would take it away before it is seen.
        let millis = ttl.as_millis().max(1);
        let args = vec![bytes(worker), millis.to_string().into()];
        ids(self.shared.redis.call("laneway_announce", Effect::Writes, &self.register(), args).await?)
    }

    async fn report(&self, worker: &WorkerId, report: String) -> Result<(), StoreError> {
        if report.len() > MAX_REPORT_BYTES {
            return Err(StoreError::refused(format!(
                "the report of worker {worker} has {} bytes; at most {MAX_REPORT_BYTES} are kept",
                report.len()
            )));
        }
        let args = vec![bytes(worker), report.into()];
        self.shared.redis.call("laneway_report", Effect::Writes, &self.register(), args).await?;
        Ok(())
    }

    async fn leave(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.shared.redis.call("laneway_leave", Effect::Writes, &self.register(), vec![bytes(worker)]).await?;
        Ok(())
    }

    async fn present(&self) -> Result<Vec<Present>, StoreError> {
        let [workers, reports] = self.register();
        let there = ids(self.shared.redis.call("laneway_present", Effect::Reads, &[workers], Vec::new()).await?)?;
        let mut present = Vec::with_capacity(there.len());
        // One at a time: a report may have megabytes, and all of them together too many for one answer.
        for worker in there {
            let report = field(&self.shared.redis, &reports, &worker.0).await?.unwrap_or_default();
            let report = String::from_utf8_lossy(&report).into_owned();
            present.push(Present { worker, report });
        }
        Ok(present)
    }
}
