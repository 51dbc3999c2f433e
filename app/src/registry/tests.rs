//! From a configuration and from JSON into records, and back.

use super::*;
use crate::config::{Config, DestinationConfig, References, read_settings};
use laneway_domain::{DestinationName, Edit, Origin, Registered, Revision, Standing};
use laneway_egress::EgressPolicy;
use laneway_memory::{Disk, MemoryStore, Settings};
use laneway_ports::{Registry, RegistryWrite};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

fn name() -> DestinationName {
    DestinationName::new("billing").unwrap()
}

fn keys() -> Arc<Keyring> {
    Arc::new(Keyring::of(&[[7; KEY_BYTES]]).unwrap())
}

fn of_toml(text: &str) -> Arc<DestinationConfig> {
    config_of(text).destinations.remove(0)
}

fn config_of(text: &str) -> Config {
    Config::from_toml(&format!("[[destination]]\nname = 'billing'\n{text}")).unwrap()
}

fn reader(keys: Arc<Keyring>, file: Vec<Arc<DestinationConfig>>) -> Reader {
    Reader::new(EgressPolicy::default(), keys, file)
}

fn map(json: Json) -> Map<String, Json> {
    let Json::Object(map) = json else { panic!("{json}") };
    map
}

fn record_of_file(config: &DestinationConfig) -> Registered {
    let edit = put_of_file(config, None, false);
    Registered::edited(None, &name(), edit, Revision(9), false).unwrap().unwrap()
}

fn record_of_api(settings: Json) -> Registered {
    let read = read_settings(&name(), map(settings), References::Refused, &EgressPolicy::default());
    assert_eq!(read.problems, []);
    let filter = read.destination.filters.current.clone();
    let settings = Stored::sealed("billing", read.written, Vec::new(), &keys()).unwrap().text();
    let edit = Edit::Put { origin: Origin::Api, settings, filter, moved: false, adopt: false };
    Registered::edited(None, &name(), edit, Revision(9), false).unwrap().unwrap()
}

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Settings as a file has them, and as JSON has them.
fn both() -> Vec<(String, Json)> {
    vec![
        ("url = 'console:'".into(), json!({"url": "console:"})),
        (
            "url = 'https://h.example/x'\ntypes = ['a.*']\nmatch = { tenant = 'acme' }\nordering = 'strict'\n\
             from = 'beginning'\nmax_in_flight = 7\nrate = 100\nbatch = { max_events = 50, max_bytes = 65536, \
             linger = '20ms' }\nretry = { initial = '500ms', factor = 3, limit = '600s', jitter = 0 }\n\
             on_give_up = 'hold'\nmax_age = '36h'\nbreaker = { failures = 5, limit = '1h' }\npaused = true\nreject = [400]\n\
             timeout = '3s'\nhttp = '1.1'\nmax_idle_connections = 3\nidle_timeout = '5s'"
                .into(),
            json!({"url": "https://h.example/x", "types": ["a.*"], "match": {"tenant": "acme"}, "ordering": "strict",
                "from": "beginning", "max_in_flight": 7, "rate": 100,
                "batch": {"max_events": 50, "max_bytes": "64KiB", "linger": "20ms"},
                "retry": {"initial": "500ms", "factor": 3.0, "limit": "10m", "jitter": 0.0},
                "on_give_up": "hold", "max_age": "1d12h", "breaker": {"failures": 5, "limit": "1h"}, "paused": true, "reject": [400],
                "timeout": "3s", "http": "1.1", "max_idle_connections": 3, "idle_timeout": "5s"}),
        ),
        (
            format!(
                "url = 'https://u:p@h.example/x'\nsecrets = ['{SECRET}']\nheaders = {{ x-a = '1', 'x.b' = '2' }}\nbreaker = false"
            ),
            json!({"url": "https://u:p@h.example/x", "secrets": [SECRET], "headers": {"x-a": "1", "x.b": "2"},
                "breaker": false}),
        ),
        (
            "url = 'https://h.example/'\nbearer = 'hunter2'".into(),
            json!({"url": "https://h.example/", "bearer": "hunter2"}),
        ),
        (
            "url = 'https://h.example/'\nbasic = { user = 'u', password = 'p' }".into(),
            json!({"url": "https://h.example/", "basic": {"user": "u", "password": "p"}}),
        ),
    ]
}

