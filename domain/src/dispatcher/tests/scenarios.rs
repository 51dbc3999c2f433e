//! Single situations, one each.

use super::fixtures::{logged, name};
use crate::{
    Behind, Command, CommandId, Commit, Destination, DestinationChanges, Dispatcher, Failure, Input, Key, LaneKey,
    LaneProgress, NextAttempt, Notice, Offset, Ordering, Outcome, Output, Partition, PartitionProgress, Position,
    Quarantined, Redrive, RetryState, Settings, Timestamp,
};
use std::ops::Range;
use std::sync::Arc;

fn drain(dispatcher: &mut Dispatcher, now: Timestamp) -> Vec<Output> {
    std::iter::from_fn(|| dispatcher.poll(now)).collect()
}

/// Gives a command. Whether there was something to do it to.
fn command(dispatcher: &mut Dispatcher, command: Command, now: Timestamp) -> bool {
    dispatcher.handle(Input::Command { id: CommandId(7), command }, now);
    let answers: Vec<bool> = drain(dispatcher, now)
        .into_iter()
        .filter_map(|output| match output {
            Output::CommandDone { id: CommandId(7), acted } => Some(acted),
            _ => None,
        })
        .collect();
    assert_eq!(answers.len(), 1, "a command is answered once");
    answers[0]
}

#[test]
fn a_forgotten_destination_leaves_the_status_and_comes_into_no_commit() {
    let now = Timestamp::from_millis(1_000);
    let mut dispatcher = Dispatcher::new(Settings::default(), 1);
    // Both shared the default position. Having left, each gets its own, which is to be committed.
    let lanes = ["gone", "kept"].map(|left| (name(left), LaneProgress::default())).into();
    let progress = PartitionProgress { lanes, ..PartitionProgress::default() };
    let until = now.after(std::time::Duration::from_secs(5));
    dispatcher.handle(
        Input::Claimed { partition: Partition(0), progress, gone: [].into(), log: Offset(0)..Offset(9), until },
        now,
    );
    drain(&mut dispatcher, now);
    let forget = Command::Forget { destination: name("gone") };
    assert!(command(&mut dispatcher, forget.clone(), now));
    assert!(!command(&mut dispatcher, forget, now), "there is nothing left of it");
    let listed: Vec<_> = dispatcher.status(now).destinations.into_iter().map(|listed| listed.name).collect();
    assert_eq!(listed, [name("kept")]);
    let due = dispatcher.next_wakeup().unwrap();
    let outputs = drain(&mut dispatcher, due);
    let commits = outputs.iter().filter_map(|output| match output {
        Output::Commit { commit, .. } => Some(commit.lanes.keys().cloned().collect()),
        _ => None,
    });
    assert_eq!(commits.collect::<Vec<Vec<_>>>(), [[name("kept")]]);
}

#[test]
fn a_commit_that_is_sent_again_does_not_bring_a_forgotten_destination_back() {
    let mut now = Timestamp::from_millis(1_000);
    let mut dispatcher = Dispatcher::new(Settings::default(), 1);
    let lanes = ["gone", "kept"].map(|left| (name(left), LaneProgress::default())).into();
    let progress = PartitionProgress { lanes, ..PartitionProgress::default() };
    let until = now.after(std::time::Duration::from_secs(5));
    dispatcher.handle(
        Input::Claimed { partition: Partition(0), progress, gone: [].into(), log: Offset(0)..Offset(9), until },
        now,
    );
    let commits = |outputs: Vec<Output>| -> Vec<Vec<_>> {
        let lanes = |output| match output {
            Output::Commit { commit, .. } => Some(commit.lanes.keys().cloned().collect()),
            _ => None,
        };
        outputs.into_iter().filter_map(lanes).collect()
    };
    drain(&mut dispatcher, now);
    now = dispatcher.next_wakeup().unwrap();
    assert_eq!(commits(drain(&mut dispatcher, now)), [[name("gone"), name("kept")]]);
    assert!(command(&mut dispatcher, Command::Forget { destination: name("gone") }, now));
    dispatcher.handle(Input::CommitFailed(Partition(0)), now);
    let mut sent = commits(drain(&mut dispatcher, now));
    for _ in 0..10 {
        let Some(due) = dispatcher.next_wakeup() else { break };
        sent.extend(commits(drain(&mut dispatcher, due)));
    }
    assert_eq!(sent, [[name("kept")]]);
}

