//! Follows the tokens of the store, so that this process takes those that another one made, and refuses those that it
//! revoked.

use super::service::MadeTokens;
use laneway_domain::TokenName;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How often the store is asked whether a token was made or revoked: four times a second, so that it is seen within one
/// also where a look fails or takes its time. A look is one small read where nothing has changed.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What was said in the log, so that it is said once.
#[derive(Default)]
struct Said {
    failing: bool,
    unconfirmed: bool,
    hidden: BTreeSet<TokenName>,
    open: bool,
}

impl MadeTokens {
    /// Looks once, for a process that starts. If the store cannot say now, tokens of the HTTP interface are taken as
    /// soon as it can.
    pub async fn begin(&self) {
        self.tokens.follow();
        if let Err(error) = self.look().await {
            tracing::warn!(%error, "the tokens that were made over HTTP cannot be read yet; those of the file work");
        }
    }

    /// Follows for as long as it is polled.
    pub async fn follow(self: Arc<Self>) {
        let mut said = Said::default();
        loop {
            sleep(LOOK_EVERY).await;
            let looked = self.look().await;
            self.say(&mut said, looked);
        }
    }

    fn say(&self, said: &mut Said, looked: Result<(), laneway_ports::StoreError>) {
        let has_failed = looked.is_err();
        match looked {
            Err(error) if !said.failing => {
                tracing::warn!(%error, "the tokens that were made over HTTP cannot be read; trying again");
            }
            _ => {}
        }
        said.failing = has_failed;
        let unconfirmed = !self.tokens.are_confirmed();
        match (std::mem::replace(&mut said.unconfirmed, unconfirmed), unconfirmed) {
            (false, true) => tracing::error!(
                "it cannot be confirmed that tokens which were made over HTTP still stand: requests with one get a 503 \
                 until the store answers; tokens of the file work"
            ),
            (true, false) => tracing::info!("tokens that were made over HTTP are confirmed again, and taken"),
            _ => {}
        }
        let known = self.tokens.now();
        let open = known.is_open() && known.count_made() > 0;
        if !std::mem::replace(&mut said.open, open) && open {
            tracing::warn!(
                made_over_http = known.count_made(),
                "the configuration file of this process has no token, so that it asks nobody for one, although the store \
                 has tokens that were made over HTTP: add one to server.tokens or [[server.token]]"
            );
        }
        let hidden = known.hidden();
        for name in hidden.difference(&said.hidden) {
            tracing::warn!(
                token = %name,
                "the configuration file has a token of this name, and one was made over HTTP: here that of the file counts, \
                 and the other one opens nothing. Revoke it, or give one of them another name"
            );
        }
        said.hidden = hidden;
    }
}
