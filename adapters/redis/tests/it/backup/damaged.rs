//! Files that are no whole backup, and places that are no empty Redis: nothing is changed.

use super::{back_up, everything, file, put_back, refused};
use crate::formats::written;
use crate::support::{event, new_store, open, server};
use laneway_ports::EventLog;
use laneway_redis::{RedisOptions, RedisStore};
use std::path::Path;

/// How many bytes are between two places at which the file is damaged: a prime number, so that every part of a frame gets
/// its turn.
const STEP: usize = 97;

#[tokio::test]
async fn a_file_that_was_cut_off_or_altered_anywhere_is_refused_before_anything_is_written() {
    let (old, new) = (server().await, server().await);
    let store = RedisStore::connect(written::options(&old.url())).await.unwrap();
    written::fill(&store).await.unwrap();
    let (folder, to) = file();
    back_up(&written::options(&old.url()), &to).await.unwrap();
    let whole = std::fs::read(&to).unwrap();
    let into = written::options(&new.url());
    let broken = folder.path().join("broken");
    let refuses = async |bytes: &[u8], what: &str| {
        std::fs::write(&broken, bytes).unwrap();
        let why = refused(put_back(&into, &broken).await);
        assert!(why.contains(&broken.display().to_string()), "{what}: {why}");
        why
    };
    for length in (0..whole.len()).step_by(STEP).chain([whole.len() - 1]) {
        let why = refuses(&whole[..length], &format!("cut off at {length}")).await;
        assert!(why.contains("ends too early"), "{why}");
    }
    for at in (0..whole.len()).step_by(STEP) {
        let mut altered = whole.clone();
        altered[at] ^= 0x20;
        refuses(&altered, &format!("altered at {at}")).await;
    }
    let why = refuses(&[&whole[..], b"x"].concat(), "something behind it").await;
    assert!(why.contains("something follows its end"), "{why}");
    let why = refuses(&b"no backup, but long enough to be taken for one".repeat(9), "text").await;
    assert!(why.contains("no backup that"), "{why}");
    let why = refuses(&[b"SQLite format 3\0".as_slice(), &[0; 99]].concat(), "SQLite").await;
    assert!(why.contains("sqlite:PATH"), "{why}");
    let why = refused(put_back(&into, Path::new("/nowhere/at-all")).await);
    assert!(why.contains("there is no backup at /nowhere/at-all"), "{why}");
    let why = refused(put_back(&RedisOptions { partitions: 3, ..into.clone() }, &to).await);
    assert!(why.contains("2 partitions") && why.contains("set store.partitions = 2"), "{why}");
    assert_eq!(everything(&new).await.len(), 0);
    put_back(&into, &to).await.unwrap();
}

/// A frame left out, sent twice, or in another's place is found by the checks of those around it.
#[tokio::test]
async fn whole_parts_cannot_be_left_out_repeated_or_moved() {
    let (old, new) = (server().await, server().await);
    let store = RedisStore::connect(written::options(&old.url())).await.unwrap();
    written::fill(&store).await.unwrap();
    let (folder, to) = file();
    back_up(&written::options(&old.url()), &to).await.unwrap();
    let whole = std::fs::read(&to).unwrap();
    let mut frames: Vec<&[u8]> = Vec::new();
    let mut rest = &whole[24..];
    while !rest.is_empty() {
        let body = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        let (frame, behind) = rest.split_at(body + 9);
        frames.push(frame);
        rest = behind;
    }
    assert!(frames.len() > 10, "{}", frames.len());
    let broken = folder.path().join("broken");
    for at in 0..frames.len() {
        let mut left_out = frames.clone();
        left_out.remove(at);
        let mut repeated = frames.clone();
        repeated.insert(at, frames[at]);
        let mut moved = frames.clone();
        moved.swap(at, (at + 1) % frames.len());
        for frames in [left_out, repeated, moved] {
            std::fs::write(&broken, [&whole[..24], &frames.concat()].concat()).unwrap();
            let why = refused(put_back(&written::options(&new.url()), &broken).await);
            assert!(why.contains("is damaged"), "{at}: {why}");
        }
    }
    assert_eq!(everything(&new).await.len(), 0);
}

#[tokio::test]
async fn a_store_that_is_there_is_never_replaced_whatever_is_left_of_it() {
    let old = server().await;
    let from = new_store(&old.url(), 1);
    let store = open(&from).await;
    store.append(vec![event("a", "k")]).await.remove(0).unwrap();
    let (_folder, to) = file();
    back_up(&from, &to).await.unwrap();
    let again = refused(back_up(&from, &to).await);
    assert!(again.contains("is there already"), "{again}");
    let before = everything(&old).await;
    let why = refused(put_back(&from, &to).await);
    for said in ["there is a store at", "stop every Laneway", "empty Redis", "store.key_prefix"] {
        assert!(why.contains(said), "{why}");
    }
    assert_eq!(everything(&old).await, before);
    // What says what the store is was lost; what is in it is still there.
    let key = format!("{{{}}}:store", from.key_prefix);
    drop(store);
    old.command(&["DEL", &key]).await.unwrap();
    let why = refused(put_back(&from, &to).await);
    assert!(why.contains("there is a store at"), "{why}");
    assert_eq!(everything(&old).await.len(), before.len() - 1);
    // Another prefix beside it, also one that begins like it.
    let beside = RedisOptions { key_prefix: format!("{}:0", from.key_prefix), ..from.clone() };
    put_back(&beside, &to).await.unwrap();
    assert_eq!(open(&beside).await.bounds(laneway_domain::Partition(0)).await.unwrap().end.0, 1);
}

#[tokio::test]
async fn what_is_not_there_is_neither_copied_nor_made() {
    let server = server().await;
    let (_folder, to) = file();
    let why = refused(back_up(&RedisOptions::new(server.url(), 1), &to).await);
    assert!(why.contains("there is no store at"), "{why}");
    assert!(!to.exists());
    assert_eq!(server.command(&["DBSIZE"]).await.unwrap().number(), Some(0));
    let store = open(&RedisOptions::new(server.url(), 1)).await;
    let why = refused(back_up(&RedisOptions::new(server.url(), 1), Path::new("/nowhere/copy")).await);
    assert!(why.contains("/nowhere/copy") && why.contains("cannot be written"), "{why}");
    drop(store);
}