#[test]
fn a_destination_that_left_and_then_says_gone_keeps_its_place() {
    let now = Timestamp::from_millis(1_000);
    let mut dispatcher = Dispatcher::new(Settings::default(), 1);
    dispatcher.handle(
        Input::Destinations(DestinationChanges::present(vec![
            Destination::new(name("left")),
            Destination::new(name("stays")),
        ])),
        now,
    );
    let until = now.after(std::time::Duration::from_secs(5));
    let claimed = |log: Range<Offset>| {
        let progress = PartitionProgress::default();
        Input::Claimed { partition: Partition(0), progress, gone: [].into(), log, until }
    };
    dispatcher.handle(claimed(Offset(0)..Offset(1)), now);
    let attempt = loop {
        let outputs = drain(&mut dispatcher, now);
        let read = outputs.iter().find_map(|output| match output {
            Output::Read { read, .. } => Some(*read),
            _ => None,
        });
        let to_left = outputs.iter().find_map(|output| match output {
            Output::Attempt { attempt, destination, .. } if *destination == name("left") => Some(*attempt),
            _ => None,
        });
        match (to_left, read) {
            (Some(attempt), _) => break attempt,
            (None, Some(read)) => {
                let events = vec![logged(Offset(0), 1, 0, now)];
                dispatcher.handle(Input::Read { read, events, corrupt: Vec::new(), next: Offset(1) }, now);
            }
            (None, None) => panic!("no attempt and no read"),
        }
    };
    let left = DestinationChanges { left: vec![name("left")], ..DestinationChanges::default() };
    dispatcher.handle(Input::Destinations(left), now);
    drain(&mut dispatcher, now);
    // Claimed anew, from a store that never heard of the one that left.
    dispatcher.handle(Input::LeaseLost(Partition(0)), now);
    drain(&mut dispatcher, now);
    dispatcher.handle(claimed(Offset(0)..Offset(1)), now);
    drain(&mut dispatcher, now);
    dispatcher.handle(
        Input::AttemptEnded {
            attempt,
            outcomes: vec![Outcome::Gone { reason: "410".into() }],
            met: crate::Met::default(),
        },
        now,
    );
    let mut outputs = drain(&mut dispatcher, now);
    while let Some(due) = dispatcher.next_wakeup().filter(|due| *due < until) {
        outputs.extend(drain(&mut dispatcher, due));
    }
    let commits = outputs.iter().filter_map(|output| match output {
        Output::Commit { commit, .. } => Some(commit),
        _ => None,
    });
    for commit in commits {
        assert!(!commit.lanes.contains_key(&name("left")), "it was given a record: {commit:?}");
    }
}

fn next_commit(dispatcher: &mut Dispatcher, mut now: Timestamp) -> Arc<Commit> {
    loop {
        let commit = drain(dispatcher, now).into_iter().find_map(|output| match output {
            Output::Commit { commit, .. } => Some(commit),
            _ => None,
        });
        match commit {
            Some(commit) => return commit,
            None => now = dispatcher.next_wakeup().unwrap(),
        }
    }
}

#[test]
fn what_is_remembered_of_a_destination_that_leaves_is_what_the_store_has() {
    let now = Timestamp::from_millis(1_000);
    let mut dispatcher = Dispatcher::new(Settings::default(), 1);
    let strict = Destination { ordering: Ordering::Strict, ..Destination::new(name("strict")) };
    dispatcher
        .handle(Input::Destinations(DestinationChanges::present(vec![strict, Destination::new(name("stays"))])), now);
    let failure = Failure { at: now, reason: "no".into(), status: None };
    let retry =
        RetryState { attempts: 1, first_failure: now, next_attempt: NextAttempt::At(now), history: vec![failure] };
    let behind = [(LaneKey::All, Behind { offset: Offset(0), retry: Some(retry) })].into();
    let lane = LaneProgress { position: Position::At(Offset(1)), behind, ..LaneProgress::default() };
    let lanes = [(name("strict"), lane), (name("stays"), LaneProgress::default())].into();
    let mut store = PartitionProgress { scanned: Offset(2), lanes, ..PartitionProgress::default() };
    let until = now.after(std::time::Duration::from_secs(5));
    let progress = store.clone();
    dispatcher.handle(
        Input::Claimed { partition: Partition(0), progress, gone: [].into(), log: Offset(0)..Offset(2), until },
        now,
    );
    let scan = drain(&mut dispatcher, now).into_iter().find_map(|output| match output {
        Output::Read { read, from: Offset(0), .. } => Some(read),
        _ => None,
    });
    // The failed event is given up, and while its dead letter is on its way to the store, the scan finds
    // that nothing else of the key is known to wait.
    assert!(command(&mut dispatcher, Command::SkipKey { destination: name("strict"), key: LaneKey::All.into() }, now));
    store.apply(&next_commit(&mut dispatcher, now));
    let none = Input::Read { read: scan.unwrap(), events: Vec::new(), corrupt: Vec::new(), next: Offset(2) };
    dispatcher.handle(none, now);
    drain(&mut dispatcher, now);
    let left = DestinationChanges { left: vec![name("strict")], ..DestinationChanges::default() };
    dispatcher.handle(Input::Destinations(left), now);
    drain(&mut dispatcher, now);
    dispatcher.handle(Input::Committed(Partition(0)), now);
    store.apply(&next_commit(&mut dispatcher, now));
    let kept = &dispatcher.partitions[&Partition(0)].unconfigured[&name("strict")];
    assert_eq!(*kept, store.lanes[&name("strict")]);
}