#[test]
fn json_says_what_the_file_says_and_comes_back_as_it_was() {
    for (toml, json) in both() {
        let config = config_of(&toml);
        let file = &config.destinations[0];
        assert_eq!(Json::Object(file.written.read().whole()), json, "{toml}");
        let read = read_settings(&name(), map(json.clone()), References::Refused, &config.egress);
        assert_eq!((read.problems.as_slice(), &read.written), (&[][..], &file.written.read()), "{toml}");
        assert_eq!(read.destination, file.destination, "{toml}");
        assert_eq!(format!("{:?}", read.sink.unwrap()), format!("{:?}", file.sink), "{toml}");
        // And once more, from what was kept.
        let again = read_settings(&name(), read.written.whole(), References::Literal, &EgressPolicy::default());
        assert_eq!((again.problems.as_slice(), &again.written), (&[][..], &file.written.read()), "{toml}");
    }
}

#[test]
fn a_record_becomes_the_destination_that_it_was_made_from() {
    for (toml, json) in both() {
        let file = of_toml(&toml);
        for record in [record_of_file(&file), record_of_api(json)] {
            let read = reader(keys(), vec![file.clone()]).read(&record);
            assert!(read.sink.is_ok(), "{toml}: {:?}", read.sink.err());
            assert_eq!(read.to, Some(file.sink.shown()));
            assert_eq!((read.destination.born, read.destination.target_since), (Revision(9), Revision(9)));
            let expected = laneway_domain::Destination {
                born: Revision(9),
                takes_over: true,
                target_since: Revision(9),
                filters: record.filters.clone().into(),
                ..file.destination.clone()
            };
            assert_eq!(read.destination, expected, "{toml}");
            assert_eq!(*read.destination.filters.at(Revision(9)), file.destination.filters.current);
        }
    }
}

#[test]
fn an_operators_pause_has_its_reason_and_its_moment() {
    let (toml, json) = &both()[0];
    let since = laneway_domain::Timestamp::from_millis(7);
    let pause = laneway_domain::OperatorPause { since, reason: "they move".into() };
    let record = Registered { paused: Some(pause), ..record_of_api(json.clone()) };
    let read = reader(keys(), vec![of_toml(toml)]).read(&record).destination;
    assert_eq!(read.paused.as_deref(), Some("paused by an operator: they move"));
    assert_eq!(read.paused_since, Some(since));
}

#[test]
fn no_secret_stands_in_a_record() {
    for (toml, json) in both() {
        for record in [record_of_file(&of_toml(&toml)), record_of_api(json)] {
            for secret in ["hunter2", "whsec_", "u:p", "\"1\"", "\"2\""] {
                assert!(!record.settings.contains(secret), "{secret} in {}", record.settings);
            }
        }
    }
}

#[test]
fn a_file_destination_with_secrets_needs_the_file_and_one_without_does_not() {
    let with = of_toml("url = 'https://h.example/'\nbearer = 'hunter2'");
    let record = record_of_file(&with);
    assert!(reader(keys(), vec![with]).read(&record).sink.is_ok());
    let other = of_toml("url = 'https://evil.example/'\nbearer = 'hunter2'");
    for (file, what) in [(vec![], "does not have it"), (vec![other], "says otherwise")] {
        let read = reader(keys(), file).read(&record);
        assert!(read.sink.err().is_some_and(|why| why.contains(what)), "{what}");
    }
    let without = record_of_file(&of_toml("url = 'https://h.example/'\nmax_in_flight = 3"));
    let read = reader(Arc::new(Keyring::none()), vec![]).read(&without);
    assert!(read.sink.is_ok());
    assert_eq!(read.destination.max_in_flight.get(), 3);
}

#[test]
fn a_file_that_is_read_again_is_held_to_the_policy_of_the_process() {
    // A file that is read again comes with a policy of its own, and a count of connections of its own.
    let file = Config::from_toml(
        "[egress]\nallow = ['10.0.0.0/8']\n[[destination]]\nname = 'billing'\nurl = 'https://10.1.2.3/'\nbearer = 'hunter2'",
    );
    let config = file.unwrap().destinations.remove(0);
    let record = record_of_file(&config);
    let read = reader(keys(), vec![config]).read(&record);
    assert!(read.sink.err().is_some_and(|why| why.contains("10.1.2.3")));
}

