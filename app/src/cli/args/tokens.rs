//! `laneway tokens`.

use super::ClientArgs;
use clap::{Args, Subcommand};
use laneway_domain::TokenName;

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
