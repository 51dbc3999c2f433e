//! The soak in its short form: two pieces on each store, so that the second one goes on with what the first one has
//! left. `tests/soak` runs the long one.

use laneway_tests::effort::skipped;
use laneway_tests::soak::day::Day;
use laneway_tests::soak::piece::{Outcome, Plan, Until, run};
use laneway_tests::soak::site::Store;
use laneway_tests::soak::state::{Choice, State};
use laneway_tests::soak::trouble::Trouble;
use tempfile::TempDir;
use tokio::sync::watch;

/// Events a second: as many as a busy machine delivers to three destinations at the same time.
const RATE: f64 = 300.0;

/// A piece with these troubles.
async fn piece(folder: &TempDir, store: Store, troubles: &[Trouble]) -> Result<Outcome, String> {
    let (folder, until) = (folder.path().to_owned(), Until::Troubles(troubles.to_vec()));
    let plan = Plan { store, folder, until, day: Day::steady(RATE), seed: 7, choice: Choice::Refuse };
    // Whoever drops the sender interrupts nobody.
    let (_tell, interrupted) = watch::channel(false);
    run(plan, interrupted).await
}

/// Runs the pieces one after the other. The ledger of the last one has the events of all. Returns where the state is.
async fn goes_on(store: Store, pieces: [&[Trouble]; 2]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut events = 0;
    for troubles in pieces {
        let outcome = piece(&folder, store, troubles).await.unwrap();
        assert!(outcome.is_good(), "{outcome:#?}");
        assert!(outcome.events > events, "the second piece has forgotten the first one");
        events = outcome.events;
    }
    let progress = State::read(folder.path()).unwrap().progress;
    assert_eq!((progress.pieces, progress.ledger.violations), (2, 0));
    let had = pieces.concat();
    assert!(had.iter().all(|trouble| progress.troubles[trouble.name()].times == 1), "{:?}", progress.troubles);
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pieces_on_sqlite() {
    let first = [Trouble::Kill, Trouble::FullDisk, Trouble::Restore];
    let second = [Trouble::Deployment, Trouble::Certificate, Trouble::Secret, Trouble::DeadLetters];
    let folder = goes_on(Store::Sqlite, [&first, &second]).await;

    // The control: of the key that has most events, one more was acknowledged than was ever sent.
    let mut state = State::read(folder.path()).unwrap();
    let key = "e1-p00-k00";
    let last = state.progress.ledger.last_acknowledged(key);
    state.progress.ledger.acknowledge(key, last + 1);
    state.save().unwrap();
    let outcome = piece(&folder, Store::Sqlite, &[Trouble::Deployment]).await.unwrap();
    let missed = outcome.findings.iter().any(|finding| finding.contains("events are lost"));
    assert!(missed && !outcome.is_good(), "a lost event was not noticed: {outcome:#?}");
    let refused = piece(&folder, Store::Sqlite, &[]).await.unwrap_err();
    assert!(refused.contains("the soak has failed"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pieces_on_redis() {
    if let Err(why) = laneway_servers::redis::RedisServer::start(Default::default()).await {
        return skipped(&format!("the soak on Redis: {why}"));
    }
    let (first, second) = ([Trouble::Failover, Trouble::DeadLetters], [Trouble::Deployment]);
    goes_on(Store::Redis, [&first, &second]).await;
}
