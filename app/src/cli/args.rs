//! What can be written behind `laneway`.

mod dead_letters;
mod lookup;
mod order;
mod replays;
mod tenants;
mod tokens;

pub(super) use dead_letters::{By, Chosen, DeadLettersArgs, DeadLettersCommand, Filter};
pub(super) use lookup::{AttemptsArgs, EventsArgs, EventsCommand, Span, StoreSizeArgs, WhyArgs, WorkersArgs};
pub(super) use order::flags_behind_the_command;
pub(super) use replays::{BeginArgs, RecoverArgs, ReplayArgs, ReplayCommand};
pub(super) use tenants::{TenantsArgs, TenantsCommand};
pub(super) use tokens::{TokensArgs, TokensCommand};

use super::client_tls::ClientTls;
use super::failure::{EXIT_CONFIG, EXIT_FAILED, EXIT_OK, EXIT_REFUSED, Failure};
use super::screen::Colour;
use super::when::Since;
use crate::compose::EXIT_TOLD_TWICE;
use crate::config::Overrides;
use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use laneway_domain::DestinationName;
use laneway_http::wire::Place;
use std::path::PathBuf;
use std::time::Duration;

/// What a command's exit code means, for its manual page.
pub(super) const EXIT_STATUS: &[(u8, &str)] = &[
    (EXIT_OK, "It was done."),
    (EXIT_FAILED, "It could not be done: standard error says why."),
    (EXIT_CONFIG, "The command line or the configuration is wrong."),
    (EXIT_REFUSED, "send: some events were refused; all others are stored."),
    (EXIT_TOLD_TWICE, "The server was told twice to stop, and ended before it had finished."),
];

const EXIT_CODES: &str = "\
Settings come from laneway.toml (--config FILE), LANEWAY_… variables, then flags.

A first event:
  curl localhost:8080/v1/events -H 'content-type: application/json' \\
    -d '{\"type\":\"hello\",\"data\":1}'

Exit codes:
  0    it was done
  1    it could not be done
  2    the command line or the configuration is wrong
  3    send: some events were refused, all others are stored
  130  the server was told twice to stop";

/// Ordered event delivery, where every key has its own lane.
///
/// Without a command, `laneway` runs the server: it accepts events over HTTP, stores them, and delivers each
/// one to every destination that subscribes to it.
#[derive(Debug, Parser)]
#[command(name = "laneway", version, after_help = EXIT_CODES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) serve: ServeArgs,
}

const HALF_EXIT_CODES: &str = "\
Settings come from laneway.toml (--config FILE), LANEWAY_… variables, then flags. `laneway check` says what they make.

Exit codes:
  0    it stopped as it was told
  1    it could not start or go on
  2    the command line or the configuration is wrong
  130  it was told twice to stop";

/// Laneway's ingest: accepts events over HTTP and stores them, for workers to deliver.
///
/// Any number of ingests and workers can share one Redis store. `laneway serve` runs both in one process.
#[derive(Debug, Parser)]
#[command(name = "ingest", version, after_help = HALF_EXIT_CODES)]
pub(super) struct IngestCli {
    #[command(flatten)]
    pub(super) serve: ServeArgs,
}

