//! Wrong configurations, and exactly what is said of each.

use super::super::*;

fn said(source: &Given) -> String {
    match Config::load(source, None, &Overrides::default()) {
        Ok(_) => "nothing".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn of_file(text: &str) -> String {
    said(&Given::default().with_file(DEFAULT_FILE, text))
}

fn of_destination(lines: &str) -> String {
    of_file(&format!("[[destination]]\nname = \"billing\"\nurl = \"https://a.example\"\n{lines}"))
}

#[track_caller]
fn check(cases: &[(&str, &str)], said: impl Fn(&str) -> String) {
    let wrong = cases.iter().map(|(text, expected)| (text, said(text), expected)).filter(|(_, said, e)| said != *e);
    let wrong: Vec<String> =
        wrong.map(|(text, said, expected)| format!("of:   {text}\nsaid: {said}\nnot:  {expected}")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn mistakes_in_sections_are_named_precisely() {
    let cases = [
        ("[sevrer]\n", r#"laneway.toml:1: unknown key "sevrer"; did you mean "server"?"#),
        ("\n[server]\nlisen = 1\n", r#"laneway.toml:3: server: unknown key "lisen"; did you mean "listen"?"#),
        (
            "zzz = 1",
            r#"laneway.toml:1: unknown key "zzz"; known here: server, store, egress, worker, history, log, telemetry, operational_events, tenants, destination"#,
        ),
        ("server = 1", "laneway.toml:1: server: expected a table, found a whole number"),
        ("[server]\nlisten = 8080", "laneway.toml:2: server.listen: expected text in quotes, found a whole number"),
        (
            "[server]\nlisten = 'localhos:80'",
            r#"laneway.toml:2: server.listen: "localhos:80" is not an address; write for instance "127.0.0.1:8080""#,
        ),
        ("[server]\nlisten = '::1'", r#"laneway.toml:2: server.listen: "::1" has no port; write "[::1]:8080""#),
        (
            "[server]\ntokens = ['short']",
            "laneway.toml:2: server.tokens.0: is shorter than 16 characters; make one with: openssl rand -hex 32",
        ),
        (
            "[server]\ntokens = [\n 'a-token-long-enough',\n 'env:NOT_THERE']",
            r#"laneway.toml:4: server.tokens.1: the environment variable "NOT_THERE" is not set"#,
        ),
        (
            "[server.limits]\nevent_bytes = '16MiB'",
            "laneway.toml:1: server.limits.batch_bytes: 8MiB is less than event_bytes (16MiB), which would never be taken",
        ),
        (
            "[operational_events]\nbreaker_after = '2d'",
            "laneway.toml:2: operational_events.breaker_after: 2d is out of bounds; use 0s to 1d",
        ),
        (
            "[operational_events]\nbraker_after = '2m'",
            r#"laneway.toml:2: operational_events: unknown key "braker_after"; did you mean "breaker_after"?"#,
        ),
        (
            "[telemetry]\notpl = 'http://127.0.0.1:4318'",
            r#"laneway.toml:2: telemetry: unknown key "otpl"; did you mean "otlp"?"#,
        ),
        (
            "[telemetry]\notlp = '127.0.0.1:4318'",
            r#"laneway.toml:2: telemetry.otlp: it has to begin with http:// or https://; write for instance "http://127.0.0.1:4318""#,
        ),
        ("[telemetry]\notlp = 4318", "laneway.toml:2: telemetry.otlp: expected text in quotes, found a whole number"),
        (
            "[telemetry]\notlp = 'http://a'\nratio = 2.0",
            "laneway.toml:3: telemetry.ratio: 2 is out of bounds; use 0 to 1",
        ),
        (
            "[telemetry]\nratio = 0.5",
            "laneway.toml:2: telemetry.ratio: says something of spans, but none go anywhere: set telemetry.otlp too",
        ),
        (
            "[telemetry]\notlp = 'http://a'\nheaders = { 'x y' = 'hunter2' }",
            r#"laneway.toml:3: telemetry.headers: "x y" is not a header name"#,
        ),
        ("[store]\npartitions = 0", "laneway.toml:2: store.partitions: 0 is out of bounds; use 1 to 1024"),
        ("[store]\npartitions = 1025", "laneway.toml:2: store.partitions: 1025 is out of bounds; use 1 to 1024"),
        ("[store]\npartitions = -1", "laneway.toml:2: store.partitions: -1 is out of bounds; use 0 to 4294967295"),
        ("[store]\nretain = 30", r#"laneway.toml:2: store.retain: 30 has no unit; write "30s" or "30ms""#),
        (
            "[store]\ndurability = 'relax'",
            r#"laneway.toml:2: store.durability: "relax" is none of "full", "relaxed"; did you mean "relaxed"?"#,
        ),
        (
            "[store]\nurl = 'reids://:topsecret@host'",
            r#"laneway.toml:2: store.url: its scheme is not a kind of store; write for instance "sqlite:laneway.db" or "redis://127.0.0.1:6379""#,
        ),
        (
            "[store]\nurl = 'redis:///0'",
            r#"laneway.toml:2: store.url: has no host; write for instance "redis://127.0.0.1:6379""#,
        ),
        ("[store]\nreplicas = 1", "laneway.toml:2: store.replicas: has no effect at a sqlite: store; remove it"),
        (
            "[store]\nurl = 'redis://h'\nkey_prefix = '{a}'",
            r#"laneway.toml:3: store.key_prefix: must be 1 to 64 of a-z, A-Z, 0-9, "-", "_", ".", ":""#,
        ),
        (
            "[egress]\nallow = ['10.0.0.1/8']",
            r#"laneway.toml:2: egress.allow: "10.0.0.1/8" has bits set behind its prefix; did you mean "10.0.0.0/8"?"#,
        ),
        (
            "[log]\nfilter = 'inof'",
            r#"laneway.toml:2: log.filter: "inof" is not a log filter; write a level (off, error, warn, info, debug, trace) or MODULE=LEVEL"#,
        ),
        (
            "[worker]\ncommit_interval = '1h'",
            "laneway.toml:2: worker.commit_interval: 1h is out of bounds; use 1ms to 10s",
        ),
        ("[server]\nlisten = \n", "laneway.toml:2: string values must be quoted, expected literal string"),
        ("[server]\n[server]\n", "laneway.toml:2: duplicate key server: it stands there more than once"),
        (
            "[store]\nretain = '1d'\nretain = '2d'\n",
            "laneway.toml:3: duplicate key retain: it stands there more than once",
        ),
    ];
    check(&cases, of_file);
}

#[test]
fn mistakes_in_destinations_name_the_destination() {
    let cases = [
        ("ulr = 1", r#"laneway.toml:4: destination.0 ("billing"): unknown key "ulr"; did you mean "url"?"#),
        ("retyr = 1", r#"laneway.toml:4: destination.0 ("billing"): unknown key "retyr"; did you mean "retry"?"#),
        (
            "[destination.retry]\nintial = '1s'",
            r#"laneway.toml:5: destination.0 ("billing"): retry: unknown key "intial"; did you mean "initial"?"#,
        ),
        (
            "retry = { initial = '1h', limit = '1s' }",
            r#"laneway.toml:4: destination.0 ("billing"): retry.limit: limit must not be shorter than initial"#,
        ),
        ("retry.factor = 0.5", r#"laneway.toml:4: destination.0 ("billing"): retry.factor: factor must be 1 or more"#),
        (
            "retry.jitter = nan",
            r#"laneway.toml:4: destination.0 ("billing"): retry.jitter: jitter must be from 0 to 1"#,
        ),
        (
            "types = ['a', '']",
            r#"laneway.toml:4: destination.0 ("billing"): types: "" cannot be a type pattern: use 1 to 256 bytes without control characters"#,
        ),
        ("reject = [200]", r#"laneway.toml:4: destination.0 ("billing"): reject: 200 is not a status from 300 to 599"#),
        (
            "types = []",
            r#"laneway.toml:4: destination.0 ("billing"): types: is empty; leave it out for all types, or set paused = true for none"#,
        ),
        ("types = 'a'", r#"laneway.toml:4: destination.0 ("billing"): types: expected a list, found text"#),
        (
            "match = { Tenant = 'x' }",
            r#"laneway.toml:4: destination.0 ("billing"): match: no event can have this: attributes.Tenant: has a name that is not 1 to 64 of a-z and 0-9 (CloudEvents 1.0, section 3.1)"#,
        ),
        (
            "ordering = 'keys'",
            r#"laneway.toml:4: destination.0 ("billing"): ordering: "keys" is none of "key", "strict", "none"; did you mean "key"?"#,
        ),
        (
            "max_age = \"999ms\"",
            r#"laneway.toml:4: destination.0 ("billing"): max_age: 999ms is out of bounds; use 1s to 3650d"#,
        ),
        ("rate = 0", r#"laneway.toml:4: destination.0 ("billing"): rate: 0 is out of bounds; use 1 to 10000000"#),
        (
            "batch.linger = '5ms'",
            r#"laneway.toml:4: destination.0 ("billing"): batch.linger: has no effect while max_events is 1: nothing is put together"#,
        ),
        (
            "timeout = '0s'",
            r#"laneway.toml:4: destination.0 ("billing"): timeout: 0s is out of bounds; use 10ms to 1h"#,
        ),
        (
            "secrets = ['topsecret']",
            r#"laneway.toml:4: destination.0 ("billing"): secrets.0: must begin with whsec_ (a shared secret) or whsk_ (an ed25519 private key)"#,
        ),
        (
            "secrets = ['file:/nowhere']",
            r#"laneway.toml:4: destination.0 ("billing"): secrets.0: cannot read the secret's file "/nowhere": No such file or directory"#,
        ),
        (
            "secrets = ['env:NOBODY', 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD', 'whsec_short']",
            concat!(
                r#"laneway.toml:4: destination.0 ("billing"): secrets.0: the environment variable "NOBODY" is not set"#,
                "\n",
                r#"laneway.toml:4: destination.0 ("billing"): secrets.2: has something behind whsec_ that is not base64"#,
            ),
        ),
        (
            "secrets = ['one', 'two']",
            concat!(
                r#"laneway.toml:4: destination.0 ("billing"): secrets.0: must begin with whsec_ (a shared secret) or whsk_ (an ed25519 private key)"#,
                "\n",
                r#"laneway.toml:4: destination.0 ("billing"): secrets.1: must begin with whsec_ (a shared secret) or whsk_ (an ed25519 private key)"#,
            ),
        ),
        ("basic = { user = 'x' }", r#"laneway.toml:4: destination.0 ("billing"): basic: needs both user and password"#),
        (
            "tls = { key = 'x' }",
            r#"laneway.toml:4: destination.0 ("billing"): tls.key: has no effect without tls.certificate"#,
        ),
        (
            "breaker = 3",
            r#"laneway.toml:4: destination.0 ("billing"): breaker: expected a table or false, found a whole number"#,
        ),
        (
            "[[destination]]\nname = 'billing'\nurl = 'console:'",
            r#"laneway.toml:5: destination.1 ("billing"): name: destination.0 already has this name; progress is stored by name, so choose another"#,
        ),
        (
            "[[destination]]\nname = 'c'\nurl = 'console:'\nsecrets = []",
            r#"laneway.toml:7: destination.1 ("c"): secrets: has no effect at a console: destination; remove it"#,
        ),
        (
            "[[destination]]\nname = 'c'",
            r#"laneway.toml:4: destination.1 ("c"): url is missing; say where the events go, for instance "https://example.com/hook" or "console:""#,
        ),
        (
            "[[destination]]\nurl = 'console:'",
            r#"laneway.toml:4: destination.1: name is missing; progress is kept under it, for instance "billing""#,
        ),
        (
            "[[destination]]\nname = 'A b'\nurl = 'console:'",
            r#"laneway.toml:5: destination.1 ("A b"): name: "A b" cannot be a destination's name: use 1 to 64 of a-z, 0-9, '-', '_' and '.', beginning with a letter or digit"#,
        ),
        (
            "[[destination]]\nname = 'm'\nurl = 'mongodb://h/d/c'\nmode = 'replace'",
            r#"laneway.toml:7: destination.1 ("m"): mode: "replace" is none of "insert", "upsert""#,
        ),
        (
            "[[destination]]\nname = 'm'\nurl = 'mongodb://h/d/c'\nreject = [400]",
            r#"laneway.toml:7: destination.1 ("m"): reject: has no effect at a mongodb: destination; remove it"#,
        ),
        (
            "[[destination]]\nname = 'm'\nurl = 'https://h.example'\nmode = 'insert'",
            r#"laneway.toml:7: destination.1 ("m"): mode: has no effect at a webhook destination; remove it"#,
        ),
        (
            "[[destination]]\nname = 'm'\nurl = 'ftp://h'",
            r#"laneway.toml:6: destination.1 ("m"): url: its scheme is not a kind of destination; use http:, https:, mongodb:, mongodb+srv: or console:"#,
        ),
        (
            "[[destination]]\nname = 'm'\nurl = 'http://10.0.0.1/x'",
            r#"laneway.toml:6: destination.1 ("m"): url: 10.0.0.1 may not be connected to: it is a private address (RFC 1918); an operator can open it with egress.allow = ["10.0.0.0/8"]"#,
        ),
    ];
    check(&cases, of_destination);
    assert_eq!(
        of_file("[destination]\nname = 'a'"),
        "laneway.toml:1: destination: expected tables, written [[destination]], found a table"
    );
}

#[test]
fn an_open_address_without_tokens_is_refused() {
    let expected = "laneway.toml:2: server.listen: 0.0.0.0:80 can be reached from other machines and no token is set, \
                    so that anyone there could send events: set server.tokens, or listen on 127.0.0.1";
    assert_eq!(of_file("[server]\nlisten = ':80'"), expected);
    assert_eq!(of_file("[server]\nlisten = ':80'\ntokens = ['a-token-long-enough']"), "nothing");
    let shop = "[[server.token]]\nname = 'shop'\nroles = ['publish']\ntoken = 'a-token-long-enough'\n";
    assert_eq!(of_file(&format!("[server]\nlisten = ':80'\n{shop}")), "nothing");
    assert_eq!(of_file("[server]\nlisten = ':80'\ntokens = []\ntoken = []"), expected);
    let missing = r#"laneway.toml:3: server.tokens.0: the environment variable "T" is not set"#;
    assert_eq!(of_file("[server]\nlisten = ':80'\ntokens = ['env:T']"), missing);
}

#[test]
fn mistakes_in_tokens_are_named_precisely() {
    let cases = [
        (
            "roles = ['publish']\ntoken = 'a-token-long-enough'",
            r#"laneway.toml:1: server.token.0: name is missing; say whose token it is, for instance "shop""#,
        ),
        (
            "name = 'The Shop'\nroles = ['publish']\ntoken = 'a-token-long-enough'",
            r#"laneway.toml:2: server.token.0.name: "The Shop" is no name; use 1 to 64 of a-z, 0-9, "-", "_", ".""#,
        ),
        (
            "name = 'shop'\nroles = ['publish']",
            r#"laneway.toml:1: server.token.0: token is missing; write for instance token = "env:SHOP_TOKEN""#,
        ),
        (
            "name = 'shop'\nroles = ['publish']\ntoken = 'topsecret'",
            "laneway.toml:4: server.token.0.token: is shorter than 16 characters; make one with: openssl rand -hex 32",
        ),
        (
            "name = 'shop'\nroles = ['publsh']\ntoken = 'a-token-long-enough'",
            r#"laneway.toml:3: server.token.0.roles: "publsh" is none of "publish", "read", "operate", "admin"; did you mean "publish"?"#,
        ),
        (
            "name = 'shop'\nroles = []\ntoken = 'a-token-long-enough'",
            r#"laneway.toml:3: server.token.0.roles: name no role, so that the token would open nothing; use "publish", "read", "operate", "admin""#,
        ),
        (
            "name = 'shop'\ntoken = 'a-token-long-enough'",
            r#"laneway.toml:1: server.token.0: roles name no role, so that the token would open nothing; use "publish", "read", "operate", "admin""#,
        ),
        (
            "name = 'shop'\nrole = 'publish'\nroles = ['publish']\ntoken = 'a-token-long-enough'",
            r#"laneway.toml:3: server.token.0: unknown key "role"; did you mean "roles"?"#,
        ),
    ];
    check(&cases, |lines| of_file(&format!("[[server.token]]\n{lines}")));
    let shop = "[[server.token]]\nname = 'shop'\nroles = ['publish']\ntoken = 'a-token-long-enough'\n";
    assert_eq!(of_file(shop), "nothing");
    assert_eq!(
        of_file(&format!("{shop}{}", shop.replace("a-token", "another"))),
        r#"laneway.toml:6: server.token.1.name: another token is named "shop" already; choose another name"#
    );
    let same =
        "server.token.1.token: is the same as another token, so that it is not clear what it opens; make a new one";
    assert_eq!(of_file(&format!("{shop}{}", shop.replace("shop", "b"))), format!("laneway.toml:8: {same}"));
    let all = "[server]\ntokens = ['a-token-long-enough']\n";
    assert_eq!(of_file(&format!("{all}{shop}")), format!("laneway.toml:6: {}", same.replace(".1.", ".0.")));
}

#[test]
fn all_mistakes_are_reported_at_once_from_top_to_bottom() {
    let text = "[[destination]]\nname = 'a'\nurl = 'x'\nretyr = 1\n[destination.retry]\nfactor = 'two'\n[sevrer]\n";
    let source = Given::default().with_file(DEFAULT_FILE, text).with_var("LANEWAY_STORE__PARTITIONS", "many");
    let expected = r#"laneway.toml:3: destination.0 ("a"): url: is not a URL; write for instance "https://example.com/hook" or "console:"
laneway.toml:4: destination.0 ("a"): unknown key "retyr"; did you mean "retry"?
laneway.toml:6: destination.0 ("a"): retry.factor: expected a number, found text
laneway.toml:7: unknown key "sevrer"; did you mean "server"?
LANEWAY_STORE__PARTITIONS: store.partitions: expected a whole number, found "many""#;
    assert_eq!(said(&source), expected);
}

#[test]
fn a_variable_without_a_setting_gets_a_suggestion() {
    let cases = [
        ("LANEWAY_SERVER_LISTEN", "no setting has this variable; did you mean LANEWAY_SERVER__LISTEN?"),
        ("LANEWAY_SERVER__LISEN", "no setting has this variable; did you mean LANEWAY_SERVER__LISTEN?"),
        ("LANEWAY_LISTNE", "no setting has this variable; did you mean LANEWAY_LISTEN?"),
        ("LANEWAY_DESTINATION__0__TYPS", "no setting has this variable; did you mean LANEWAY_DESTINATION__0__TYPES?"),
        ("LANEWAY_DESTINATION__7__URL", "there is no destination 7: 1 are configured, and the next is number 1"),
        ("LANEWAY_DESTINATION__NOBODY__URL", r#"no destination is named "nobody"; a new one is made by its number, 1"#),
        ("LANEWAY_SERVER__TOKEN__1__NAME", "there is no token 1: none is configured, and the first is number 0"),
        ("LANEWAY_SERVER__TOKEN__SHOP__TOKEN", r#"no token is named "shop"; a new one is made by its number, 0"#),
        ("LANEWAY_STORE__URL__X", r#"store.url is text, and has nothing named "x""#),
        ("LANEWAY_", "no setting has this variable; settings are LANEWAY_SECTION__KEY (see laneway.example.toml)"),
    ];
    let file = "[store]\nurl = 'sqlite:x'\n[[destination]]\nname = 'a'\nurl = 'console:'";
    for (name, expected) in cases {
        let source = Given::default().with_file(DEFAULT_FILE, file).with_var(name, "1");
        assert_eq!(said(&source), format!("{name}: {expected}"));
    }
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let error = Config::load(&Given::default(), Some(Path::new("x.toml")), &Overrides::default()).unwrap_err();
    assert_eq!(error.to_string(), "x.toml: cannot be read: No such file or directory");
    let mut binary = Given::default();
    binary.files.insert(DEFAULT_FILE.into(), b"a = 1\n\xff".to_vec());
    assert_eq!(said(&binary), "laneway.toml: line 2 is not UTF-8 text");
}

#[test]
fn a_file_for_a_running_server_names_its_destinations() {
    let load = |text: &str| {
        let source = Given::default().with_file("d.toml", text);
        load_destinations(&source, Path::new("d.toml")).map(|read| read.len()).map_err(|error| error.to_string())
    };
    let one = "[[destination]]\nname = 'a'\nurl = 'console:'\n";
    // A whole laneway.toml will do, and an empty list is meant.
    assert_eq!(load(&format!("[server]\nlisten = 1\n[store]\n[egress]\n[worker]\n[log]\n{one}")), Ok(1));
    assert_eq!(load("destination = []"), Ok(0));
    let none = "d.toml: names no destination: write each as a table [[destination]], or `destination = []` if there \
                are none";
    let typo = r#"d.toml:1: unknown key "destinatoin"; did you mean "destination"?"#;
    for (text, mistakes) in [
        (String::new(), none.to_owned()),
        ("[server]".to_owned(), none.to_owned()),
        (one.replace("destination", "destinatoin"), format!("{typo}\n{none}")),
        (format!("{one}{}", one.replace("destination", "destinatoin")), typo.replace(":1:", ":4:")),
    ] {
        assert_eq!(load(&text), Err(mistakes), "{text}");
    }
    let missing = load_destinations(&Given::default(), Path::new("e.toml")).unwrap_err().to_string();
    assert_eq!(missing, "e.toml: cannot be read: No such file or directory");
}

#[test]
fn no_mistake_repeats_a_secret() {
    for lines in ["secrets = ['topsecret']", "bearer = ['topsecret']", "headers = { y = \"topsecret\\n\" }"] {
        let text = of_destination(lines);
        assert!(text != "nothing" && !text.contains("topsecret"), "{text}");
    }
    let source = Given::default()
        .with_file(DEFAULT_FILE, "[[destination]]\nname = 'a'\nurl = 'https://a.example'")
        .with_var("LANEWAY_DESTINATION__0__URL", "topsecret://me:topsecret@x")
        .with_var("LANEWAY_STORE", "reids://:topsecret@x")
        .with_var("LANEWAY_TOKENS", "topsecret")
        .with_var("LANEWAY_DESTINATION__0__HEADERS", "{ x = topsecret }");
    let text = said(&source);
    assert!(text.lines().count() >= 3 && !text.contains("topsecret"), "{text}");
    // A file that was named by mistake, wherever a secret can stand.
    let passwords = "topsecret:x:0:0:topsecret:/root:/bin/sh\n";
    for setting in ["STORE__URL", "SERVER__TOKENS", "DESTINATION__0__URL", "DESTINATION__0__SECRETS"] {
        let source = Given::default()
            .with_file(DEFAULT_FILE, "[[destination]]\nname = 'a'\nurl = 'https://a.example'")
            .with_file("passwd", passwords)
            .with_var(&format!("LANEWAY_{setting}"), "file:passwd");
        let text = said(&source);
        assert!(!text.contains("topsecret"), "{setting}: {text}");
    }
    let broken = of_file("[server]\ntokens = ['topsecret]\n");
    assert!(!broken.contains("topsecret"), "{broken}");
}
