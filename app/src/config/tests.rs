//! The configuration as a whole: what is read, from where, and what is said when it is wrong.

mod example;
mod fuzz;
mod mistakes;
mod openapi;
mod precedence;

pub(crate) use example::known_paths_of;

use super::*;
use laneway_domain::{OnGiveUp, Ordering, StartFrom};
use proptest::prelude::*;
use std::time::Duration;

fn one(text: &str) -> Arc<DestinationConfig> {
    Config::from_toml(text).unwrap().destinations.remove(0)
}

fn webhook(text: &str) -> laneway_webhook::WebhookConfig {
    settings(&one(text))
}

/// The settings of a webhook, of a destination that is one.
fn settings(destination: &DestinationConfig) -> laneway_webhook::WebhookConfig {
    let sink: &dyn std::any::Any = &*destination.sink;
    sink.downcast_ref::<laneway_webhook::WebhookConfig>().unwrap().clone()
}

#[test]
fn without_a_file_everything_has_its_default() {
    let config = Config::load(&Given::default(), None, &Overrides::default()).unwrap();
    assert_eq!(config.file, None);
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.store.url, StoreUrl::Sqlite("laneway.db".into()));
    assert_eq!((config.store.partitions, config.store.durability), (8, Durability::Full));
    // How many there may be follows from the files that this process may have open.
    let settings = laneway_domain::Settings { max_attempts: 8192, ..config.worker.settings };
    assert_eq!(settings, laneway_domain::Settings::default());
    assert_eq!(config.destinations.len(), 1);
    assert_eq!(config.destinations[0].destination.name.as_str(), "console");
    assert_eq!(config.destinations[0].sink.shown(), "console");
}

