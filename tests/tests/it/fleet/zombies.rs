//! Workers that are stopped for longer than their leases, and come back.

use super::scene::{PARTITIONS, Producers, REPEATED, Receivers, leases, mark_of, redis, taken_over};
use laneway_tests::effort;
use laneway_tests::fleet::Fleet;
use laneway_tests::server::Half;
use std::time::{Duration, Instant};

/// What a worker says that finds its lease taken.
const GIVEN_UP: &str = "another worker has taken the partition over";
/// How long a zombie may take to notice: a renewal, and the commit that it was about to make.
const NOTICES: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_changes_nothing_and_gives_its_partitions_up_by_itself() {
    let times = effort::scaled(2, 100);
    let (redis, receivers) = (redis().await, Receivers::start().await);
    let fleet = Fleet::new(&redis.url(), PARTITIONS, "", &receivers.destinations());
    let ingests = fleet.start(Half::Ingest, 1).await;
    let workers = fleet.start(Half::Worker, 3).await;
    let count = times * 4_000;
    let mut producers = Producers::start(&ingests, count, 3);
    for n in 0..times {
        producers.at(count / times * n + 500).await;
        let zombie = &workers[n % 3];
        let (before, mark) = (leases(&redis).await, mark_of(zombie));
        let given_up = |text: &str| text.matches(GIVEN_UP).count();
        let said = given_up(&zombie.installation.stderr());
        zombie.running().signal("STOP");
        taken_over(&redis, &before, &mark).await;
        let taken = leases(&redis).await;
        zombie.running().signal("CONT");
        let woken = Instant::now();
        while given_up(&zombie.installation.stderr()) == said {
            assert!(woken.elapsed() < NOTICES, "the zombie has not given up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for (partition, (was, is)) in taken.iter().zip(leases(&redis).await).enumerate() {
            let epoch = |lease: &Option<(String, u64)>| lease.as_ref().map_or(0, |(_, epoch)| *epoch);
            assert!(is.is_none() || epoch(&is) >= epoch(was), "partition {partition}: {was:?}, then {is:?}");
        }
    }
    let sent = producers.finish().await;
    receivers.check(&fleet, &sent, times as u64 * u64::from(PARTITIONS) * REPEATED).await;
}
