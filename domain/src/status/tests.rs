use super::*;
use crate::Key;
use crate::replay::{ReplayPart, ReplayState, Selection};

fn destination(name: &str, pending: u64) -> DestinationStatus {
    DestinationStatus {
        pending,
        in_flight: 1,
        keys_behind: 2,
        ..DestinationStatus::idle(DestinationName::new(name).unwrap(), true)
    }
}

fn report(at: u64, partitions: &[u32], destinations: Vec<DestinationStatus>) -> StatusReport {
    let partitions = partitions.iter().copied().map(Partition).collect();
    StatusReport { at: Timestamp::from_millis(at), partitions, destinations, ..StatusReport::default() }
}

fn blocked(key: usize, since: u64) -> BlockedKey {
    BlockedKey {
        key: format!("key:k{key}"),
        partition: Partition(0),
        head: Offset(3),
        attempts: 1,
        since: Timestamp::from_millis(since),
        next_attempt: None,
        last_error: "no".into(),
    }
}

#[test]
fn numbers_of_all_workers_add_up_and_each_says_what_it_works_on() {
    let a = report(5, &[3, 0], vec![destination("x", 1), destination("z", 2)]);
    let b = report(7, &[1], vec![destination("x", 10), destination("y", 20)]);
    let all = StatusReport::of_all([("b".to_owned(), b), ("a".to_owned(), a)]);
    assert_eq!(all.at, Timestamp::from_millis(7));
    assert_eq!(all.partitions, [Partition(0), Partition(1), Partition(3)]);
    let of = |worker: &str, partitions: &[u32]| WorkerStatus {
        worker: worker.into(),
        partitions: partitions.iter().copied().map(Partition).collect(),
    };
    assert_eq!(all.workers, [of("a", &[3, 0]), of("b", &[1])]);
    let numbers: Vec<_> = all.destinations.iter().map(|d| (d.name.as_str(), d.pending, d.in_flight)).collect();
    assert_eq!(numbers, [("x", 11, 2), ("y", 20, 1), ("z", 2, 1)]);
}

#[test]
fn the_worst_that_any_worker_says_of_a_destination_is_told() {
    let open = |since: u64, next_probe: u64| BreakerStatus::Open {
        since: Timestamp::from_millis(since),
        next_probe: Timestamp::from_millis(next_probe),
    };
    let workers = [
        DestinationStatus { breaker: open(5, 6), pending_exact: false, ..destination("x", 0) },
        DestinationStatus {
            oldest_accepted_at: Some(Timestamp::from_millis(3)),
            delivered_recently: 2,
            failed_recently: 3,
            ..destination("x", 0)
        },
        DestinationStatus {
            failed_recently: 4,
            breaker: open(4, 9),
            paused: Some("gone".into()),
            ..destination("x", 0)
        },
    ];
    let reports = workers.into_iter().zip(["a", "b", "c"]);
    let all = StatusReport::of_all(reports.map(|(status, id)| (id.to_owned(), report(1, &[], vec![status]))));
    let x = &all.destinations[0];
    assert_eq!((&x.breaker, x.paused.as_deref(), x.pending_exact), (&open(4, 6), Some("on worker c: gone"), false));
    assert_eq!((x.oldest_accepted_at, x.delivered_recently), (Some(Timestamp::from_millis(3)), 2));
    assert_eq!(x.failed_recently, 7);
}

#[test]
fn what_waits_at_several_workers_is_caught_up_with_by_all_of_them() {
    let of = |workers: &[(u64, Option<i64>)]| {
        let status = |&(pending, change): &(u64, Option<i64>)| {
            let mut status = destination("x", pending);
            change.into_iter().for_each(|change| status.set_pending_change(change));
            status
        };
        let reports = workers.iter().map(status).zip(["a", "b", "c"]);
        let all = StatusReport::of_all(reports.map(|(status, id)| (id.to_owned(), report(1, &[], vec![status]))));
        (all.destinations[0].pending_change_per_minute, all.destinations[0].caught_up_in_seconds)
    };
    assert_eq!(of(&[(100, Some(-60)), (20, Some(-60))]), (Some(-120), Some(60)));
    assert_eq!(of(&[(100, Some(-60)), (20, Some(90))]), (Some(30), None));
    // Nothing waits at one; of another it is not known.
    assert_eq!(of(&[(0, None), (100, Some(-60)), (0, None)]), (Some(-60), Some(100)));
    assert_eq!(of(&[(100, Some(-60)), (5, None)]), (None, None));
    assert_eq!(of(&[(5, None), (100, Some(-60))]), (None, None));
    // What does not become fewer is never caught up with.
    assert_eq!(of(&[(100, Some(-60)), (20, Some(60))]), (Some(0), None));
}

