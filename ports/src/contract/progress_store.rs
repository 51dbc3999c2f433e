//! What every [`ProgressStore`] must do. What changes of destinations need of it is in [`super::cuts`].

use super::Subject;
use super::fixtures::{
    LONG, Numbers, append, destination, event, failure, filled, given_up, gives_up, lease, moved, seen, worker,
};
use super::history::told;
use super::replays::{mark, spec};
use crate::{CommitError, EventLog, Lease, MAX_REVISION, ProgressStore, Selection, StoreError, TenureEnd};
use laneway_domain::{
    Backoff, Behind, Commit, Cut, Expiry, Key, LaneChange, LaneKey, Offset, Partition, PartitionProgress, Pause,
    Position, Quarantined, Redrive, Redriven, ReplayChange, ReplayId, RetryState, Revision, Tenant, Timestamp,
};
use std::time::Duration;

/// One test per check of [`crate::contract::progress_store`] and [`crate::contract::cuts`].
#[macro_export]
macro_rules! progress_store_contract {
    ($subject:ty, #[$test:meta]) => {
        $crate::contract_tests! { progress_store, progress_store_contract, $subject, #[$test],
            a_free_partition_can_be_claimed_and_a_held_one_not
            where_some_keys_stand_is_what_the_whole_progress_says
            each_partition_has_a_lease_of_its_own
            a_lease_that_ran_out_can_be_claimed_by_another
            a_renewed_lease_holds_for_longer
            a_released_lease_can_be_claimed_at_once
            a_worker_that_claims_again_gets_a_new_epoch
            epochs_rise_over_a_reopen
            who_had_a_partition_is_told_the_latest_first
            of_many_leases_the_last_are_told
            a_stale_lease_can_neither_be_renewed_nor_released
            a_stale_lease_commits_nothing
            a_released_lease_commits_nothing
            the_first_load_is_empty
            a_commit_is_there_after_a_reopen
            a_commit_again_changes_nothing
            a_commit_beyond_the_end_of_the_log_is_refused_whole
            progress_is_what_applying_the_commits_gives
            what_has_expired_is_counted_once_and_goes_with_its_destination
            partitions_do_not_share_progress
            a_forgotten_destination_leaves_nothing
            a_quarantined_record_is_accepted
        }
        $crate::contract_tests! { cuts, cuts_contract, $subject, #[$test],
            cuts_are_kept_and_those_at_one_offset_are_one
            what_each_partition_has_taken_over_is_told_in_the_order_asked_for
            a_lane_remembers_when_its_destination_was_made
            a_dropped_destination_leaves_nothing_in_the_partition_and_no_other_is_touched
            a_destination_that_is_dropped_may_be_made_anew_by_the_same_commit
            a_destination_with_many_dead_letters_is_dropped_whole
            a_commit_that_is_refused_drops_nothing
        }
        $crate::contract_tests! { replays, replays_contract, $subject, #[$test],
            replays_are_what_applying_the_commits_gives
            a_replay_holds_the_trim_until_it_is_done
            replays_go_with_their_destination
        }
    };
}

pub(super) const P: Partition = Partition(0);

pub(super) fn assert_fenced(result: &Result<(), CommitError>, epoch: u64) {
    let fenced = matches!(result, Err(CommitError::Fenced { partition: P, epoch: e }) if *e == epoch);
    assert!(fenced, "not fenced: {result:?}");
}