/// Laneway's worker: delivers stored events to every destination that subscribes to them.
///
/// Workers share the partitions evenly and take over the partitions of a worker that died. Each serves health,
/// metrics and status on worker.listen.
#[derive(Debug, Parser)]
#[command(name = "worker", version, after_help = HALF_EXIT_CODES)]
pub(super) struct WorkerCli {
    #[command(flatten)]
    pub(super) serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Accept events and deliver them (the default)
    #[command(after_help = "Example:  laneway serve --listen 127.0.0.1:9000 --store sqlite:/srv/events.db")]
    Serve(ServeArgs),
    /// Accept events and store them, for workers to deliver (the same as the program `ingest`)
    #[command(after_help = "Example:  laneway ingest --store redis://redis:6379")]
    Ingest(ServeArgs),
    /// Deliver what ingests have stored (the same as the program `worker`)
    #[command(after_help = "Example:  laneway worker --store redis://redis:6379 --listen 0.0.0.0:8081")]
    Worker(ServeArgs),
    /// Check the configuration and the store without starting, and print what would run
    #[command(after_help = "Example:  laneway check --config /etc/laneway.toml")]
    Check(ServeArgs),
    /// Copy the store into a file while Laneway runs, and check the copy
    #[command(after_help = BACKUP_HELP)]
    Backup(BackupArgs),
    /// Make the store from a backup, while Laneway is stopped
    #[command(after_help = RESTORE_HELP)]
    Restore(RestoreArgs),
    /// Send events from a file: NDJSON or a JSON array
    #[command(after_help = SEND_HELP)]
    Send(SendArgs),
    /// Show what every destination is doing
    #[command(
        after_help = STATUS_HELP
    )]
    Status(StatusArgs),
    /// Ask whether the server can do its work: exit code 0 if so, for health checks
    #[command(after_help = "Example:  laneway ready --server http://127.0.0.1:8080")]
    Ready(ReadyArgs),
    /// Take no events in, deliver what waits, and say when nothing is left: before an upgrade or a move
    #[command(after_help = DRAIN_HELP)]
    Drain(DrainArgs),
    /// Say why a destination has an event or has not, in plain words
    Why(WhyArgs),
    /// List events, or show one with its way through the destinations
    Events(EventsArgs),
    /// List attempts: when, how long, with which status, and what was answered
    Attempts(AttemptsArgs),
    /// Say which worker has each partition, and which had it when something happened
    Workers(WorkersArgs),
    /// Say what the store holds, and how much room it takes
    Store(StoreSizeArgs),
    /// List, show, retry or discard events that were given up
    DeadLetters(DeadLettersArgs),
    /// Retry or skip the failed event that blocks a key, or deliver a key again in order
    Keys(KeysArgs),
    /// Deliver settled events to a destination once more, and see how far that is
    Replay(ReplayArgs),
    /// List, make, change, pause, test and delete destinations; replay events to one, or forget one
    Destinations(DestinationsArgs),
    /// List, limit and delete tenants
    Tenants(TenantsArgs),
    /// Make, list and revoke tokens of the HTTP interface, and links that sign in to the console
    Tokens(TokensArgs),
    /// Print a completion script for a shell
    #[command(after_help = "Example:  laneway completions bash > /etc/bash_completion.d/laneway")]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write the manual page, or those of all commands
    #[command(after_help = "Examples:  laneway man | man -l -
           laneway man --dir /usr/local/share/man/man1")]
    Man {
        /// Write a page for each command into this folder
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
    },
}

const STATUS_HELP: &str = "\
WAITING events are not settled yet; ≤ stands where some were not looked at, \
≥ where data was lost or put back from a backup meanwhile. OLDEST is the age of the oldest of them, \
RATE the deliveries a second over about the last 10 s.

Examples:  laneway status --watch
           laneway status --destination billing --keys
           laneway status --json | jq .";

const DRAIN_HELP: &str = "\
Whoever sends an event is answered 503 with Retry-After, and /readyz fails, until the process ends or `laneway drain \
--end`. Of several processes that take events in, drain each. What a paused destination or a blocked key has is not \
waited for by anybody: after --timeout the command says what is left, and exits with 1. Nothing is lost by stopping \
Laneway with events waiting.

Examples:  laneway drain --reason 'the store moves' --timeout 30m
           laneway drain --end";

const SEND_HELP: &str = "\
An event looks like {\"type\":\"order.paid\",\"key\":\"order-7\",\"data\":{…}}. The file has one a line (NDJSON), or is a JSON \
array of them, or has JSON objects over several lines; events with a specversion are sent as CloudEvents. They are sent \
in their order, one batch at a time. One without an id gets <run>-<number>, where the number is that of its line or \
its place in the array, so that an event that is sent again is stored once: after an interruption, or when refused \
events were mended where they stand, send the whole file again with the same --run.

Examples:  laneway send events.ndjson
           laneway send events.json --run import-7
           producer | laneway send - --server https://events.example";

const BACKUP_HELP: &str = "\
The copy holds all that was acknowledged before; producers and receivers notice nothing. Of SQLite it is of one moment; \
of Redis, each partition's progress is of a moment after its events were copied. Only its owner can read the file, and \
Laneway does not run on it: `laneway restore` puts it in place. The key that seals secrets (store.key) is not in it.

Examples:  laneway backup /backups/laneway-$(date +%F).db
           laneway backup --store redis://127.0.0.1:6379 laneway.backup";