#[test]
fn a_pause_that_all_workers_know_is_told_as_it_is_and_another_with_its_worker() {
    let paused = |whys: &[Option<&str>]| {
        let status = |why: &Option<&str>| DestinationStatus { paused: why.map(Into::into), ..destination("x", 0) };
        let reports = whys.iter().map(status).zip(["a", "b", "c"]);
        let all = StatusReport::of_all(reports.map(|(status, id)| (id.to_owned(), report(1, &[], vec![status]))));
        all.destinations[0].paused.clone().unwrap()
    };
    assert_eq!(paused(&[Some("holiday"), Some("holiday")]), "holiday");
    assert_eq!(paused(&[Some("holiday")]), "holiday");
    assert_eq!(paused(&[None, Some("its file differs"), None]), "on worker b: its file differs");
    assert_eq!(paused(&[Some("one"), Some("another")]), "on worker a: one");
}

#[test]
fn of_a_pause_the_first_moment_is_told_and_that_of_the_reason_that_is_named() {
    let since = |pauses: &[Option<(&str, u64)>]| {
        let status = |pause: &Option<(&str, u64)>| DestinationStatus {
            paused: pause.map(|(why, _)| why.into()),
            paused_since: pause.map(|(_, since)| Timestamp::from_millis(since)),
            ..destination("x", 0)
        };
        let reports = pauses.iter().map(status).zip(["a", "b", "c"]);
        let all = StatusReport::of_all(reports.map(|(status, id)| (id.to_owned(), report(1, &[], vec![status]))));
        all.destinations[0].paused_since.map(Timestamp::as_millis)
    };
    assert_eq!(since(&[Some(("gone", 9)), Some(("gone", 5))]), Some(5));
    assert_eq!(since(&[None, Some(("gone", 9)), None]), Some(9));
    assert_eq!(since(&[Some(("one", 9)), Some(("another", 5))]), Some(9));
}

#[test]
fn a_tenant_learns_of_its_own_destinations_and_nothing_of_workers() {
    let paused = |name: &str, why: &str| DestinationStatus { paused: Some(why.to_owned()), ..destination(name, 0) };
    let a = report(5, &[0], vec![destination("acme:x", 1), destination("b:x", 2), paused("acme:y", "a file differs")]);
    let b = report(5, &[1], vec![destination("acme:x", 4), destination("acme", 8)]);
    let mut all = StatusReport::of_all([("host-1".to_owned(), a), ("host-2".to_owned(), b)]);
    all.incomplete.push("worker host-3 has not reported its status yet".to_owned());
    all.processes.push(ProcessStatus { process: "host-1".into(), role: "worker".into(), release: "1".into() });
    let own = StatusReport::of_tenant(&Tenant::new("acme").unwrap(), all.at, &all.destinations);
    let names: Vec<&str> = own.destinations.iter().map(|status| status.name.as_str()).collect();
    assert_eq!((names, own.at), (vec!["acme:x", "acme:y"], all.at));
    assert_eq!(own.destinations[0], all.destinations[1], "its numbers are those of all workers");
    assert_eq!(own.destinations[1].paused.as_deref(), Some("a file differs"));
    assert!(!serde_json::to_string(&own).unwrap().contains("host-"), "{own:?}");
    assert!(serde_json::to_string(&all).unwrap().contains("on worker host-1: a file differs"));
}

#[test]
fn the_longest_blocked_keys_are_listed_and_all_are_counted() {
    let with = |keys: std::ops::Range<usize>, since: u64| DestinationStatus {
        blocked_keys: keys.len() as u64,
        blocked: keys.map(|key| blocked(key, since)).collect(),
        ..destination("x", 0)
    };
    let (a, b) = (report(1, &[], vec![with(0..80, 9)]), report(1, &[], vec![with(80..160, 2)]));
    let mut all = StatusReport::of_all([("a".to_owned(), a), ("b".to_owned(), b)]);
    let x = &all.destinations[0];
    assert_eq!((x.blocked_keys, x.blocked.len()), (160, MAX_LISTED_KEYS));
    assert_eq!(x.blocked.iter().filter(|key| key.since == Timestamp::from_millis(2)).count(), 80);
    all.shorten(3);
    assert_eq!((all.destinations[0].blocked_keys, all.destinations[0].blocked.len()), (160, 3));
}

