//! Writes a store as the present code writes it, with records of every kind, for `tests/formats`:
//!
//! ```text
//! cargo run -p laneway-redis --example redis_formats -- tests/formats redis-1
//! cargo run -p laneway-redis --example redis_formats -- tests/formats backup-1
//! ```
//! The second makes a backup of the store (`store.backup`), and says what is in what is restored from it.
//!
//! It makes that folder there, which must not exist yet: what a release has written never changes. In it are the
//! commands that make the store's keys (`store.resp`, as `redis-cli --pipe` takes them, for every version of Redis; keys
//! and lines in order), the functions as they were loaded (`library.lua`), and what was in the store when it was written
//! (`content.json`). Two runs differ only in what comes from the clock: when events were accepted, and epochs.

use bytes::Bytes;
use laneway_domain::{
    Behind, Commit, Cut, DestinationName, Event, EventId, EventType, Failure, Filter, Filters, GivenUp, Key,
    LaneChange, LaneKey, NewEvent, NextAttempt, Offset, OperatorPause, Origin, Partition, Pause, Position, Quarantined,
    Registered, RetryState, Revision, Standing, Tenant, Timestamp, TraceParent, TypePattern,
};
use laneway_ports::{
    DeadLetterQuery, DeadLetters, EventLog, JournalEntry, Lease, LogRecord, ProgressStore, Registry, RegistryWrite,
    Selection, StoreError, WorkerId,
};
use laneway_redis::{RedisOptions, RedisStore, RestoreOptions, backup, restore};
use laneway_servers::redis::{RedisServer, RedisSettings, Reply};
use serde_json::{Value, json};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The moment that stored times of failures and pauses count from.
const BEGAN: u64 = 1_700_000_000_000;
const PARTITIONS: u32 = 2;
/// Events of each partition, about: enough for every state that a record can be in.
const EVENTS: u32 = 24;
/// How long the ids of a loaded store are remembered (ms): longer than any test.
const REMEMBERED_MS: &str = "86400000";

/// When destinations were made over the API, and when they were changed.
const MADE: Revision = Revision(BEGAN * 1000 + 1);
const CHANGED: Revision = Revision(BEGAN * 1000 + 60_000_000);

type Done<T = ()> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    let usage = "name the folder, such as tests/formats, and the format, such as redis-1";
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or(usage)?).join(arguments.next().ok_or(usage)?);
    let server = RedisServer::start(RedisSettings::default()).await?;
    let store = RedisStore::connect(options(&server.url())).await?;
    fill(&store).await?;
    damage(&server).await?;
    drop(store);
    std::fs::create_dir(&folder)?;
    if folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("backup-")) {
        return write_backup(&server, &folder).await;
    }
    std::fs::write(folder.join("store.resp"), commands(&server).await?)?;
    std::fs::write(folder.join("library.lua"), library(&server).await?)?;
    let content = content(&RedisStore::connect(options(&server.url())).await?).await?;
    std::fs::write(folder.join("content.json"), format!("{content:#}\n"))?;
    Ok(())
}

async fn write_backup(server: &RedisServer, folder: &Path) -> Done {
    let file = folder.join("store.backup");
    backup(options(&server.url()), &file, |_| ()).await?;
    let other = RedisServer::start(RedisSettings::default()).await?;
    restore(options(&other.url()), &file, RestoreOptions::default(), |_| ()).await?;
    let content = content(&RedisStore::connect(options(&other.url())).await?).await?;
    std::fs::write(folder.join("content.json"), format!("{content:#}\n"))?;
    Ok(())
}

/// How such a store is opened.
pub(crate) fn options(url: &str) -> RedisOptions {
    RedisOptions { tail_bytes: 0, ..RedisOptions::new(url, PARTITIONS) }
}

