//! What is typed, what is asked of a server, and what is shown.

mod server;

pub(super) use server::{Asked, Server, answer};

use super::args::EXIT_STATUS;
use super::*;
use crate::config::Given;
use clap::CommandFactory as _;
use laneway_domain::{
    BlockedKey, DestinationName, DestinationStatus, Offset, PAUSED_IN_CONFIGURATION, Partition, StatusReport, Timestamp,
};
use laneway_http::wire::Status;

fn parse(args: &str) -> Result<Cli, String> {
    Cli::try_parse_from(args.split_whitespace()).map_err(|e| e.to_string())
}

/// Runs a command against the server; the environment is made up.
async fn run_against(server: &Server, args: &str) -> Result<(), Failure> {
    let source = Given::default().with_var("LANEWAY_URL", &server.url()).with_var("LANEWAY_TOKEN", "a-token");
    run(parse(args).unwrap(), &source).await
}

/// As somebody who looks a name up at a name server that is dead.
#[test]
fn a_thread_that_never_ends_does_not_hold_the_process() {
    struct Held(std::sync::mpsc::Sender<&'static str>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.send("let go").unwrap();
        }
    }
    let (said, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let held = Held(said.clone());
        to_the_end(async {
            tokio::task::spawn_blocking(|| {
                loop {
                    std::thread::park();
                }
            });
            tokio::spawn(async move {
                let _held = held;
                std::future::pending::<()>().await;
            });
            Ok(())
        });
        said.send("ended").unwrap();
    });
    let next = || heard.recv_timeout(Duration::from_secs(60)).expect("it ends");
    assert_eq!([next(), next()], ["let go", "ended"], "what tasks hold is let go of before the end");
}

#[test]
fn the_definition_of_the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn without_a_command_it_serves() {
    let cli = parse("laneway --listen 127.0.0.1:9").unwrap();
    assert!(cli.command.is_none());
    assert_eq!(cli.serve.overrides().listen.as_deref(), Some("127.0.0.1:9"));
    let Some(Command::Serve(args)) = parse("laneway serve --store sqlite:x --log debug -c f.toml").unwrap().command
    else {
        panic!("not serve")
    };
    assert_eq!((args.overrides().store.as_deref(), args.overrides().log.as_deref()), (Some("sqlite:x"), Some("debug")));
    assert_eq!(args.config, Some("f.toml".into()));
}