#[test]
fn a_report_survives_a_round_trip_and_an_older_one_can_be_read() {
    let mut all = StatusReport::of_all([("a".to_owned(), report(5, &[3, 0], vec![destination("x", 1)]))]);
    all.incomplete.push("something".into());
    let text = serde_json::to_string(&all).unwrap();
    assert_eq!(serde_json::from_str::<StatusReport>(&text).unwrap(), all);
    let older = r#"{"at":5,"partitions":[1],"destinations":[]}"#;
    assert_eq!(serde_json::from_str::<StatusReport>(older).unwrap(), report(5, &[1], vec![]));
}

#[test]
fn a_command_is_written_as_an_operator_would_say_it() {
    let destination = || DestinationName::new("billing").unwrap();
    let key = || LaneKey::Key(Key::new("order-7").unwrap());
    for (command, said) in [
        (Command::RetryKey { destination: destination(), key: key().into() }, "retry the key key:order-7 at billing"),
        (
            Command::SkipKey { destination: destination(), key: LaneKey::All.into() },
            "skip the failed event of the key all at billing",
        ),
        (Command::Resume { destination: destination() }, "resume billing"),
        (Command::Forget { destination: destination() }, "forget billing"),
        (
            Command::Replay {
                destination: destination(),
                from: [(Partition(0), Offset(3)), (Partition(2), Offset(9))].into(),
            },
            "replay to billing, from 0:3, 2:9",
        ),
    ] {
        assert_eq!(command.to_string(), said);
    }
}

#[test]
fn what_one_worker_says_of_all_is_not_unsaid_by_another() {
    let said = DestinationStatus { pending_at_least: true, ..destination("x", 0) };
    let unsaid = DestinationStatus { configured: false, ..destination("x", 0) };
    let (mut a, b) = (report(1, &[0], vec![said]), report(1, &[1], vec![unsaid]));
    a.lacks_numbers = true;
    let all = |reports: [StatusReport; 2]| StatusReport::of_all(["a", "b"].map(str::to_owned).into_iter().zip(reports));
    for all in [all([a.clone(), b.clone()]), all([b.clone(), a])] {
        let x = &all.destinations[0];
        assert_eq!((all.lacks_numbers, x.pending_at_least, x.configured), (true, true, true));
    }
    let all = all([b.clone(), b]);
    let x = &all.destinations[0];
    assert_eq!((all.lacks_numbers, x.pending_at_least, x.configured), (false, false, false));
}

#[test]
fn of_a_replay_that_several_workers_work_on_each_partition_is_told_once() {
    let replay = |id: &str, partitions: &[u32]| ReplayStatus {
        id: ReplayId::new(id).unwrap(),
        asked_at: Timestamp::ZERO,
        selection: Selection::default(),
        first: false,
        partitions: partitions.iter().map(|n| part(Partition(*n))).collect(),
    };
    let with = |replays| DestinationStatus { replays, ..destination("x", 0) };
    let a = report(1, &[0, 3], vec![with(vec![replay("r", &[0, 3])])]);
    // It has partition 3 no more, or does not know yet that it has lost it.
    let b = report(1, &[1], vec![with(vec![replay("q", &[1]), replay("r", &[1, 3])])]);
    let all = StatusReport::of_all([("a".to_owned(), a), ("b".to_owned(), b)]);
    assert_eq!(all.destinations[0].replays, [replay("q", &[1]), replay("r", &[0, 1, 3])]);
}

fn part(partition: Partition) -> ReplayPart {
    let (from, until, state) = (Offset(0), Offset(9), ReplayState::Running);
    ReplayPart { partition, state, from, until, scanned: from, settled: 0, keys_behind: 0, number: 1 }
}

#[test]
fn a_key_without_a_text_is_one_only_where_its_partition_is_known() {
    let (key, all) = (LaneKey::Key(Key::new("a").unwrap()), LaneKey::All);
    let anywhere = |key: &LaneKey| KeyAt::from(key.clone());
    let somewhere = |key: &LaneKey| KeyAt { partition: Some(Partition(3)), ..anywhere(key) };
    for (at, is_one) in [(anywhere(&all), false), (somewhere(&all), true), (anywhere(&key), true)] {
        assert_eq!([1, 2].map(|partitions| at.is_one_key(partitions)), [true, is_one], "{at}");
    }
}

#[test]
fn a_place_of_a_key_is_written_as_far_as_it_is_named() {
    let at = |partition: Option<u32>, head: Option<u64>| {
        let (partition, head) = (partition.map(Partition), head.map(Offset));
        KeyAt { key: LaneKey::All, partition, head }.to_string()
    };
    assert_eq!([at(None, None), at(Some(3), None)], ["all", "all in partition 3"]);
    assert_eq!([at(None, Some(17)), at(Some(3), Some(17))], ["all while it is blocked at the event 17", "all at 3:17"]);
}
