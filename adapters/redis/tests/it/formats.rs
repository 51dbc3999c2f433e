//! Stores as earlier code has written them (`tests/formats`): put into a Redis as they were, opened, and gone on with.

#[allow(dead_code, reason = "the part that writes such stores is not used here")]
#[path = "../../examples/redis_formats.rs"]
pub(crate) mod written;

use crate::support::{event, server};
use laneway_domain::{Commit, Cut, Cuts, DestinationName, NewEvent, Offset, Partition, Position, Revision};
use laneway_ports::{EventLog, ProgressStore, StoreError, WorkerId};
use laneway_redis::{RedisStore, RestoreOptions, restore};
use laneway_servers::redis::{RedisServer, Reply};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The oldest version whose calls are answered (`lua/header.lua`).
const OLDEST_CALLS: u32 = 6;

/// A folder for each format that there ever was.
fn folders() -> Vec<PathBuf> {
    folders_of("redis-")
}

fn folders_of(kind: &str) -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/formats");
    let mut found: Vec<PathBuf> = std::fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(kind));
    found.sort();
    assert!(!found.is_empty());
    found
}

/// The commands of a file, each with its arguments.
fn commands(file: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut rest = file;
    let line = |rest: &mut &'_ [u8]| -> usize {
        let end = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let number = std::str::from_utf8(&rest[1..end]).unwrap().parse().unwrap();
        *rest = &rest[end + 2..];
        number
    };
    let mut commands = Vec::new();
    while !rest.is_empty() {
        let mut command = Vec::new();
        for _ in 0..line(&mut rest) {
            let bytes = line(&mut rest);
            command.push(&rest[..bytes]);
            rest = &rest[bytes + 2..];
        }
        commands.push(command);
    }
    commands
}

/// A server with the store of that folder, and the functions that its release had loaded.
async fn loaded(folder: &Path) -> RedisServer {
    let server = server().await;
    let library = std::fs::read_to_string(folder.join("library.lua")).unwrap();
    server.command(&["FUNCTION", "LOAD", &library]).await.unwrap();
    let file = std::fs::read(folder.join("store.resp")).unwrap();
    for command in commands(&file) {
        server.command(&command).await.unwrap();
    }
    server
}

async fn opened(server: &RedisServer) -> RedisStore {
    RedisStore::connect(written::options(&server.url())).await.unwrap()
}

#[tokio::test]
async fn what_earlier_code_has_written_is_read_as_it_was() {
    for folder in folders() {
        let expected: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("content.json")).unwrap()).unwrap();
        let mut server = loaded(&folder).await;
        // Again after a restart: what was changed on opening is read as well.
        for _ in 0..2 {
            let found = written::content(&opened(&server).await).await.unwrap();
            assert_eq!(found, expected, "{}", folder.display());
            server.kill();
            server.restart().await.unwrap();
        }
    }
}

#[tokio::test]
async fn backups_that_earlier_code_has_made_are_restored() {
    for folder in folders_of("backup-") {
        let expected: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("content.json")).unwrap()).unwrap();
        let server = server().await;
        let file = folder.join("store.backup");
        restore(written::options(&server.url()), &file, RestoreOptions::default(), |_| ()).await.unwrap();
        let found = written::content(&opened(&server).await).await.unwrap();
        assert_eq!(found, expected, "{}", folder.display());
    }
}

