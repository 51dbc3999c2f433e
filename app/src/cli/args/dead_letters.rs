//! What can be written behind `laneway dead-letters`.

use super::lookup::{Span, http_status};
use super::{ClientArgs, one_or_more};
use clap::{Args, Subcommand};
use laneway_domain::{DestinationName, EventId, Key, Tenant, TypePattern};
use laneway_http::wire::Place;

#[derive(Args, Debug)]
pub(in crate::cli) struct DeadLettersArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: DeadLettersCommand,
    #[command(flatten)]
    pub(in crate::cli) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DeadLettersCommand {
    /// List them by partition, and in a partition in the order of their events
    #[command(after_help = "Example:  laneway dead-letters list --destination billing --json")]
    List {
        #[command(flatten)]
        filter: Filter,
        /// The most dead letters to list
        #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = one_or_more())]
        limit: usize,
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Show one with its history and its event
    #[command(after_help = "Example:  laneway dead-letters show billing evt_1")]
    Show {
        /// The destination that it was meant for
        #[arg(value_parser = DestinationName::new)]
        destination: DestinationName,
        /// The event's id
        #[arg(value_parser = EventId::new)]
        event: EventId,
        /// The event's tenant: each may have an event of that id
        #[arg(long, value_name = "TENANT", value_parser = Tenant::new)]
        tenant: Option<Tenant>,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Attempt each of them once more
    #[command(after_help = "Examples:  laneway dead-letters retry --destination billing --key order-7
           laneway dead-letters retry -d billing --status 422 --since yesterday")]
    Retry {
        #[command(flatten)]
        chosen: Chosen,
    },
    /// Remove them for good
    #[command(after_help = "Examples:  laneway dead-letters discard -d billing --event evt_1 --yes
           laneway dead-letters discard -d billing --type 'order.*' --dry-run")]
    Discard {
        #[command(flatten)]
        chosen: Chosen,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
}

/// What dead letters are chosen by; all conditions hold.
#[derive(Args, Clone, Debug, Default)]
pub(in crate::cli) struct By {
    /// Only those of this tenant's events: keys and ids are those of each tenant by itself
    #[arg(long, value_name = "TENANT", value_parser = Tenant::new)]
    pub(in crate::cli) tenant: Option<Tenant>,
    /// Only those of this key
    #[arg(long, short, value_name = "KEY", value_parser = Key::new)]
    pub(in crate::cli) key: Option<Key>,
    /// Only those of events of this id
    #[arg(long, short, value_name = "ID", value_parser = EventId::new)]
    pub(in crate::cli) event: Option<EventId>,
    /// Only those of events of this type, or that this pattern matches
    #[arg(long = "type", value_name = "TYPE", value_parser = TypePattern::new)]
    pub(in crate::cli) event_type: Option<TypePattern>,
    /// Only those whose last attempt was answered with this HTTP status
    #[arg(long, value_name = "STATUS", value_parser = http_status)]
    pub(in crate::cli) status: Option<u16>,
    #[command(flatten)]
    pub(in crate::cli) span: Span,
}

/// Which dead letters to list.
#[derive(Args, Clone, Debug, Default)]
pub(in crate::cli) struct Filter {
    /// Only those of this destination
    #[arg(long, short, value_name = "NAME", value_parser = DestinationName::new)]
    pub(in crate::cli) destination: Option<DestinationName>,
    #[command(flatten)]
    pub(in crate::cli) by: By,
}

/// Which dead letters to change: a destination has to be named.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Chosen {
    /// Those of this destination
    #[arg(long, short, value_name = "NAME", value_parser = DestinationName::new)]
    pub(in crate::cli) destination: DestinationName,
    #[command(flatten)]
    pub(in crate::cli) by: By,
    /// Only the one at this partition and offset, as `list` says where they are; may be given several times
    #[arg(long, value_name = "PARTITION:OFFSET")]
    pub(in crate::cli) at: Vec<Place>,
    /// Only say how many there are
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}
