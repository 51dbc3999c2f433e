//! The file, then variables, then flags.

use super::super::*;

const FILE: &str = r#"
[server]
listen = "127.0.0.1:1000"
[store]
partitions = 2
[[destination]]
name = "eu-billing"
url = "https://a.example"
breaker = false
"#;

fn load(vars: &[(&str, &str)], flags: &Overrides) -> Result<Config, ConfigError> {
    let mut source = Given::default().with_file(DEFAULT_FILE, FILE);
    for (name, value) in vars {
        source = source.with_var(name, value);
    }
    Config::load(&source, None, flags)
}

#[test]
fn a_variable_overrides_the_file_and_a_flag_the_variable() {
    let none = Overrides::default();
    let listen = |config: Result<Config, ConfigError>| config.unwrap().server.listen.port();
    assert_eq!(listen(load(&[], &none)), 1000);
    assert_eq!(listen(load(&[("LANEWAY_SERVER__LISTEN", "127.0.0.1:2000")], &none)), 2000);
    assert_eq!(listen(load(&[("LANEWAY_LISTEN", "127.0.0.1:2000")], &none)), 2000);
    let flag = Overrides { listen: Some("127.0.0.1:3000".into()), ..Overrides::default() };
    assert_eq!(listen(load(&[("LANEWAY_LISTEN", "127.0.0.1:2000")], &flag)), 3000);
}

#[test]
fn a_token_is_made_or_overridden_by_variables() {
    let tokens = |vars: &[(&str, &str)]| {
        let config = load(vars, &Overrides::default()).unwrap();
        config.server.tokens.iter().map(|token| format!("{token:?}")).collect::<Vec<_>>()
    };
    let made = [
        ("LANEWAY_TOKENS", "a-token-for-everything"),
        ("LANEWAY_SERVER__TOKEN__0__NAME", "web-shop"),
        ("LANEWAY_SERVER__TOKEN__0__ROLES", "publish"),
        ("LANEWAY_SERVER__TOKEN__0__TOKEN", "a-token-for-the-shop"),
    ];
    assert_eq!(tokens(&made), ["Token(…)", "Token(web-shop: publish)"]);
    let file = "[[server.token]]\nname = 'web-shop'\nroles = ['publish']\ntoken = 'a-token-for-the-shop'";
    let source = Given::default().with_file(DEFAULT_FILE, file);
    let source = source.with_var("LANEWAY_SERVER__TOKEN__WEB_SHOP__ROLES", "read, operate");
    let config = Config::load(&source, None, &Overrides::default()).unwrap();
    assert_eq!(format!("{:?}", config.server.tokens), "[Token(web-shop: read, operate)]");
}

#[test]
fn an_operator_gets_the_readable_token_with_most_roles() {
    let found = |file: &str| {
        let source = Given::default().with_file(DEFAULT_FILE, file).with_var("MINE", "a-token-of-mine-alone");
        load_server(&source, None).unwrap().token.map(|token| token.expose().to_owned())
    };
    let table =
        |token: &str, roles: &str| format!("[[server.token]]\nname = 'x'\nroles = [{roles}]\ntoken = '{token}'\n");
    let (little, unreadable) = (table("env:MINE", "'read'"), table("env:NOT_MINE", "'read', 'operate', 'admin'"));
    let much = table("a-token-of-operators", "'read', 'operate'");
    assert_eq!(found(&little).as_deref(), Some("a-token-of-mine-alone"));
    assert_eq!(found(&format!("{little}{unreadable}{much}")).as_deref(), Some("a-token-of-operators"));
    assert_eq!(found(&format!("[server]\ntokens = ['everything']\n{much}")).as_deref(), Some("everything"));
    assert_eq!(found(&unreadable), None);
}

