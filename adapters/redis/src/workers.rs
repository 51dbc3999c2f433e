//! The register of workers, in a slot of its own; `lua/workers.lua` says what is in it.

use crate::dead_letters::field;
use crate::failure::Effect;
use crate::progress::answer;
use crate::store::RedisStore;
use async_trait::async_trait;
use bytes::Bytes;
use laneway_ports::{
    ANSWERS_KEPT, MAX_REPORT_BYTES, MAX_WAITING_MESSAGES, MESSAGE_KEPT, Present, StoreError, WorkerId, Workers,
    check_answer, check_message, inbox_full,
};
use std::time::Duration;

fn ids(answer: fred::types::Value) -> Result<Vec<WorkerId>, StoreError> {
    let mut ids: Vec<WorkerId> = answer::texts(answer)?.into_iter().map(WorkerId).collect();
    ids.sort();
    Ok(ids)
}

fn millis(time: Duration) -> Bytes {
    time.as_millis().to_string().into()
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
    fn is_shared(&self) -> bool {
        true
    }

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
        let [workers, reports] = self.register();
        let keys = [workers, reports, self.shared.keys.inbox(worker)];
        self.shared.redis.call("laneway_leave", Effect::Writes, &keys, vec![bytes(worker)]).await?;
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

    async fn tell(&self, to: &WorkerId, message: String) -> Result<bool, StoreError> {
        check_message(&message)?;
        let keys = [self.shared.keys.workers(), self.shared.keys.inbox(to)];
        let args = vec![bytes(to), message.into(), millis(MESSAGE_KEPT), MAX_WAITING_MESSAGES.to_string().into()];
        match self.shared.redis.call("laneway_tell", Effect::Writes, &keys, args).await?.as_i64() {
            Some(0) => Ok(false),
            Some(-1) => Err(inbox_full(to)),
            _ => Ok(true),
        }
    }

    async fn inbox(&self, worker: &WorkerId) -> Result<Vec<String>, StoreError> {
        let keys = [self.shared.keys.inbox(worker)];
        answer::texts(self.shared.redis.call("laneway_inbox", Effect::Writes, &keys, Vec::new()).await?)
    }

    async fn answer(&self, question: &str, worker: &WorkerId, answer: String) -> Result<(), StoreError> {
        check_answer(question, &answer)?;
        let keys = [self.shared.keys.answers(question)];
        let args = vec![bytes(worker), answer.into(), millis(ANSWERS_KEPT)];
        self.shared.redis.call("laneway_answer", Effect::Writes, &keys, args).await?;
        Ok(())
    }

    async fn answers(&self, question: &str) -> Result<Vec<(WorkerId, String)>, StoreError> {
        let keys = [self.shared.keys.answers(question)];
        let said = self.shared.redis.call("laneway_answers", Effect::Reads, &keys, Vec::new()).await?;
        let mut said = answer::texts(said)?.into_iter();
        let mut answers = Vec::new();
        while let (Some(worker), Some(answer)) = (said.next(), said.next()) {
            answers.push((WorkerId(worker), answer));
        }
        answers.sort();
        Ok(answers)
    }
}
