//! The ledger of the soak: what was acknowledged, and what each destination has had of it. It only judges.
//!
//! The events of a key are numbered from 1. Their producer sends the next one only when it knows that the last one was
//! stored. So one number per key says all that was acknowledged, and one per key and destination all that has arrived.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How many findings are kept as text; further ones are only counted.
const MOST_FINDINGS: usize = 20;

/// One request of Laneway's, as a destination sees it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The event's key.
    pub key: &'a str,
    /// Its number among the events of its key.
    pub number: u64,
    /// Its offset in the log.
    pub offset: u64,
    /// Whether it is a dead letter that an operator retries.
    pub redrive: bool,
}

/// What a destination answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Success.
    Takes,
    /// That it will never take the event.
    Rejects,
    /// A failure, or nothing at all.
    Fails,
}

/// How far a key has come at a destination.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Reached {
    number: u64,
    offset: u64,
}

/// The account of one destination.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Account {
    reached: BTreeMap<String, Reached>,
    /// The sum of the numbers that keys have reached.
    settled: u64,
    /// Events that were rejected, and not yet retried.
    dead: BTreeSet<(String, u64)>,
    /// Events that later ones of their key have overtaken.
    overtaken: BTreeSet<(String, u64)>,
    /// Requests beyond the first for an event that had been taken or rejected.
    pub duplicates: u64,
    /// Dead letters that were retried and taken.
    pub retried: u64,
    /// Events that were overtaken by a later one of their key.
    pub out_of_order: u64,
}

/// What Laneway says of a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// Events that wait.
    pub pending: u64,
    /// Attempts under way.
    pub in_flight: u64,
    /// Dead letters.
    pub dead: u64,
}

/// The figures of one destination: acknowledged = delivered + dead + pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Events that had their 202.
    pub acknowledged: u64,
    /// Of these, what has arrived and was taken.
    pub delivered: u64,
    /// Of these, what was rejected.
    pub dead: u64,
    /// Of these, what has not arrived.
    pub pending: u64,
}

/// What was acknowledged, and the account of each destination.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Of each key, the number of the last event that had its 202.
    acknowledged: BTreeMap<String, u64>,
    /// The sum of these numbers.
    total: u64,
    accounts: BTreeMap<String, Account>,
    /// What must not be, in words.
    findings: Vec<String>,
    /// How often something was that must not be.
    pub violations: u64,
}

impl Ledger {
    /// A ledger of these destinations, in which nothing stands.
    #[must_use]
    pub fn new(destinations: &[&str]) -> Self {
        let accounts = destinations.iter().map(|name| ((*name).to_owned(), Account::default())).collect();
        Self { accounts, ..Self::default() }
    }

    /// The number of the last event of a key that had its 202; 0 if there is none.
    #[must_use]
    pub fn last_acknowledged(&self, key: &str) -> u64 {
        self.acknowledged.get(key).copied().unwrap_or_default()
    }

    /// An event had its 202.
    pub fn acknowledge(&mut self, key: &str, number: u64) {
        let last = self.last_acknowledged(key);
        if number != last + 1 {
            self.violation(format!("{key}: the producer sent {number} after {last}, which is the soak's own mistake"));
        }
        self.total += 1;
        self.acknowledged.insert(key.to_owned(), number);
    }

