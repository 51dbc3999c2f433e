//! What every [`crate::DeadLetters`] must do with dead letters that a disk, or somebody's hand, has damaged: all others
//! are there as if nothing had been.

use super::dead_letters::{commit_redriven, dead, of, offsets};
use super::fixtures::{assert_refused, destination, failure, gives_up, lease};
use super::{Damage, Subject};
use crate::{DeadLetterQuery, DeadLetters, ProgressStore, Selection};
use laneway_domain::{Commit, Offset, Partition, Redrive, Redriven, TypePattern};

const P: Partition = Partition(0);
/// Where the dead letter is that is damaged, of those at 1, 3, 5 and 7.
const DAMAGED: u64 = 3;

/// Four dead letters of `a`, one of which is damaged; nothing where that cannot be had.
async fn with_damage<S: Subject>(damage: Damage) -> Option<S> {
    let subject = dead::<S>(&["a"], &[1, DAMAGED, 5, 7]).await;
    subject.damage(P, Offset(DAMAGED), &destination("a"), damage).await.then_some(subject)
}

/// One whose order can still be read may be among them.
fn others(requests: &[Redrive]) -> Vec<u64> {
    requests.iter().map(|request| request.offset.0).filter(|offset| *offset != DAMAGED).collect()
}

/// Progress can be loaded, and whoever asks again and again meets each of the others.
pub async fn a_damaged_dead_letter_keeps_nobody_from_retrying_the_others<S: Subject>() {
    for damage in Damage::ALL {
        let Some(subject) = with_damage::<S>(damage).await else { return };
        let store = subject.store();
        assert_eq!(store.retry(&of("a")).await.unwrap(), 4, "{damage:?}");
        assert_eq!(others(&store.load(P).await.unwrap().redrives), [1, 5, 7], "{damage:?}");
        for _ in 0..2 {
            assert_eq!(others(&store.retry_requested(P, None, 10).await.unwrap()), [1, 5, 7], "{damage:?}");
        }
        let after = (Offset(1), destination("a"));
        let behind = store.retry_requested(P, Some(&after), 1).await.unwrap();
        assert!(behind.len() == 1, "{damage:?}: whoever gets none takes it that there are no more: {behind:?}");
    }
}

/// The retry of the damaged one ends with it, and what else it says is stored.
pub async fn a_commit_is_made_whatever_is_damaged<S: Subject>() {
    for damage in Damage::ALL {
        let Some(subject) = with_damage::<S>(damage).await else { return };
        let store = subject.store();
        store.retry(&of("a")).await.unwrap();
        let failed = Some(failure(9, "answered 500"));
        let redriven = vec![Redriven { destination: destination("a"), offset: Offset(DAMAGED), failed }];
        let commit = Commit { scanned: Some(Offset(10)), redriven, ..gives_up("b", &[2]) };
        store.commit(&lease(store).await, &commit).await.unwrap();
        let loaded = store.load(P).await.unwrap();
        assert_eq!((loaded.scanned, loaded.redrives.len()), (Offset(10), 3), "{damage:?}");
        assert_eq!(offsets(store, of("b")).await, [2], "{damage:?}");
        let requests = store.retry_requested(P, None, 10).await.unwrap();
        assert_eq!(requests.iter().map(|request| request.offset.0).collect::<Vec<_>>(), [1, 5, 7], "{damage:?}");
    }
}

/// It is told from one that is not there, and from a store that is away.
pub async fn a_damaged_copy_is_refused_and_its_retry_can_end<S: Subject>() {
    let Some(subject) = with_damage::<S>(Damage::Copy).await else { return };
    let store = subject.store();
    store.retry(&of("a")).await.unwrap();
    for _ in 0..2 {
        assert_refused(&store.event(P, Offset(DAMAGED), &destination("a")).await, "what is damaged");
    }
    assert!(store.event(P, Offset(5), &destination("a")).await.unwrap().is_some(), "the others are there");
    commit_redriven(&subject, "a", DAMAGED, Some(failure(9, "damaged"))).await;
    assert_eq!(others(&store.load(P).await.unwrap().redrives), [1, 5, 7]);
    assert_eq!(store.load(P).await.unwrap().redrives.len(), 3);
    assert_eq!(store.discard(&of("a")).await.unwrap(), 4);
    assert_eq!(store.event(P, Offset(DAMAGED), &destination("a")).await.unwrap(), None);
}

/// Pages go on behind it. Whoever names its destination alone discards it too.
pub async fn of_damaged_dead_letters_the_others_are_listed_counted_and_changed<S: Subject>() {
    for damage in Damage::ALL.into_iter().filter(|damage| *damage != Damage::Copy) {
        let Some(subject) = with_damage::<S>(damage).await else { return };
        let store = subject.store();
        let (mut met, mut after) = (Vec::new(), None);
        loop {
            let query = DeadLetterQuery { after, most: 1, ..DeadLetterQuery::default() };
            let page = store.list(&query).await.unwrap();
            let Some(last) = page.last() else { break };
            met.push(last.given_up.offset.0);
            after = Some((last.partition, last.given_up.offset, last.given_up.destination.clone()));
        }
        assert_eq!(met, [1, 5, 7], "{damage:?}");
        let of_any_type = Selection { types: vec![TypePattern::new("*").unwrap()], ..of("a") };
        for selection in [of("a"), of_any_type.clone()] {
            assert_eq!(store.count(&selection).await.unwrap(), 3, "{damage:?}");
        }
        assert_eq!(store.counts().await.unwrap()[0].count, 4, "{damage:?}");
        assert_eq!(store.retry(&of_any_type).await.unwrap(), 3, "{damage:?}");
        assert_eq!(store.discard(&of_any_type).await.unwrap(), 3, "{damage:?}");
        assert_eq!(store.discard(&of("a")).await.unwrap(), 1, "{damage:?}");
        assert_eq!(store.counts().await.unwrap(), [], "{damage:?}");
    }
}
