//! What every [`ProgressStore`] must keep of changes of destinations: from where on a partition follows them, which
//! destination a lane is of, and nothing of one that is gone.

use super::Subject;
use super::fixtures::{LONG, destination, filled, given_up, gives_up, lease, moved, seen, worker};
use super::progress_store::{P, assert_fenced, full_commit, taken_over};
use crate::{CommitError, DeadLetterQuery, DeadLetters, MAX_REVISION, ProgressStore, Selection, Store, StoreError};
use laneway_domain::{
    Commit, Cut, Cuts, LaneChange, LaneKey, Offset, Partition, PartitionProgress, Position, Revision,
};

fn cut(revision: u64, at: u64) -> Cut {
    Cut { revision: Revision(revision), at: Offset(at) }
}

fn cuts(cut: Cut) -> Commit {
    Commit { cut: Some(cut), ..Commit::default() }
}

/// As [`Cuts::add`] does: nothing was ever judged by a revision that another replaced at the same offset.
pub async fn cuts_are_kept_and_those_at_one_offset_are_one<S: Subject>() {
    let subject = filled::<S>(3).await;
    let held = lease(subject.store()).await;
    assert_eq!(subject.store().cuts(P).await.unwrap(), Cuts::default());
    let mut expected = Cuts::default();
    for added in [cut(5, 1), cut(5, 1), cut(4, 3), cut(7, 1), cut(8, 0), cut(9, 3), cut(MAX_REVISION.0, 3)] {
        subject.store().commit(&held, &cuts(added)).await.unwrap();
        expected.add(added);
        assert_eq!(subject.store().cuts(P).await.unwrap(), expected, "after {added:?}");
    }
    let subject = subject.reopen().await;
    assert_eq!(subject.store().load(P).await.unwrap().cuts, expected);
    assert_eq!(expected.iter().collect::<Vec<_>>(), [cut(8, 1), cut(MAX_REVISION.0, 3)]);
    assert_eq!(subject.store().load(P).await.unwrap().lanes.len(), 0);
}

/// One answer for each partition that was asked for.
pub async fn what_each_partition_has_taken_over_is_told_in_the_order_asked_for<S: Subject>() {
    let subject = S::create(3).await;
    let store = subject.store();
    for (partition, revision) in [(0, 7), (2, 9)] {
        let lease = store.claim(Partition(partition), &worker("w"), LONG).await.unwrap().unwrap();
        store.commit(&lease, &cuts(cut(revision, 0))).await.unwrap();
    }
    let asked = [2, 1, 0, 2].map(Partition);
    let expected = [Some(cut(9, 0)), None, Some(cut(7, 0)), Some(cut(9, 0))];
    assert_eq!(store.taken(&asked).await.unwrap(), expected);
    assert_eq!(store.taken(&[]).await.unwrap(), []);
    assert!(store.taken(&[Partition(3)]).await.is_err(), "there is no such partition");
}

/// And keeps it, whatever changes later.
pub async fn a_lane_remembers_when_its_destination_was_made<S: Subject>() {
    let subject = filled::<S>(3).await;
    let held = lease(subject.store()).await;
    let born = |born| Commit {
        lanes: [(destination("a"), LaneChange { born, ..LaneChange::default() })].into(),
        ..Commit::default()
    };
    let seen = async |subject: &S| subject.store().load(P).await.unwrap().lanes[&destination("a")].born;
    subject.store().commit(&held, &moved("a", 1, Position::Shared)).await.unwrap();
    assert_eq!(seen(&subject).await, Revision::ORIGIN);
    subject.store().commit(&held, &born(Some(MAX_REVISION))).await.unwrap();
    subject.store().commit(&held, &moved("a", 2, Position::At(Offset(1)))).await.unwrap();
    subject.store().commit(&held, &born(None)).await.unwrap();
    let subject = subject.reopen().await;
    assert_eq!(seen(&subject).await, MAX_REVISION);
    let held = lease(subject.store()).await;
    subject.store().commit(&held, &born(Some(Revision::ORIGIN))).await.unwrap();
    assert_eq!(seen(&subject).await, Revision::ORIGIN);
}

/// Everything that a destination can have in a partition.
fn all_of(name: &str) -> Commit {
    let lanes = full_commit().lanes.into_values().map(|change| (destination(name), change)).collect();
    let dead_letters = [0, 2].map(|offset| given_up(name, offset, LaneKey::All)).into();
    Commit { lanes, dead_letters, ..Commit::default() }
}

