//! `laneway tenants`.

use super::ClientArgs;
use clap::{Args, Subcommand};
use laneway_domain::Tenant;
use std::num::{NonZeroU32, NonZeroU64};

#[derive(Args, Debug)]
pub(in crate::cli) struct TenantsArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: TenantsCommand,
    #[command(flatten)]
    pub(in crate::cli) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TenantsCommand {
    /// List tenants that have destinations or limits of their own, or were deleted
    #[command(after_help = "Example:  laneway tenants list --json")]
    List {
        /// Print a JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Say what a tenant may, and how many destinations it has
    #[command(after_help = "Example:  laneway tenants show acme")]
    Show {
        /// The tenant
        #[arg(value_parser = Tenant::new)]
        tenant: Tenant,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Set what a tenant may, instead of what was set before
    ///
    /// What is left out is as for all tenants ([tenants] in the configuration). Every process follows within a second.
    #[command(after_help = "Example:  laneway tenants limit acme --events-per-second 500")]
    Limit {
        /// The tenant
        #[arg(value_parser = Tenant::new)]
        tenant: Tenant,
        /// Events a second that it may send, over all processes together
        #[arg(long, value_name = "N")]
        events_per_second: Option<NonZeroU32>,
        /// Bytes a second of its events, over all processes together
        #[arg(long, value_name = "N")]
        bytes_per_second: Option<NonZeroU64>,
        /// The most bytes of one of its events
        #[arg(long, value_name = "N")]
        event_bytes: Option<NonZeroU32>,
        /// The most destinations that are made for it over HTTP
        #[arg(long, value_name = "N")]
        destinations: Option<u32>,
    },
    /// Delete a tenant with everything of it: destinations, tokens, what waits, dead letters
    ///
    /// Its events in the log are delivered and shown to nobody any more, and leave it as all events do. Its name can be
    /// used again when they have.
    #[command(after_help = "Example:  laneway tenants delete acme --yes")]
    Delete {
        /// The tenant
        #[arg(value_parser = Tenant::new)]
        tenant: Tenant,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
}