#[tokio::test]
async fn an_earlier_store_goes_on_behind_its_last_event_and_knows_its_ids() {
    for folder in folders() {
        let name = folder.display();
        let server = loaded(&folder).await;
        let store = opened(&server).await;
        let before = ends(&store).await;
        // Its id alone is what it was remembered by: it has no key and no source.
        let duplicate = store.append(vec![NewEvent { id_given: true, ..event_without_key("evt_0") }]).await.remove(0);
        assert!(duplicate.unwrap().duplicate, "{name}");
        let placed = store.append((0..20).map(|n| event(&format!("new-{n}"), "k")).collect()).await;
        let places: Vec<Offset> = placed.into_iter().map(|placed| placed.unwrap().offset).collect();
        let partition = Partition::of(event("new-0", "k").event.ordered_by(), 2);
        let end = before[partition.0 as usize];
        assert_eq!(places, (end..end + 20).map(Offset).collect::<Vec<_>>(), "{name}");
        let chunk = store.read(partition, Offset(end), 100, usize::MAX).await.unwrap();
        assert_eq!(chunk.records.len(), 20, "{name}");
        let epoch: u64 = server.command(&["HGET", "{laneway:0}:lease", "epoch"]).await.unwrap().text().parse().unwrap();
        let lease = store.claim(Partition(0), &WorkerId("next".into()), Duration::from_secs(9)).await.unwrap().unwrap();
        assert!(lease.epoch > epoch, "{name}");
    }
}

#[tokio::test]
async fn a_store_of_a_newer_schema_is_refused_by_the_release_that_it_needs() {
    let server = loaded(&folders()[0]).await;
    let refused = async || match RedisStore::connect(written::options(&server.url())).await {
        Err(StoreError::Refused { what }) => what,
        other => panic!("not refused: {other:?}"),
    };
    server.command(&["HSET", "{laneway}:store", "schema", "3"]).await.unwrap();
    let what = refused().await;
    assert!(what.contains("schema 3") && what.contains("reads up to 2") && what.contains("a newer Laneway"), "{what}");
    server.command(&["HSET", "{laneway}:store", "needs", "0.9"]).await.unwrap();
    let what = refused().await;
    assert!(what.contains("it needs Laneway 0.9 or later"), "{what}");
}

/// It would be lost to the destinations if it were set aside as damaged: this process waits, and one that was upgraded reads it.
#[tokio::test]
async fn an_event_that_a_newer_release_has_written_is_waited_for_and_not_set_aside() {
    let server = server().await;
    let store = opened(&server).await;
    let own = store.append(vec![event("own", "k")]).await.remove(0).unwrap();
    let body = b"whatever a later version has here";
    let check =
        crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&own.partition.0.to_be_bytes()), &[4]), body);
    let entry = [&[4][..], &check.to_be_bytes(), body].concat();
    let log = format!("{{laneway:{}}}:log", own.partition);
    server.command(&[b"XADD".as_slice(), log.as_bytes(), b"1-*", b"e", &entry]).await.unwrap();
    // What stands before it is read.
    let chunk = store.read(own.partition, own.offset, 10, usize::MAX).await.unwrap();
    assert_eq!((chunk.records.len(), chunk.next), (1, own.offset.next()));
    for _ in 0..2 {
        let error = store.read(own.partition, own.offset.next(), 10, usize::MAX).await.unwrap_err();
        assert!(matches!(&error, StoreError::RetryLater { what, .. } if what.contains("version 4")), "{error:?}");
    }
}

/// The names of the functions that Redis has, and whether each may write.
async fn functions(server: &RedisServer) -> BTreeMap<String, bool> {
    let list = server.command(&["FUNCTION", "LIST", "LIBRARYNAME", "laneway"]).await.unwrap();
    let named = |of: &Reply, name: &str| {
        let at = of.items().iter().position(|item| item.text() == name).unwrap();
        of.items()[at + 1].items().to_vec()
    };
    let one = |function: &Reply| {
        let at = function.items().iter().position(|item| item.text() == "name").unwrap();
        let flags: Vec<String> = named(function, "flags").iter().map(Reply::text).collect();
        (function.items()[at + 1].text(), !flags.contains(&"no-writes".to_owned()))
    };
    named(&list.items()[0], "functions").iter().map(one).collect()
}