fn dropped(name: &str) -> Commit {
    Commit { dropped: [destination(name)].into(), ..Commit::default() }
}

/// Lane, keys behind, retries, dead letters, and requests to retry them.
pub async fn a_dropped_destination_leaves_nothing_in_the_partition_and_no_other_is_touched<S: Subject>() {
    let subject = filled::<S>(3).await;
    let store = subject.store();
    let held = lease(store).await;
    store.commit(&held, &all_of("b")).await.unwrap();
    store.commit(&held, &moved("b", 3, Position::At(Offset(2)))).await.unwrap();
    let ask = |name| Selection { destination: Some(destination(name)), ..Selection::default() };
    store.retry(&ask("b")).await.unwrap();
    let before = seen(store).await;
    let counts = store.counts().await.unwrap();
    for name in ["a", "b.a", "c"] {
        store.commit(&held, &all_of(name)).await.unwrap();
        store.retry(&ask(name)).await.unwrap();
    }
    store
        .commit(&held, &Commit { dropped: ["a", "b.a", "c", "never"].map(destination).into(), ..Commit::default() })
        .await
        .unwrap();
    assert_eq!(seen(store).await, before);
    assert_eq!(store.counts().await.unwrap(), counts);
    assert_eq!(store.event(P, Offset(0), &destination("a")).await.unwrap(), None);
    assert!(!store.forget(&destination("a")).await.unwrap(), "something is left");
    store.commit(&held, &dropped("never")).await.unwrap();
    assert_eq!(seen(subject.reopen().await.store()).await, before);
}

/// The drop comes first. What the former one had is no part of the new one.
pub async fn a_destination_that_is_dropped_may_be_made_anew_by_the_same_commit<S: Subject>() {
    let subject = filled::<S>(3).await;
    let store = subject.store();
    let held = lease(store).await;
    store.commit(&held, &all_of("a")).await.unwrap();
    let anew = Commit {
        lanes: [(destination("a"), LaneChange { born: Some(Revision(9)), ..LaneChange::default() })].into(),
        dead_letters: vec![given_up("a", 1, LaneKey::All)],
        ..dropped("a")
    };
    let mut expected = PartitionProgress::default();
    expected.apply(&anew);
    for _ in 0..2 {
        store.commit(&held, &anew).await.unwrap();
        assert_eq!(store.load(P).await.unwrap(), expected);
        let query = DeadLetterQuery { most: 10, ..DeadLetterQuery::default() };
        let left = store.list(&query).await.unwrap();
        assert_eq!(left.into_iter().map(|letter| letter.given_up).collect::<Vec<_>>(), anew.dead_letters);
        assert_eq!(store.counts().await.unwrap()[0].count, 1);
    }
}

/// More than a store removes in one step, and those of others stay.
pub async fn a_destination_with_many_dead_letters_is_dropped_whole<S: Subject>() {
    const MANY: u64 = 1300;
    let subject = filled::<S>(usize::try_from(MANY).unwrap()).await;
    let store = subject.store();
    let held = lease(store).await;
    let offsets: Vec<u64> = (0..MANY).collect();
    for name in ["a", "b"] {
        store.commit(&held, &gives_up(name, &offsets)).await.unwrap();
    }
    let commit = Commit { scanned: Some(Offset(1)), ..dropped("a") };
    store.commit(&held, &commit).await.unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!(counts.iter().map(|c| (c.destination.as_str(), c.count)).collect::<Vec<_>>(), [("b", MANY)]);
    assert_eq!(store.load(P).await.unwrap().scanned, Offset(1));
}

/// Neither under a lease that is not held, nor beyond the log's end; also where it would be done in steps.
pub async fn a_commit_that_is_refused_drops_nothing<S: Subject>() {
    let subject = filled::<S>(1300).await;
    let (old, new) = taken_over(&subject).await;
    let store = subject.store();
    store.commit(&new, &gives_up("a", &(0..1300).collect::<Vec<_>>())).await.unwrap();
    let before = all_letters(store).await;
    assert_fenced(&store.commit(&old, &dropped("a")).await, old.epoch);
    let beyond = Commit { scanned: Some(Offset(1301)), ..dropped("a") };
    let result = store.commit(&new, &beyond).await;
    assert!(matches!(result, Err(CommitError::Store(StoreError::Refused { .. }))), "{result:?}");
    assert_eq!(all_letters(store).await, before);
}

async fn all_letters(store: &impl Store) -> String {
    format!("{} {:?}", seen(store).await, store.counts().await.unwrap())
}
