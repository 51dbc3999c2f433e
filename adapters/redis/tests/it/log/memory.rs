//! What an event that waits costs in Redis.

use super::{P, connect, event};
use laneway_ports::EventLog;
use laneway_servers::redis::{RedisServer, RedisSettings};

/// The most that an event may cost, as a multiple of its own bytes.
const MOST: f64 = 1.4;

#[tokio::test]
async fn a_waiting_event_costs_at_most_1_4_times_its_bytes() {
    let server = RedisServer::start(RedisSettings::default()).await.unwrap();
    let store = connect(&server.url(), |_| ()).await.unwrap();
    let used = async || {
        let info = server.command(&["INFO", "memory"]).await.unwrap();
        info.field("used_memory_dataset").unwrap().parse::<f64>().unwrap()
    };
    let before = used().await;
    let count = 20_000;
    for chunk in 0..count / 500 {
        let events =
            (0..500).map(|n| event(&format!("01980000-0000-7000-8000-{:012}", chunk * 500 + n), 512)).collect();
        assert!(store.append(events).await.iter().all(Result::is_ok));
    }
    let key = ["MEMORY", "USAGE", "{laneway:0}:log", "SAMPLES", "0"];
    let by_key = server.command(&key).await.unwrap().number().unwrap() as f64;
    let by_all = used().await - before;
    let bytes = f64::from(count) * 512.0;
    assert_eq!(store.bounds(P).await.unwrap().end.0, u64::try_from(count).unwrap());
    println!("per byte of data: {:.3} by MEMORY USAGE, {:.3} by used memory", by_key / bytes, by_all / bytes);
    assert!(by_key <= MOST * bytes && by_all <= MOST * bytes, "{by_key} and {by_all} for {bytes}");
}
