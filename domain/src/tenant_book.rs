//! What is known of tenants beside what they own: their quotas, and which of them were deleted. One state that changes as a
//! whole.

use crate::deleted_tenants::DeletedTenants;
use crate::quota::TenantLimits;
use crate::revision::Revision;
use crate::tenant::Tenant;
use crate::time::Timestamp;
use crate::token::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use thiserror::Error;

/// The most tenants with limits of their own, or that were deleted and whose events may be in the log still. Every process
/// keeps all of them in memory, and each change writes all of them (some 4 MB at most). Tenants without either are not
/// counted, and need no record.
pub const MAX_TENANT_RECORDS: usize = 20_000;

/// What is known of tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantBook {
    revision: Revision,
    tenants: BTreeMap<Tenant, TenantRecord>,
    /// Records that were changed at this revision or before may have been let go of.
    forgotten: Revision,
}

/// What is known of one tenant.
///
/// A field that changes what happens with events needs a new format of what stores keep: whoever does not know it must not
/// act as if it were not there. So unknown fields are errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantRecord {
    /// What it may, where that is not what all may.
    #[serde(default, skip_serializing_if = "TenantLimits::is_none")]
    pub limits: TenantLimits,
    /// Whether it was deleted: then none of its events are taken, delivered or shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// The change that made it so.
    pub revision: Revision,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// Who: the name of a token.
    pub by: Box<str>,
}

/// Why a tenant was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TenantRefusal {
    /// There are as many records as there can be.
    #[error(
        "there are {MAX_TENANT_RECORDS} tenants with limits of their own or that were deleted lately, and there cannot be \
         more: set the limits for all instead (`[tenants]`), or wait until the events of deleted ones have left the log"
    )]
    Full,
    /// It was deleted, and events of it may be in the log.
    #[error(
        "the tenant {0} was deleted. Its name can be used again when the last of its events has left the log (store.retain) \
         and their ids are forgotten (store.duplicate_window)"
    )]
    Deleted(Tenant),
}

impl TenantBook {
    /// The last change; [`Revision::ORIGIN`] if there was none.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// The tenants with a record, by name.
    #[must_use]
    pub const fn tenants(&self) -> &BTreeMap<Tenant, TenantRecord> {
        &self.tenants
    }

    /// What a tenant may, where that is not what all may.
    #[must_use]
    pub fn limits_of(&self, tenant: &Tenant) -> TenantLimits {
        self.tenants.get(tenant).map(|record| record.limits).unwrap_or_default()
    }

    /// Whether the tenant was deleted.
    #[must_use]
    pub fn is_deleted(&self, tenant: &Tenant) -> bool {
        self.tenants.get(tenant).is_some_and(|record| record.deleted)
    }

    /// Those that were deleted.
    #[must_use]
    pub fn deleted(&self) -> DeletedTenants {
        self.tenants.iter().filter(|(_, record)| record.deleted).map(|(tenant, _)| tenant.clone()).collect()
    }

    /// Sets what a tenant may, instead of what was set before.
    ///
    /// # Errors
    /// [`TenantRefusal`]; nothing has changed then.
    pub fn limit(&mut self, tenant: &Tenant, limits: TenantLimits, stamp: &Stamp) -> Result<(), TenantRefusal> {
        if self.is_deleted(tenant) {
            return Err(TenantRefusal::Deleted(tenant.clone()));
        }
        // A record without limits stays: a store that lost its last moments is told by it that there are none.
        self.put(tenant, limits, false, stamp)
    }

    /// From now on nobody gets or sees its events. Deleting one twice changes nothing.
    ///
    /// # Errors
    /// [`TenantRefusal`]; nothing has changed then.
    pub fn delete(&mut self, tenant: &Tenant, stamp: &Stamp) -> Result<(), TenantRefusal> {
        if self.is_deleted(tenant) {
            return Ok(());
        }
        self.put(tenant, TenantLimits::default(), true, stamp)
    }

    /// Those that were deleted at `since` or later.
    #[must_use]
    pub fn deleted_since(&self, since: Timestamp) -> DeletedTenants {
        let lately = self.tenants.iter().filter(|(_, record)| record.deleted && record.at >= since);
        lately.map(|(tenant, _)| tenant.clone()).collect()
    }

