//! What is remembered of each tenant, for as long as there is anything to remember.

use crate::tenant::Tenant;
use std::collections::BTreeMap;

/// From how many tenants on it is looked for those that need no remembering any more.
pub(crate) const TIDY_FROM: usize = 1_000;

/// Something of each tenant that has done anything lately.
#[derive(Debug)]
pub(crate) struct ByTenant<B> {
    of: BTreeMap<Tenant, B>,
    /// From how many on it is tidied next: twice as many as were left, so that tidying costs each look little.
    tidy_at: usize,
}

impl<B> Default for ByTenant<B> {
    fn default() -> Self {
        Self { of: BTreeMap::new(), tidy_at: TIDY_FROM }
    }
}

impl<B> ByTenant<B> {
    /// What is remembered of a tenant, if anything is.
    pub(crate) fn get_mut(&mut self, tenant: &Tenant) -> Option<&mut B> {
        self.of.get_mut(tenant)
    }

    /// The same, a `new` one where nothing was. Others that are as new may be forgotten.
    pub(crate) fn get_or_new(
        &mut self,
        tenant: &Tenant,
        mut is_as_new: impl FnMut(&mut B) -> bool,
        new: impl FnOnce() -> B,
    ) -> &mut B {
        if self.of.len() >= self.tidy_at {
            self.of.retain(|_, what| !is_as_new(what));
            self.tidy_at = TIDY_FROM.max(2 * self.of.len());
        }
        self.of.entry(tenant.clone()).or_insert_with(new)
    }

    /// What is remembered of all of them.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut B> {
        self.of.values_mut()
    }

    /// It is tidied at the next look.
    #[cfg(test)]
    pub(crate) const fn tidy_next(&mut self) {
        self.tidy_at = 1;
    }

    /// From how many on it is tidied next.
    #[cfg(test)]
    pub(crate) fn tidy_at(&self) -> usize {
        self.tidy_at
    }

    /// Of how many something is remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }
}