/// The event of that number: by turns with and without a key, source, data, and attributes.
fn event(n: u32) -> Done<NewEvent> {
    let (content_type, data) = match n % 4 {
        0 => ("application/json", format!(r#"{{"n":{n},"text":"Zürich ✓","sum":1.50}}"#).into_bytes()),
        1 => ("text/plain; charset=utf-8", format!("text of {n}\n\u{1F680}").into_bytes()),
        2 => ("application/octet-stream", vec![0, 1, 0xFE, 0xFF]),
        _ => ("application/xml", Vec::new()),
    };
    let mut event = Event::new(EventId::new(&format!("evt_{n}"))?, EventType::new("order.päid")?, Bytes::from(data));
    event.content_type = content_type.into();
    event.key = (!n.is_multiple_of(5)).then(|| Key::new(&format!("key-{}", n % 5))).transpose()?;
    event.source = (!n.is_multiple_of(3)).then(|| "/shop".into());
    event.subject = (n % 3 > 1).then(|| "sübject".into());
    event.time = (!n.is_multiple_of(2)).then(|| "2026-01-31T12:00:00.5+01:00".into());
    if n % 4 != 2 {
        event.attributes = [("level", "5"), ("vip", "false"), ("empty", ""), ("tenant", "\"acme\" ✓\\")]
            .map(|(name, value)| (name.into(), value.into()))
            .into();
    }
    // By turns entries of version 1, and of version 2.
    if n % 8 == 4 {
        event.attributes.insert("number".into(), i32::MIN.into());
        event.attributes.insert("flag".into(), n.is_multiple_of(16).into());
    }
    if n.is_multiple_of(6) {
        event.traceparent = TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    }
    if n % 7 == 3 {
        event.tenant = Some(Tenant::new("acme")?);
    }
    Ok(NewEvent { event, id_given: n.is_multiple_of(2) })
}

/// Every state that a record can be in, in each partition.
pub(crate) async fn fill(store: &RedisStore) -> Done {
    let all = (0..PARTITIONS * EVENTS).map(event).collect::<Done<Vec<_>>>()?;
    store.append(all).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    for partition in (0..PARTITIONS).map(Partition) {
        let lease = claim(store, partition).await?;
        store.commit(&lease, &progress()?).await?;
        let second = Cut { revision: CHANGED, at: Offset(9) };
        store.commit(&lease, &Commit { cut: Some(second), ..Commit::default() }).await?;
        // The oldest two are settled by all and gone: offsets begin at 2.
        store.trim(partition, Timestamp::from_millis(u64::MAX >> 1), 2).await?;
        store.release(&lease).await?;
    }
    let of = |name: &str| -> Done<Selection> { Ok(Selection::of(DestinationName::new(name)?)) };
    store.retry(&of("asked-again")?).await?;
    fill_registry(store).await
}

/// Two changes: one that is there, one that was paused, one that was deleted; with a filter that was another before.
async fn fill_registry(store: &RedisStore) -> Done {
    let record = |name: &str| -> Done<Registered> {
        Ok(Registered {
            name: DestinationName::new(name)?,
            born: MADE,
            revision: MADE,
            origin: Origin::Api,
            standing: Standing::Present,
            paused: None,
            settings: r#"{"url":"https://example.com/größe"}"#.into(),
            filters: Filters::default(),
            target_since: MADE,
            is_first: false,
            takes_over: false,
        })
    };
    let said = |name: &str, revision, what: &str| -> Done<JournalEntry> {
        let at = Timestamp::from_millis(BEGAN + 70_000);
        Ok(JournalEntry { name: DestinationName::new(name)?, revision, at, by: "token ops".into(), what: what.into() })
    };
    let mut records = ["api", "gone", "made-later", "resting"].map(record).into_iter().collect::<Done<Vec<_>>>()?;
    records[0].origin = Origin::File;
    let made = records.iter().map(|record| said(record.name.as_str(), MADE, "made")).collect::<Done<Vec<_>>>()?;
    let first = RegistryWrite { last: Revision::ORIGIN, revision: MADE, records: records.clone(), journal: made };
    for record in &mut records {
        record.revision = CHANGED;
    }
    records[1].standing = Standing::Deleted;
    let filter = Filter { types: vec![TypePattern::new("order.*")?], ..Filter::default() };
    records[2].filters = records[2].filters.changed(filter, CHANGED);
    records[3].paused =
        Some(OperatorPause { since: Timestamp::from_millis(BEGAN + 80_000), reason: "über Nacht".into() });
    let journal = vec![said("gone", CHANGED, "deleted")?, said("made-later", CHANGED, "types")?];
    let second = RegistryWrite { last: MADE, revision: CHANGED, records: records.split_off(1), journal };
    for write in [first, second] {
        if !store.write(&write).await? {
            return Err("somebody else changes the registry".into());
        }
    }
    Ok(())
}

async fn claim(store: &RedisStore, partition: Partition) -> Done<Lease> {
    let worker = WorkerId("writer".into());
    Ok(store.claim(partition, &worker, Duration::from_secs(60)).await?.ok_or("the partition is taken")?)
}

/// One lane that keeps up with a key that is blocked and one that is held; one that is paused; one that goes back
/// over what was settled (a replay); dead letters, one of which is to be retried; a record set aside.
fn progress() -> Done<Commit> {
    let lane = |position| LaneChange { position: Some(position), ..LaneChange::default() };
    let mut keeps_up = lane(Position::Shared);
    let behind = |offset, retry| Some(Behind { offset: Offset(offset), retry });
    keeps_up.behind = [
        (
            LaneKey::Key(Key::new("key-1")?),
            behind(4, Some(failed(3, NextAttempt::At(Timestamp::from_millis(BEGAN + 100_000))))),
        ),
        (LaneKey::Key(Key::new("key-2")?), behind(5, Some(failed(9, NextAttempt::Never)))),
        (LaneKey::Key(Key::new("key-3")?), behind(6, None)),
        (LaneKey::Tenant(Tenant::new("acme")?, Key::new("key-3")?), behind(7, None)),
        (LaneKey::Event(Offset(7)), behind(7, None)),
    ]
    .into();
    let mut paused = lane(Position::At(Offset(5)));
    let pause = Pause { since: Timestamp::from_millis(BEGAN + 50_000), reason: "410: gone since März".into() };
    paused.paused = Some(Some(pause));
    let mut strict = lane(Position::Shared);
    strict.behind = [(LaneKey::All, behind(9, None))].into();
    let lanes = [
        ("keeps-up", keeps_up),
        ("paused", paused),
        ("replaying", lane(Position::At(Offset(3)))),
        ("strict", strict),
        ("asked-again", lane(Position::Shared)),
        ("made-later", LaneChange { born: Some(MADE), ..lane(Position::Shared) }),
    ];
    let dead = |destination, offset, key| -> Done<GivenUp> {
        Ok(GivenUp {
            destination: DestinationName::new(destination)?,
            offset: Offset(offset),
            key,
            at: Timestamp::from_millis(BEGAN + 60_000),
            reason: "the retry limit of 1h is over: 503 Service Unavailable".into(),
            retry: failed(12, NextAttempt::Never),
        })
    };
    let named = |(name, change): (&str, LaneChange)| Ok((DestinationName::new(name)?, change));
    Ok(Commit {
        scanned: Some(Offset(12)),
        cut: Some(Cut { revision: MADE, at: Offset(4) }),
        lanes: lanes.into_iter().map(named).collect::<Done<_>>()?,
        dead_letters: vec![
            dead("keeps-up", 3, LaneKey::Key(Key::new("key-4")?))?,
            dead("strict", 8, LaneKey::All)?,
            dead("asked-again", 10, LaneKey::Event(Offset(10)))?,
        ],
        quarantined: vec![Quarantined { offset: Offset(11), reason: "set aside for the test".into() }],
        ..Commit::default()
    })
}

fn failed(attempts: u32, next_attempt: NextAttempt) -> RetryState {
    let at = Timestamp::from_millis(BEGAN + 40_000);
    let history = vec![Failure { at, reason: "503 Service Unavailable: nö".into(), status: Some(503) }];
    RetryState { attempts, first_failure: at, next_attempt, history }
}

/// What a careless hand or a bad disk does to entries: one cut off, one changed, one gone, one of a version that there is
/// not, each in the place of the last events of a partition.
pub(crate) async fn damage(server: &RedisServer) -> Done {
    let log = "{laneway:0}:log";
    let last = server.command(&["XREVRANGE", log, "+", "-", "COUNT", "4"]).await?;
    let mut wrong: Vec<(String, Vec<u8>)> = Vec::new();
    for (n, entry) in last.items().iter().rev().enumerate() {
        let (id, fields) = (entry.items()[0].text(), entry.items()[1].items());
        let mut bytes = bytes_of(&fields[1]);
        match n {
            0 => bytes.truncate(bytes.len() / 2),
            1 => *bytes.last_mut().ok_or("it is empty")? ^= 1,
            2 => bytes[0] = 0xEE,
            _ => bytes.clear(),
        }
        wrong.push((id, bytes));
    }
    // Of what was deleted, nothing can be put back under its number but behind where the stream says that it ends.
    server.rewind(log, wrong.len()).await?;
    for (id, bytes) in &wrong {
        server.command(&[b"XADD".as_slice(), log.as_bytes(), id.as_bytes(), b"e", bytes.as_slice()]).await?;
    }
    // One that is gone.
    let log = "{laneway:1}:log";
    let some = server.command(&["XREVRANGE", log, "+", "-", "COUNT", "3"]).await?;
    server.command(&["XDEL", log, &some.items()[2].items()[0].text()]).await?;
    Ok(())
}

fn bytes_of(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Bulk(bytes) => bytes.clone().unwrap_or_default(),
        other => other.text().into_bytes(),
    }
}

async fn library(server: &RedisServer) -> Done<String> {
    let list = server.command(&["FUNCTION", "LIST", "LIBRARYNAME", "laneway", "WITHCODE"]).await?;
    let library = list.items().first().ok_or("there is no library")?;
    Ok(named(library, "library_code").ok_or("the library has no code")?)
}

/// The value that follows a name in a list of names and values.
fn named(list: &Reply, name: &str) -> Option<String> {
    let at = list.items().iter().position(|item| item.text() == name)?;
    list.items().get(at + 1).map(Reply::text)
}

/// The commands that make all keys, in the order of the keys' names.
async fn commands(server: &RedisServer) -> Done<Vec<u8>> {
    let mut keys: Vec<String> = server.command(&["KEYS", "*"]).await?.items().iter().map(Reply::text).collect();
    keys.sort();
    let mut out = Vec::new();
    for key in keys {
        let read = |command: &[&str]| command.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        match server.command(&["TYPE", &key]).await?.text().as_str() {
            "string" => {
                let value = server.command(&["GET", &key]).await?;
                let mut command = vec![b"SET".to_vec(), key.clone().into_bytes(), bytes_of(&value)];
                if server.command(&["PTTL", &key]).await?.number().is_some_and(|left| left > 0) {
                    command.extend([b"PX".to_vec(), REMEMBERED_MS.into()]);
                }
                add(&mut out, &command);
            }
            "hash" => {
                let all = server.command(&read(&["HGETALL", &key])).await?;
                let mut pairs: Vec<[Vec<u8>; 2]> =
                    all.items().chunks_exact(2).map(|pair| [bytes_of(&pair[0]), bytes_of(&pair[1])]).collect();
                pairs.sort();
                for [field, value] in pairs {
                    add(&mut out, &[b"HSET".to_vec(), key.clone().into_bytes(), field, value]);
                }
            }
            "zset" => {
                let all = server.command(&read(&["ZRANGE", &key, "0", "-1", "WITHSCORES"])).await?;
                for pair in all.items().chunks_exact(2) {
                    add(
                        &mut out,
                        &[b"ZADD".to_vec(), key.clone().into_bytes(), bytes_of(&pair[1]), bytes_of(&pair[0])],
                    );
                }
            }
            "stream" => {
                for entry in server.command(&read(&["XRANGE", &key, "-", "+"])).await?.items() {
                    let mut command = vec![b"XADD".to_vec(), key.clone().into_bytes(), bytes_of(&entry.items()[0])];
                    command.extend(entry.items()[1].items().iter().map(bytes_of));
                    add(&mut out, &command);
                }
                let info = server.command(&read(&["XINFO", "STREAM", &key])).await?;
                let last = named(&info, "last-generated-id").ok_or("the stream has no last id")?;
                add(&mut out, &[b"XSETID".to_vec(), key.clone().into_bytes(), last.into_bytes()]);
            }
            other => return Err(format!("{key} is a {other}, and nothing here writes one").into()),
        }
    }
    Ok(out)
}

/// One command, as clients send them.
fn add(out: &mut Vec<u8>, command: &[Vec<u8>]) {
    out.extend(format!("*{}\r\n", command.len()).into_bytes());
    for part in command {
        out.extend(format!("${}\r\n", part.len()).into_bytes());
        out.extend(part);
        out.extend(b"\r\n");
    }
}

/// All that is in the store, as people would write it down.
pub(crate) async fn content(store: &RedisStore) -> Result<Value, StoreError> {
    let mut partitions = Vec::new();
    for partition in (0..store.partitions()).map(Partition) {
        let bounds = store.bounds(partition).await?;
        partitions.push(json!({
            "start": bounds.start.0,
            "end": bounds.end.0,
            "records": records(store, partition).await?,
            "progress": progress_of(store, partition).await?,
        }));
    }
    let query = DeadLetterQuery { most: 100, ..DeadLetterQuery::default() };
    let mut letters = Vec::new();
    for letter in store.list(&query).await? {
        let given_up = &letter.given_up;
        let event = store.event(letter.partition, given_up.offset, &given_up.destination).await?;
        letters.push(json!({
            "destination": given_up.destination.as_str(),
            "partition": letter.partition.0,
            "key": given_up.key.to_string(),
            "at": given_up.at.as_millis(),
            "reason": given_up.reason,
            "retry": given_up.retry,
            "retry_requested": letter.retry_requested,
            "event": event.map(|logged| described(&LogRecord::Event(Arc::new(logged)))),
        }));
    }
    let mut content = json!({ "partitions": partitions, "dead_letters": letters });
    let changes = store.changed_since(Revision::ORIGIN).await?;
    if changes.upto > Revision::ORIGIN {
        let mut journal = Vec::new();
        for record in &changes.records {
            journal.extend(store.journal(&record.name, None, 10).await?);
        }
        content["registry"] = json!({ "last": changes.upto, "records": changes.records, "journal": journal });
    }
    Ok(content)
}

async fn records(store: &RedisStore, partition: Partition) -> Result<Vec<Value>, StoreError> {
    let (mut records, mut from) = (Vec::new(), store.bounds(partition).await?.start);
    while from < store.bounds(partition).await?.end {
        let chunk = store.read(partition, from, 7, usize::MAX).await?;
        records.extend(chunk.records.iter().map(described));
        from = chunk.next;
    }
    Ok(records)
}

fn described(record: &LogRecord) -> Value {
    let logged = match record {
        LogRecord::Event(logged) => logged,
        // What is wrong may be said better later; that it is wrong may not change.
        LogRecord::Corrupt { offset, .. } => return json!({ "offset": offset.0, "corrupt": true }),
    };
    let event = &logged.event;
    let mut described = json!({
        "offset": logged.offset.0,
        "accepted_at": logged.accepted_at.as_millis(),
        "id": event.id.as_str(),
        "type": event.event_type.as_str(),
        "key": event.key.as_ref().map(Key::as_str),
        "source": event.source,
        "subject": event.subject,
        "time": event.time,
        "content_type": event.content_type,
        "attributes": event.attributes,
        "data": event.data.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
    });
    if let Some(tenant) = &event.tenant {
        described["tenant"] = json!(tenant);
    }
    if let Some(trace) = event.traceparent {
        described["traceparent"] = json!(trace.to_string());
    }
    described
}

async fn progress_of(store: &RedisStore, partition: Partition) -> Result<Value, StoreError> {
    let progress = store.load(partition).await?;
    let lanes = progress.lanes.iter().map(|(name, lane)| {
        let behind = lane.behind.iter().map(|(key, behind)| (key.to_string(), json!(behind)));
        let mut described = json!({
            "position": lane.position,
            "paused": lane.paused,
            "behind": behind.collect::<serde_json::Map<_, _>>(),
        });
        // Stores of before there were changes say nothing of them.
        if lane.born > Revision::ORIGIN {
            described["born"] = json!(lane.born);
        }
        (name.to_string(), described)
    });
    let asked: Vec<String> =
        progress.redrives.iter().map(|r| format!("{} {} {}", r.destination, r.offset, r.key)).collect();
    let mut described = json!({
        "scanned": progress.scanned.0,
        "lanes": lanes.collect::<serde_json::Map<_, _>>(),
        "retry_requested": asked,
    });
    if progress.cuts.last().is_some() {
        described["cuts"] = json!(progress.cuts);
    }
    Ok(described)
}