    /// The deleted tenants of which nothing is left anywhere at `now`.
    ///
    /// `oldest`: when the oldest event was accepted that the log has, if it has any. `kept`: how long an event's id is
    /// remembered, and what was told of attempts; whoever gets the name next must meet neither. `margin`: how long
    /// after a deletion a process may still have taken an event of the tenant, and by how much clocks may differ.
    #[must_use]
    pub fn gone(&self, oldest: Option<Timestamp>, kept: Duration, margin: Duration, now: Timestamp) -> DeletedTenants {
        let is_gone = |record: &TenantRecord| {
            let last = record.at.after(margin);
            record.deleted && oldest.is_none_or(|oldest| oldest > last) && now > last.after(kept)
        };
        self.tenants.iter().filter(|(_, record)| is_gone(record)).map(|(tenant, _)| tenant.clone()).collect()
    }

    /// Lets go of deleted tenants that are [`TenantBook::gone`]. Their names are free.
    pub fn forget(&mut self, gone: &DeletedTenants, stamp: &Stamp) {
        let (before, mut forgotten) = (self.tenants.len(), self.forgotten);
        self.tenants.retain(|tenant, record| {
            let goes = record.deleted && gone.has(tenant);
            if goes {
                forgotten = forgotten.max(record.revision);
            }
            !goes
        });
        if self.tenants.len() < before {
            (self.forgotten, self.revision) = (forgotten, stamp.revision);
        }
        self.check_self();
    }

    fn put(
        &mut self,
        tenant: &Tenant,
        limits: TenantLimits,
        deleted: bool,
        stamp: &Stamp,
    ) -> Result<(), TenantRefusal> {
        if !self.tenants.contains_key(tenant) && self.tenants.len() >= MAX_TENANT_RECORDS {
            return Err(TenantRefusal::Full);
        }
        let Stamp { revision, at, by } = stamp.clone();
        self.tenants.insert(tenant.clone(), TenantRecord { limits, deleted, revision, at, by });
        self.revision = revision;
        self.check_self();
        Ok(())
    }

    /// What `self`, which a store has, lacks of what was `known` before; `None` if nothing. A failover may have lost the last
    /// changes, and a tenant that was deleted must not come back.
    #[must_use]
    pub fn lacking(&self, known: &Self, stamp: &Stamp) -> Option<Self> {
        let mut whole = self.clone();
        for (tenant, record) in &known.tenants {
            let is_lost = match self.tenants.get(tenant) {
                Some(there) if record.deleted && !there.deleted => !self.has_come_back_after(record, there),
                // The store has lost that the deletion was forgotten. Nobody else may bring it back either.
                Some(there) if there.deleted && !record.deleted => {
                    let is_lost = known.has_come_back_after(there, record);
                    if is_lost {
                        whole.forgotten = whole.forgotten.max(there.revision);
                    }
                    is_lost
                }
                Some(there) => there.revision < record.revision,
                None => record.revision > self.forgotten && whole.tenants.len() < MAX_TENANT_RECORDS,
            };
            if is_lost {
                whole.tenants.insert(tenant.clone(), record.clone());
            }
        }
        if whole == *self {
            return None;
        }
        whole.revision = stamp.revision;
        whole.check_self();
        Some(whole)
    }

    /// Whether a tenant that is here, as `live` says, is another one that got the name after the deletion was forgotten.
    /// Else the deletion stands, whatever was written over a store that did not know of it.
    fn has_come_back_after(&self, deletion: &TenantRecord, live: &TenantRecord) -> bool {
        deletion.revision <= self.forgotten && live.revision > deletion.revision
    }

    /// Whether it is one that the methods here could have made: for what comes from a store.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let count = self.tenants.len();
        if count > MAX_TENANT_RECORDS {
            return Err(format!("it has {count} tenants, and there cannot be more than {MAX_TENANT_RECORDS}"));
        }
        if let Some((tenant, _)) = self.tenants.iter().find(|(_, record)| record.deleted && !record.limits.is_none()) {
            return Err(format!("the tenant {tenant} was deleted, and has limits"));
        }
        match self.tenants.values().map(|record| record.revision).chain([self.forgotten]).max() {
            Some(last) if last > self.revision => {
                Err(format!("it has a change with revision {last}, and says that the last one is {}", self.revision))
            }
            _ => Ok(()),
        }
    }

    fn check_self(&self) {
        if let Err(what) = self.check() {
            panic!("the book of tenants is wrong: {what}");
        }
    }
}

#[cfg(test)]
mod tests;
