//! Restores that do not come to their end.

use super::{back_up, everything, file, put_back, refused, server_with_functions};
use crate::formats::written;
use crate::support::wire::{Answers, Wire};
use crate::support::{event, open, server};
use laneway_domain::Partition;
use laneway_ports::EventLog;
use laneway_redis::{RedisOptions, RedisStore};

/// Of each step what was written is not taken for a store, and the next restore makes a whole one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_interrupted_restore_leaves_is_no_store_and_the_next_one_begins_anew() {
    let old = server().await;
    let store = RedisStore::connect(written::options(&old.url())).await.unwrap();
    written::fill(&store).await.unwrap();
    let expected = written::content(&store).await.unwrap();
    let (_folder, to) = file();
    back_up(&written::options(&old.url()), &to).await.unwrap();
    let new = server_with_functions().await;
    let into = written::options(&new.url());
    let steps = [
        "laneway_restore_begin",
        "laneway_restore_log",
        "laneway_restore_lane",
        "laneway_restore_letters",
        "laneway_restore_ids",
        "{laneway:registry}:records",
        "laneway_restore_seal",
        "laneway_restore_touch",
    ];
    for step in steps {
        for answers in [Answers::NeverAsked, Answers::Lost] {
            let wire = Wire::to(new.address()).await;
            wire.cut_at(step, answers);
            let through_wire = RedisOptions { url: wire.url(), ..into.clone() };
            let (why, ()) = tokio::join!(put_back(&through_wire, &to), wire.was_cut());
            let why = why.unwrap_err().to_string();
            if step == "laneway_restore_begin" && answers == Answers::NeverAsked {
                assert_eq!(everything(&new).await.len(), 0, "{why}");
                continue;
            }
            let started = refused(RedisStore::connect(into.clone()).await);
            assert!(started.contains("part of a backup") && started.contains("laneway restore"), "{step}: {started}");
            let copied = refused(back_up(&into, &to.with_extension("again")).await);
            assert!(copied.contains("part of a backup"), "{copied}");
            // It may still be at work.
            let second = refused(put_back(&into, &to).await);
            assert!(second.contains("another restore is under way"), "{second}");
            new.command(&["HSET", "{laneway}:store", "alive_until", "0"]).await.unwrap();
            if step != "laneway_restore_begin" {
                assert!(why.contains("not finished") && why.contains("run it again"), "{step}: {why}");
            }
        }
    }
    // Something that the restore before might have left, and this one does not write.
    new.command(&["SET", "{laneway:1}:id:0000", "7"]).await.unwrap();
    put_back(&into, &to).await.unwrap();
    assert_eq!(new.command(&["EXISTS", "{laneway:1}:id:0000"]).await.unwrap().number(), Some(0));
    let restored = RedisStore::connect(into).await.unwrap();
    assert_eq!(written::content(&restored).await.unwrap(), expected);
}

/// Then it is not known whether the store is whole: it is asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_the_last_step_is_no_failure() {
    for answers in [Answers::Lost, Answers::NeverAsked] {
        let (old, new) = (server().await, server_with_functions().await);
        let options = RedisOptions::new(old.url(), 1);
        let store = open(&options).await;
        store.append(vec![event("a", "k")]).await.remove(0).unwrap();
        let (_folder, to) = file();
        back_up(&options, &to).await.unwrap();
        let wire = Wire::to(new.address()).await;
        wire.cut_at("laneway_restore_end", answers);
        let through_wire = RedisOptions { url: wire.url(), ..options.clone() };
        let (made, ()) = tokio::join!(put_back(&through_wire, &to), wire.was_cut());
        let made = made.unwrap();
        let store = open(&RedisOptions { url: new.url(), ..options }).await;
        assert_eq!(store.append(vec![event("b", "k")]).await.remove(0).unwrap().offset, made.goes_on_at);
    }
}

/// Somebody forgot to stop a Laneway before Redis was emptied. It does no harm, and it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_still_runs_keeps_the_restore_from_its_end() {
    let (old, new) = (server().await, server_with_functions().await);
    let options = RedisOptions::new(old.url(), 1);
    let first = open(&options).await;
    let placed = first.append(vec![event("a", "k")]).await.remove(0).unwrap();
    let (_folder, to) = file();
    back_up(&options, &to).await.unwrap();
    let into = RedisOptions { url: new.url(), ..options };
    let running = open(&into).await;
    let why = refused(put_back(&into, &to).await);
    assert!(why.contains("there is a store at"), "{why}");
    // It takes an event at a moment at which the restore has begun.
    let wire = Wire::to(new.address()).await;
    new.command(&["FLUSHALL"]).await.unwrap();
    wire.cut_at("laneway_restore_log", Answers::NeverAsked);
    let through_wire = RedisOptions { url: wire.url(), ..into.clone() };
    let (cut, ()) = tokio::join!(put_back(&through_wire, &to), wire.was_cut());
    let cut = cut.unwrap_err().to_string();
    // It may have said that it is there before the restore looked.
    if cut.contains("there is a store at") {
        return;
    }
    running.append(vec![event("b", "k")]).await.remove(0).unwrap();
    // It said that it is under way before the clock was set back: nobody waits until the clock is there again.
    new.command(&["HSET", "{laneway}:store", "alive_until", "9000000000000"]).await.unwrap();
    let why = refused(put_back(&into, &to).await);
    assert!(why.contains("another restore is under way"), "{why}");
    let until = new.command(&["HGET", "{laneway}:store", "alive_until"]).await.unwrap().text();
    assert!(until.parse::<u64>().unwrap() < 9_000_000_000_000, "half a minute from now: {until}");
    new.command(&["HSET", "{laneway}:store", "alive_until", "0"]).await.unwrap();
    put_back(&into, &to).await.unwrap();
    let store = open(&into).await;
    let chunk = store.read(placed.partition, placed.offset, 9, usize::MAX).await.unwrap();
    assert_eq!((chunk.records.len(), store.bounds(Partition(0)).await.unwrap().end.0), (1, 1));
}