const RESTORE_HELP: &str = "\
What was accepted after the backup was made is gone; what was delivered after it is delivered again, with the numbers \
that it had. New events get numbers that were never given out before, so that no receiver takes one for an old one. On \
Redis there must be no store yet: use an empty Redis, or another store.key_prefix.

Examples:  laneway restore /backups/laneway-2026-11-26.db --replace
           laneway restore --store redis://127.0.0.1:6379 laneway.backup";

/// Where the store is.
#[derive(Args, Debug, Default)]
pub(super) struct StoreArgs {
    /// Read this file instead of ./laneway.toml [env: LANEWAY_CONFIG]
    #[arg(long, short, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The store (store.url)
    #[arg(long, value_name = "URL")]
    pub(super) store: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct BackupArgs {
    /// The copy; an existing file is never overwritten
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

#[derive(Args, Debug)]
pub(super) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Replace the existing store, which is kept beside the new one under another name (SQLite only)
    #[arg(long)]
    pub(super) replace: bool,
    /// Keep the tokens that were made over HTTP, which are revoked otherwise
    #[arg(long)]
    pub(super) keep_tokens: bool,
    /// Restore a backup that is damaged, as it is, where there is no other one (SQLite only)
    #[arg(long)]
    pub(super) damaged: bool,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

/// Flags that override the configuration.
#[derive(Args, Debug, Default)]
pub(super) struct ServeArgs {
    /// Read this file instead of ./laneway.toml [env: LANEWAY_CONFIG]
    #[arg(long, short, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Listen on this address (server.listen; of a worker: worker.listen)
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) listen: Option<String>,
    /// Keep events there (store.url)
    #[arg(long, value_name = "URL")]
    pub(super) store: Option<String>,
    /// Partitions of a new store (store.partitions)
    #[arg(long, value_name = "NUMBER")]
    pub(super) partitions: Option<String>,
    /// Log this much, such as info or laneway_webhook=debug (log.filter)
    #[arg(long, value_name = "FILTER")]
    pub(super) log: Option<String>,
    /// Log as auto, text or json (log.format)
    #[arg(long, value_name = "FORMAT")]
    pub(super) log_format: Option<String>,
}

impl ServeArgs {
    /// What the flags say about settings.
    pub(super) fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen.clone(),
            worker_listen: None,
            store: self.store.clone(),
            partitions: self.partitions.clone(),
            log: self.log.clone(),
            log_format: self.log_format.clone(),
        }
    }
}

/// Where the server is.
#[derive(Args, Debug, Default)]
pub(super) struct ClientArgs {
    /// The server [env: LANEWAY_URL] [default: where the configuration listens]
    #[arg(long, value_name = "URL", global = true)]
    pub(super) server: Option<String>,
    /// One of its tokens; other users can see flags, so prefer the variable [env: LANEWAY_TOKEN]
    #[arg(long, value_name = "TOKEN", global = true)]
    pub(super) token: Option<String>,
    /// The configuration to find the server by [env: LANEWAY_CONFIG]
    #[arg(long, short, value_name = "FILE", global = true)]
    pub(super) config: Option<PathBuf>,
    /// Certificates to trust instead of the system's, PEM [env: LANEWAY_CA]
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) ca: Option<PathBuf>,
    /// A client certificate, PEM [env: LANEWAY_CLIENT_CERTIFICATE]
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) client_certificate: Option<PathBuf>,
    /// Its private key, PEM [env: LANEWAY_CLIENT_KEY]
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) client_key: Option<PathBuf>,
}

impl ClientArgs {
    /// Whom a command trusts and who it is, by its flags or else by variables.
    pub(super) fn tls(&self, set: &dyn Fn(&str) -> Option<String>) -> Result<ClientTls, Failure> {
        let file = |flag: &Option<PathBuf>, name| flag.clone().or_else(|| set(name).map(PathBuf::from));
        let certificate = file(&self.client_certificate, "LANEWAY_CLIENT_CERTIFICATE");
        let identity = match (certificate, file(&self.client_key, "LANEWAY_CLIENT_KEY")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                let failure = Failure::new("--client-certificate and --client-key belong together; one is missing");
                return Err(Failure { code: EXIT_CONFIG, ..failure });
            }
        };
        Ok(ClientTls { ca: file(&self.ca, "LANEWAY_CA"), identity, own_server: None })
    }
}

