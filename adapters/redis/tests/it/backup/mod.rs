//! Backups of stores in use, and what a restore makes of them.

mod busy;
mod damaged;
mod interrupted;
mod numbers;
mod round_trip;

use crate::support::{open, server};
use laneway_ports::StoreError;
use laneway_redis::{BackupReport, RedisOptions, RestoreOptions, Restored, backup, restore};
use laneway_servers::redis::{RedisServer, Reply};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A folder, and the file of a backup in it.
fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("copy.backup");
    (folder, file)
}

async fn back_up(options: &RedisOptions, to: &Path) -> Result<BackupReport, StoreError> {
    backup(options.clone(), to, |_| ()).await
}

async fn put_back(options: &RedisOptions, from: &Path) -> Result<Restored, StoreError> {
    // Another process each time.
    let process = RedisOptions::new(options.url.clone(), 1).process;
    restore(RedisOptions { process, ..options.clone() }, from, RestoreOptions::default(), |_| ()).await
}

fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Refused { what }) => what,
        other => panic!("not refused: {other:?}"),
    }
}

fn shown(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(Some(bytes)) => bytes.escape_ascii().to_string(),
        Reply::List(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.text(),
    }
}

/// A server that has the functions already: what goes over a wire is told from them.
async fn server_with_functions() -> RedisServer {
    let server = server().await;
    drop(open(&RedisOptions::new(server.url(), 1)).await);
    server.command(&["FLUSHALL"]).await.unwrap();
    server
}

/// All keys of a server but for those that say who uses the store, and what is in each, whatever its kind.
async fn everything(server: &RedisServer) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for key in server.command(&["KEYS", "*"]).await.unwrap().items() {
        let key = key.text();
        if [":processes", ":workers", ":formats", ":lease", ":mark"].iter().any(|what| key.ends_with(what)) {
            continue;
        }
        let flat = |reply: &Reply| -> Vec<String> { reply.items().iter().map(shown).collect() };
        let kind = server.command(&["TYPE", &key]).await.unwrap().text();
        let command: Vec<&str> = match kind.as_str() {
            "string" => vec!["GET", &key],
            "hash" => vec!["HGETALL", &key],
            "zset" => vec!["ZRANGE", &key, "0", "-1", "WITHSCORES"],
            "stream" => vec!["XRANGE", &key, "-", "+"],
            other => panic!("{key} is a {other}"),
        };
        let value = server.command(&command).await.unwrap();
        let value = match kind.as_str() {
            "string" => vec![value.text()],
            // In no order.
            "hash" => {
                let mut pairs: Vec<String> = flat(&value).chunks_exact(2).map(|pair| pair.join(" = ")).collect();
                pairs.sort();
                pairs
            }
            _ => flat(&value),
        };
        all.insert(key, value);
    }
    all
}