/// Whoever has loaded an earlier library calls its functions by these names, also where a replica answers.
#[tokio::test]
async fn every_function_of_a_library_whose_calls_are_answered_is_still_there() {
    let mut looked_at = Vec::new();
    for folder in folders() {
        let library = std::fs::read_to_string(folder.join("library.lua")).unwrap();
        let version = library.split("local VERSION = ").nth(1).unwrap().lines().next().unwrap().parse::<u32>().unwrap();
        let server = loaded(&folder).await;
        let before = functions(&server).await;
        drop(opened(&server).await);
        let now = functions(&server).await;
        assert!(now.contains_key("laneway_commit_expiry") && !before.contains_key("laneway_commit_expiry"), "{now:?}");
        // Older ones are refused by the register, which says so.
        if version >= OLDEST_CALLS {
            looked_at.push(version);
            for (name, writes) in before {
                assert_eq!(now.get(&name), Some(&writes), "{name} of library {version}");
            }
        }
    }
    assert!(looked_at.contains(&7) && looked_at.contains(&11), "{looked_at:?}");
}

/// A process of the version before goes on beside this one, over the functions of this one.
#[tokio::test]
async fn calls_of_library_6_go_on_working() {
    let server = server().await;
    let store = opened(&server).await;
    let placed = store.append((0..4).map(|n| event(&format!("e{n}"), "k")).collect()).await.remove(0).unwrap();
    let (p, at) = (placed.partition, |what: &str| format!("{{laneway:{}}}:{what}", placed.partition));
    let lease = store.claim(p, &WorkerId("old".into()), Duration::from_secs(60)).await.unwrap().unwrap();
    let anew = Revision(1_800_000_000_000_000);
    let cuts = [0, 2].map(|at| Cut { revision: Revision(anew.0 + at), at: Offset(at) });
    for cut in cuts {
        store.commit(&lease, &Commit { cut: Some(cut), ..Commit::default() }).await.unwrap();
    }
    let dead = ["dead", "dead:events", "dead:order", "dead:requested", "dead:counts"];
    let fixed = [&["log", "lease", "progress", "lowest"], &dead[..], &["quarantine"]].concat();
    let of_lane = ["behind:a", "behind:a:retry", "dead:of:a"];
    let keys: Vec<String> = fixed.iter().chain(&of_lane).map(|what| at(what)).collect();
    let epoch = lease.epoch.to_string();
    let before = [epoch.as_str(), "old", "", "", "4", "4", "1", "0", "1", "1"];
    let lane = ["a", "3", "7 gone", "2", "1", "all", "0", "1", "all", "0"];
    let letter = ["a", "1", "0000000000000001:a", "all\n{}"];
    let aside = ["2", "checksum"];
    let called = async |function: &str, keys: &[String], args: &[&str]| {
        let count = keys.len().to_string();
        let keys = keys.iter().map(String::as_str);
        let command: Vec<&str> =
            ["FCALL", function, &count].into_iter().chain(keys).chain(args.iter().copied()).collect();
        server.command(&command).await.unwrap()
    };
    let args = [&before[..], &lane, &letter, &aside].concat();
    assert_eq!(called("laneway_commit", &keys, &args).await.text(), "OK");
    let progress = store.load(p).await.unwrap();
    let lane = &progress.lanes[&DestinationName::new("a").unwrap()];
    assert_eq!((lane.position, lane.born, lane.behind.len()), (Position::At(Offset(3)), Revision::ORIGIN, 1));
    assert_eq!((progress.scanned, progress.cuts.iter().count()), (Offset(4), 2));
    let keys = ["progress", "lowest", "dead:requested", "dead"].map(at);
    assert_eq!(called("laneway_load", &keys, &["1000"]).await.items().len(), 3);
    let keys = ["log", "progress", "lowest"].map(at);
    assert_eq!(called("laneway_trim", &keys, &["9999999999999", "100"]).await.number(), Some(1));
    // It does not know of cuts; the next trim of this version does.
    assert_eq!(store.cuts(p).await.unwrap(), Cuts::of(cuts.to_vec()));
}

fn event_without_key(id: &str) -> NewEvent {
    let mut event = event(id, "k");
    event.event.key = None;
    event
}

async fn ends(store: &RedisStore) -> Vec<u64> {
    let mut ends = Vec::new();
    for partition in (0..store.partitions()).map(Partition) {
        ends.push(store.bounds(partition).await.unwrap().end.0);
    }
    ends
}
