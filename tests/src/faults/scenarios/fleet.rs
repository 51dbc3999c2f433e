//! Faults of ingests, workers and Redis, where several processes share a store.

use crate::faults::fleet::RedisFleet;
use crate::faults::load::Load;
use crate::faults::power_cut::{self, Survives};
use crate::faults::proxy::Weather;
use crate::faults::table::Row;
use crate::server::Half;
use laneway_servers::redis::RedisSettings;
use rand::RngExt;
use rand::seq::IndexedRandom;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How often a command that a server takes time to obey is looked at.
const GLANCE: Duration = Duration::from_millis(10);

async fn fleet(fault: &str) -> Result<(RedisFleet, Load), Row> {
    let Some(mut fleet) = RedisFleet::start(RedisSettings::default(), "").await else {
        return Err(Row {
            fault: fault.into(),
            note: "not done: there is no redis-server here".into(),
            ..Row::default()
        });
    };
    let load = fleet.load();
    Ok((fleet, load))
}

macro_rules! begin {
    ($fault:expr) => {
        match fleet($fault).await {
            Ok(begun) => begun,
            Err(row) => return row,
        }
    };
}

async fn killed(times: usize, half: Half, fault: &str) -> Row {
    let (mut fleet, mut load) = begin!(fault);
    for _ in 0..times {
        fleet.a_while(&mut load).await;
        let one = *fleet.of(half).choose(&mut fleet.random).expect("there are two");
        fleet.members[one].kill();
        fleet.members[one].start().await;
    }
    let sending = load.stop().await;
    fleet.finish(fault, times, sending).await
}

/// `kill -9` of one ingest or the other.
pub(super) async fn ingest_killed(times: usize) -> Row {
    killed(times, Half::Ingest, "kill -9 of an `ingest` (Redis)").await
}

/// `kill -9` of one worker or the other.
pub(super) async fn worker_killed(times: usize) -> Row {
    killed(times, Half::Worker, "kill -9 of a `worker` (Redis)").await
}

/// `kill -9` of Redis, which has its AOF.
pub(super) async fn redis_killed(times: usize) -> Row {
    let fault = "kill -9 of Redis";
    let Some(fleet) = RedisFleet::start(RedisSettings::default(), "").await else {
        return Row::not_done(fault, "there is no redis-server here");
    };
    server_killed(fleet, times, fault).await
}

async fn server_killed(mut fleet: RedisFleet, times: usize, fault: &str) -> Row {
    let mut load = fleet.load();
    for _ in 0..times {
        fleet.a_while(&mut load).await;
        fleet.redis.kill();
        fleet.restart_redis().await;
    }
    let sending = load.stop().await;
    fleet.finish(fault, times, sending).await
}

/// The same with Valkey.
pub(super) async fn valkey_killed(times: usize) -> Row {
    let fault = "kill -9 of Valkey";
    let settings = match RedisSettings::valkey().await {
        Ok(settings) => settings,
        Err(why) => return Row::not_done(fault, &format!("there is no Valkey: {why}")),
    };
    let Some(fleet) = RedisFleet::start(settings, "").await else { return Row::not_done(fault, "it does not start") };
    server_killed(fleet, times, fault).await
}

/// Redis' settings change, while it runs or with its restart, so that it would lose what it acknowledges. After such a
/// restart the power goes, too.
///
/// The restart is an administrator's: a Redis that is killed keeps, in its AOF, what it had not fsynced and nobody was
/// told of; without any fsync that goes with the power although it was delivered (docs/RELIABILITY.md).
pub(super) async fn settings_changed(times: usize) -> Row {
    let fault = "settings changed while running, and with a restart before a power cut (Redis)";
    let (mut fleet, mut load) = begin!(fault);
    for n in 0..times {
        fleet.a_while(&mut load).await;
        if n % 2 == 0 {
            let (setting, wrong, right) = [
                ("appendonly", "no", "yes"),
                ("appendfsync", "no", "always"),
                ("maxmemory-policy", "allkeys-lru", "noeviction"),
            ][n / 2 % 3];
            let set =
                async |value| fleet.redis.command(&["CONFIG", "SET", setting, value]).await.expect("it may be set");
            set(wrong).await;
            fleet.ingests_tell(&format!("{setting} = {wrong}"), true).await;
            set(right).await;
        } else {
            fleet.redis.with_setting("appendfsync", "no");
            // What stands between Laneway and Redis goes on meanwhile, and may be a task of this very thread.
            tokio::task::block_in_place(|| fleet.redis.terminate()).expect("Redis ends");
            fleet.restart_redis().await;
            fleet.ingests_tell("appendfsync = no", true).await;
            // Whatever was written since is gone: nobody may have been told that it was kept.
            cut(&mut fleet, Survives::Nothing);
            fleet.redis.with_setting("appendfsync", "always");
            fleet.restart_redis().await;
        }
        fleet.ingests_tell("no event is accepted", false).await;
    }
    let sending = load.stop().await;
    let mut row = fleet.finish(fault, times, sending).await;
    row.note = "503 from the change on, with the reason in `/readyz`; taken in again by itself when mended".into();
    row
}

/// A worker that stands still beyond its lease, and goes on as if nothing were.
pub(super) async fn worker_paused(times: usize) -> Row {
    let fault = "SIGSTOP and SIGCONT of a `worker` (Redis)";
    let (mut fleet, mut load) = begin!(fault);
    for _ in 0..times {
        fleet.a_while(&mut load).await;
        let one = *fleet.of(Half::Worker).choose(&mut fleet.random).expect("there are two");
        fleet.members[one].signal("STOP");
        tokio::time::sleep(Duration::from_millis(fleet.random.random_range(5_500..7_500))).await;
        fleet.members[one].signal("CONT");
    }
    load.more(100).await;
    let sending = load.stop().await;
    let mut row = fleet.finish(fault, times, sending).await;
    row.note = "stopped for 5.5 to 7.5 s, beyond the lease of 5 s; the gap is that of all keys together".into();
    row
}

