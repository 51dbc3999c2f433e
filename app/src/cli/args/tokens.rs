//! `laneway tokens`.

use super::ClientArgs;
use clap::{Args, Subcommand};
use laneway_domain::{Tenant, TokenName};

#[derive(Args, Debug)]
pub(in crate::cli) struct TokensArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: TokensCommand,
    #[command(flatten)]
    pub(in crate::cli) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TokensCommand {
    /// Make a token and print it, once: only its hash is kept
    ///
    /// Every process that shares the store takes it within a second. The server's file must have a token already, so
    /// that there is always one that lets you in.
    #[command(after_help = "Example:  laneway tokens create shop --role publish --role read")]
    Create {
        /// What it is to be called: 1 to 64 of a-z, 0-9, "-", "_", "."
        #[arg(value_parser = TokenName::new)]
        name: TokenName,
        /// What it is to open; may be given several times
        #[arg(long = "role", value_name = "ROLE", required = true, value_parser = ["publish", "read", "operate", "admin"])]
        roles: Vec<String>,
    },
    /// List the tokens of the server's file and those that were made over HTTP, without their text
    #[command(after_help = "Example:  laneway tokens list --json")]
    List {
        /// Print a JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token that was made over HTTP; every process refuses it within a second
    #[command(after_help = "Example:  laneway tokens revoke shop --yes")]
    Revoke {
        /// The token's name
        #[arg(value_parser = TokenName::new)]
        name: TokenName,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Make a link that signs a tenant's people in to the console for a while, and print it
    ///
    /// Whoever opens it does there what the roles allow, with what is the tenant's. It ends when it expires, with
    /// `laneway tokens end-links`, and when the token is revoked that made it.
    #[command(after_help = "Example:  laneway tokens link acme --lasts 8h --role read")]
    Link {
        /// Whose things it is to open
        #[arg(value_parser = Tenant::new)]
        tenant: Tenant,
        /// How long it is to last, from 1s to 24h [default: 1h]
        #[arg(long, value_name = "DURATION")]
        lasts: Option<String>,
        /// What it is to open; may be given several times [default: read, operate, admin]
        #[arg(long = "role", value_name = "ROLE", value_parser = ["publish", "read", "operate", "admin"])]
        roles: Vec<String>,
        /// Print the server's answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// End all links of a tenant that were made until now; every process within a second
    #[command(after_help = "Example:  laneway tokens end-links acme --yes")]
    EndLinks {
        /// Whose links
        #[arg(value_parser = Tenant::new)]
        tenant: Tenant,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Print who made and revoked tokens, and when
    #[command(after_help = "Example:  laneway tokens changes --limit 5")]
    Changes {
        /// At most so many, the latest first
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Print a JSON object a line
        #[arg(long)]
        json: bool,
    },
}
