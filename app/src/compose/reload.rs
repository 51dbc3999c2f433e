//! SIGHUP: the configuration is read again, and what can change while the process runs is changed: destinations and
//! tokens. A configuration with a mistake changes nothing.

use super::destinations::Known;
use crate::config::Config;
use laneway_http::{Tokens, check_listen};
use laneway_ports::Stores;

/// Reads the configuration again, as it was read at the start.
pub type ReadAgain<'a> = &'a dyn Fn() -> Result<Config, String>;

/// What a process that is told to reload changes.
pub(super) struct Reloading<'a> {
    pub(super) read: ReadAgain<'a>,
    /// What was read last.
    pub(super) config: Config,
    pub(super) known: Known,
    pub(super) stores: Stores,
    pub(super) tokens: Tokens,
    /// Whether the destinations are this process' affair.
    pub(super) delivers: bool,
}

impl Reloading<'_> {
    /// Reads the configuration again, and says what has come of it.
    pub(super) async fn reload(&mut self) {
        match self.try_to().await {
            Ok(()) => {}
            Err(why) => tracing::error!("the configuration was not reloaded, and everything goes on as before: {why}"),
        }
    }

    async fn try_to(&mut self) -> Result<(), String> {
        let config = (self.read)()?;
        check_listen(self.config.server.listen, &config.server.tokens)?;
        let fixed = fixed(&self.config, &config);
        if !fixed.is_empty() {
            tracing::warn!(
                settings = %fixed.join(", "),
                "these settings have changed in the configuration and cannot change while Laneway runs: restart it to apply them"
            );
        }
        if self.delivers {
            self.known.reload(&self.config, &config, &self.stores).await?;
        }
        let tokens = config.server.tokens.clone();
        let changed = self.tokens.replace(tokens);
        tracing::info!(tokens_changed = changed, "the configuration has been reloaded");
        self.config = config;
        Ok(())
    }
}

/// The settings that differ and cannot change while the process runs.
fn fixed(before: &Config, now: &Config) -> Vec<&'static str> {
    let sections = [
        ("server.listen", before.server.listen == now.server.listen),
        ("server.hosts", before.server.hosts == now.server.hosts),
        ("server.limits", before.server.limits == now.server.limits),
        ("store", before.store == now.store),
        ("egress", before.egress == now.egress),
        ("worker", before.worker == now.worker),
        ("log", before.log == now.log),
    ];
    sections.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}