/// A commit that touches everything a commit can touch.
pub(super) fn full_commit() -> Commit {
    let retry = Backoff::note(None, failure(5, "answered 503"));
    let change = LaneChange {
        born: Some(Revision(5)),
        position: Some(Position::At(Offset(2))),
        paused: Some(Some(Pause { since: Timestamp::from_millis(7), reason: "gone".into() })),
        behind: [(LaneKey::All, Some(Behind { offset: Offset(1), retry: Some(retry.clone()) }))].into(),
        replays: [(ReplayId::new("r").unwrap(), Some(replay(retry)))].into(),
        expiry: Some(expiry(9)),
    };
    Commit {
        scanned: Some(Offset(3)),
        cut: Some(Cut { revision: Revision(6), at: Offset(2) }),
        dropped: [destination("gone")].into(),
        lanes: [(destination("a"), change)].into(),
        dead_letters: vec![given_up("a", 0, LaneKey::Event(Offset(0)))],
        redriven: Vec::new(),
        quarantined: vec![Quarantined { offset: Offset(2), reason: "checksum".into() }],
        history: Some(told(1, &[0]).into()),
    }
}

/// So many events expired in a lane that went back.
fn expiry(expired: u64) -> Expiry {
    Expiry { expired, again_below: Offset(2), again_since: Timestamp::from_millis(1_700_000_000_000) }
}

/// A replay that has begun, with a key that has failed.
fn replay(retry: RetryState) -> ReplayChange {
    ReplayChange {
        made: Some(spec(0, 2)),
        mark: mark(3, 2, 1),
        behind: [(LaneKey::All, Some(Behind { offset: Offset(1), retry: Some(retry) }))].into(),
    }
}

/// A claim is answered with a lease, or with nothing if another worker has it.
pub async fn a_free_partition_can_be_claimed_and_a_held_one_not<S: Subject>() {
    let subject = S::create(1).await;
    let lease = subject.store().claim(P, &worker("a"), LONG).await.unwrap().unwrap();
    assert_eq!((lease.partition, &lease.worker), (P, &worker("a")));
    assert_eq!(subject.store().claim(P, &worker("b"), LONG).await.unwrap(), None);
}

/// Leases are per partition.
pub async fn each_partition_has_a_lease_of_its_own<S: Subject>() {
    let subject = S::create(2).await;
    let store = subject.store();
    assert!(store.claim(P, &worker("a"), LONG).await.unwrap().is_some());
    assert!(store.claim(Partition(1), &worker("b"), LONG).await.unwrap().is_some());
}

/// … if it has run out by the store's clock.
pub async fn a_lease_that_ran_out_can_be_claimed_by_another<S: Subject>() {
    let subject = S::create(1).await;
    let store = subject.store();
    let old = store.claim(P, &worker("a"), Duration::from_millis(50)).await.unwrap().unwrap();
    subject.pass(Duration::from_millis(60)).await;
    let new = store.claim(P, &worker("b"), LONG).await.unwrap().unwrap();
    assert!(new.epoch > old.epoch);
    assert_fenced(&store.renew(&old, LONG).await, old.epoch);
}

/// Prolongs the lease to `ttl` from now.
pub async fn a_renewed_lease_holds_for_longer<S: Subject>() {
    let subject = S::create(1).await;
    let store = subject.store();
    let lease = store.claim(P, &worker("a"), Duration::from_secs(1)).await.unwrap().unwrap();
    store.renew(&lease, LONG).await.unwrap();
    subject.pass(Duration::from_secs(2)).await;
    assert_eq!(store.claim(P, &worker("b"), LONG).await.unwrap(), None);
    store.commit(&lease, &moved("a", 0, Position::Shared)).await.unwrap();
}

/// Gives the lease up, so that another worker can claim it at once.
pub async fn a_released_lease_can_be_claimed_at_once<S: Subject>() {
    let subject = S::create(1).await;
    let store = subject.store();
    let old = store.claim(P, &worker("a"), LONG).await.unwrap().unwrap();
    store.release(&old).await.unwrap();
    let new = store.claim(P, &worker("b"), LONG).await.unwrap().unwrap();
    assert!(new.epoch > old.epoch);
}

