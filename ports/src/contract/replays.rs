//! What every [`ProgressStore`](crate::ProgressStore) must do with replays.

use super::Subject;
use super::fixtures::{destination, filled, lease, moved};
use crate::{EventLog, ProgressStore};
use laneway_domain::{
    Backoff, Behind, Commit, Failure, Key, LaneChange, LaneKey, Offset, Partition, PartitionProgress, Position,
    ReplayChange, ReplayId, ReplayMark, ReplaySpec, Selection, Timestamp, TypePattern,
};

const P: Partition = Partition(0);

fn id(id: &str) -> ReplayId {
    ReplayId::new(id).unwrap()
}

fn key(key: &str) -> LaneKey {
    LaneKey::Key(Key::new(key).unwrap())
}

/// Everything that can be said of one.
pub(super) fn spec(from: u64, until: u64) -> ReplaySpec {
    let selection = Selection {
        tenant: Some(laneway_domain::Tenant::new("acme").unwrap()),
        types: vec![TypePattern::new("order.*").unwrap()],
        keys: [Key::new("a b:c").unwrap(), Key::new("ä\"").unwrap()].into(),
        events: ["1", "zwei"].map(|id| laneway_domain::EventId::new(id).unwrap()).into(),
    };
    let asked_at = Timestamp::from_millis(1_700_000_000_000);
    ReplaySpec { asked_at, from: Offset(from), until: Offset(until), selection, first: true }
}

pub(super) fn mark(number: u64, scanned: u64, settled: u64) -> Option<ReplayMark> {
    Some(ReplayMark { number, scanned: Offset(scanned), settled })
}

fn behind(offset: u64, failed: bool) -> Option<Behind> {
    let failure = Failure::new(Timestamp::from_millis(5), "answered 503");
    let retry = failed.then(|| Backoff::note(None, failure));
    Some(Behind { offset: Offset(offset), retry })
}

fn says(name: &str, replay: &str, change: Option<ReplayChange>) -> Commit {
    let lane = LaneChange { replays: [(id(replay), change)].into(), ..LaneChange::default() };
    Commit { lanes: [(destination(name), lane)].into(), ..Commit::default() }
}

fn begins(name: &str, replay: &str, from: u64, until: u64) -> Commit {
    says(name, replay, Some(ReplayChange { made: Some(spec(from, until)), ..ReplayChange::default() }))
}

fn goes_on(name: &str, replay: &str, at: Option<ReplayMark>, keys: &[(LaneKey, Option<Behind>)]) -> Commit {
    let behind = keys.iter().cloned().collect();
    says(name, replay, Some(ReplayChange { made: None, mark: at, behind }))
}

/// The way of some replays, step by step.
fn steps() -> Vec<Commit> {
    vec![
        moved("a", 8, Position::Shared),
        moved("b", 8, Position::At(Offset(7))),
        begins("a", "one", 2, 6),
        begins("a", "two", 0, 8),
        begins("b", "one", 1, 7),
        goes_on(
            "a",
            "one",
            mark(9, 3, 1),
            &[(key("k 1"), behind(2, true)), (LaneKey::Event(Offset(2)), behind(2, false))],
        ),
        goes_on("b", "one", mark(10, 7, 5), &[(LaneKey::All, behind(4, true))]),
        goes_on("a", "one", mark(9, 6, 4), &[(key("k 1"), behind(3, false)), (LaneKey::Event(Offset(2)), None)]),
        goes_on("a", "two", mark(12, 0, 0), &[]),
        goes_on("a", "one", None, &[(key("k 1"), None)]),
        // It is begun again under its name: of what was, nothing is left.
        goes_on("a", "two", mark(12, 4, 2), &[(key("x"), behind(1, true))]),
        begins("a", "two", 5, 6),
        says("a", "one", None),
        says("a", "never", None),
        goes_on("a", "two", mark(0, 5, 0), &[]),
        says("a", "two", None),
    ]
}