    /// Something that must not be.
    pub fn violation(&mut self, what: String) {
        self.violations += 1;
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(what);
        }
    }

    /// A request has come to a destination, which answers like that. Says whether the event is taken for the first
    /// time.
    pub fn arrive(&mut self, destination: &str, arrival: Arrival<'_>, answer: Answer) -> bool {
        let Some(account) = self.accounts.get_mut(destination) else { return false };
        let result = if arrival.redrive { account.retry(arrival, answer) } else { account.arrive(arrival, answer) };
        match result {
            Ok(first) => first,
            Err(what) => {
                self.violation(format!("{destination}: {what}"));
                answer == Answer::Takes
            }
        }
    }

    /// Whether every destination has had as many events as were acknowledged. It is asked after each arrival, and so it
    /// only adds up; [`Ledger::balance`] looks at each key.
    #[must_use]
    pub fn all_arrived(&self) -> bool {
        self.accounts.values().all(|account| account.settled >= self.total + account.overtaken.len() as u64)
    }

    /// The figures of a destination.
    #[must_use]
    pub fn figures(&self, destination: &str) -> Figures {
        let acknowledged = self.total;
        let Some(account) = self.accounts.get(destination) else {
            return Figures { acknowledged, delivered: 0, dead: 0, pending: acknowledged };
        };
        let waiting = |(key, last): (&String, &u64)| last.saturating_sub(account.reached(key).number);
        let missing = account.overtaken.len() as u64;
        let pending = self.acknowledged.iter().map(waiting).sum::<u64>() + missing;
        let dead = account.dead.len() as u64;
        Figures { acknowledged, delivered: account.settled - missing - dead, dead, pending }
    }

    /// The accounts by the names of their destinations.
    pub fn accounts(&self) -> impl Iterator<Item = (&str, &Account)> {
        self.accounts.iter().map(|(name, account)| (name.as_str(), account))
    }

    /// How many events had their 202.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Compares the ledger with what Laneway says, when producers send nothing and nothing waits. What does not agree
    /// is a violation.
    pub fn balance(&mut self, reported: &BTreeMap<String, Reported>) {
        let names: Vec<String> = self.accounts.keys().cloned().collect();
        for name in names {
            let figures = self.figures(&name);
            let mut wrong = Vec::new();
            if figures.pending > 0 {
                wrong.push(format!("{} events are lost: {}", figures.pending, self.missing(&name).join(", ")));
            }
            if figures.acknowledged != figures.delivered + figures.dead + figures.pending {
                wrong.push(format!("{figures:?} do not add up: events came that nobody had sent"));
            }
            let expected = Reported { pending: 0, in_flight: 0, dead: figures.dead };
            match reported.get(&name) {
                Some(said) if *said == expected => {}
                said => wrong.push(format!("Laneway says {said:?}, and the ledger {expected:?}")),
            }
            wrong.into_iter().for_each(|what| self.violation(format!("{name}: {what}")));
        }
    }

    /// Some of the events that a destination has not had.
    fn missing(&self, destination: &str) -> Vec<String> {
        let Some(account) = self.accounts.get(destination) else { return Vec::new() };
        let overtaken = account.overtaken.iter().map(|(key, number)| format!("{key} {number}"));
        let behind = self.acknowledged.iter().filter_map(|(key, last)| {
            let reached = account.reached(key).number;
            (reached < *last).then(|| format!("{key} {}..={last}", reached + 1))
        });
        overtaken.chain(behind).take(MOST_FINDINGS).collect()
    }

    /// What must not be, in words.
    #[must_use]
    pub fn findings(&self) -> &[String] {
        &self.findings
    }
}

impl Account {
    fn reached(&self, key: &str) -> Reached {
        self.reached.get(key).copied().unwrap_or_default()
    }

    /// The first or a further attempt at an event. `Ok(true)` if it is taken for the first time.
    fn arrive(&mut self, arrival: Arrival<'_>, answer: Answer) -> Result<bool, String> {
        let Arrival { key, number, offset, .. } = arrival;
        let reached = self.reached(key);
        if number <= reached.number {
            return self.again(arrival, answer);
        }
        let overtaken = reached.number + 1..number;
        let mut wrong = None;
        if !overtaken.is_empty() {
            self.out_of_order += number - reached.number - 1;
            wrong = Some(format!("{key}: {number} came, and {overtaken:?} had not"));
        } else if reached.number > 0 && offset <= reached.offset {
            wrong = Some(format!("{key}: {number} has the offset {offset}, and the one before it {}", reached.offset));
        }
        if answer != Answer::Fails {
            self.overtaken.extend(overtaken.map(|number| (key.to_owned(), number)));
            self.settled += number - reached.number;
            self.reached.insert(key.to_owned(), Reached { number, offset });
            if answer == Answer::Rejects {
                self.dead.insert((key.to_owned(), number));
            }
        }
        wrong.map_or(Ok(answer == Answer::Takes), Err)
    }

    /// An attempt at an event that was there before, or that a later one had overtaken.
    fn again(&mut self, arrival: Arrival<'_>, answer: Answer) -> Result<bool, String> {
        let event = (arrival.key.to_owned(), arrival.number);
        if self.overtaken.contains(&event) {
            if answer != Answer::Fails {
                self.overtaken.remove(&event);
            }
            return Ok(answer == Answer::Takes);
        }
        self.duplicates += 1;
        // A retried dead letter whose retry is forgotten, as after a crash, is rejected once more.
        if answer == Answer::Rejects {
            self.dead.insert(event);
        }
        let last = self.reached(arrival.key);
        if arrival.offset > last.offset {
            let Arrival { key, number, offset, .. } = arrival;
            return Err(format!(
                "{key}: {number} is stored a second time, at {offset}: {} was at {}",
                last.number, last.offset
            ));
        }
        Ok(false)
    }

    /// A dead letter that an operator retries.
    fn retry(&mut self, arrival: Arrival<'_>, answer: Answer) -> Result<bool, String> {
        let event = (arrival.key.to_owned(), arrival.number);
        if arrival.number > self.reached(arrival.key).number {
            return Err(format!("{} {} is retried, and had never come", event.0, event.1));
        }
        if answer != Answer::Takes {
            return Ok(false);
        }
        if self.dead.remove(&event) {
            self.retried += 1;
            return Ok(true);
        }
        self.duplicates += 1;
        Ok(false)
    }

    /// How many dead letters there are.
    #[must_use]
    pub fn dead(&self) -> u64 {
        self.dead.len() as u64
    }
}

#[cfg(test)]
mod tests;
