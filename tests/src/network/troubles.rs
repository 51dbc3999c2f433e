//! What happens to the network and to hosts, and that it ends again.

use super::happenings::{CUT_OFF, DEAF, HELD, MUTE, RECEIVER_CRASHES, SLOW};
use super::laneway::Machine;
use super::plan::{Plan, STEADY};
use super::story::Story;
use super::{LANEWAY, OPERATOR, producer_name, receiver_name};
use crate::seeded::Chance;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use turmoil::Sim;

/// What is wrong between Laneway and another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// Messages get lost, both ways.
    CutOff,
    /// Those to the other host get lost.
    Mute,
    /// Those from the other host get lost.
    Deaf,
    /// Messages wait until it is over.
    Held,
}

/// What is wrong now.
pub(super) struct Troubles {
    /// Hosts whose link to Laneway something can happen to. With the steady receiver it is not one.
    others: Vec<String>,
    receivers: Vec<String>,
    links: BTreeMap<String, Wrong>,
    down: BTreeSet<String>,
}

fn pick<'a>(among: &[&'a String], chance: &mut Chance) -> Option<&'a String> {
    let count = among.len() as u64;
    (count > 0).then(|| among[usize::try_from(chance.below(count)).unwrap_or(0)])
}

impl Troubles {
    pub(super) fn new(plan: &Plan) -> Self {
        let receivers: Vec<String> =
            (0..plan.destinations.len()).filter(|number| *number != STEADY).map(receiver_name).collect();
        let senders = (0..plan.producers).map(producer_name).chain([OPERATOR.to_owned()]);
        let others = receivers.iter().cloned().chain(senders).collect();
        Self { others, receivers, links: BTreeMap::new(), down: BTreeSet::new() }
    }

    /// Something begins, or ends.
    pub(super) fn turn(&mut self, sim: &mut Sim<'_>, chance: &mut Chance, machine: &Machine, story: &Story) {
        match chance.below(10) {
            0..=2 => self.link_fails(sim, chance, story),
            3..=4 => self.link_heals(sim, chance, story),
            5 => self.receiver_crashes(sim, chance, story),
            6 => self.laneway_crashes(sim, machine, story),
            7 => self.latency(sim, chance, story),
            _ => self.host_comes_back(sim, chance, story),
        }
    }

    fn link_fails(&mut self, sim: &Sim<'_>, chance: &mut Chance, story: &Story) {
        let whole: Vec<&String> = self.others.iter().filter(|other| !self.links.contains_key(*other)).collect();
        let Some(other) = pick(&whole, chance).cloned() else { return };
        let wrong = [Wrong::CutOff, Wrong::Mute, Wrong::Deaf, Wrong::Held][chance.below(4) as usize];
        match wrong {
            Wrong::CutOff => sim.partition(LANEWAY, other.as_str()),
            Wrong::Mute => sim.partition_oneway(LANEWAY, other.as_str()),
            Wrong::Deaf => sim.partition_oneway(other.as_str(), LANEWAY),
            Wrong::Held => sim.hold(LANEWAY, other.as_str()),
        }
        story.count(match wrong {
            Wrong::CutOff => CUT_OFF,
            Wrong::Mute => MUTE,
            Wrong::Deaf => DEAF,
            Wrong::Held => HELD,
        });
        story.text(format!("the link of laneway to {other}: {wrong:?}"));
        self.links.insert(other, wrong);
    }

    fn link_heals(&mut self, sim: &Sim<'_>, chance: &mut Chance, story: &Story) {
        let broken: Vec<&String> = self.links.keys().collect();
        if let Some(other) = pick(&broken, chance).cloned() {
            self.heal_link(&other, sim, story);
        }
    }

    fn heal_link(&mut self, other: &str, sim: &Sim<'_>, story: &Story) {
        match self.links.remove(other) {
            Some(Wrong::Held) => sim.release(LANEWAY, other),
            Some(_) => sim.repair(LANEWAY, other),
            None => return,
        }
        story.text(format!("the link of laneway to {other} is whole"));
    }

    fn receiver_crashes(&mut self, sim: &mut Sim<'_>, chance: &mut Chance, story: &Story) {
        let up: Vec<&String> = self.receivers.iter().filter(|receiver| !self.down.contains(*receiver)).collect();
        let Some(receiver) = pick(&up, chance).cloned() else { return };
        sim.crash(receiver.as_str());
        story.count(RECEIVER_CRASHES);
        story.text(format!("{receiver} crashes"));
        self.down.insert(receiver);
    }

    fn laneway_crashes(&mut self, sim: &mut Sim<'_>, machine: &Machine, story: &Story) {
        if self.down.insert(LANEWAY.to_owned()) {
            machine.lose_the_process();
            sim.crash(LANEWAY);
        } else {
            self.come_back(LANEWAY, sim, story);
        }
    }

    fn latency(&self, sim: &Sim<'_>, chance: &mut Chance, story: &Story) {
        let all: Vec<&String> = self.others.iter().collect();
        let Some(other) = pick(&all, chance) else { return };
        let most = Duration::from_millis(1 + chance.below(400));
        sim.set_link_max_message_latency(LANEWAY, other.as_str(), most);
        story.count(SLOW);
        story.text(format!("messages of laneway and {other} take up to {most:?}"));
    }

    fn host_comes_back(&mut self, sim: &mut Sim<'_>, chance: &mut Chance, story: &Story) {
        let down: Vec<&String> = self.down.iter().collect();
        if let Some(host) = pick(&down, chance).cloned() {
            self.come_back(&host, sim, story);
        }
    }

    fn come_back(&mut self, host: &str, sim: &mut Sim<'_>, story: &Story) {
        if self.down.remove(host) {
            story.text(format!("{host} comes back"));
            sim.bounce(host);
        }
    }

    /// Whatever is wrong ends.
    pub(super) fn end(&mut self, sim: &mut Sim<'_>, machine: &Machine, story: &Story) {
        for other in self.links.keys().cloned().collect::<Vec<_>>() {
            self.heal_link(&other, sim, story);
        }
        machine.heal();
        for host in self.down.clone() {
            self.come_back(&host, sim, story);
        }
        let latency = Duration::from_millis(20);
        for other in &self.others {
            sim.set_link_max_message_latency(LANEWAY, other.as_str(), latency);
        }
    }
}