/// A worker that holds it already gets a new epoch, which fences its older one.
pub async fn a_worker_that_claims_again_gets_a_new_epoch<S: Subject>() {
    let subject = S::create(1).await;
    let old = lease(subject.store()).await;
    let new = lease(subject.store()).await;
    assert!(new.epoch > old.epoch);
    assert_fenced(&subject.store().commit(&old, &Commit::default()).await, old.epoch);
}

/// A claim, and a release, must tell of it in the same step.
pub async fn who_had_a_partition_is_told_the_latest_first<S: Subject>() {
    let subject = S::create(2).await;
    let store = subject.store();
    assert_eq!(store.tenures(P).await.unwrap(), []);
    let a = store.claim(P, &worker("a"), LONG).await.unwrap().unwrap();
    let [of_a] = &store.tenures(P).await.unwrap()[..] else { panic!("one has it") };
    assert_eq!((of_a.epoch, &of_a.worker, of_a.ended), (a.epoch, &a.worker, None));
    let since = of_a.since.expect("this release writes it down");
    assert_eq!(of_a.until.since(since), LONG);
    assert_eq!(store.tenures(Partition(1)).await.unwrap(), [], "another partition has others");
    // Renewed, it goes on; what somebody else wants meanwhile changes nothing.
    subject.pass(Duration::from_millis(20)).await;
    store.renew(&a, LONG).await.unwrap();
    assert_eq!(store.claim(P, &worker("b"), LONG).await.unwrap(), None);
    let [of_a] = &store.tenures(P).await.unwrap()[..] else { panic!("it still has it") };
    assert!(of_a.until.since(since) > LONG && of_a.since == Some(since), "{of_a:?}");
    store.release(&a).await.unwrap();
    let handed = Some(TenureEnd::HandedOver);
    let [of_a] = &store.tenures(P).await.unwrap()[..] else { panic!("nobody else has had it") };
    assert!(of_a.ended == handed && of_a.since == Some(since) && of_a.until.since(since) < LONG, "{of_a:?}");
    let of_a = of_a.clone();

    // Another one, which dies; and one that claims twice.
    let b = store.claim(P, &worker("b"), Duration::from_millis(50)).await.unwrap().unwrap();
    subject.pass(Duration::from_millis(80)).await;
    let c = store.claim(P, &worker("c"), LONG).await.unwrap().unwrap();
    let again = store.claim(P, &worker("c"), LONG).await.unwrap().unwrap();
    let all = store.tenures(P).await.unwrap();
    let told: Vec<_> = all.iter().map(|tenure| (tenure.epoch, tenure.worker.0.as_str(), tenure.ended)).collect();
    let ran_out = Some(TenureEnd::RanOut);
    let expected = [(again.epoch, "c", None), (c.epoch, "c", handed), (b.epoch, "b", ran_out), (a.epoch, "a", handed)];
    assert_eq!(told, expected);
    assert_eq!(all[3], of_a);
    let since = |n: usize| all[n].since.unwrap();
    // Its end is that of its lease, and not when somebody found out.
    assert_eq!(all[2].until.since(since(2)), Duration::from_millis(50));
    assert!(all[2].until <= since(1) && since(1) <= since(0) && all[1].until >= since(1), "{all:?}");
    assert!(all[3].until <= since(2), "{all:?}");
    // Where only one process can have the store, its end is the end of what it had.
    let subject = subject.reopen().await;
    let again = subject.store().tenures(P).await.unwrap();
    assert_eq!((again[0].epoch, &again[0].worker, again[0].since), (all[0].epoch, &all[0].worker, all[0].since));
    assert!(again[0].ended.is_none() || again[0].ended == ran_out, "{again:?}");
    assert_eq!(again[1..], all[1..]);
    assert!(subject.store().tenures(Partition(2)).await.is_err(), "there is no such partition");
}

