//! Processes of two releases over one real Redis: this one, and the next as it may be (`codec::VERSION_NEXT`).

use super::*;
use crate::store::RedisStore;
use laneway_domain::{Event, EventId, EventType, NewEvent, Offset, Partition};
use laneway_ports::{EventLog as _, LogRecord, WorkerId, Workers as _};
use laneway_servers::redis::{RedisServer, RedisSettings};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const P: Partition = Partition(0);

async fn server() -> RedisServer {
    RedisServer::start(RedisSettings::default()).await.unwrap()
}

fn versions(reads: [u8; 2], writes: u8, since: &str) -> Versions {
    Versions { reads, writes, since: since.to_owned() }
}

/// A release whose events have such versions, and whose functions answer such calls.
fn release(release: &str, functions: [i64; 2], entry: Versions) -> Statement {
    let replay = versions([0, 1], 0, "0.1.0");
    let formats = [(ENTRY.to_owned(), entry), (REPLAY.to_owned(), replay)].into();
    Statement { role: "worker".into(), release: release.into(), functions, formats }
}

const FUNCTIONS: [i64; 2] = [library::OLDEST_CALLS, library::VERSION];

fn the_next() -> Statement {
    release("0.2.0", FUNCTIONS, versions([1, codec::VERSION_NEXT], 1, "0.2.0"))
}

fn named(server: &RedisServer, process: &str) -> RedisOptions {
    RedisOptions { process: process.into(), ..RedisOptions::new(server.url(), 1) }
}

async fn this_release(server: &RedisServer, process: &str) -> Result<RedisStore, StoreError> {
    RedisStore::connect(named(server, process)).await
}

async fn open_as(server: &RedisServer, process: &str, statement: Statement) -> Result<RedisStore, StoreError> {
    RedisStore::connect_as(named(server, process), statement).await
}

async fn refused(opened: impl Future<Output = Result<RedisStore, StoreError>>) -> String {
    match opened.await {
        Err(StoreError::Refused { what }) => what,
        other => panic!("not refused: {other:?}"),
    }
}

async fn append(store: &RedisStore, id: &str) -> Offset {
    let event = Event::new(EventId::new(id).unwrap(), EventType::new("t").unwrap(), id.to_owned().into());
    store.append(vec![NewEvent { event, id_given: false }]).await.remove(0).unwrap().offset
}

/// The ids of the events from there on, each of which has its id for its data.
async fn read(store: &RedisStore, from: Offset) -> Result<Vec<String>, StoreError> {
    let chunk = store.read(P, from, 100, usize::MAX).await?;
    Ok(chunk
        .records
        .iter()
        .map(|record| match record {
            LogRecord::Event(logged) => {
                assert_eq!(logged.event.data, logged.event.id.as_str().as_bytes());
                logged.event.id.to_string()
            }
            LogRecord::Corrupt { reason, .. } => panic!("{reason}"),
        })
        .collect())
}

/// The version of each entry of the log, as its bytes say.
async fn written(server: &RedisServer) -> Vec<u8> {
    let log = server.command(&["XRANGE", "{laneway:0}:log", "-", "+"]).await.unwrap();
    let version = |entry: &laneway_servers::redis::Reply| match &entry.items()[1].items()[1] {
        laneway_servers::redis::Reply::Bulk(Some(bytes)) => bytes[0],
        other => panic!("{other:?}"),
    };
    log.items().iter().map(version).collect()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !is_so() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}: not within half a minute"));
}

/// The process is gone, as if its time had run out.
async fn forget(server: &RedisServer, process: &str) {
    server.command(&["ZREM", "{laneway}:processes", process]).await.unwrap();
}

