//! The guard: policy, resolver and TCP in one, so that none of them is used without the others.

use crate::dial::{Dial, Tcp};
use crate::policy::{Blocked, EgressPolicy};
use crate::resolve::{Resolve, SystemResolver};
use std::fmt;
use std::sync::Arc;
use url::Host;

/// The only way out of a process. Cheap to clone; sinks share one.
pub struct Guard<D = Tcp> {
    shared: Arc<Shared<D>>,
}

struct Shared<D> {
    policy: EgressPolicy,
    resolver: Arc<dyn Resolve>,
    dial: D,
}

impl Guard {
    /// Permits what `policy` permits, with the system's resolver and TCP.
    #[must_use]
    pub fn new(policy: EgressPolicy) -> Self {
        Self::with_resolver(policy, Arc::new(SystemResolver))
    }

    /// The same, with a resolver of the caller's.
    #[must_use]
    pub fn with_resolver(policy: EgressPolicy, resolver: Arc<dyn Resolve>) -> Self {
        Self::with_dial(policy, resolver, Tcp)
    }
}

impl<D: Dial> Guard<D> {
    /// The same, over connections of the caller's. Addresses are checked before it is asked for one.
    #[must_use]
    pub fn with_dial(policy: EgressPolicy, resolver: Arc<dyn Resolve>, dial: D) -> Self {
        Self { shared: Arc::new(Shared { policy, resolver, dial }) }
    }

    /// Whether a host that is written as an address may be connected to, so that a setting that never
    /// can work is refused at start. A name is permitted here, and checked at each connection.
    ///
    /// # Errors
    /// Names the address, what it is, and the setting that would open it.
    pub fn check_host<S>(&self, host: &Host<S>) -> Result<(), Blocked> {
        self.shared.policy.check_host(host)
    }

    pub(crate) fn policy(&self) -> &EgressPolicy {
        &self.shared.policy
    }

    pub(crate) fn resolver(&self) -> Arc<dyn Resolve> {
        Arc::clone(&self.shared.resolver)
    }

    pub(crate) fn dial(&self) -> &D {
        &self.shared.dial
    }
}

impl<D> Clone for Guard<D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<D> fmt::Debug for Guard<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("policy", &self.shared.policy).finish_non_exhaustive()
    }
}