#[test]
fn a_destination_is_read_to_the_last_setting() {
    let read = one(r#"
        [[destination]]
        name = "billing"
        url = "https://billing.example/hooks"
        types = ["invoice.*", "order.paid"]
        match = { tenant = "acme" }
        ordering = "strict"
        from = "beginning"
        max_in_flight = 7
        rate = 100
        batch = { max_events = 50, max_bytes = "64KiB", linger = "20ms" }
        retry = { initial = "500ms", factor = 3, limit = "10m", jitter = 0 }
        on_give_up = "hold"
        max_age = "7d"
        breaker = { failures = 5, limit = "1h" }
        paused = true
    "#);
    let d = &read.destination;
    assert_eq!(d.filters.current.types.iter().map(|t| t.as_str()).collect::<Vec<_>>(), ["invoice.*", "order.paid"]);
    assert_eq!(d.filters.current.attributes[&Box::from("tenant")], Box::from("acme"));
    assert_eq!((d.ordering, d.from, d.on_give_up), (Ordering::Strict, StartFrom::Beginning, OnGiveUp::Hold));
    assert_eq!((d.max_in_flight.get(), d.rate.unwrap().per_second.get(), d.paused.is_some()), (7, 100, true));
    assert_eq!((d.batch.max_events, d.batch.max_bytes, d.batch.linger), (50, 65536, Duration::from_millis(20)));
    assert_eq!((d.retry.initial, d.retry.factor), (Duration::from_millis(500), 3.0));
    assert_eq!((d.retry.limit, d.retry.jitter), (Duration::from_secs(600), 0.0));
    assert_eq!(d.max_age, Some(Duration::from_secs(7 * 24 * 3600)));
    let breaker = d.breaker.unwrap();
    assert_eq!((breaker.failures, breaker.limit), (5, Duration::from_secs(3600)));
}

#[test]
fn a_webhook_is_read_to_the_last_setting() {
    let read = webhook(
        r#"
        [egress]
        allow = ["127.0.0.0/8", "::1"]
        [[destination]]
        name = "a"
        url = "http://127.0.0.1:9/x"
        timeout = "3s"
        reject = [400, 422]
        secrets = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]
        headers = { x-team = "pay" }
        basic = { user = "me", password = "pass" }
        http = "1.1"
        max_idle_connections = 3
        idle_timeout = "5s"
        batch = { max_events = 2 }
    "#,
    );
    assert_eq!(read.url, "http://127.0.0.1:9/x");
    assert_eq!((read.timeout, read.idle_timeout), (Duration::from_secs(3), Duration::from_secs(5)));
    assert_eq!((read.reject, read.max_idle_connections, read.batch), (vec![400, 422], 3, true));
    assert_eq!(read.secrets[0].expose(), "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    assert_eq!((read.headers[0].0.as_str(), read.headers[0].1.expose()), ("x-team", "pay"));
    let basic = laneway_webhook::Credentials::Basic { user: "me".into(), password: Secret::new("pass") };
    assert_eq!(read.credentials, Some(basic));
    assert_eq!(read.http, laneway_webhook::HttpVersion::Http1);
    assert_eq!(read.egress.allow.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.0/8", "::1/128"]);
}

#[test]
fn as_many_connections_are_kept_as_attempts_may_be_under_way() {
    let kept = |settings: &str| {
        webhook(&format!("[[destination]]\nname = 'a'\nurl = 'https://a.example/x'\n{settings}")).max_idle_connections
    };
    assert_eq!(kept(""), 64);
    assert_eq!(kept("max_in_flight = 200"), 200);
    assert_eq!(kept("max_in_flight = 200\nmax_idle_connections = 5"), 5);
}

#[test]
fn a_breaker_can_be_turned_off() {
    let config = |breaker: &str| one(&format!("[[destination]]\nname = 'a'\nurl = 'console:'\n{breaker}"));
    assert_eq!(config("").destination.breaker, Some(laneway_domain::BreakerPolicy::default()));
    assert_eq!(config("breaker = true").destination.breaker, Some(laneway_domain::BreakerPolicy::default()));
    assert_eq!(config("breaker = false").destination.breaker, None);
}

#[test]
fn secrets_come_from_variables_and_files_and_are_never_shown() {
    let file = r#"
        [server]
        tokens = ["env:API_TOKEN", "literal-topsecret-token"]
        [[destination]]
        name = "a"
        url = "https://a.example/topsecret"
        secrets = ["file:/run/secret"]
        headers = { x-key = "topsecret" }
        bearer = "env:API_TOKEN"
    "#;
    let source = Given::default()
        .with_file(DEFAULT_FILE, file)
        .with_file("/run/secret", "whsec_topsecretIhrscChlQIMVb5sSYspob7o\r\n")
        .with_var("API_TOKEN", "topsecret-from-outside");
    let config = Config::load(&source, None, &Overrides::default()).unwrap();
    let shown = format!("{config:?} {config:#?}");
    assert!(!shown.contains("topsecret"), "{shown}");
    let read = settings(&config.destinations[0]);
    assert_eq!(read.secrets[0].expose(), "whsec_topsecretIhrscChlQIMVb5sSYspob7o");
    assert_eq!(read.credentials, Some(laneway_webhook::Credentials::Bearer(Secret::new("topsecret-from-outside"))));
    assert_eq!(config.server.tokens.len(), 2);
}

#[test]
fn a_command_finds_the_server_whatever_else_is_wrong() {
    let file = "[server]\nlisten = '127.0.0.1:9000'\ntokens = ['env:MISSING', 'the-second-token']\n[sotre]\n";
    let source = Given::default().with_file(DEFAULT_FILE, file).with_var("LANEWAY_SOTRE", "x");
    let address = load_server(&source, None).unwrap();
    assert_eq!(address.listen.to_string(), "127.0.0.1:9000");
    assert_eq!(address.token.unwrap().expose(), "the-second-token");
}

/// Words that make random text reach beyond the parser.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("[server]\n".to_owned()),
        Just("[[destination]]\n".to_owned()),
        Just("[destination]\n".to_owned()),
        Just("name = 'a'\n".to_owned()),
        Just("url = ".to_owned()),
        Just("retry.initial = ".to_owned()),
        Just("breaker = { failures = ".to_owned()),
        Just("listen = ".to_owned()),
        Just("tokens = [ ".to_owned()),
        Just("'1s'\n".to_owned()),
        Just("0x7fffffffffffffff\n".to_owned()),
        Just("-1\n".to_owned()),
        Just("1e999\n".to_owned()),
        Just("1979-05-27\n".to_owned()),
        Just("{ }\n".to_owned()),
        Just("}\n".to_owned()),
        Just("]\n".to_owned()),
        "[a-z_.]{1,12} = [a-z0-9'\"\\[\\]{}.]{0,12}\n",
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_refused(text in prop_oneof![any::<String>(), pieces()]) {
        if let Err(error) = Config::from_toml(&text) {
            prop_assert!(!error.problems().is_empty());
        }
    }

    #[test]
    fn any_variable_is_a_setting_or_refused(name in "[A-Z0-9_]{0,20}", under in 0_usize..4, value: String) {
        let section = ["", "SERVER__", "DESTINATION__0__", "WORKER__"][under];
        let source = Given::default().with_var(&format!("LANEWAY_{section}{name}"), &value);
        let _ = Config::load(&source, None, &Overrides::default());
    }
}

#[test]
fn nesting_without_end_is_refused_and_not_followed() {
    for text in [format!("a = {}", "[".repeat(100_000)), format!("{}x = 1", "a.".repeat(100_000))] {
        assert!(Config::from_toml(&text).is_err());
    }
    let many_lines: String = (0..50_000).map(|n| format!("[a.b.c.d.e.f.n{n}]\n")).collect();
    assert!(Config::from_toml(&many_lines).is_err());
}

#[test]
fn a_redis_store_is_shown_without_its_password() {
    let text = "[store]\nurl = 'rediss://me:topsecret@h:7000'\npassword = 'other secret'\nreplicas = 1";
    let store = Config::from_toml(text).unwrap().store;
    assert_eq!(store.url.to_string(), "rediss://h:7000");
    assert!(!format!("{store:?}").contains("topsecret") && !format!("{store:?}").contains("other"), "{store:?}");
    let StoreUrl::Redis(redis) = store.url else { panic!("{:?}", store.url) };
    assert_eq!(redis.url_with_password().unwrap(), "rediss://me:other%20secret@h:7000");
    assert_eq!((redis.replicas, redis.key_prefix.as_str()), (1, "laneway"));
}

#[test]
fn a_store_can_be_named_by_a_secret() {
    let source = Given::default()
        .with_file(DEFAULT_FILE, "[store]\nurl = 'env:STORE'")
        .with_var("STORE", "redis-cluster://a:1?node=b:2");
    let config = Config::load(&source, None, &Overrides::default()).unwrap();
    assert_eq!(config.store.url.to_string(), "redis-cluster://a:1");
}
