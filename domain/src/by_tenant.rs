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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_forgotten_before_there_are_many() {
        let mut all = ByTenant::default();
        let name = |n: usize| Tenant::new(&format!("t{n}")).unwrap();
        for n in 0..TIDY_FROM {
            all.get_or_new(&name(n), |_| true, || n);
            assert_eq!(all.len(), n + 1);
        }
        all.get_or_new(&name(TIDY_FROM), |it| *it > 1, || TIDY_FROM);
        let left: Vec<usize> = all.all_mut().map(|it| *it).collect();
        assert_eq!(left, [0, 1, TIDY_FROM], "those that are as new ones are");
        assert_eq!(all.get_mut(&name(1)), Some(&mut 1));
    }
}