fn cut(fleet: &mut RedisFleet, survives: Survives) -> power_cut::Cut {
    fleet.redis.kill();
    let folder = fleet.redis.folder().to_owned();
    power_cut::cut(fleet.preload.log(), &folder, survives, &mut fleet.random)
}

/// The power of Redis' machine goes: the AOF ends at its last completed fsync, or somewhat later.
pub(super) async fn power_cut(times: usize) -> Row {
    let fault = "power cut (Redis, AOF always)";
    let (mut fleet, mut load) = begin!(fault);
    let (mut lost, mut unsynced) = (0, 0);
    for n in 0..times {
        fleet.a_while(&mut load).await;
        // No torn write: an AOF that ends within a transaction makes Redis 7.0 itself lose data at its
        // next restart (docs/RELIABILITY.md).
        let done = cut(&mut fleet, if n % 2 == 0 { Survives::Nothing } else { Survives::Writes });
        lost += done.lost;
        unsynced += done.unsynced;
        fleet.restart_redis().await;
    }
    let sending = load.stop().await;
    let synced = fleet.preload.syncs();
    let mut row = fleet.finish(fault, times, sending).await;
    row.note = format!("{lost} of {unsynced} writes that no fsync covered were lost; {synced} fsyncs");
    row
}

/// The control: how many acknowledged events such cuts take when Redis fsyncs once a second, and
/// the operator has allowed that. `None` where there is no Redis.
pub async fn everysec_power_cut_losses() -> Option<usize> {
    let settings = RedisSettings::default().with("appendfsync", "everysec");
    let mut fleet = RedisFleet::start(settings, "durability = \"relaxed\"").await?;
    let mut load = fleet.load();
    load.more(300).await;
    cut(&mut fleet, Survives::Nothing);
    fleet.restart_redis().await;
    // What is sent again later is none of what the cut has taken.
    let held: BTreeSet<String> = fleet.stored().await.into_iter().map(|event| event.id).collect();
    let sending = load.stop().await;
    Some(sending.accepted.iter().filter(|id| !held.contains(*id)).count())
}

/// Redis takes no more (`maxmemory`, noeviction): 503, deliveries go on, and all is well when there is room.
pub(super) async fn full(times: usize) -> Row {
    let fault = "Redis full (maxmemory)";
    let (mut fleet, mut load) = begin!(fault);
    let mut wrong = Vec::new();
    for n in 0..times {
        fleet.a_while(&mut load).await;
        fleet.redis.command(&["CONFIG", "SET", "maxmemory", "1mb"]).await.expect("Redis obeys");
        let event = json!({"id": format!("probe-{n}"), "type": "t", "data": n}).to_string();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let answer = fleet.members[0].client().post("/v1/events", event.clone()).await.expect("an answer");
            match answer.status {
                503 if !answer.header("retry-after").is_empty() => break,
                202 if Instant::now() < deadline => tokio::time::sleep(GLANCE).await,
                other => {
                    wrong.push(format!("a full Redis is answered with {other} {}", answer.text()));
                    break;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(fleet.random.random_range(0..500))).await;
        fleet.redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await.expect("Redis obeys");
        load.more(50).await;
    }
    let mut sending = load.stop().await;
    sending.unclear.extend((0..times).map(|n| format!("probe-{n}")));
    let mut row = fleet.finish(fault, times, sending).await;
    row.wrong.extend(wrong);
    row.note = "503 with Retry-After; goes on by itself".into();
    row
}

/// Every connection to Redis is closed, whatever is under way on it.
pub(super) async fn redis_cut(times: usize) -> Row {
    let fault = "connections to Redis cut";
    let (mut fleet, mut load) = begin!(fault);
    for _ in 0..times {
        fleet.a_while(&mut load).await;
        fleet.way.cut();
    }
    load.more(50).await;
    let sending = load.stop().await;
    let mut row = fleet.finish(fault, times, sending).await;
    row.note = "all of them at once".into();
    row
}

async fn worse(times: usize, fault: &str, weather: impl Fn(u64) -> Weather, longest: u64, note: &str) -> Row {
    let (mut fleet, mut load) = begin!(fault);
    for _ in 0..times {
        fleet.a_while(&mut load).await;
        fleet.way.be(weather(fleet.random.random_range(5..100)));
        tokio::time::sleep(Duration::from_millis(fleet.random.random_range(200..longest))).await;
        fleet.way.be(Weather::default());
        // One is over when something is delivered again: events may be taken before, and the next
        // would only make this one longer.
        let before = fleet.receiver.record().taken.len();
        fleet.receiver.until("something new is delivered", |record| record.taken.len() > before).await;
        load.more(50).await;
    }
    let sending = load.stop().await;
    let mut row = fleet.finish(fault, times, sending).await;
    row.note = note.into();
    row
}

/// Redis takes longer to answer, for a while.
pub(super) async fn redis_slow(times: usize) -> Row {
    let slow = |millis| Weather { latency: Duration::from_millis(millis), ..Weather::default() };
    worse(times, "latency to Redis", slow, 1_500, "5 to 100 ms more each way, for up to 1.5 s").await
}

/// Connections to Redis stay open, and nothing comes through, for longer than a command or a lease lasts.
pub(super) async fn redis_half_open(times: usize) -> Row {
    let silent = |_| Weather { half_open: true, ..Weather::default() };
    worse(times, "half-open connections to Redis", silent, 8_000, "silent for up to 8 s; leases last 5 s").await
}