/// At most [`crate::MAX_TENURES`].
pub async fn of_many_leases_the_last_are_told<S: Subject>() {
    let subject = S::create(1).await;
    let store = subject.store();
    let mut epochs = Vec::new();
    for n in 0..crate::MAX_TENURES + 9 {
        let lease = store.claim(P, &worker(&format!("w{n}")), LONG).await.unwrap().unwrap();
        epochs.push(lease.epoch);
        if n < crate::MAX_TENURES + 8 {
            store.release(&lease).await.unwrap();
        }
    }
    let told: Vec<u64> = store.tenures(P).await.unwrap().iter().map(|tenure| tenure.epoch).collect();
    epochs.reverse();
    assert_eq!(told, epochs[..crate::MAX_TENURES]);
}

/// Must raise the epoch durably.
pub async fn epochs_rise_over_a_reopen<S: Subject>() {
    let subject = S::create(1).await;
    let old = lease(subject.store()).await;
    let subject = subject.reopen().await;
    let new = lease(subject.store()).await;
    assert!(new.epoch > old.epoch, "{} after {}", new.epoch, old.epoch);
    assert_fenced(&subject.store().commit(&old, &Commit::default()).await, old.epoch);
}

pub(super) async fn taken_over<S: Subject>(subject: &S) -> (Lease, Lease) {
    let old = subject.store().claim(P, &worker("a"), Duration::from_millis(50)).await.unwrap().unwrap();
    subject.pass(Duration::from_millis(60)).await;
    let new = subject.store().claim(P, &worker("b"), LONG).await.unwrap().unwrap();
    (old, new)
}

/// What a commit says of it is kept until another one says something else, the same commit again counts nothing twice, and
/// a destination that is made anew begins at none.
pub async fn what_has_expired_is_counted_once_and_goes_with_its_destination<S: Subject>() {
    let subject = filled::<S>(3).await;
    let held = lease(subject.store()).await;
    let says = |name, change: LaneChange| Commit { lanes: [(destination(name), change)].into(), ..Commit::default() };
    let expired = |n| LaneChange { expiry: Some(expiry(n)), ..LaneChange::default() };
    let mut expected = PartitionProgress::default();
    let goes_on = LaneChange { born: Some(Revision(7)), ..LaneChange::default() };
    for commit in [
        moved("a", 1, Position::Shared),
        says("a", expired(2)),
        says("b", LaneChange { born: Some(Revision(5)), ..expired(1 << 40) }),
        says("b", LaneChange { position: Some(Position::At(Offset(1))), ..LaneChange::default() }),
        says("a", expired(3)),
        // It goes on as one that was made anew: the registry had lost it.
        says("b", goes_on),
        says("c", LaneChange { expiry: Some(Expiry { expired: 1, ..Expiry::default() }), ..LaneChange::default() }),
        Commit { dropped: [destination("c")].into(), ..says("a", LaneChange::default()) },
        says("c", LaneChange { born: Some(Revision(9)), ..LaneChange::default() }),
    ] {
        expected.apply(&commit);
        for _ in 0..2 {
            subject.store().commit(&held, &commit).await.unwrap();
            assert_eq!(subject.store().load(P).await.unwrap(), expected, "after {commit:?}");
        }
    }
    assert_eq!(expected.lanes[&destination("b")].expiry, expiry(1 << 40));
    let subject = subject.reopen().await;
    assert_eq!(subject.store().load(P).await.unwrap(), expected);
    assert!(subject.store().forget(&destination("a")).await.unwrap());
    let held = lease(subject.store()).await;
    subject.store().commit(&held, &moved("a", 1, Position::Shared)).await.unwrap();
    assert_eq!(subject.store().load(P).await.unwrap().lanes[&destination("a")].expiry, Expiry::default());
}

/// Fenced, and the new holder keeps what it has.
pub async fn a_stale_lease_can_neither_be_renewed_nor_released<S: Subject>() {
    let subject = S::create(1).await;
    let (old, new) = taken_over(&subject).await;
    assert_fenced(&subject.store().renew(&old, LONG).await, old.epoch);
    assert_fenced(&subject.store().release(&old).await, old.epoch);
    assert_eq!(subject.store().claim(P, &worker("c"), LONG).await.unwrap(), None);
    subject.store().renew(&new, LONG).await.unwrap();
}

