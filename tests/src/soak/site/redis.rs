//! The Redis of the soak: a primary, a replica, and a Sentinel.

use laneway_servers::redis::{RedisServer, RedisSettings};
use laneway_servers::redis_sentinel::RedisSentinel;
use std::path::Path;

/// From which size on the AOF is rewritten when it has doubled: small, so that it happens all the time.
const REWRITTEN_FROM: &str = "16mb";
/// How many keys are looked at in one step.
const STEP: &str = "1000";

/// What the names of the keys of a store begin with.
pub(super) fn prefix(number: u64) -> String {
    format!("soak-{number:04}")
}

/// Starts it, with the data of the server that was the primary last.
pub(super) async fn start(folder: &Path, primary: usize) -> Result<RedisSentinel, String> {
    let settings =
        RedisSettings::default().with("auto-aof-rewrite-min-size", REWRITTEN_FROM).with("aof-load-truncated", "no");
    let folders = server_folders(folder);
    for folder in &folders {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let [first, second] = if primary == 0 { [0, 1] } else { [1, 0] }.map(|number: usize| folders[number].as_path());
    RedisSentinel::start_in(settings, [Some(first), Some(second)]).await
}

fn server_folders(folder: &Path) -> [std::path::PathBuf; 2] {
    ["redis-0", "redis-1"].map(|name| folder.join(name))
}

/// The server with that folder: servers are numbered from the one that began as the primary.
pub(super) fn number_of(server: &RedisServer) -> usize {
    usize::from(server.folder().ends_with("redis-1"))
}

/// Removes all keys of a store.
pub(super) async fn remove(sentinel: &RedisSentinel, number: u64) -> Result<(), String> {
    let primary = &sentinel.servers()[sentinel.primary().await?];
    // The prefix stands behind a brace where a name says in which slot it is.
    let pattern = format!("*{}:*", prefix(number));
    let mut cursor = "0".to_owned();
    loop {
        let found = primary.command(&["SCAN", &cursor, "MATCH", &pattern, "COUNT", STEP]).await?;
        let [next, keys] = found.items() else { return Err(format!("SCAN says {}", found.text())) };
        let keys = keys.items().iter().map(|key| key.text());
        let unlink: Vec<String> = std::iter::once("UNLINK".to_owned()).chain(keys).collect();
        if unlink.len() > 1 {
            primary.command(&unlink).await?;
        }
        cursor = next.text();
        if cursor == "0" {
            return Ok(());
        }
    }
}
