//! Telling all workers that share a store what an operator wants, through whichever process was asked.

use super::Handle;
use super::inbox::{Answer, message, read_answer};
use laneway_domain::{Command, Partition};
use laneway_ports::{MESSAGE_KEPT, WorkerId, Workers};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long the answers of other processes are waited for. A message that was not taken by then is not
/// taken later.
pub const ANSWERED_WITHIN: Duration = MESSAGE_KEPT;
/// How often it is looked for answers meanwhile.
const GLANCE: Duration = Duration::from_millis(50);
/// The most partitions that an error names: a list of hundreds helps nobody.
const NAMED: usize = 20;

/// Carries out a command at every worker that it may concern, of those that share a store with so many
/// partitions: first at `own`, this process' worker, then through the register. `Ok(true)` if there
/// was something to do it to.
///
/// # Errors
/// Says which worker has not answered, or which partitions nobody works on. The command may have been
/// carried out elsewhere; commands can be given twice.
pub async fn command_all(
    workers: &dyn Workers,
    partitions: u32,
    own: Option<&Handle>,
    command: Command,
) -> Result<bool, String> {
    let mut heard = Heard::nothing(&command, partitions);
    if let Some(own) = own {
        let answer = own.tell(command.clone()).await;
        heard.answered(own.id(), answer);
    }
    // Where the own worker has the key's partition nobody else is asked.
    if !heard.is_enough() {
        match timeout(ANSWERED_WITHIN, ask_others(workers, own.map(Handle::id), command, &mut heard)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => heard.trouble.push(format!("the other workers cannot be asked: {error}")),
            Err(_) if heard.waiting.is_none() => {
                heard.trouble.push("the register of workers does not answer".to_owned());
            }
            Err(_) => {}
        }
    }
    heard.verdict()
}

async fn ask_others(
    workers: &dyn Workers,
    own: Option<&WorkerId>,
    command: Command,
    heard: &mut Heard,
) -> Result<(), String> {
    let question = format!("{:032x}", rand::random::<u128>());
    let message = message(&question, command)?;
    let there = workers.present().await.map_err(|error| error.to_string())?;
    let others: BTreeSet<WorkerId> =
        there.into_iter().map(|present| present.worker).filter(|w| Some(w) != own).collect();
    heard.waiting = Some(others.clone());
    for other in others {
        match workers.tell(&other, message.clone()).await {
            Ok(true) => {}
            // It has left in the meantime: its partitions are another's, or nobody's.
            Ok(false) => drop(heard.gone(&other)),
            Err(error) => heard.answered(&other, Err(error.to_string())),
        }
    }
    while heard.is_waiting() {
        sleep(GLANCE).await;
        for (worker, answer) in workers.answers(&question).await.map_err(|error| error.to_string())? {
            if heard.gone(&worker) {
                heard.answered(&worker, read_answer(&answer));
            }
        }
    }
    Ok(())
}

/// What has been heard of a command.
struct Heard {
    /// The partitions that it may concern, but for those whose worker has answered.
    unheard: BTreeSet<Partition>,
    /// Whether it concerns workers whatever their partitions.
    everyone: bool,
    /// Whether any worker had something to do it to.
    acted: bool,
    /// The other workers that have not answered; `None` while it is not known who is there.
    waiting: Option<BTreeSet<WorkerId>>,
    /// Whether any worker was there.
    somebody: bool,
    /// Who could not do it, and why.
    trouble: Vec<String>,
}

impl Heard {
    fn nothing(command: &Command, partitions: u32) -> Self {
        let (unheard, everyone) = match command {
            // Whoever has the key: a tenant's is where anybody's of that name is.
            Command::RetryKey { key, .. } | Command::SkipKey { key, .. } => match (key.partition, key.key.key()) {
                (Some(partition), _) => (BTreeSet::from([partition]), false),
                (None, Some(key)) => (BTreeSet::from([Partition::of(key.as_str(), partitions)]), false),
                (None, None) => ((0..partitions).map(Partition).collect(), false),
            },
            // A pause is the store's, and of every process that has seen the reason for it.
            Command::Resume { .. } => ((0..partitions).map(Partition).collect(), true),
            Command::Replay { from, .. } => (from.keys().copied().collect(), false),
            Command::BeginReplay { order, .. } => (order.ranges.keys().copied().collect(), false),
            Command::CancelReplay { .. } => ((0..partitions).map(Partition).collect(), false),
            // What nobody works on is the store's alone, which has forgotten it.
            Command::Forget { .. } => (BTreeSet::new(), true),
        };
        Self { unheard, everyone, acted: false, waiting: None, somebody: false, trouble: Vec::new() }
    }

    fn answered(&mut self, worker: &WorkerId, answer: Answer) {
        self.somebody = true;
        self.gone(worker);
        match answer {
            Ok(told) => {
                self.acted |= told.acted;
                self.unheard.retain(|partition| !told.partitions.contains(partition));
            }
            Err(why) => self.trouble.push(format!("worker {worker}: {why}")),
        }
    }

    /// Waits for the worker no longer. Whether it was waited for.
    fn gone(&mut self, worker: &WorkerId) -> bool {
        self.waiting.as_mut().is_some_and(|waiting| waiting.remove(worker))
    }

    fn is_waiting(&self) -> bool {
        !self.is_enough() && self.waiting.as_ref().is_some_and(|waiting| !waiting.is_empty())
    }

    /// Whether nobody else needs to answer.
    fn is_enough(&self) -> bool {
        let everyone = self.trouble.is_empty() && self.waiting.as_ref().is_some_and(BTreeSet::is_empty);
        self.unheard.is_empty() && (!self.everyone || everyone)
    }

    fn verdict(self) -> Result<bool, String> {
        if self.is_enough() {
            return Ok(self.acted);
        }
        let mut why = self.trouble;
        let silent = self.waiting.iter().flatten();
        why.extend(silent.map(|worker| format!("worker {worker} has not answered within {ANSWERED_WITHIN:?}")));
        if why.is_empty() && !self.somebody {
            return Err("no worker is there that could do it: start one, and try again".to_owned());
        }
        if why.is_empty() {
            why.push(format!("no worker says that it works on {}", named(&self.unheard)));
        }
        let part = if self.acted { "a part of it was done, but " } else { "" };
        Err(format!("{part}{}; try again in a few seconds", why.join("; ")))
    }
}

fn named(partitions: &BTreeSet<Partition>) -> String {
    let some: Vec<String> = partitions.iter().take(NAMED).map(ToString::to_string).collect();
    match (partitions.len(), some.len()) {
        (1, _) => format!("partition {}", some.join("")),
        (all, listed) if all > listed => format!("{all} partitions, {} among them", some.join(", ")),
        _ => format!("partitions {}", some.join(", ")),
    }
}

#[cfg(test)]
mod tests;
