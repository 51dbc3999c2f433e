//! The register of a store that lives in one process.

use super::{
    ANSWERS_KEPT, MAX_REPORT_BYTES, MAX_WAITING_MESSAGES, MESSAGE_KEPT, Present, check_answer, check_message,
    inbox_full,
};
use crate::{StoreError, WorkerId};
use laneway_domain::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// What [`super::Workers`] promises, as plain data: for stores that one process has to itself.
#[derive(Clone, Debug, Default)]
pub struct Register {
    there: BTreeMap<WorkerId, Entry>,
    answers: BTreeMap<String, Answers>,
}

#[derive(Clone, Debug)]
struct Entry {
    until: Timestamp,
    report: String,
    /// Each with the moment until which it may be taken.
    inbox: Vec<(Timestamp, String)>,
}

#[derive(Clone, Debug)]
struct Answers {
    until: Timestamp,
    by: BTreeMap<WorkerId, String>,
}

impl Register {
    /// See [`super::Workers::announce`].
    pub fn announce(&mut self, worker: &WorkerId, ttl: Duration, now: Timestamp) -> Vec<WorkerId> {
        self.expire(now);
        let until = now.after(ttl);
        self.there.entry(worker.clone()).and_modify(|entry| entry.until = until).or_insert_with(|| Entry {
            until,
            report: String::new(),
            inbox: Vec::new(),
        });
        self.there.keys().cloned().collect()
    }

    /// See [`super::Workers::report`].
    ///
    /// # Errors
    /// If it is too large.
    pub fn report(&mut self, worker: &WorkerId, report: String) -> Result<(), StoreError> {
        if report.len() > MAX_REPORT_BYTES {
            let (bytes, most) = (report.len(), MAX_REPORT_BYTES);
            return Err(StoreError::refused(format!(
                "a report of {bytes} bytes is more than the {most} that are kept"
            )));
        }
        if let Some(entry) = self.there.get_mut(worker) {
            entry.report = report;
        }
        Ok(())
    }

    /// See [`super::Workers::leave`].
    pub fn leave(&mut self, worker: &WorkerId) {
        self.there.remove(worker);
    }

    /// See [`super::Workers::present`].
    pub fn present(&mut self, now: Timestamp) -> Vec<Present> {
        self.expire(now);
        let present =
            |(worker, entry): (&WorkerId, &Entry)| Present { worker: worker.clone(), report: entry.report.clone() };
        self.there.iter().map(present).collect()
    }

    /// See [`super::Workers::tell`].
    ///
    /// # Errors
    /// If it is too large, or too many wait.
    pub fn tell(&mut self, to: &WorkerId, message: String, now: Timestamp) -> Result<bool, StoreError> {
        check_message(&message)?;
        self.expire(now);
        let Some(entry) = self.there.get_mut(to) else { return Ok(false) };
        if entry.inbox.len() >= MAX_WAITING_MESSAGES {
            return Err(inbox_full(to));
        }
        entry.inbox.push((now.after(MESSAGE_KEPT), message));
        Ok(true)
    }

    /// See [`super::Workers::inbox`].
    pub fn inbox(&mut self, worker: &WorkerId, now: Timestamp) -> Vec<String> {
        self.expire(now);
        let taken = self.there.get_mut(worker).map(|entry| std::mem::take(&mut entry.inbox));
        taken.unwrap_or_default().into_iter().map(|(_, message)| message).collect()
    }

    /// See [`super::Workers::answer`].
    ///
    /// # Errors
    /// If it or the question's name is too large.
    pub fn answer(
        &mut self,
        question: &str,
        worker: &WorkerId,
        answer: String,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        check_answer(question, &answer)?;
        self.expire(now);
        let until = now.after(ANSWERS_KEPT);
        let none = || Answers { until, by: BTreeMap::new() };
        let answers = self.answers.entry(question.to_owned()).or_insert_with(none);
        answers.until = until;
        answers.by.insert(worker.clone(), answer);
        Ok(())
    }

    /// See [`super::Workers::answers`].
    pub fn answers(&mut self, question: &str, now: Timestamp) -> Vec<(WorkerId, String)> {
        self.expire(now);
        let answers = self.answers.get(question).map(|answers| answers.by.clone());
        answers.unwrap_or_default().into_iter().collect()
    }

    fn expire(&mut self, now: Timestamp) {
        self.there.retain(|_, entry| entry.until > now);
        for entry in self.there.values_mut() {
            entry.inbox.retain(|(until, _)| *until > now);
        }
        self.answers.retain(|_, answers| answers.until > now);
    }
}
