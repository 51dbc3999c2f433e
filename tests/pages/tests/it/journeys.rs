//! Each page is followed as a reader would, with what it shows compared with what comes.

use super::markdown::{Block, Page};
use super::servers::{Receiver, Redis, until};
use super::session::{Session, Walk};
use serde_json::{Value, json};

/// A text in which ids, moments and runs of blanks are as any other.
fn masked(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let parts = word.split_inclusive(['"', '=', ',']);
        parts
            .map(|part| {
                let (bare, end) = part.split_at(part.trim_end_matches(['"', '=', ',']).len());
                let uuid = bare.len() == 36 && bare.matches('-').count() == 4;
                let moment = bare.len() == 24 && bare.ends_with('Z') && bare.contains('T');
                format!(
                    "{}{end}",
                    if uuid {
                        "<id>"
                    } else if moment {
                        "<moment>"
                    } else {
                        bare
                    }
                )
            })
            .collect::<String>()
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The same with every number as any other.
fn without_numbers(text: &str) -> String {
    let words = masked(text);
    let words = words.split(' ').map(|word| if word.parse::<u64>().is_ok() { "<number>" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e} in {text}"))
}

/// The names of the columns that a page shows are those of the command.
fn same_columns(shown: &Block, printed: &str) {
    let headings = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()) && *line == line.to_uppercase());
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    let wanted = headings(&shown.text);
    assert!(!wanted.is_empty(), "{}: no headings", shown.place);
    for line in wanted {
        assert!(headings(printed).contains(&line), "{}: the columns are not {line}, but:\n{printed}", shown.place);
    }
}

#[test]
fn the_readme_and_the_start_lead_to_signed_deliveries() {
    let mut session = Session::new();

    let mut readme = Walk::of("README.md");
    session.run(&readme.next("sh"));
    let answer = session.run(&readme.next("sh"));
    assert_eq!(masked(&answer), masked(&readme.next("").text), "the answer to README's curl");
    let line = masked(&readme.next("").text);
    session.prints("8080", &line, |printed| printed.lines().any(|printed| masked(printed) == line));
    session.run(&readme.next("sh"));
    session.prints("8080", "the file's events", |printed| printed.contains("order-7-shipped"));
    readme.end();

    let mut start = Walk::of("docs/start.md");
    session.run(&start.next("sh"));
    session.write("receiver.py", &Walk::of("docs/webhooks.md").next("python").text);
    session.run(&start.next("sh"));
    let config = start.next("toml").text;
    let refused = start.next("");
    // "Without that line Laneway refuses to start."
    let guarded = config.split_inclusive('\n').filter(|line| !line.starts_with("allow"));
    session.write("laneway.toml", &guarded.collect::<String>());
    let (success, said) = session.command("laneway check");
    assert!(!success && masked(&said) == masked(&refused.text), "{}: it says\n{said}", refused.place);
    session.write("laneway.toml", &config);
    let checked = session.run(&start.next("sh"));
    assert!(checked.contains("billing"), "{checked}");
    session.run(&start.next("sh"));
    session.run(&start.next("sh"));
    let line = without_numbers(&start.next("").text);
    session.prints("9000", &line, |printed| printed.lines().any(|printed| without_numbers(printed) == line));

    // "Stop the receiver and send two more events." One whose answer has not come yet would be sent again.
    session.status("billing", "all is delivered", |status| status["pending"] == 0);
    session.stop("9000");
    for n in ["second", "third"] {
        session.accepted(&json!({"type": "order.paid", "key": "order-7", "data": n}));
    }
    session.status("billing", "the key is blocked", |status| status["blocked_keys"] == 1);
    let status = session.run(&start.next("sh"));
    assert!(status.contains("key:order-7"), "{status}");
    start.end();
    session.serve("9000", "python3 receiver.py");
    session.prints("9000", "both events, in order", |printed| {
        let arrived: Vec<&str> = printed.lines().filter_map(|line| line.rsplit(' ').next()).collect();
        arrived == ["\"second\"", "\"third\""]
    });

    // The receiver takes what has no key, and what is not ASCII.
    session.accepted(&json!({"type": "order.größe", "key": "Straße 7", "data": 1}));
    session.accepted(&json!({"type": "order.paid", "data": 2}));
    session.status("billing", "all is delivered", |status| status["pending"] == 0);
    let printed = session.printed("9000");
    assert!(printed.contains("order.größe Straße 7 ") && printed.contains("order.paid - "), "{printed}");
}

