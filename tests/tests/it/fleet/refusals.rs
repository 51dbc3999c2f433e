//! What a process refuses to start with, and what it warns of.

use super::scene::PARTITIONS;
use laneway_servers::redis::{RedisServer, RedisSettings};
use laneway_tests::fleet::Fleet;
use laneway_tests::server::{Half, Installation, Settings, tail};

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_can_lose_what_it_acknowledged_is_refused_with_the_setting_and_the_fix() {
    for (name, value, fix) in [
        ("appendonly", "no", "appendonly yes"),
        ("appendfsync", "everysec", "appendfsync always"),
        ("maxmemory-policy", "allkeys-lru", "maxmemory-policy noeviction"),
    ] {
        let settings = RedisSettings::default().with(name, value);
        let redis = RedisServer::start(settings).await.unwrap_or_else(|e| panic!("{e}"));
        let fleet = Fleet::new(&redis.url(), PARTITIONS, "", "");
        for half in [Half::Ingest, Half::Worker] {
            let berth = fleet.berth(half, &format!("{half:?}"));
            let status = berth.installation.begin().end();
            let said = berth.installation.stderr();
            assert_eq!(status.code(), Some(1), "{name} {value}: {}", tail(&said));
            assert!(said.contains(name) && said.contains(fix), "{name} {value}: {}", tail(&said));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_may_lose_events_after_a_torn_write_is_warned_of_by_the_log_and_by_check() {
    let redis = super::scene::redis().await;
    redis.command(&["CONFIG", "SET", "aof-load-truncated", "yes"]).await.expect("Redis obeys");
    let fleet = Fleet::new(&redis.url(), PARTITIONS, "", "");
    let parts =
        ["aof-load-truncated = yes", "lose acknowledged events", "set aof-load-truncated no", "redis-check-aof --fix"];
    for half in [Half::Ingest, Half::Worker] {
        let mut berth = fleet.berth(half, &format!("{half:?}"));
        berth.start().await;
        let said = berth.installation.stderr();
        let warned = |line: &str| line.contains("WARN") && parts.iter().all(|part| line.contains(part));
        assert!(said.lines().any(warned), "{half:?}: {}", tail(&said));
    }
    let operator = fleet.berth(Half::Both, "operator").installation;
    let check = || {
        let output = operator.run(&["check"]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (said, warned) = (check(), |line: &str| line.starts_with("warning"));
    assert!(said.lines().any(|line| warned(line) && parts.iter().all(|part| line.contains(part))), "{said}");
    redis.command(&["CONFIG", "SET", "aof-load-truncated", "no"]).await.expect("Redis obeys");
    let said = check();
    assert!(!said.lines().any(warned), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_partitions_cannot_change() {
    let redis = super::scene::redis().await;
    Fleet::new(&redis.url(), 4, "", "").start(Half::Ingest, 1).await;
    let fleet = Fleet::new(&redis.url(), 8, "", "");
    let eight = fleet.berth(Half::Ingest, "eight");
    assert_eq!(eight.installation.begin().end().code(), Some(1));
    let said = eight.installation.stderr();
    assert!(said.contains("4 partitions") && said.contains("store.partitions"), "{}", tail(&said));
}

#[test]
fn a_file_is_not_shared() {
    let installation = Installation::new(&Settings::default());
    for program in ["ingest", "worker"] {
        let output = std::process::Command::new(laneway_tests::server::binary().with_file_name(program))
            .env_remove("LANEWAY_BIN")
            .env_remove("LANEWAY_TEST_LONG")
            .env_remove("LANEWAY_TEST_SKIPPED")
            .current_dir(installation.folder())
            .output()
            .expect("the binary is there");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("laneway serve") && said.contains("redis://"), "{said}");
    }
}
