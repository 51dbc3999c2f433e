use super::super::handle::Told;
use super::*;
use laneway_domain::{DestinationName, Key, LaneKey, Tenant};

fn worker(name: &str) -> WorkerId {
    WorkerId(name.to_owned())
}

fn destination() -> DestinationName {
    DestinationName::new("billing").unwrap()
}

fn retry(key: LaneKey) -> Command {
    Command::RetryKey { destination: destination(), key: key.into() }
}

/// Asked of `a` and `b`, of which each has answered what is given; 4 partitions.
fn heard(command: &Command, answers: &[(&str, Answer)]) -> Heard {
    let mut heard = Heard::nothing(command, 4);
    heard.waiting = Some(["a", "b"].map(worker).into());
    for (name, answer) in answers {
        heard.answered(&worker(name), answer.clone());
    }
    heard
}

fn told(acted: bool, partitions: &[u32]) -> Answer {
    Ok(Told { acted, partitions: partitions.iter().copied().map(Partition).collect() })
}

#[test]
fn of_a_key_only_the_worker_of_its_partition_must_answer() {
    let (key, tenant) = (Key::new("order-7").unwrap(), Tenant::new("acme").unwrap());
    let Partition(its) = Partition::of("order-7", 4);
    for key in [LaneKey::of(Some(&tenant), &key), LaneKey::of(None, &key)] {
        let skip = Command::SkipKey { destination: destination(), key: key.clone().into() };
        for (command, acted) in [(retry(key.clone()), true), (retry(key), false), (skip, true)] {
            assert_eq!(heard(&command, &[("a", told(acted, &[its]))]).verdict(), Ok(acted), "{command:?}");
        }
    }
    let command = retry(LaneKey::Key(key));
    let others: Vec<u32> = (0..4).filter(|p| *p != its).collect();
    let why = heard(&command, &[("a", told(false, &others))]).verdict().unwrap_err();
    assert!(why.contains("worker b has not answered"), "{why}");
    let why = heard(&command, &[("a", told(false, &others)), ("b", told(false, &[]))]).verdict().unwrap_err();
    assert!(why.contains(&format!("works on partition {its}")), "{why}");
}

#[test]
fn what_may_be_in_any_partition_is_asked_of_all() {
    let command = retry(LaneKey::All);
    assert_eq!(heard(&command, &[("a", told(true, &[0, 1])), ("b", told(false, &[2, 3]))]).verdict(), Ok(true));
    let why = heard(&command, &[("a", told(true, &[0, 1])), ("b", told(false, &[2]))]).verdict().unwrap_err();
    assert!(why.contains("a part of it was done") && why.contains("partition 3"), "{why}");
    let why = heard(&command, &[("a", told(false, &[0, 1])), ("b", Err("stuck".to_owned()))]).verdict().unwrap_err();
    assert!(why.contains("worker b: stuck") && !why.contains("a part"), "{why}");
}

#[test]
fn a_pause_ends_only_with_everybody() {
    let command = Command::Resume { destination: destination() };
    let all = told(true, &[0, 1, 2, 3]);
    let why = heard(&command, &[("a", all.clone())]).verdict().unwrap_err();
    assert!(why.contains("a part of it was done") && why.contains("worker b has not answered"), "{why}");
    assert_eq!(heard(&command, &[("a", all), ("b", told(false, &[]))]).verdict(), Ok(true));
}

#[test]
fn where_nobody_is_nothing_but_forgetting_can_be_done() {
    let nobody = |command: &Command| {
        let mut heard = Heard::nothing(command, 4);
        heard.waiting = Some(BTreeSet::new());
        heard.verdict()
    };
    let why = nobody(&retry(LaneKey::All)).unwrap_err();
    assert!(why.contains("start one"), "{why}");
    assert_eq!(nobody(&Command::Forget { destination: destination() }), Ok(false));
}

#[test]
fn an_error_does_not_list_hundreds_of_partitions() {
    let all = |count: u32| (0..count).map(Partition).collect();
    assert_eq!(named(&all(1)), "partition 0");
    assert_eq!(named(&all(3)), "partitions 0, 1, 2");
    assert!(named(&all(1024)).starts_with("1024 partitions, 0, 1, "));
    assert!(named(&all(1024)).len() < 200);
}