#[test]
fn the_page_of_events_shows_the_answers_that_come() {
    let (mut session, mut page) = (Session::new(), Walk::of("docs/events.md"));
    session.serve("8080", "laneway");
    let send = page.next("sh");
    for _ in ["the first time", "again"] {
        let answer = session.run(&send);
        assert_eq!(json_of(&answer), json_of(&page.next("").text));
    }
    let answer = session.post("/v1/events", r#"{"typ":"order.paid"}"#);
    assert_eq!(answer, json_of(&page.next("").text));
    page.end();
}

#[test]
fn the_page_of_operating_mends_what_it_says() {
    let (mut session, mut page) = (Session::new(), Walk::of("docs/operating.md"));
    let receiver = Receiver::start(500);
    session.write(
        "laneway.toml",
        &format!(
            "[egress]\nallow = [\"127.0.0.0/8\"]\n[[destination]]\nname = \"billing\"\nurl = \"{}\"\n\
         retry = {{ initial = \"1m\" }}\n",
            receiver.url()
        ),
    );
    session.serve("8080", "laneway");
    session.accepted(&json!({"id": "a", "type": "order.paid", "key": "order-9", "data": 1}));
    session.status("billing", "the key is blocked", |status| status["blocked_keys"] == 1);

    // Its attempts: the first one, the one asked for, and that of the dead letter.
    let status = page.next("");
    // As a terminal of 100 columns shows it.
    let terminal =
        "script --quiet --return --command 'stty rows 40 cols 100; NO_COLOR=1 laneway status --keys' /dev/null";
    let (success, printed) = session.command(terminal);
    assert!(success, "{printed}");
    same_columns(&status, &printed);
    session.run(&page.next("sh"));
    session.status("billing", "a dead letter", |status| status["dead_letters"] == 1 && status["blocked_keys"] == 0);
    // Where it is now, as the page says it of another one.
    let why = page.next("");
    assert!(why.text.starts_with("$ laneway why billing "), "{}", why.text);
    let (success, printed) = session.command("laneway why billing a");
    assert!(success && printed.contains("billing: DEAD LETTER"), "{printed}");
    session.run(&page.next("sh"));
    session.run(&page.next("sh"));
    session.status("billing", "it is discarded", |status| status["dead_letters"] == 0);

    receiver.answer(410);
    session.accepted(&json!({"id": "b", "type": "order.paid", "key": "order-1", "data": 2}));
    session.status("billing", "the pause", |status| !status["paused"].is_null() && status["paused"] != false);
    receiver.answer(200);
    session.run(&page.next("sh"));
    session.status("billing", "all is delivered", |status| status["pending"] == 0);

    receiver.answer(500);
    session.accepted(&json!({"id": "evt_1", "type": "invoice.paid", "key": "order-7", "data": 3}));
    session.status("billing", "the key is blocked", |status| status["blocked_keys"] == 1);
    let (success, said) = session.command("laneway keys skip billing order-7");
    assert!(success, "{said}");
    session.status("billing", "a dead letter", |status| status["dead_letters"] == 1);
    receiver.answer(200);
    session.run(&page.next("sh"));
    session.status("billing", "the dead letter is taken back", |status| status["dead_letters"] == 0);
    session.run(&page.next("sh"));

    let before = receiver.seen();
    session.run(&page.next("sh"));
    until("everything comes again", || receiver.seen() > before, || receiver.seen().to_string());

    let workers = session.run(&page.next("sh"));
    assert!(workers.contains(" has partitions 0-7"), "{workers}");
    let store = session.run(&page.next("sh"));
    assert!(store.contains("8 partitions") && store.contains("laneway.db-wal"), "{store}");
    page.end();
}

#[test]
fn the_page_of_the_configuration_names_variables_that_count() {
    let (mut session, mut page) = (Session::new(), Walk::of("docs/configuration.md"));
    session.write("laneway.toml", "[[destination]]\nname = \"billing\"\nurl = \"https://example.com\"\n");
    for variable in page.next("").text.lines() {
        let (success, said) = session.command(&format!("export {variable}"));
        assert!(success, "{said}");
    }
    let checked = session.run(&page.next("sh"));
    page.end();
    for counts in ["https://billing.example", "kept for 2d"] {
        assert!(checked.contains(counts), "{counts} is not in\n{checked}");
    }
}

#[test]
fn the_page_of_destinations_changes_them() {
    let (mut session, mut page) = (Session::new(), Walk::of("docs/destinations.md"));
    session.serve("8080", "laneway");
    let answer = json_of(&session.run(&page.next("sh")));
    let mut shown = json_of(&page.next("").text);
    assert!(answer["revision"].as_u64() > Some(1_000_000), "{answer}");
    shown["revision"] = answer["revision"].clone();
    assert_eq!(answer, shown);
    let changed = json_of(&session.run(&page.next("sh")));
    assert!(changed["revision"].as_u64() > answer["revision"].as_u64() && changed["pending"] == json!([]), "{changed}");
    assert_eq!(session.run(&page.next("sh")).trim(), "nothing to change");
    let both = session.run(&page.next("sh"));
    let (paused, resumed) =
        both.split_once('}').map(|(a, _)| (a, &both[both.rfind("{\"done\"").unwrap_or(0)..])).unwrap();
    assert!(paused.contains("\"name\":\"invoices\""), "{both}");
    assert_eq!(json_of(resumed)["done"], true);
    let rotated = session.run(&page.next("sh"));
    assert!(rotated.starts_with("whsec_") && rotated.lines().count() == 1, "{rotated}");
    // There is no such receiver.
    let (success, said) = session.command(page.next("sh").text.trim());
    assert!(!success && said.contains("did not take the test event"), "{said}");
    session.write("destinations.toml", &page.next("toml").text);
    let applied = session.run(&page.next("sh"));
    assert_eq!(applied.matches("+ search").count(), 2, "{applied}");
    assert!(applied.contains("DESTINATION") && applied.contains("https://search.example/…"), "{applied}");
    let changes = session.run(&page.next("sh"));
    page.end();
    for what in ["made", "changed rate, url", "paused: they move house", "resumed", "a new signing secret"] {
        assert!(changes.contains(what), "{what} is not in\n{changes}");
    }
}

#[test]
fn the_page_of_tokens_makes_and_revokes_one() {
    let (mut session, mut page) = (Session::new(), Walk::of("docs/tokens.md"));
    let boss = "the-token-of-whoever-reads";
    session.write("laneway.toml", &page.next("toml").text.replace("env:BOSS_TOKEN", boss));
    session.replace("$BOSS_TOKEN", boss);
    session.serve("8080", "laneway");
    let made = session.run(&page.next("sh"));
    assert!(made.starts_with("lwt_") && made.lines().next().unwrap().len() == 47, "{made}");
    assert!(made.contains("CREATED BY") && made.contains("the token boss"), "{made}");
    let reports = json_of(&session.run(&page.next("sh")));
    assert_eq!((&reports["name"], &reports["roles"]), (&json!("reports"), &json!(["read"])));
    assert!(reports["token"].as_str().unwrap().starts_with("lwt_"), "{reports}");
    let revoked = session.run(&page.next("sh"));
    page.end();
    assert!(revoked.contains("shop is revoked") && revoked.contains("made, with the roles publish"), "{revoked}");
}

#[test]
fn the_page_of_tenants_sends_an_event_and_makes_a_destination() {
    let (mut session, mut page) = (Session::new(), Walk::of("docs/tenants.md"));
    session.serve("8080", "laneway");
    let sent = json_of(&session.run(&page.next("sh")));
    assert_eq!(sent["duplicate"], json!(false), "{sent}");
    let made = json_of(&session.run(&page.next("sh")));
    assert_eq!((&made["name"], &made["pending"]), (&json!("acme:billing"), &json!([])), "{made}");
    assert!(page.next("toml").text.contains("tenant = \"acme\""));
    let (success, listed) = session.command("laneway events list --tenant acme");
    assert!(success && listed.contains("order-7"), "{listed}");
    // Links are made where there are tokens.
    let boss = "the-token-of-whoever-reads";
    let all = "roles = [\"publish\", \"read\", \"operate\", \"admin\"]";
    session.write("laneway.toml", &format!("[[server.token]]\nname = \"boss\"\ntoken = \"{boss}\"\n{all}\n"));
    session.replace("$BOSS_TOKEN", boss);
    session.stop("8080");
    session.serve("8080", "laneway");
    let links = session.run(&page.next("sh"));
    assert_eq!(links.matches("/console/").count(), 2, "{links}");
    let ended = session.run(&page.next("sh"));
    assert!(ended.contains("acme"), "{ended}");
    let limited = session.run(&page.next("sh"));
    assert!(limited.contains("events/s      500") && limited.contains("\"event_bytes\":65536"), "{limited}");
    // One of which nothing is known is not deleted.
    let (success, limited) = session.command("laneway tenants limit umbrella --events-per-second 5");
    assert!(success, "{limited}");
    let deleted = session.run(&page.next("sh"));
    page.end();
    assert!(deleted.contains("umbrella is deleted: 0 destinations"), "{deleted}");
}

#[test]
fn the_page_of_redis_starts_both_halves() {
    let (mut session, mut page) = (Session::new(), Walk::of("docs/redis.md"));
    let redis = Redis::start();
    session.replace("127.0.0.1:6379", &redis.address.to_string());
    session.write("laneway.toml", &page.next("toml").text);
    session.run(&page.next("sh"));
    let (success, printed) = session.command("laneway status");
    assert!(success, "{printed}");
    same_columns(&page.next(""), &printed);
    page.end();
    session.accepted(&json!({"type": "order.paid", "key": "order-7", "data": 7}));
    session.prints("8081", "the delivery", |printed| printed.contains("key=order-7"));
}

#[test]
fn a_page_is_read_as_it_is_shown() {
    let text = "# A b, `c`!\n[x](y.md#z) `[no](link)`\n```sh\na \\\n  b # why\n# only a comment\nc\n```\n## A b c\n";
    let page = Page::parse("p.md", text);
    assert_eq!(page.links().collect::<Vec<_>>(), [(2, "y.md#z")]);
    assert_eq!(super::commands(&page.blocks[0]), ["a    b", "c"]);
    assert_eq!(page.anchors().into_iter().collect::<Vec<_>>(), ["a-b-c", "a-b-c-1"]);
}