/// Must change nothing if the epoch is not the current one: neither progress nor dead letters.
pub async fn a_stale_lease_commits_nothing<S: Subject>() {
    let subject = filled::<S>(3).await;
    let (old, new) = taken_over(&subject).await;
    let before = seen(subject.store()).await;
    assert_fenced(&subject.store().commit(&old, &full_commit()).await, old.epoch);
    assert_eq!(seen(subject.store()).await, before);
    subject.store().commit(&new, &full_commit()).await.unwrap();
    assert_ne!(seen(subject.store()).await, before);
}

/// Who gave a lease up does not have it.
pub async fn a_released_lease_commits_nothing<S: Subject>() {
    let subject = filled::<S>(3).await;
    let lease = lease(subject.store()).await;
    subject.store().release(&lease).await.unwrap();
    let before = seen(subject.store()).await;
    assert_fenced(&subject.store().commit(&lease, &full_commit()).await, lease.epoch);
    assert_fenced(&subject.store().renew(&lease, LONG).await, lease.epoch);
    assert_eq!(seen(subject.store()).await, before);
}

/// The empty progress if none was ever committed.
pub async fn the_first_load_is_empty<S: Subject>() {
    let subject = filled::<S>(3).await;
    assert_eq!(subject.store().load(P).await.unwrap(), PartitionProgress::default());
}

/// A commit is durable when it resolves.
pub async fn a_commit_is_there_after_a_reopen<S: Subject>() {
    let subject = filled::<S>(3).await;
    let lease = lease(subject.store()).await;
    subject.store().commit(&lease, &full_commit()).await.unwrap();
    let before = seen(subject.store()).await;
    let mut expected = PartitionProgress::default();
    expected.apply(&full_commit());
    let subject = subject.reopen().await;
    assert_eq!(subject.store().load(P).await.unwrap(), expected);
    assert_eq!(seen(subject.store()).await, before);
}

/// Must be idempotent.
pub async fn a_commit_again_changes_nothing<S: Subject>() {
    let subject = filled::<S>(3).await;
    let lease = lease(subject.store()).await;
    subject.store().commit(&lease, &full_commit()).await.unwrap();
    let once = seen(subject.store()).await;
    subject.store().commit(&lease, &full_commit()).await.unwrap();
    assert_eq!(seen(subject.store()).await, once);
}

/// Must refuse a commit whose highest position is beyond the log's end, and change nothing.
pub async fn a_commit_beyond_the_end_of_the_log_is_refused_whole<S: Subject>() {
    let subject = filled::<S>(3).await;
    let lease = lease(subject.store()).await;
    let before = seen(subject.store()).await;
    let beyond = [
        Commit { scanned: Some(Offset(4)), ..full_commit() },
        Commit { dead_letters: full_commit().dead_letters, ..moved("a", 3, Position::At(Offset(4))) },
    ];
    for commit in beyond {
        let result = subject.store().commit(&lease, &commit).await;
        assert!(matches!(result, Err(CommitError::Store(StoreError::Refused { .. }))), "{result:?}");
        assert_eq!(seen(subject.store()).await, before);
    }
}