#[tokio::test]
async fn a_newer_process_writes_what_an_older_one_reads_and_switches_over_when_that_one_is_gone() {
    let server = server().await;
    let old = this_release(&server, "old").await.unwrap();
    let first = append(&old, "of-old").await;
    let new = open_as(&server, "new", the_next()).await.unwrap();
    append(&new, "of-new-1").await;
    assert_eq!(read(&old, first).await.unwrap(), ["of-old", "of-new-1"]);
    // While the older one is there that stays so, however often each says that it is there.
    new.shared.processes.attend().await.unwrap();
    old.shared.processes.attend().await.unwrap();
    append(&new, "of-new-2").await;
    assert_eq!(written(&server).await, [1, 1, 1]);
    let there = |store: &RedisStore| {
        let all = store.shared.processes.there();
        all.into_iter().map(|process| (process.process, process.release)).collect::<Vec<_>>()
    };
    let both = [("new".to_owned(), "0.2.0".to_owned()), ("old".into(), env!("CARGO_PKG_VERSION").into())];
    let mut seen = there(&new);
    seen.sort();
    assert_eq!(seen, both);
    drop(old);
    let processes = new.shared.processes.clone();
    until("the newer version is written", || processes.writes_entries() == codec::VERSION_NEXT).await;
    append(&new, "of-new-3").await;
    assert_eq!(written(&server).await, [1, 1, 1, codec::VERSION_NEXT]);
    assert_eq!(read(&new, first).await.unwrap(), ["of-old", "of-new-1", "of-new-2", "of-new-3"]);
    assert_eq!(there(&new), both[..1]);
    // What was written stays: the older release may not come back, also when nobody is there.
    for gone in [None, Some("new")] {
        if let Some(gone) = gone {
            forget(&server, gone).await;
        }
        let what = refused(this_release(&server, "old-again")).await;
        assert!(what.contains("\"entry\" in version 4") && what.contains("it needs Laneway 0.2.0 or later"), "{what}");
    }
}

#[tokio::test]
async fn who_would_not_be_understood_or_does_not_understand_is_refused_by_name_of_the_release() {
    let cases = [
        // It writes only what the one that is there cannot read.
        (release("0.3.0", FUNCTIONS, versions([2, 4], 4, "0.2.0")), "reads the thing \"entry\" up to version 3"),
        // It reads nothing that the one that is there can write.
        (release("0.0.9", FUNCTIONS, versions([0, 0], 0, "0.0.9")), "it needs Laneway 0.1.0 or later"),
        // Its functions do not answer the calls of the one that is there.
        (
            release("0.4.0", [library::VERSION + 1, library::VERSION + 1], versions([1, 3], 1, "0.1.0")),
            "upgrade that process first, to a release between the two",
        ),
        // The functions that are there do not answer its calls.
        (
            release("0.0.1", [1, library::OLDEST_CALLS - 1], versions([1, 3], 1, "0.1.0")),
            "answer calls of version 6 and later",
        ),
    ];
    let server = server().await;
    let there = this_release(&server, "there").await.unwrap();
    for (statement, why) in cases {
        let what = refused(open_as(&server, "newcomer", statement.clone())).await;
        assert!(what.contains(why), "{statement:?}: {what}");
        assert!(what.contains(&format!("Laneway {}", statement.release)), "{what}");
    }
    drop(there);
    forget(&server, "there").await;
    // A thing of which this release knows nothing, and one that was written in a version before all that it reads.
    for (thing, version, why) in
        [("seal", "1", "has the thing \"seal\" in version 1"), ("entry", "1", "reads from 2 on: start a release first")]
    {
        let (format, since) = (format!("format:{thing}"), format!("since:{thing}"));
        server.command(&["HSET", "{laneway}:store", &format, version, &since, "0.7.0"]).await.unwrap();
        let statement = release("0.1.0", FUNCTIONS, versions([2, 3], 2, "0.1.0"));
        let what = refused(open_as(&server, "newcomer", statement)).await;
        assert!(what.contains(why), "{what}");
        server.command(&["HDEL", "{laneway}:store", &format, &since]).await.unwrap();
    }
}

/// A worker of a release from before there was the register stands among the workers alone.
#[tokio::test]
async fn a_worker_from_before_the_register_holds_the_version_back() {
    let server = server().await;
    // It leaves a store that it has made, and announces itself.
    let first = this_release(&server, "first").await.unwrap();
    first.announce(&WorkerId("ancient".into()), Duration::from_secs(600)).await.unwrap();
    drop(first);
    forget(&server, "first").await;
    let new = open_as(&server, "new", the_next()).await.unwrap();
    append(&new, "a").await;
    assert_eq!(written(&server).await, [1]);
    new.leave(&WorkerId("ancient".into())).await.unwrap();
    new.shared.processes.attend().await.unwrap();
    append(&new, "b").await;
    assert_eq!(written(&server).await, [1, codec::VERSION_NEXT]);
    // Its own worker is none of those.
    new.announce(&WorkerId("new".into()), Duration::from_secs(600)).await.unwrap();
    new.shared.processes.attend().await.unwrap();
    assert_eq!(new.shared.processes.writes_entries(), codec::VERSION_NEXT);
}

