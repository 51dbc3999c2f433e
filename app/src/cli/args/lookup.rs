//! What can be written behind `laneway events`, `laneway attempts` and `laneway why`.

use super::{ClientArgs, one_or_more};
use crate::cli::when::When;
use clap::{Args, Subcommand};
use laneway_domain::{DestinationName, EventId, Key, Tenant};

const EVENTS_HELP: &str = "\
Examples:
  laneway events list --key order-7 --since 1h --way
  laneway events list --type 'order.*' --since 10:00 --until 10:30";

const ATTEMPTS_HELP: &str = "\
Examples:
  laneway attempts --destination billing --since 1h
  laneway attempts --event evt_1 --json
  laneway attempts --outcome failed --status 503 --since yesterday

An attempt ended as delivered, failed, rejected or gone; skipped is an event that an operator gave up, and expired one \
that had waited for as long as max_age allows.";

#[derive(Args, Debug)]
pub(in crate::cli) struct EventsArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: EventsCommand,
    #[command(flatten)]
    pub(in crate::cli) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum EventsCommand {
    /// List events that are still stored, the latest first
    #[command(after_help = EVENTS_HELP)]
    List {
        /// Only those of this key
        #[arg(long, short, value_name = "KEY", value_parser = Key::new)]
        key: Option<Key>,
        /// Only those of this tenant
        #[arg(long, value_name = "TENANT", value_parser = Tenant::new)]
        tenant: Option<Tenant>,
        /// Only those of this type, or of a pattern such as 'order.*'
        #[arg(long, short = 't', value_name = "TYPE")]
        r#type: Option<String>,
        #[command(flatten)]
        span: Span,
        /// The most events to list
        #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = one_or_more())]
        limit: usize,
        /// Also say what became of each at every destination
        #[arg(long, short)]
        way: bool,
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Show an event: its data, what became of it at each destination, and every attempt with what was sent and answered
    #[command(after_help = "Examples:  laneway events show evt_1
           laneway events show evt_1 --destination billing")]
    Show {
        /// The event's id
        #[arg(value_parser = EventId::new)]
        event: EventId,
        /// Only this tenant's, and only at its destinations; with it, an id of a tenant is found faster
        #[arg(long, value_name = "TENANT", value_parser = Tenant::new)]
        tenant: Option<Tenant>,
        /// Its source, where the same id comes from several ('' is none); with it, an id is found faster
        #[arg(long, value_name = "SOURCE")]
        source: Option<String>,
        /// Only what this destination has to do with it
        #[arg(long, short, value_name = "NAME", value_parser = DestinationName::new)]
        destination: Option<DestinationName>,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Reads an HTTP status.
///
/// # Errors
/// Says what would be right.
pub(super) fn http_status(text: &str) -> Result<u16, String> {
    let read = text.parse().ok().filter(|status| (100..=999).contains(status));
    read.ok_or_else(|| "an HTTP status is wanted, a number of three digits such as 503".to_owned())
}

/// A span of time.
#[derive(Args, Clone, Debug, Default)]
pub(in crate::cli) struct Span {
    /// From when on: 1h (ago), 10:00 (today), yesterday, '2026-01-31 10:00', or a date-time of RFC 3339. Times without an
    /// offset are local
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub(in crate::cli) since: Option<When>,
    /// Until when, in the same forms
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub(in crate::cli) until: Option<When>,
}

#[derive(Args, Debug)]
#[command(after_help = ATTEMPTS_HELP)]
pub(in crate::cli) struct AttemptsArgs {
    /// Only those at this destination
    #[arg(long, short, value_name = "NAME", value_parser = DestinationName::new)]
    pub(in crate::cli) destination: Option<DestinationName>,
    /// Only those at this tenant's destinations
    #[arg(long, value_name = "TENANT", value_parser = Tenant::new)]
    pub(in crate::cli) tenant: Option<Tenant>,
    /// Only those at events of this key
    #[arg(long, short, value_name = "KEY", value_parser = Key::new)]
    pub(in crate::cli) key: Option<Key>,
    /// Only those at this event
    #[arg(long, short, value_name = "ID", value_parser = EventId::new)]
    pub(in crate::cli) event: Option<EventId>,
    /// Only those that ended so: delivered, failed, rejected, gone, skipped or expired
    #[arg(long, value_name = "OUTCOME")]
    pub(in crate::cli) outcome: Option<String>,
    /// Only those that were answered with this HTTP status
    #[arg(long, value_name = "STATUS", value_parser = http_status)]
    pub(in crate::cli) status: Option<u16>,
    #[command(flatten)]
    pub(in crate::cli) span: Span,
    /// The most attempts to list
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = one_or_more())]
    pub(in crate::cli) limit: usize,
    /// Print one JSON object per line
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) client: ClientArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:  laneway store")]
pub(in crate::cli) struct StoreSizeArgs {
    /// Print the answer as JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) client: ClientArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:  laneway workers
           laneway workers --since 02:50 --until 03:10")]
pub(in crate::cli) struct WorkersArgs {
    #[command(flatten)]
    pub(in crate::cli) span: Span,
    /// Print one JSON object per line: a worker's time with a partition
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) client: ClientArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:  laneway why billing evt_1")]
pub(in crate::cli) struct WhyArgs {
    /// The destination
    #[arg(value_parser = DestinationName::new)]
    pub(in crate::cli) destination: DestinationName,
    /// The event's id
    #[arg(value_parser = EventId::new)]
    pub(in crate::cli) event: EventId,
    /// Its source, where the same id comes from several ('' is none)
    #[arg(long, value_name = "SOURCE")]
    pub(in crate::cli) source: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) client: ClientArgs,
}