fn random_commit(numbers: &mut Numbers, end: u64) -> Commit {
    let mut commit = Commit::default();
    if numbers.one_in(2) {
        commit.scanned = Some(Offset(numbers.below(end + 1)));
    }
    if numbers.one_in(3) {
        // Also revisions that are known already, and offsets below those that have come before.
        commit.cut = Some(Cut { revision: Revision(numbers.below(30)), at: Offset(numbers.below(end + 1)) });
    }
    for name in ["a", "b.c", "d-1"] {
        if numbers.one_in(2) {
            commit.lanes.insert(destination(name), random_change(numbers, end));
        }
        if numbers.one_in(12) {
            commit.dropped.insert(destination(name));
        }
        if numbers.one_in(4) {
            let offset = numbers.below(end);
            let key = LaneKey::Key(Key::new(&format!("k{}", offset % 4)).unwrap());
            commit.dead_letters.push(given_up(name, offset, key));
        }
        if numbers.one_in(4) {
            let failed = numbers.one_in(2).then(|| failure(numbers.below(1000), "again"));
            commit.redriven.push(Redriven {
                destination: destination(name),
                offset: Offset(numbers.below(end)),
                failed,
            });
        }
    }
    commit
}

fn random_change(numbers: &mut Numbers, end: u64) -> LaneChange {
    let position = match numbers.below(3) {
        0 => None,
        1 => Some(Position::Shared),
        _ => Some(Position::At(Offset(numbers.below(end + 1)))),
    };
    let paused = match numbers.below(4) {
        0 => Some(None),
        1 => Some(Some(Pause { since: Timestamp::from_millis(numbers.below(9)), reason: "410 · größe".into() })),
        _ => None,
    };
    let born = numbers.one_in(4).then(|| Revision(numbers.below(MAX_REVISION.0 + 1)));
    let mut change = LaneChange { born, position, paused, ..LaneChange::default() };
    for _ in 0..numbers.below(4) {
        let key = match numbers.below(4) {
            0 => LaneKey::All,
            1 => LaneKey::Event(Offset(numbers.below(end))),
            2 => {
                let key = Key::new(&format!("k:{}'", numbers.below(3))).unwrap();
                LaneKey::Tenant(Tenant::new(["a", "b-1"][usize::from(numbers.one_in(2))]).unwrap(), key)
            }
            _ => LaneKey::Key(Key::new(&format!("k:{}'", numbers.below(3))).unwrap()),
        };
        let retry = numbers.one_in(2).then(|| Backoff::note(None, failure(numbers.below(99), "no \"answer\"")));
        let behind = Behind { offset: Offset(numbers.below(end)), retry };
        change.behind.insert(key, (!numbers.one_in(3)).then_some(behind));
    }
    change
}

/// `load` gives what [`PartitionProgress::apply`] gives, for any commits, retries and reopenings.
pub async fn progress_is_what_applying_the_commits_gives<S: Subject>() {
    for seed in 0..8 {
        let mut numbers = Numbers(seed);
        let mut subject = filled::<S>(12).await;
        let mut model = PartitionProgress::default();
        let mut held = lease(subject.store()).await;
        for _ in 0..25 {
            let commit = random_commit(&mut numbers, 12);
            subject.store().commit(&held, &commit).await.unwrap();
            model.apply(&commit);
            if numbers.one_in(4) {
                subject.store().trim(P, Timestamp::MAX, 1).await.unwrap();
                model.cuts.trim(subject.store().bounds(P).await.unwrap().start);
            }
            if numbers.one_in(3) {
                ask_for_retries(subject.store(), &mut model).await;
            }
            if numbers.one_in(8) {
                subject = subject.reopen().await;
                held = lease(subject.store()).await;
            }
            assert_eq!(subject.store().load(P).await.unwrap(), model, "seed {seed}, after {commit:?}");
        }
    }
}

async fn ask_for_retries(store: &impl crate::Store, model: &mut PartitionProgress) {
    let selection = Selection { destination: Some(destination("a")), ..Selection::default() };
    store.retry(&selection).await.unwrap();
    let query = crate::DeadLetterQuery { selection, after: None, most: 100 };
    for letter in store.list(&query).await.unwrap() {
        let given_up = letter.given_up;
        let request = Redrive { destination: given_up.destination, offset: given_up.offset, key: given_up.key };
        if !model.redrives.contains(&request) {
            model.redrives.push(request);
        }
    }
    model.redrives.sort_by(|a, b| (a.offset, &a.destination).cmp(&(b.offset, &b.destination)));
}

