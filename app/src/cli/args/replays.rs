//! What can be written behind `laneway replay`, and behind `laneway keys recover`.

use super::ClientArgs;
use crate::cli::when::Since;
use clap::{Args, Subcommand};
use laneway_domain::{DestinationName, EventId, Key, ReplayId, Tenant, TypePattern};

#[derive(Args, Debug)]
pub(in crate::cli) struct ReplayArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: ReplayCommand,
    #[command(flatten)]
    pub(in crate::cli) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ReplayCommand {
    /// Deliver settled events once more, in the order of their keys
    ///
    /// Each option chooses among what the others leave; without any, everything that is still stored (store.retain) and
    /// was settled comes again. New events go on beside it, but for those of --key, and with --first. Receivers see
    /// laneway-redrive: true and laneway-replay: N.
    #[command(after_help = "Examples:  laneway replay begin billing --from 10:00 --type 'a.*' --dry-run
           laneway replay begin billing --from 2h --id incident-7
           laneway replay begin crm --event evt_1")]
    Begin(BeginArgs),
    /// List the replays of a destination, those included that are done
    #[command(after_help = "Example:  laneway replay list billing")]
    List {
        /// The destination
        #[arg(value_parser = DestinationName::new)]
        destination: DestinationName,
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Show how far a replay has come, partition by partition
    #[command(after_help = "Example:  laneway replay show billing incident-7")]
    Show {
        /// The destination
        #[arg(value_parser = DestinationName::new)]
        destination: DestinationName,
        /// The replay's id
        #[arg(value_parser = ReplayId::new)]
        id: ReplayId,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// End a replay, and forget it
    #[command(after_help = "Example:  laneway replay end billing incident-7 --yes")]
    End {
        /// The destination
        #[arg(value_parser = DestinationName::new)]
        destination: DestinationName,
        /// The replay's id
        #[arg(value_parser = ReplayId::new)]
        id: ReplayId,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Args, Debug)]
pub(in crate::cli) struct BeginArgs {
    /// The destination
    #[arg(value_parser = DestinationName::new)]
    pub(in crate::cli) destination: DestinationName,
    /// Those that were accepted then or later: how long ago (2h), 10:00 (today), yesterday, '2026-01-31 10:00', a
    /// date-time of RFC 3339, or `beginning`. Times without an offset are local
    #[arg(long, value_name = "WHEN", value_parser = Since::parse)]
    pub(in crate::cli) from: Option<Since>,
    /// Those that were accepted before, in the same forms
    #[arg(long, value_name = "WHEN", value_parser = Since::parse)]
    pub(in crate::cli) to: Option<Since>,
    /// Those of this tenant, whose keys --key means then
    #[arg(long, value_name = "TENANT", value_parser = Tenant::new)]
    pub(in crate::cli) tenant: Option<Tenant>,
    /// Those of this type, or that this pattern matches; can be given several times
    #[arg(long = "type", value_name = "TYPE", value_parser = TypePattern::new)]
    pub(in crate::cli) types: Vec<TypePattern>,
    /// Those of this key, whose new events wait meanwhile; can be given several times
    #[arg(long = "key", value_name = "KEY", value_parser = Key::new)]
    pub(in crate::cli) keys: Vec<Key>,
    /// The one with this id; can be given several times
    #[arg(long = "event", value_name = "ID", value_parser = EventId::new)]
    pub(in crate::cli) events: Vec<EventId>,
    /// Let all new events of the destination wait until it is done
    #[arg(long)]
    pub(in crate::cli) first: bool,
    /// What the replay is to be called; the same again begins nothing new
    #[arg(long, value_parser = ReplayId::new)]
    pub(in crate::cli) id: Option<ReplayId>,
    /// Only say how many events that would be
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Print the answer as JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub(in crate::cli) yes: bool,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct RecoverArgs {
    /// The destination
    #[arg(value_parser = DestinationName::new)]
    pub(in crate::cli) destination: DestinationName,
    /// The key
    #[arg(value_parser = Key::new)]
    pub(in crate::cli) key: Key,
    /// Whose key it is, where several tenants' events go to one destination
    #[arg(long, value_name = "TENANT", value_parser = Tenant::new)]
    pub(in crate::cli) tenant: Option<Tenant>,
    /// `dead-letter`: from its first dead letter on; offset:<n>; or a moment, as `laneway replay begin` takes it
    #[arg(long, value_name = "WHERE", default_value = "dead-letter")]
    pub(in crate::cli) from: String,
    /// Recover what is still stored, if a part of it is not
    #[arg(long)]
    pub(in crate::cli) partial: bool,
    /// Only say how many events that would be
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Print the answer as JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub(in crate::cli) yes: bool,
}