/// Also over a reopen, and when a commit comes twice.
pub async fn replays_are_what_applying_the_commits_gives<S: Subject>() {
    let mut subject = filled::<S>(8).await;
    let mut expected = PartitionProgress::default();
    for (nth, commit) in steps().iter().enumerate() {
        let held = lease(subject.store()).await;
        expected.apply(commit);
        for _ in 0..2 {
            subject.store().commit(&held, commit).await.unwrap();
            assert_eq!(subject.store().load(P).await.unwrap(), expected, "step {nth}: {commit:?}");
        }
        subject = subject.reopen().await;
        assert_eq!(subject.store().load(P).await.unwrap(), expected, "step {nth}, reopened");
    }
    // The last number stays when the replays have gone: no later one may have it again.
    assert_eq!(expected.lanes[&destination("a")].last_replay, 12);
}

/// What it has yet to deliver again is not trimmed, wherever its lane stands.
pub async fn a_replay_holds_the_trim_until_it_is_done<S: Subject>() {
    let subject = filled::<S>(10).await;
    let store = subject.store();
    let held = lease(store).await;
    let steps = [
        (moved("a", 9, Position::Shared), 9),
        (begins("a", "one", 2, 8), 2),
        (begins("b", "one", 5, 8), 2),
        (goes_on("a", "one", mark(11, 4, 0), &[]), 4),
        // Whatever its lane says meanwhile.
        (moved("a", 10, Position::Shared), 4),
        (goes_on("a", "one", mark(11, 8, 0), &[(key("x"), behind(5, true)), (key("y"), behind(6, false))]), 5),
        (goes_on("b", "one", mark(11, 8, 0), &[]), 5),
        (goes_on("a", "one", None, &[(key("x"), None)]), 6),
        (goes_on("a", "one", None, &[(key("y"), behind(7, false))]), 7),
        (says("a", "one", None), 10),
    ];
    let mut expected = PartitionProgress::default();
    let mut trimmed = 0;
    for (nth, (commit, may_go)) in steps.into_iter().enumerate() {
        expected.apply(&commit);
        store.commit(&held, &commit).await.unwrap();
        assert_eq!(expected.settled_below(), Offset(may_go), "step {nth}");
        if nth == 0 {
            continue; // Else there is nothing left to hold.
        }
        trimmed += store.trim(P, Timestamp::MAX, 1000).await.unwrap();
        assert_eq!(trimmed as u64, may_go, "step {nth}: {commit:?}");
        assert_eq!(store.bounds(P).await.unwrap().start, Offset(may_go), "step {nth}");
    }
}

/// Neither with a drop nor with a forget does anything of a destination's replays stay; others keep theirs.
pub async fn replays_go_with_their_destination<S: Subject>() {
    let subject = filled::<S>(8).await;
    let store = subject.store();
    let held = lease(store).await;
    let mut expected = PartitionProgress::default();
    for commit in steps().into_iter().take(9) {
        expected.apply(&commit);
        store.commit(&held, &commit).await.unwrap();
    }
    let mut anew = begins("a", "one", 3, 4);
    anew.dropped.insert(destination("a"));
    expected.apply(&anew);
    for _ in 0..2 {
        store.commit(&held, &anew).await.unwrap();
        assert_eq!(store.load(P).await.unwrap(), expected);
    }
    assert_eq!(expected.lanes[&destination("a")].replays.len(), 1);
    assert!(store.forget(&destination("a")).await.unwrap());
    expected.lanes.remove(&destination("a"));
    assert_eq!(store.load(P).await.unwrap(), expected);
    let dropped = Commit { dropped: [destination("b")].into(), ..Commit::default() };
    expected.apply(&dropped);
    store.commit(&held, &dropped).await.unwrap();
    assert_eq!(store.load(P).await.unwrap(), expected);
    assert!(!store.forget(&destination("b")).await.unwrap(), "something is left");
    // Nothing is left that would hold the trim.
    store.commit(&held, &moved("c", 8, Position::Shared)).await.unwrap();
    assert_eq!(store.trim(P, Timestamp::MAX, 1000).await.unwrap(), 8);
}