#[test]
fn whoever_has_only_a_tenants_token_is_told_so() {
    let note = |file: &str| {
        let source = Given::default().with_file(DEFAULT_FILE, file);
        load_server(&source, None).unwrap().token_note
    };
    let boss = "[[server.token]]\nname = 'boss'\nroles = ['admin']\ntoken = 'env:BOSS_TOKEN'\n";
    let shop = "[[server.token]]\nname = 'shop'\ntenant = 'acme'\nroles = ['read']\ntoken = 'a-token-for-the-shop'\n";
    let said = note(&format!("{boss}{shop}")).unwrap();
    let expected = "as the token shop: only what belongs to the tenant acme is shown and can be done; the token boss \
                    cannot be used here: the environment variable \"BOSS_TOKEN\" is not set";
    assert_eq!(said, expected);
    assert!(note(shop).is_some());
    assert_eq!(note(boss), None);
    assert_eq!(note(&format!("[server]\ntokens = ['a-token-for-everything']\n{shop}")), None);
}

#[test]
fn an_empty_variable_is_not_set() {
    assert_eq!(load(&[("LANEWAY_LISTEN", "")], &Overrides::default()).unwrap().server.listen.port(), 1000);
}

#[test]
fn variables_reach_every_kind_of_setting() {
    let config = load(
        &[
            ("LANEWAY_STORE__PARTITIONS", "3"),
            ("LANEWAY_STORE__RETAIN", "2d"),
            ("LANEWAY_SERVER__LIMITS__EVENT_BYTES", "1MiB"),
            ("LANEWAY_EGRESS__ALLOW", "10.0.0.0/8, 127.0.0.1"),
            ("LANEWAY_DESTINATION__EU_BILLING__TYPES", r#"["a,b", "c"]"#),
            ("LANEWAY_DESTINATION__0__RETRY", r#"{ initial = "2s", limit = "4s" }"#),
            ("LANEWAY_DESTINATION__0__BREAKER__FAILURES", "4"),
            ("LANEWAY_DESTINATION__0__PAUSED", "true"),
            ("LANEWAY_DESTINATION__0__MATCH__TENANT", "acme"),
            ("LANEWAY_DESTINATION__1__NAME", "second"),
            ("LANEWAY_DESTINATION__1__URL", "console:"),
        ],
        &Overrides::default(),
    );
    let config = config.unwrap();
    assert_eq!((config.store.partitions, config.store.retain.as_secs()), (3, 2 * 86400));
    assert_eq!(config.server.limits.event_bytes, 1 << 20);
    assert_eq!(config.egress.allow.len(), 2);
    let first = &config.destinations[0].destination;
    assert_eq!(first.filters.current.types.iter().map(|t| t.as_str()).collect::<Vec<_>>(), ["a,b", "c"]);
    assert_eq!((first.retry.limit.as_secs(), first.breaker.unwrap().failures, first.paused.is_some()), (4, 4, true));
    assert_eq!(first.filters.current.attributes.len(), 1);
    assert_eq!(config.destinations[1].destination.name.as_str(), "second");
}

#[test]
fn twelve_destinations_can_be_made_of_variables_alone() {
    let mut source = Given::default();
    for n in 0..12 {
        source = source.with_var(&format!("LANEWAY_DESTINATION__{n}__NAME"), &format!("d{n}"));
        source = source.with_var(&format!("LANEWAY_DESTINATION__{n}__URL"), "console:");
    }
    let config = Config::load(&source, None, &Overrides::default()).unwrap();
    let names: Vec<&str> = config.destinations.iter().map(|d| d.destination.name.as_str()).collect();
    assert_eq!((names.len(), names[2], names[11]), (12, "d2", "d11"));
}

#[test]
fn what_kubernetes_sets_for_a_service_of_our_name_is_no_mistake() {
    let vars = [
        ("LANEWAY_PORT", "tcp://10.0.0.1:80"),
        ("LANEWAY_SERVICE_HOST", "10.0.0.1"),
        ("LANEWAY_SERVICE_PORT_HTTP", "80"),
        ("LANEWAY_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("LANEWAY_TOKEN", "for-the-command-line"),
    ];
    assert!(load(&vars, &Overrides::default()).is_ok());
}