#[derive(Args, Debug)]
pub(super) struct SendArgs {
    /// The file, or - for standard input
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Events in one request
    #[arg(long, value_name = "EVENTS", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) batch: u32,
    /// The prefix of generated ids, to repeat an interrupted run [default: random]
    #[arg(long, value_name = "NAME", value_parser = run_name)]
    pub(super) run: Option<String>,
    /// How long to retry without any success before giving up (3 s for a server that was never reached)
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = crate::config::parse_duration)]
    pub(super) retry_for: Duration,
    #[command(flatten)]
    pub(super) client: ClientArgs,
}

/// The most bytes of a run's name: with a line number behind it, an id of an event has to fit.
const MAX_RUN_BYTES: usize = 200;

/// How many of something are wanted: a list of none says nothing of whether there are any.
fn one_or_more() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

fn run_name(text: &str) -> Result<String, String> {
    laneway_domain::check_text("run", text, MAX_RUN_BYTES).map_err(|e| e.reason)?;
    Ok(text.to_owned())
}

#[derive(Args, Debug)]
pub(super) struct ReadyArgs {
    #[command(flatten)]
    pub(super) client: ClientArgs,
}

#[derive(Args, Debug)]
pub(super) struct DrainArgs {
    /// Take events in again
    #[arg(long, conflicts_with_all = ["reason", "timeout"])]
    pub(super) end: bool,
    /// Why; whoever sends an event is told
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// How long to wait until nothing is left
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = crate::config::parse_duration)]
    pub(super) timeout: Duration,
    #[command(flatten)]
    pub(super) client: ClientArgs,
}

#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    /// Only this destination
    #[arg(long, short, value_name = "NAME", value_parser = DestinationName::new)]
    pub(super) destination: Option<DestinationName>,
    /// Look again every second; on a terminal until q is pressed
    #[arg(long, short)]
    pub(super) watch: bool,
    /// Also list keys that wait for a failed event
    #[arg(long, short)]
    pub(super) keys: bool,
    /// Print the server's answer as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// When to use colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(super) color: Colour,
    #[command(flatten)]
    pub(super) client: ClientArgs,
}

#[derive(Args, Debug)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    pub(super) command: KeysCommand,
    #[command(flatten)]
    pub(super) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Attempt the key's failed event now instead of waiting for its next retry
    #[command(after_help = "Example:  laneway keys retry billing order-7")]
    Retry(BlockedKey),
    /// Give up the key's failed event: it becomes a dead letter, and the key continues
    #[command(after_help = "Examples:  laneway keys skip billing order-7
           laneway keys skip audit all --at 3:41")]
    Skip(BlockedKey),
    /// Deliver a key again from its first dead letter on, in order, before anything new of it
    #[command(after_help = "Examples:  laneway keys recover billing order-7 --dry-run
           laneway keys recover billing order-7 --from 10:00")]
    Recover(RecoverArgs),
}

#[derive(Args, Debug)]
pub(super) struct BlockedKey {
    /// The destination where the key is blocked
    #[arg(value_parser = DestinationName::new)]
    pub(super) destination: DestinationName,
    /// The key, or what `laneway status --keys` shows: key:order-7, event:41, all
    pub(super) key: String,
    /// Only while it is blocked at this event, as `laneway status --keys` shows it. To skip event:… or all it is needed
    #[arg(long, value_name = "PARTITION:OFFSET")]
    pub(super) at: Option<Place>,
}