#[test]
fn what_cannot_be_opened_or_read_here_waits_with_a_reason() {
    let record = record_of_api(json!({"url": "https://h.example/", "bearer": "hunter2", "ordering": "strict"}));
    let read = reader(Arc::new(Keyring::none()), vec![]).read(&record);
    assert!(read.sink.err().is_some_and(|why| why.contains("store.key")));
    assert_eq!(read.destination.ordering, laneway_domain::Ordering::Strict);
    assert!(reader(Arc::new(Keyring::none()), vec![]).check_keys(&record).unwrap_err().contains("billing"));
    assert!(reader(keys(), vec![]).check_keys(&record).is_ok());
    // Sealed for one destination, laid under another's name.
    let moved = Registered { name: DestinationName::new("other").unwrap(), ..record.clone() };
    assert!(reader(keys(), vec![]).read(&moved).sink.is_err());
    for settings in
        ["null", "{}", r#"{"format":2,"settings":{}}"#, r#"{"format":1,"settings":{"url":"http://10.0.0.1/"}}"#]
    {
        let record = Registered { settings: settings.into(), ..record.clone() };
        let why = reader(keys(), vec![]).read(&record).sink.err().unwrap();
        assert!(!why.contains("hunter2") && !why.is_empty(), "{settings}: {why}");
    }
}

#[test]
fn mistakes_in_json_have_their_place_and_a_suggestion() {
    let table = [
        (json!({"url": "https://h.example/", "retyr": {}}), "/retyr", "did you mean \"retry\"?"),
        (
            json!({"url": "https://h.example/", "retry": {"initail": "1s"}}),
            "/retry/initail",
            "did you mean \"initial\"?",
        ),
        (json!({"url": "https://h.example/", "retry": {"initial": 5}}), "/retry/initial", "5 has no unit"),
        (json!({}), "", "url is missing"),
        (json!({"url": "ftp://h.example/"}), "/url", "is not a kind of destination"),
        (json!({"url": "http://10.0.0.1/"}), "/url", "10.0.0.1"),
        (json!({"url": "env:HOME"}), "/url", "configuration file only"),
        (json!({"url": "https://h.example/", "bearer": "file:/etc/passwd"}), "/bearer", "configuration file only"),
        (
            json!({"url": "https://h.example/", "headers": {"a/b": "env:HOME"}}),
            "/headers/a~1b",
            "configuration file only",
        ),
        (json!({"url": "https://h.example/", "secrets": ["env:HOME"]}), "/secrets/0", "configuration file only"),
        (json!({"url": "https://h.example/", "secrets": ["hunter2"]}), "/secrets/0", "must begin with whsec_"),
        (json!({"url": "https://h.example/", "bearer": "…"}), "/bearer", "none here that could be kept"),
        (json!({"url": "https://h.example/", "name": "other"}), "/name", "leave it out"),
        (json!({"url": "https://h.example/", "types": []}), "/types", "is empty"),
        (json!({"url": "https://h.example/", "rate": 0}), "/rate", "out of bounds"),
        (json!({"url": "https://h.example/", "mode": "upsert"}), "/mode", "has no effect"),
        (json!({"url": ["x"]}), "/url", "expected text"),
    ];
    for (settings, pointer, what) in table {
        let read = read_settings(&name(), map(settings.clone()), References::Refused, &EgressPolicy::default());
        let found: Vec<(String, &str)> = read.problems.iter().map(|p| (p.pointer(), p.what())).collect();
        let [(at, said)] = found.as_slice() else { panic!("{settings}: {found:?}") };
        assert_eq!(at, pointer, "{settings}: {said}");
        assert!(said.contains(what), "{settings}: {said}");
    }
}

/// Else whoever follows would be told of the same change again and again, and find nothing.
#[tokio::test]
async fn a_start_knows_of_the_last_change_also_where_it_left_no_record() {
    let registry = MemoryStore::open(Disk::new(1), Settings::default());
    let start = async || all(&registry, &reader(keys(), Vec::new()), &Targets::default()).await.unwrap().0.destinations;
    assert_eq!(start().await.revision, Revision::ORIGIN);
    let gone = Registered { standing: Standing::Deleted, ..record_of_api(json!({"url": "console:"})) };
    let deleted = RegistryWrite { revision: gone.revision, records: vec![gone], ..RegistryWrite::default() };
    let bare = RegistryWrite { last: deleted.revision, revision: Revision(12), ..RegistryWrite::default() };
    for write in [&deleted, &bare] {
        assert!(registry.write(write).await.unwrap());
        assert_eq!(start().await.revision, write.revision);
    }
    registry.forget_deleted(Revision(12), 10).await.unwrap();
    assert_eq!(start().await.revision, Revision(12));
}

#[tokio::test]
async fn a_process_that_seals_for_others_has_their_key_or_none() {
    let store = MemoryStore::open(Disk::new(1), Settings::default());
    let head = store.head().await.unwrap();
    let record = record_of_api(json!({"url": "https://h.example/", "bearer": "hunter2"}));
    let mut draft = laneway_ports::WriteDraft::new(&head, record.revision);
    let _ = draft.add(record, "a test", "made");
    assert!(store.write(&draft.finish().unwrap()).await.unwrap());
    let other = Arc::new(Keyring::of(&[[9; KEY_BYTES]]).unwrap());
    for (keys, starts) in [(keys(), true), (Arc::new(Keyring::none()), true), (other, false)] {
        let checked = check_keys(&store, &reader(keys, Vec::new())).await;
        assert_eq!(checked.is_ok(), starts, "{checked:?}");
        assert!(starts || checked.unwrap_err().to_string().contains("destination billing"));
    }
}