#[test]
fn a_record_that_only_a_scan_for_keys_behind_comes_by_is_reported_and_once() {
    let now = Timestamp::from_millis(1_000);
    let mut dispatcher = Dispatcher::new(Settings::default(), 1);
    dispatcher.handle(Input::Destinations(DestinationChanges::present(vec![Destination::new(name("main"))])), now);
    // Key k stands at 1; everything up to 9 has been looked at before the restart.
    let behind = [(LaneKey::Key(Key::new("k").unwrap()), Behind { offset: Offset(1), retry: None })].into();
    let lanes = [(name("main"), LaneProgress { behind, ..LaneProgress::default() })].into();
    let progress = PartitionProgress { scanned: Offset(9), lanes, ..PartitionProgress::default() };
    let until = now.after(std::time::Duration::from_secs(5));
    dispatcher.handle(
        Input::Claimed { partition: Partition(0), progress, gone: [].into(), log: Offset(0)..Offset(9), until },
        now,
    );
    let (mut notices, mut committed, mut reads) = (0, 0, 0);
    let mut outputs = drain(&mut dispatcher, now);
    while let Some(output) = outputs.pop() {
        match output {
            Output::Read { read, from, .. } => {
                reads += 1;
                assert!(reads < 20, "it reads on for ever");
                let corrupt = Quarantined { offset: Offset(3), reason: "damaged".into() };
                let corrupt = if from <= Offset(3) { vec![corrupt] } else { Vec::new() };
                dispatcher.handle(Input::Read { read, events: Vec::new(), corrupt, next: Offset(9) }, now);
            }
            Output::Notice(Notice::Quarantined { record, .. }) => {
                assert_eq!(record.offset, Offset(3));
                notices += 1;
            }
            Output::Commit { partition, commit } => {
                committed += commit.quarantined.len();
                dispatcher.handle(Input::Committed(partition), now);
            }
            _ => {}
        }
        let due = dispatcher.next_wakeup().filter(|due| *due < until).unwrap_or(now);
        outputs.extend(drain(&mut dispatcher, due));
    }
    assert_eq!((notices, committed), (1, 1), "after {reads} reads");
}

#[test]
fn a_dead_letter_whose_copy_is_damaged_ends_its_retry_and_its_key_goes_on() {
    let mut now = Timestamp::from_millis(1_000);
    let mut dispatcher = Dispatcher::new(Settings::default(), 1);
    dispatcher.handle(Input::Destinations(DestinationChanges::present(vec![Destination::new(name("a"))])), now);
    let event = logged(Offset(1), 1, 0, now);
    let key = LaneKey::Key(event.event.key.clone().unwrap());
    let redrives = vec![Redrive { destination: name("a"), offset: Offset(0), key }];
    let lanes = [(name("a"), LaneProgress::default())].into();
    let progress = PartitionProgress { lanes, redrives, scanned: Offset(1), ..PartitionProgress::default() };
    let (log, until) = (Offset(1)..Offset(2), now.after(std::time::Duration::from_secs(60)));
    dispatcher.handle(Input::Claimed { partition: Partition(0), progress, gone: [].into(), log, until }, now);
    let (mut attempted, mut ended, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..20 {
        for output in drain(&mut dispatcher, now) {
            let input = match output {
                Output::ReadDeadLetter { read, .. } => Input::DeadLetterUnreadable { read, why: "damaged".into() },
                Output::Read { read, .. } => {
                    Input::Read { read, events: vec![event.clone()], corrupt: Vec::new(), next: Offset(2) }
                }
                Output::Attempt { events, .. } => {
                    attempted.extend(events.iter().map(|attempted| (attempted.event.offset, attempted.redrive)));
                    continue;
                }
                Output::Commit { commit, .. } => {
                    ended.extend(commit.redriven.iter().cloned());
                    Input::Committed(Partition(0))
                }
                Output::Notice(Notice::Redriven { event, failed, .. }) => {
                    told.push((event.is_some(), failed));
                    continue;
                }
                _ => continue,
            };
            dispatcher.handle(input, now);
            // What comes of it comes with the next round.
        }
        now = dispatcher.next_wakeup().map_or(now, |due| now.max(due));
    }
    assert_eq!(attempted, [(Offset(1), false)], "the key's next event is attempted, and nothing else");
    let ended: Vec<_> = ended.into_iter().map(|of| (of.offset, of.failed.map(|failure| failure.reason))).collect();
    assert_eq!(ended, [(Offset(0), Some("damaged".into()))]);
    assert_eq!(told, [(false, Some("damaged".into()))]);
}