#[derive(Args, Debug)]
pub(super) struct DestinationsArgs {
    #[command(subcommand)]
    pub(super) command: DestinationsCommand,
    #[command(flatten)]
    pub(super) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum DestinationsCommand {
    /// List the destinations
    #[command(after_help = "Example:  laneway destinations list --state paused")]
    List {
        /// Only those in this state: active, paused, or left (the configuration file no longer names it)
        #[arg(long, value_name = "STATE", value_parser = ["active", "paused", "left"])]
        state: Option<String>,
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Print a destination's settings as JSON, without its secrets
    #[command(after_help = "Example:  laneway destinations show billing")]
    Show {
        /// The destination's name
        #[arg(value_parser = DestinationName::new)]
        name: DestinationName,
    },
    /// Make the destinations be what a file says, and print what changed
    ///
    /// The file has [[destination]] tables as laneway.toml has them, or the same as JSON: {"destination":[…]}. Secrets
    /// that it names as env:NAME or file:PATH are read here, not by the server. Destinations that it does not name stay,
    /// unless --prune says otherwise. Signing secrets that it does not name are kept; `secrets = []` removes them.
    #[command(after_help = "Examples:  laneway destinations apply destinations.toml --dry-run
           laneway destinations apply destinations.toml --prune --yes")]
    Apply(ApplyArgs),
    /// Change a destination's settings in an editor
    ///
    /// $VISUAL, or else $EDITOR, or else vi opens the settings as laneway.toml has them, with … in the place of what is
    /// secret: where it stays, that stays. What is saved is sent when the editor ends. A mistake opens it again, with
    /// what is wrong above the text. If somebody else has changed the destination meanwhile, nothing is done, and the
    /// text is kept in a file.
    #[command(after_help = "Example:  EDITOR=nano laneway destinations edit billing")]
    Edit {
        /// The destination's name
        #[arg(value_parser = DestinationName::new)]
        name: DestinationName,
    },
    /// Stop deliveries to a destination; its events wait
    #[command(after_help = "Example:  laneway destinations pause billing --reason \"they move house\"")]
    Pause {
        /// The destination's name
        #[arg(value_parser = DestinationName::new)]
        name: DestinationName,
        /// Why, for whoever looks
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// End a pause, an operator's or one that Laneway caused, and close the breaker
    #[command(after_help = "Example:  laneway destinations resume billing")]
    Resume {
        /// The destination's name
        #[arg(value_parser = DestinationName::new)]
        name: DestinationName,
    },
    /// Make a new signing secret and print it; the old ones stay in use for a while
    #[command(after_help = "Example:  laneway destinations rotate-secret billing --keep 48h")]
    RotateSecret {
        /// The destination's name
        #[arg(value_parser = DestinationName::new)]
        name: DestinationName,
        /// How much longer requests are signed with the old secrets, too
        #[arg(long, value_name = "DURATION", default_value = "24h")]
        keep: String,
        /// Print the whole answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Send one test event (of the type laneway.test), at once and outside the order of others
    #[command(after_help = "Example:  laneway destinations test billing")]
    Test {
        /// The destination's name
        #[arg(value_parser = DestinationName::new)]
        name: DestinationName,
        /// Print the whole answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete a destination with everything that waits for it
    #[command(after_help = "Example:  laneway destinations delete old-billing --yes")]
    Delete {
        /// The destination's name
        #[arg(value_parser = DestinationName::new)]
        name: DestinationName,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Print who changed a destination, when, and from which offsets on the change applies
    #[command(after_help = "Example:  laneway destinations changes billing")]
    Changes {
        /// The destination's name
        #[arg(value_parser = DestinationName::new)]
        name: DestinationName,
        /// How many changes to print, the latest first
        #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Resend, in order, every event that was accepted since a given time and is still stored (store.retain)
    ///
    /// A replay resends everything that the destination subscribes to since that time, before anything new; you cannot
    /// pick single events. Its filter, order, retries and limits apply as usual. A receiver that drops duplicates by
    /// laneway-sequence takes only the events that it lacks: to make it take more, reset its numbers with its data.
    #[command(after_help = "Example:  laneway destinations replay billing --since 2h")]
    Replay {
        /// The destination's name
        #[arg(value_parser = DestinationName::new)]
        name: DestinationName,
        /// How long ago (2h), 10:00 (today), yesterday, '2026-01-31 10:00', a date-time of RFC 3339, or `beginning` for all
        /// that is still stored. Times without an offset are local
        #[arg(long, value_name = "WHEN", value_parser = Since::parse)]
        since: Since,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Drop the progress and the dead letters of a destination that left the configuration
    #[command(after_help = "Example:  laneway destinations forget old-billing --yes")]
    Forget {
        /// The destination's name
        #[arg(value_parser = DestinationName::new)]
        name: DestinationName,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Args, Debug)]
pub(super) struct ApplyArgs {
    /// The file, as TOML or JSON
    pub(super) file: PathBuf,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Delete destinations of the HTTP interface that the file does not name, with everything that waits for them
    #[arg(long)]
    pub(super) prune: bool,
    /// Take over destinations of the server's configuration file, with their progress
    #[arg(long)]
    pub(super) adopt: bool,
    /// Do not ask for confirmation before something is deleted
    #[arg(long, short)]
    pub(super) yes: bool,
}