#[test]
fn every_command_is_understood() {
    for good in [
        "laneway check --config x",
        "laneway send -",
        "laneway send f.ndjson --batch 10 --run r1 --retry-for 30s --server http://h --token t",
        "laneway status --watch --keys",
        "laneway status --json",
        "laneway status -d a --color never",
        "laneway completions bash",
        "laneway man --dir x",
        "laneway dead-letters list --destination a --key k --event e --limit 5 --json",
        "laneway dead-letters show a evt_1",
        "laneway dead-letters retry --destination a",
        "laneway dead-letters discard -d a -e evt_1 --yes",
        "laneway keys retry a order-7",
        "laneway keys skip a key:order-7",
        "laneway destinations resume a",
        "laneway destinations forget a -y",
        "laneway destinations replay a --since 2h",
        "laneway destinations replay a --since 2026-01-31T12:00:00+01:00 -y",
        "laneway destinations replay a --since beginning --yes",
    ] {
        assert!(parse(good).is_ok(), "{good}");
    }
    for bad in [
        "laneway sned f",
        "laneway send",
        "laneway send f --batch 0",
        "laneway send f --retry-for 5",
        "laneway dead-letters retry",
        "laneway dead-letters list --limit 0",
        "laneway events list --limit 0",
        "laneway attempts --limit 0",
        "laneway destinations changes a --limit 0",
        "laneway tokens changes --limit 0",
        "laneway dead-letters show A! e",
        "laneway keys retry a",
        "laneway destinations forget",
        "laneway destinations replay a",
        "laneway destinations replay a --since the-day-before",
        "laneway --listen x status",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn help_names_the_exit_codes() {
    let help = Cli::command().render_help().to_string();
    for (code, _) in EXIT_STATUS {
        assert!(help.contains(&format!("\n  {code:<5}")), "{code} is not in {help}");
    }
}

#[test]
fn what_help_gives_to_copy_fits_a_terminal() {
    const COLUMNS: usize = 80;
    let mut open = vec![Cli::command(), IngestCli::command(), WorkerCli::command()];
    let mut seen = 0;
    while let Some(command) = open.pop() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        // Prose is wrapped; what is laid out by hand (it begins with blanks, or is an example) would be torn.
        for line in help.lines().filter(|line| line.starts_with("  ") || line.starts_with("Example")) {
            assert!(line.chars().count() <= COLUMNS, "{}: {line}", command.get_name());
            seen += 1;
        }
        open.extend(command.get_subcommands().cloned());
    }
    assert!(seen > 30, "only {seen} lines were found");
}

#[test]
fn a_server_that_listens_everywhere_is_reached_here() {
    let reached = |listen: &str| reachable(listen.parse().unwrap()).to_string();
    assert_eq!(reached("0.0.0.0:1"), "127.0.0.1:1");
    assert_eq!(reached("[::]:1"), "[::1]:1");
    assert_eq!(reached("10.0.0.1:1"), "10.0.0.1:1");
}

#[test]
fn the_server_is_found_by_flag_then_variable_then_configuration() {
    let file = "[server]\nlisten = ':9'\ntokens = ['from-the-configuration']\n";
    let source = Given::default().with_file("laneway.toml", file);
    let base = |source: &Given, server: Option<&str>| {
        let args = ClientArgs { server: server.map(str::to_owned), ..ClientArgs::default() };
        connect(&args, source).unwrap().base().to_owned()
    };
    assert_eq!(base(&source, None), "http://127.0.0.1:9");
    let with_variable = source.with_var("LANEWAY_URL", "http://v.example/");
    assert_eq!(base(&with_variable, None), "http://v.example");
    assert_eq!(base(&with_variable, Some("http://f.example/under/")), "http://f.example/under");
}

#[tokio::test]
async fn the_token_of_the_configuration_goes_only_to_the_server_of_the_configuration() {
    let server = Server::start(|_, _| answer(200, r#"{"at":0,"partitions":[],"destinations":[]}"#)).await;
    let file = format!("[server]\nlisten = '{}'\ntokens = ['from-the-configuration']\n", server.address);
    let source = Given::default().with_file("laneway.toml", &file);
    run(parse("laneway status").unwrap(), &source).await.unwrap();
    run(parse("laneway status").unwrap(), &source.clone().with_var("LANEWAY_URL", &server.url())).await.unwrap();
    run(parse("laneway status --token mine").unwrap(), &source).await.unwrap();
    let tokens: Vec<Option<String>> = server.asked().into_iter().map(|asked| asked.authorization).collect();
    assert_eq!(tokens, [Some("Bearer from-the-configuration".into()), None, Some("Bearer mine".into())]);
}

#[tokio::test]
async fn commands_ask_what_the_api_understands() {
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/v1/dead-letters?limit=5&destination=a&key=k%2F1" | "/v1/dead-letters?limit=1000&destination=a" => {
            answer(200, r#"{"dead_letters":[]}"#)
        }
        "/v1/dead-letters/retry" | "/v1/dead-letters/discard" => answer(200, r#"{"count":2}"#),
        _ => answer(200, r#"{"done":true}"#),
    })
    .await;
    for args in [
        "laneway dead-letters list --destination a --key k/1 --limit 5",
        "laneway dead-letters retry --destination a --key k",
        "laneway dead-letters discard --destination a --event e --yes",
        "laneway keys retry a order-7",
        "laneway keys skip a event:41",
        "laneway destinations resume a",
        "laneway destinations forget a --yes",
        "laneway destinations replay a --since beginning --yes",
        "laneway destinations replay a --since 2026-01-31T12:00:00Z --yes",
    ] {
        run_against(&server, args).await.unwrap();
    }
    let asked: Vec<String> = server.asked().iter().map(|a| format!("{} {} {}", a.method, a.path, a.text())).collect();
    let expected = [
        "GET /v1/dead-letters?limit=5&destination=a&key=k%2F1 ",
        // What was probably meant is looked for.
        "GET /v1/dead-letters?limit=1000&destination=a ",
        r#"POST /v1/dead-letters/retry {"destination":"a","key":"k"}"#,
        r#"POST /v1/dead-letters/discard {"destination":"a","event_id":"e"}"#,
        r#"POST /v1/destinations/a/keys/retry {"key":"key:order-7"}"#,
        r#"POST /v1/destinations/a/keys/skip {"key":"event:41"}"#,
        "POST /v1/destinations/a/resume {}",
        "DELETE /v1/destinations/a/progress ",
        r#"POST /v1/destinations/a/replay {"since":"beginning"}"#,
        r#"POST /v1/destinations/a/replay {"since":"2026-01-31T12:00:00Z"}"#,
    ];
    assert_eq!(asked, expected);
}

/// `all` and `event:…` are blocked in each partition by themselves.
#[tokio::test]
async fn which_one_to_skip_is_said_where_there_may_be_several() {
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/v1/status" => answer(
            200,
            r#"{"at":9,"partitions":[0,3],"other_dead_letters":{},"destinations":[
                {"name":"a","pending":1,"pending_exact":true,"in_flight":0,"keys_behind":2,"blocked_keys":2,
                 "breaker":{"state":"closed"},"paused":null,"configured":true,"dead_letters":0,"blocked":[
                  {"key":"all","partition":3,"head":41,"attempts":4,"since":1,"next_attempt":10,"last_error":"-"},
                  {"key":"key:k","partition":0,"head":4,"attempts":4,"since":1,"next_attempt":10,"last_error":"-"}]}]}"#,
        ),
        _ => answer(400, r#"{"type":"https://laneway.example/problems/invalid","title":"no","detail":"no"}"#),
    })
    .await;
    for (args, advice) in [
        ("laneway keys skip a all", Some("choose one that `laneway status --keys` lists, for instance --at 3:41")),
        ("laneway keys skip a all --at 3:40", None),
        ("laneway keys skip a k", None),
        ("laneway keys retry a all", None),
        ("laneway keys skip a event:7", Some("`laneway status --keys` lists the keys that are blocked")),
    ] {
        let failure = run_against(&server, args).await.unwrap_err();
        assert_eq!(failure.advice.as_deref(), advice, "{args}");
    }
}

