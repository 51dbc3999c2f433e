//! SIGHUP: the configuration is read again, and what can change while the process runs is changed: destinations,
//! tokens and limits. A configuration with a mistake changes nothing.

use super::Role;
use super::certificates::{Certificates, ReadAgain};
use super::destinations::{Known, NotReloaded};
use crate::config::{Config, CurrentTenantBounds, TenantBounds, Worker};
use laneway_http::{CurrentActBounds, CurrentLimits, Tokens, check_listen};
use laneway_ports::Stores;
use std::iter;

/// What a process that is told to reload changes.
pub(super) struct Reloading<'a> {
    pub(super) read: ReadAgain<'a>,
    /// What was read when the process began: what cannot change while it runs is so.
    pub(super) started: Config,
    pub(super) known: Known,
    pub(super) stores: Stores,
    pub(super) tokens: Tokens,
    pub(super) limits: CurrentLimits,
    pub(super) tenants: TenantsNow,
    pub(super) certificates: Certificates,
    /// Which half of Laneway the process is: it says where it listens, and whether the destinations are its affair.
    pub(super) role: Role,
}

impl Reloading<'_> {
    /// Reads the configuration again, and says what has come of it.
    pub(super) async fn reload(&mut self) {
        match self.try_to().await {
            Ok(()) => {}
            Err(NotReloaded::Nothing(why)) => {
                tracing::error!("the configuration was not reloaded, and everything goes on as before: {why}");
            }
            Err(NotReloaded::Rest(why)) => tracing::error!(
                "the configuration was not reloaded whole: destinations may be as it says now, some or all of them, \
                 and everything else is as before; send SIGHUP again when the store answers: {why}"
            ),
        }
    }

    async fn try_to(&mut self) -> Result<(), NotReloaded> {
        let config = (self.read)()?;
        // Where it listens cannot change, whatever the file says of that now: without tokens it would be open there.
        let listens = iter::once(self.role.listen(&self.started)).chain(self.role.operator_listen(&self.started));
        for (address, _) in listens {
            check_listen(address, &config.server.tokens)?;
        }
        // Looked at first, as they may not be usable, and used last, as what comes between may fail.
        let certificates = self.certificates.prepare(&config)?;
        let fixed = fixed(&self.started, &config);
        if !fixed.is_empty() {
            tracing::warn!(
                settings = %fixed.join(", "),
                "these settings have changed in the configuration and cannot change while Laneway runs: restart it to apply them"
            );
        }
        if self.role.delivers() {
            self.known.reload(&config, &self.stores).await?;
        } else {
            self.known.read_again(&config);
        }
        let tokens = config.server.tokens.clone();
        let tokens_changed = self.tokens.replace(tokens);
        if tokens_changed && self.tokens.now().lacks_an_admin() {
            tracing::warn!(
                "no token has the role admin any more: destinations and tokens cannot be changed over the HTTP \
                 interface until the file has one"
            );
        }
        let limits_changed = self.limits.replace(&config.server.limits);
        let limits_changed = self.tenants.replace(&config.tenants) || limits_changed;
        let certificates_changed = self.certificates.put(certificates);
        tracing::info!(tokens_changed, limits_changed, certificates_changed, "the configuration has been reloaded");
        Ok(())
    }
}

/// What tenants may make and do, as long as it is not replaced.
pub(super) struct TenantsNow {
    pub(super) bounds: CurrentTenantBounds,
    pub(super) limits: CurrentActBounds,
}

impl TenantsNow {
    pub(super) fn of(bounds: &TenantBounds) -> Self {
        Self { bounds: bounds.clone().into(), limits: bounds.limits.into() }
    }

    /// These from now on. Whether any is another one than before.
    fn replace(&self, bounds: &TenantBounds) -> bool {
        self.limits.replace(bounds.limits);
        self.bounds.replace(bounds)
    }
}

/// The settings that differ and cannot change while the process runs.
fn fixed(before: &Config, now: &Config) -> Vec<&'static str> {
    let connections = before.server.limits.connections == now.server.limits.connections;
    // How many there may be to receivers follows, unless it is set, from how many are accepted.
    let egress = before.egress == now.egress || (!connections && before.egress.allow == now.egress.allow);
    let (server_tls, store_tls) = Certificates::has_come_or_gone(before, now);
    let sections = [
        ("server.tls", !server_tls),
        ("server.listen", before.server.listen == now.server.listen),
        ("server.operator_listen", before.server.operator_listen == now.server.operator_listen),
        ("server.console", before.server.console == now.server.console),
        ("server.hosts", before.server.hosts == now.server.hosts),
        ("server.limits.connections", connections),
        ("store", before.store.but_for_certificates() == now.store.but_for_certificates()),
        ("store.tls", !store_tls),
        ("egress", egress),
        ("tenants.egress_allow", before.tenants.egress_allow == now.tenants.egress_allow),
        ("worker", but_for_history(&before.worker) == but_for_history(&now.worker)),
        ("history", before.history == now.history),
        ("log", before.log == now.log),
        ("telemetry", before.telemetry == now.telemetry),
        ("operational_events", before.operational == now.operational),
    ];
    sections.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

/// Without what `[history]` says: that is named by itself.
fn but_for_history(worker: &Worker) -> Worker {
    let settings = laneway_domain::Settings { history: true, ..worker.settings.clone() };
    Worker { settings, ..worker.clone() }
}

#[cfg(test)]
mod tests;