/// A commit is about one partition.
pub async fn partitions_do_not_share_progress<S: Subject>() {
    let subject = S::create(2).await;
    let store = subject.store();
    append(store, (0..20).map(|n| event(&format!("e{n}"))).collect()).await;
    let lease = lease(store).await;
    store.commit(&lease, &moved("a", 1, Position::Shared)).await.unwrap();
    assert_eq!(store.load(Partition(1)).await.unwrap(), PartitionProgress::default());
}

/// Forgets a destination in every partition, with its dead letters; `true` if it was known.
pub async fn a_forgotten_destination_leaves_nothing<S: Subject>() {
    let subject = filled::<S>(3).await;
    let store = subject.store();
    let lease = lease(store).await;
    store.commit(&lease, &moved("other", 1, Position::Shared)).await.unwrap();
    store.commit(&lease, &gives_up("other", &[0])).await.unwrap();
    let before = seen(store).await;
    // What was told of its attempts stays, until its age ends it.
    let of_a = Commit { scanned: Some(Offset(1)), cut: None, quarantined: Vec::new(), history: None, ..full_commit() };
    store.commit(&lease, &of_a).await.unwrap();
    store.commit(&lease, &gives_up("only-dead-letters", &[0])).await.unwrap();
    assert!(store.forget(&destination("a")).await.unwrap());
    assert!(store.forget(&destination("only-dead-letters")).await.unwrap());
    assert_eq!(seen(store).await, before);
    assert!(!store.forget(&destination("a")).await.unwrap());
    assert!(!store.forget(&destination("never-seen")).await.unwrap());
    assert_eq!(seen(subject.reopen().await.store()).await, before);
}

/// Records kept aside go with a commit, and again with the same commit.
pub async fn a_quarantined_record_is_accepted<S: Subject>() {
    let subject = filled::<S>(3).await;
    let lease = lease(subject.store()).await;
    let quarantined = vec![Quarantined { offset: Offset(1), reason: "checksum".into() }];
    let commit = Commit { quarantined, ..moved("a", 3, Position::Shared) };
    subject.store().commit(&lease, &commit).await.unwrap();
    subject.store().commit(&lease, &commit).await.unwrap();
    assert_eq!(subject.store().load(P).await.unwrap().scanned, Offset(3));
}

/// [`ProgressStore::standing`] says what [`ProgressStore::load`] says, restricted to what was asked for.
pub async fn where_some_keys_stand_is_what_the_whole_progress_says<S: Subject>() {
    let subject = filled::<S>(5).await;
    let store = subject.store();
    let lease = lease(store).await;
    store.commit(&lease, &full_commit()).await.unwrap();
    let behind = |offset| Some(Behind { offset: Offset(offset), retry: None });
    let key = |n: u64| LaneKey::Key(Key::new(&format!("k{n}")).unwrap());
    let change = LaneChange {
        position: Some(Position::Shared),
        behind: [(key(1), behind(1)), (key(2), behind(2)), (LaneKey::Event(Offset(0)), behind(0))].into(),
        ..LaneChange::default()
    };
    let commit = Commit { lanes: [(destination("b"), change)].into(), ..Commit::default() };
    store.commit(&lease, &commit).await.unwrap();
    let whole = store.load(P).await.unwrap();
    let (a, b, none) = (destination("a"), destination("b"), destination("none"));
    for (names, keys) in [
        (vec![a.clone()], vec![LaneKey::All, key(1)]),
        (vec![a.clone(), b.clone(), none], vec![key(2), LaneKey::Event(Offset(0)), key(9)]),
        (vec![b], vec![]),
        (vec![], vec![key(1)]),
    ] {
        let standing = store.standing(P, &names, &keys).await.unwrap();
        assert_eq!(standing, whole.clone().restricted(&names, &keys), "{names:?} {keys:?}");
    }
}
