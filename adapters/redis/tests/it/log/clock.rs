//! Events that were taken in by a clock that was wrong.

use super::{P, append, connect};
use laneway_domain::{Offset, Timestamp};
use laneway_ports::EventLog;
use laneway_redis::RedisStore;
use laneway_servers::redis::{RedisServer, RedisSettings};
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400_000;

/// Writes the log anew, with the times of acceptance that are given (see src/codec.rs for where they stand).
const ACCEPTED_AT: &str = "
local entries = redis.call('XRANGE', KEYS[1], '-', '+')
redis.call('DEL', KEYS[1])
for n, entry in ipairs(entries) do
  local at, bytes = tonumber(ARGV[n]), ''
  for _ = 1, 8 do
    bytes = string.char(at % 256) .. bytes
    at = math.floor(at / 256)
  end
  local old = entry[2][2]
  redis.call('XADD', KEYS[1], entry[1], 'e', string.sub(old, 1, 5) .. bytes .. string.sub(old, 14))
end
return #entries";

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A store whose events were accepted at these times, and are settled.
async fn accepted(times: &[u64]) -> (RedisServer, RedisStore) {
    let server = RedisServer::start(RedisSettings::default()).await.unwrap();
    let store = connect(&server.url(), |_| ()).await.unwrap();
    for n in 0..times.len() {
        append(&store, &format!("e{n}")).await.unwrap();
    }
    let times = times.iter().map(u64::to_string);
    let script = ["EVAL", ACCEPTED_AT, "1", "{laneway:0}:log"].map(str::to_owned);
    server.command(&script.into_iter().chain(times).collect::<Vec<_>>()).await.unwrap();
    server.command(&["HSET", "{laneway:0}:progress", "scanned", "100000", "lane:a", "shared"]).await.unwrap();
    (server, store)
}

/// What a worker that keeps settled events for a day trims, in a few rounds.
async fn trimmed(store: &RedisStore) -> usize {
    let mut trimmed = 0;
    for _ in 0..5 {
        trimmed += store.trim(P, Timestamp::from_millis(now() - DAY), 1000).await.unwrap();
    }
    trimmed
}

#[tokio::test]
async fn events_that_were_accepted_with_a_time_to_come_do_not_hold_the_trim() {
    let (ahead, old, young) = (now() + 90 * DAY, now() - 2 * DAY, now());
    let runs = [(old, 3), (ahead, 250), (old, 10), (young, 5), (ahead, 1)];
    let times: Vec<u64> = runs.iter().flat_map(|(at, count)| std::iter::repeat_n(*at, *count)).collect();
    let (_server, store) = accepted(&times).await;
    assert_eq!(trimmed(&store).await, 263);
    assert_eq!(store.bounds(P).await.unwrap().start, Offset(263), "the young ones are there");
}

/// The clock that is wrong may be Redis' own.
#[tokio::test]
async fn a_time_to_come_alone_is_no_reason_to_trim() {
    let (ahead, young) = (now() + DAY, now());
    for times in [vec![ahead; 20], [vec![ahead; 20], vec![young; 5]].concat()] {
        let (_server, store) = accepted(&times).await;
        assert_eq!(trimmed(&store).await, 0);
    }
}