/// A process stood still for longer than its time, and the others went on without it.
#[tokio::test]
async fn a_process_that_can_read_no_longer_what_is_written_says_so_and_skips_nothing() {
    let server = server().await;
    let old = this_release(&server, "old").await.unwrap();
    old.attending.abort();
    let first = append(&old, "a").await;
    forget(&server, "old").await;
    let new = open_as(&server, "new", the_next()).await.unwrap();
    let next = append(&new, "b").await;
    assert_eq!(written(&server).await, [1, codec::VERSION_NEXT]);
    assert_eq!(read(&old, first).await.unwrap(), ["a"]);
    assert!(matches!(read(&old, next).await, Err(StoreError::RetryLater { .. })));
    old.health().unwrap();
    tokio::spawn(old.shared.processes.clone().go_on());
    until("its health tells", || old.health().is_err()).await;
    let why = old.health().unwrap_err();
    assert!(why.contains("it needs Laneway 0.2.0 or later"), "{why}");
    // What it writes the others read: it may finish.
    append(&old, "c").await;
    assert_eq!(read(&new, first).await.unwrap(), ["a", "b", "c"]);
}

/// The register as it has to be: nobody that is there reads less than may be written, and that never goes back.
#[test]
fn no_version_is_written_that_one_who_is_there_does_not_read() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(server());
    runtime.block_on(this_release(&server, "maker")).map(drop).unwrap();
    let mut runner = TestRunner::new(Config { cases: 30, failure_persistence: None, ..Config::default() });
    // A process attends (with versions that it reads and writes), or is gone.
    let step = (0..4_usize, prop::option::weighted(0.8, (1..4_u8, 0..4_u8, 0..4_u8)));
    let steps = prop::collection::vec(step, 1..30);
    let ran = runner.run(&steps, |steps| {
        runtime.block_on(async {
            server.command(&["DEL", "{laneway}:processes", "{laneway}:processes:formats"]).await.unwrap();
            server.command(&["HDEL", "{laneway}:store", "format:entry", "since:entry"]).await.unwrap();
            let mut there: BTreeMap<usize, (u8, u8)> = BTreeMap::new();
            let mut level = 0;
            for (process, step) in steps {
                let Some((oldest, more, writes)) = step else {
                    forget(&server, &process.to_string()).await;
                    there.remove(&process);
                    continue;
                };
                let (newest, writes) = (oldest + more, oldest + writes.min(more));
                let statement = release("x", FUNCTIONS, versions([oldest, newest], writes, "x"));
                let others = || there.iter().filter(|(other, _)| **other != process).map(|(_, known)| *known);
                let fits = (level == 0 || (oldest..=newest).contains(&level))
                    && others().all(|(reads, write)| reads >= writes && newest >= write);
                let json = serde_json::to_string(&statement).unwrap();
                let keys =
                    ["{laneway}:store", "{laneway}:processes", "{laneway}:processes:formats", "{laneway}:workers"];
                let name = process.to_string();
                let call = [&["FCALL", "laneway_attend", "4"][..], &keys, &[&name, "60000", &json]].concat();
                let answered = server.command(&call).await;
                prop_assert_eq!(answered.is_ok(), fits, "{} {:?} at {} beside {:?}", process, statement, level, there);
                if fits {
                    there.insert(process, (newest, writes));
                    level = level.max(there.values().map(|(reads, _)| *reads).min().unwrap());
                    let told = answered.unwrap().items()[0].items()[1].text();
                    prop_assert_eq!(told, level.to_string());
                }
                for (reads, _) in there.values() {
                    prop_assert!(*reads >= level);
                }
            }
            Ok(())
        })
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn events_of_tenants_are_taken_when_every_process_knows_tenants() {
    let server = server().await;
    let older = release("0.0.9", FUNCTIONS, versions([1, 2], 1, "0.0.9"));
    let older = open_as(&server, "older", older).await.unwrap();
    let store = this_release(&server, "new").await.unwrap();
    let of_acme = || {
        let event = Event::new(EventId::new("e").unwrap(), EventType::new("t").unwrap(), "e".into());
        let tenant = Some(laneway_domain::Tenant::new("acme").unwrap());
        NewEvent { event: Event { tenant, ..event }, id_given: false }
    };
    let refused = store.append(vec![of_acme()]).await.remove(0).unwrap_err();
    assert!(
        matches!(&refused, StoreError::RetryLater { what, .. } if what.contains("does not know tenants")),
        "{refused}"
    );
    append(&store, "of-nobody").await;
    drop(older);
    let processes = store.shared.processes.clone();
    until("tenants are known", || processes.writes_entries() > 2).await;
    store.append(vec![of_acme()]).await.remove(0).unwrap();
    assert_eq!(written(&server).await, [1, 3]);
}