/// Of one id there can be several, of several tenants and sources.
#[tokio::test]
async fn all_events_of_an_id_are_asked_for_and_each_that_is_listed_is_asked_for_where_it_stands() {
    fn way(offset: u64) -> String {
        format!(
            r#"{{"partition":1,"offset":{offset},"accepted_at":"2026-01-31T12:00:00Z","destinations":[],"not_wanted":0,
                 "event":{{"id":"x","type":"t","content_type":"application/json"}}}}"#
        )
    }
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/v1/events/x?" => answer(200, &format!(r#"{{"items":[{}],"next":"further","incomplete":[]}}"#, way(3))),
        "/v1/events/x?after=further" => answer(200, r#"{"items":[],"next":"beginning","incomplete":[]}"#),
        "/v1/events/x?tenant=acme&source=" => answer(200, &format!(r#"{{"items":[{}],"incomplete":[]}}"#, way(4))),
        "/v1/events?limit=20" => answer(
            200,
            r#"{"items":[
                {"id":"x","type":"t","tenant":"acme","partition":1,"offset":4,
                 "accepted_at":"2026-01-31T12:00:00Z","bytes":2},
                {"id":"x","type":"t","partition":1,"offset":3,"accepted_at":"2026-01-31T12:00:00Z","bytes":2}
            ],"incomplete":[]}"#,
        ),
        "/v1/events/x?at=1:4" => answer(200, &format!(r#"{{"items":[{}],"incomplete":[]}}"#, way(4))),
        // It was trimmed meanwhile: the others are told all the same.
        "/v1/events/x?at=1:3" => answer(404, r#"{"type":"t","title":"t","status":404,"detail":"no event"}"#),
        "/v1/events/y?" => answer(200, r#"{"items":[],"next":"last","incomplete":[]}"#),
        "/v1/events/y?after=last" => answer(200, r#"{"items":[],"incomplete":[]}"#),
        other => panic!("{other}"),
    })
    .await;
    for args in ["laneway events show x", "laneway events show x --tenant acme --source=", "laneway events list --way"]
    {
        run_against(&server, args).await.unwrap();
    }
    let failure = run_against(&server, "laneway events show y").await.unwrap_err();
    assert!(failure.what.starts_with("no event that is still stored has the id y"), "{failure}");
    let asked: Vec<String> = server.asked().into_iter().map(|asked| asked.path.replace("/v1/events", "")).collect();
    let expected = [
        "/x?",
        "/x?after=further",
        "/x?tenant=acme&source=",
        "?limit=20",
        "/x?at=1:4",
        "/x?at=1:3",
        "/y?",
        "/y?after=last",
    ];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn what_the_server_refuses_is_said_in_its_words() {
    let server =
        Server::start(|_, _| answer(404, r#"{"type":"t","title":"t","status":404,"detail":"no key x"}"#)).await;
    let failure = run_against(&server, "laneway keys retry a x").await.unwrap_err();
    assert_eq!((failure.to_string().as_str(), failure.code), ("no key x", EXIT_FAILED));
    let server = Server::start(|_, _| answer(401, "")).await;
    let failure = run_against(&server, "laneway status").await.unwrap_err();
    assert!(failure.advice.unwrap().contains("LANEWAY_TOKEN"));
    let server = Server::start(|_, _| answer(200, r#"{"count":0}"#)).await;
    let failure = run_against(&server, "laneway dead-letters retry --destination a").await.unwrap_err();
    assert_eq!(failure.what, "a has no dead letters");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let source = Given::default().with_var("LANEWAY_URL", &format!("http://{gone}"));
    let failure = run(parse("laneway status").unwrap(), &source).await.unwrap_err();
    assert!(failure.what.starts_with(&format!("http://{gone} cannot be reached: ")), "{failure}");
    assert_eq!(failure.advice.unwrap(), "start it with `laneway serve`, or say where it is with --server URL");
}

#[tokio::test]
async fn a_wrong_configuration_ends_with_its_own_code() {
    let source = Given::default().with_file("laneway.toml", "[sevrer]\n[store]\npartitions = 0\n");
    let Some(Command::Check(args)) = parse("laneway check").unwrap().command else { panic!("not check") };
    let failure = check::run(args, &source).await.unwrap_err();
    assert_eq!(failure.code, EXIT_CONFIG);
    assert!(failure.what.starts_with("the configuration has 2 mistakes:\nlaneway.toml:1: "), "{failure}");
}

#[test]
fn check_shows_what_would_run_and_no_secret() {
    let text = r#"
        [server]
        tokens = ["topsecret-and-long"]
        [[destination]]
        name = "billing"
        url = "https://billing.example/topsecret"
        types = ["invoice.*"]
        match = { tenant = "acme" }
        [[destination]]
        name = "log"
        url = "console:"
        paused = true
    "#;
    let shown = check::describe(&crate::config::Config::from_toml(text).unwrap(), table::Look::default());
    let expected = "\
configuration laneway.toml
listens on    127.0.0.1:8080 (1 token)
store         sqlite:laneway.db (fsynced before each answer; settled events kept for 1d)

DESTINATION   TO                       WANTS                       ORDER  IN FLIGHT  RETRIES
billing       https://billing.example  invoice.* with tenant=acme  key           64  1s to 1h, for 3d
log (paused)  console                  all                         key           64  1s to 1h, for 3d
`laneway destinations list` shows those that were made over HTTP, too

";
    assert_eq!(shown, expected);
}

#[test]
fn the_status_shows_who_is_behind_and_why() {
    let status: Status = serde_json::from_str(
        r#"{"at":1000000,"partitions":[0,1],"destinations":[
            {"name":"billing","pending":12,"pending_exact":false,"in_flight":3,"oldest_accepted_at":875000,
             "delivered_recently":15,"failed_recently":4,"to":"https://billing.example","keys_behind":2,"blocked_keys":2,
             "blocked":[{"key":"key:order-7","partition":1,"head":41,"attempts":4,"since":940000,
                         "next_attempt":1008000,"last_error":"HTTP 500"}],
             "breaker":{"state":"open","since":990000,"next_probe":1004000},"paused":null,"configured":true,
             "dead_letters":5},
            {"name":"log","pending":0,"pending_exact":true,"in_flight":0,"keys_behind":2,"blocked_keys":0,"blocked":[],
             "breaker":{"state":"closed"},"paused":"410 Gone","paused_since":280000,"configured":true,"dead_letters":0},
            {"name":"old","pending":7,"pending_exact":true,"in_flight":0,"keys_behind":2,"blocked_keys":0,"blocked":[],
             "breaker":{"state":"closed"},"paused":null,"configured":false,"dead_letters":0}],
            "other_dead_letters":{"older":1}}"#,
    )
    .unwrap();
    let expected = "\
DESTINATION  WAITING  OLDEST   RATE  IN FLIGHT  BLOCKED KEYS  DEAD LETTERS  STATE                                                                               TO
log                0       -      -          0             0             0  stopped: 410 Gone; paused since 12m ago; `laneway destinations resume log` ends it
billing         ≤ 12    2m5s  1.5/s          3             2             5  down: breaker open since 10s ago, next probe in 4s: HTTP 500; 0.4/s attempts fail   https://billing.example
old                7       -      -          0             0             0  left: not configured; `laneway destinations forget old` drops it
older              -       -      -          -             -             1  forgotten, with dead letters left

DESTINATION  KEY            AT  ATTEMPTS   SINCE  NEXT   LAST ERROR
billing      key:order-7  1:41         4  1m ago  in 8s  HTTP 500
and 1 more
";
    assert_eq!(status::render(&status, true, table::Look::default()), expected);
    let narrow = status::render(&status, true, table::Look { width: Some(80), colour: false });
    let expected = "\
DESTINATION  WAITING  OLDEST   RATE  FLIGHT  BLOCKED  DEAD  STATE
log                0       -      -       0        0     0  stopped
  410 Gone · paused since 12m ago · `laneway destinations resume log` ends it
billing         ≤ 12    2m5s  1.5/s       3        2     5  down
  https://billing.example
  breaker open since 10s ago, next probe in 4s: HTTP 500
  0.4/s attempts fail
old                7       -      -       0        0     0  left
  not configured; `laneway destinations forget old` drops it
older              -       -      -       -        -     1  forgotten
";
    assert!(narrow.starts_with(expected), "{narrow}");
    assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
}

#[test]
fn the_status_has_the_states_and_the_order_of_the_console() {
    let idle = |name: &str| DestinationStatus::idle(DestinationName::new(name).unwrap(), true);
    let paused = |name: &str, why: &str, since: Option<u64>| DestinationStatus {
        paused: Some(why.to_owned()),
        paused_since: since.map(Timestamp::from_millis),
        ..idle(name)
    };
    let key = |next_attempt: Option<u64>| BlockedKey {
        key: "key:a".into(),
        partition: Partition(0),
        head: Offset(1),
        attempts: 2,
        since: Timestamp::from_millis(940_000),
        next_attempt: next_attempt.map(Timestamp::from_millis),
        last_error: "HTTP 500".into(),
    };
    let blocked = |name: &str, next| DestinationStatus { blocked_keys: 1, blocked: vec![key(next)], ..idle(name) };
    let destinations = vec![
        idle("fine"),
        idle("given-up"),
        blocked("fails", Some(1_001_000)),
        blocked("held", None),
        paused("gone", "answered 410 Gone", Some(0)),
        paused("by-file", PAUSED_IN_CONFIGURATION, None),
        paused("hand", "paused by an operator: they move", Some(940_000)),
        paused("unread", "its secrets are elsewhere", None),
    ];
    let at = Timestamp::from_millis(1_000_000);
    let report = StatusReport { at, destinations, ..StatusReport::default() };
    let letters = [(DestinationName::new("given-up").unwrap(), 60)].into();
    let shown = status::render(&Status::new(report, letters), false, table::Look::default());
    let states: Vec<&str> = shown
        .lines()
        .skip(1)
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, rest)| rest.find(|c: char| c.is_ascii_lowercase()).map_or(name, |from| &rest[from..]))
        .collect();
    assert_eq!(
        states,
        [
            "stopped: answered 410 Gone; paused since 16m40s ago; `laneway destinations resume gone` ends it",
            // It is not resumed by a command.
            "stopped: its secrets are elsewhere",
            "held: since 1m ago: HTTP 500",
            "failing: since 1m ago: HTTP 500",
            "dead letters",
            "paused: paused in the configuration",
            "paused: paused by an operator: they move; paused since 1m ago; `laneway destinations resume hand` ends it",
            "ok",
        ],
        "{shown}"
    );
}

#[test]
fn the_status_begins_with_what_keeps_the_server_from_its_work() {
    let mut status = Status::new(StatusReport::default(), std::collections::BTreeMap::new());
    assert!(status::render(&status, false, table::Look::default()).starts_with("DESTINATION"));
    status.not_ready =
        vec!["the store takes no events: the disk is full".into(), "this process takes no events in".into()];
    status.limitations = vec!["redis-2 takes no events".into()];
    let shown = status::render(&status, false, table::Look { width: Some(32), colour: false });
    let expected = "\
not ready: the store takes no
  events: the disk is full
not ready: this process takes no
  events in
limited: redis-2 takes no events

DESTINATION";
    assert!(shown.starts_with(expected), "{shown}");
}

#[test]
fn the_status_shows_who_works_on_what_and_what_it_cannot_show() {
    let status: Status = serde_json::from_str(
        r#"{"at":1000000,"partitions":[0,1,2,4,7],"destinations":[],
            "workers":[{"worker":"41-0c","partitions":[7,0,1,2]},{"worker":"7-aa","partitions":[4]},
                       {"worker":"9-bb","partitions":[]}],
            "processes":[{"process":"41-0c","role":"worker","release":"0.2.0"},
                         {"process":"5-dd","role":"ingest","release":"0.1.0"}],
            "incomplete":["worker 8-cc has not reported its status yet"]}"#,
    )
    .unwrap();
    let shown = status::render(&status, false, table::Look::default());
    let lines: Vec<&str> = shown.lines().skip_while(|line| !line.starts_with("WORKER")).map(str::trim_end).collect();
    let mut same = status;
    same.processes[1].release = "0.2.0".into();
    assert!(status::render(&same, false, table::Look::default()).contains("\n2 processes of Laneway 0.2.0\n"));
    assert_eq!(
        lines,
        [
            "WORKER  PARTITIONS  WHICH",
            "41-0c            4  0-2, 7",
            "7-aa             1  4",
            "9-bb             0",
            "",
            "PROCESS  ROLE    RELEASE",
            "41-0c    worker  0.2.0",
            "5-dd     ingest  0.1.0",
            "incomplete: worker 8-cc has not reported its status yet",
        ]
    );
}

/// Whoever can say no is asked about what is there, and whoever cannot is told what is wrong before that.
#[tokio::test]
async fn what_cannot_be_done_is_said_before_a_question() {
    let server = Server::start(|asked, _| match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/v1/status") => answer(200, r#"{"at":0,"partitions":[],"destinations":[]}"#),
        ("GET", path) if path.starts_with("/v1/tokens") => answer(200, r#"{"items":[],"incomplete":[]}"#),
        ("GET", "/v1/tenants/nope") => {
            answer(200, r#"{"tenant":"nope","limits":{},"own_limits":{},"deleted":false,"destinations":0}"#)
        }
        _ => answer(404, r#"{"type":"t","title":"t","status":404,"detail":"there is nothing of the kind"}"#),
    })
    .await;
    for args in [
        "laneway destinations forget nope",
        "laneway destinations delete nope",
        "laneway destinations replay nope --since 1h",
        "laneway keys recover nope order-7",
        "laneway replay begin nope",
        "laneway replay end nope r",
        "laneway tokens revoke nope",
        "laneway tenants delete nope",
        "laneway replay begin nope --from 10:00 --to 09:00 --yes",
    ] {
        let failure = run_against(&server, args).await.unwrap_err();
        assert!(!failure.what.contains("Nobody can be asked"), "{args}: {failure}");
    }
    let changes: Vec<String> =
        server.asked().iter().filter(|asked| asked.method == "DELETE").map(Asked::text).collect();
    assert!(changes.is_empty(), "{changes:?}");
}

/// No role contains another: whoever may forget a destination may not see one.
#[tokio::test]
async fn whoever_may_not_look_is_asked_all_the_same() {
    let server = Server::start(|_, _| answer(403, "")).await;
    for args in ["laneway destinations forget a", "laneway destinations delete a", "laneway replay end a r"] {
        let failure = run_against(&server, args).await.unwrap_err();
        assert!(failure.what.contains("Nobody can be asked"), "{args}: {failure}");
    }
}
