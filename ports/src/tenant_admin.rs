//! Tenants, for whoever shows them to people and takes their events in: ports that point inwards.

use crate::{AdminError, StoreError, TokenAdminError};
use async_trait::async_trait;
use laneway_domain::{Revision, Tenant, TenantLimits, TenantRefusal};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use thiserror::Error;

/// Why events of a tenant are not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unwelcome {
    /// It was deleted.
    #[error(transparent)]
    Deleted(TenantRefusal),
    /// It has used its quota up.
    #[error(
        "the tenant {tenant} has sent as much as it may ({what}); it may send again in {} s",
        after.as_millis().div_ceil(1000)
    )]
    OverQuota {
        /// Whose quota.
        tenant: Tenant,
        /// What the quota is, for people.
        what: String,
        /// When it may send again.
        after: Duration,
    },
    /// One of its events is larger than its events may be.
    #[error("the event has {bytes} bytes, and one of the tenant {tenant} may have at most {most}")]
    TooLarge {
        /// Whose event.
        tenant: Tenant,
        /// What it has.
        bytes: usize,
        /// What it may have.
        most: u64,
    },
}

/// Whether events of tenants are taken, asked of what this process knows.
pub trait TenantDoor: Send + Sync {
    /// Whether the tenant may send at all now. Uses nothing of its quota.
    ///
    /// # Errors
    /// Why not.
    fn look(&self, tenant: &Tenant) -> Result<(), Unwelcome>;

    /// Whether events of the tenant, of which the largest has so many bytes, may be stored at all. Uses nothing of its quota.
    ///
    /// # Errors
    /// Why never.
    fn fits(&self, tenant: &Tenant, largest: usize) -> Result<(), Unwelcome>;

    /// So many events of the tenant, with so many bytes together, are about to be stored: that uses its quota.
    ///
    /// # Errors
    /// Why none of them may be stored now. Nothing is used then.
    fn take(&self, tenant: &Tenant, events: u64, bytes: u64) -> Result<(), Unwelcome>;
}

/// A tenant, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantShown {
    /// Its name.
    pub tenant: Tenant,
    /// What it may, where that was set for it.
    pub own_limits: TenantLimits,
    /// What it may: what was set for it and, where nothing was, for all. What is not said has no limit.
    pub limits: TenantLimits,
    /// Whether it was deleted. Then nothing of it is taken, delivered or shown.
    pub deleted: bool,
    /// How many destinations it has; missing in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destinations: Option<u64>,
    /// When its limits were set, or it was deleted (RFC 3339); missing if neither was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<String>,
    /// Who did that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<String>,
    /// The change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
}

/// A page of tenants, in the order of their destinations' names: those with limits of their own or that were deleted,
/// and those that have destinations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantList {
    /// The tenants.
    pub items: Vec<TenantShown>,
    /// The value of `after` that asks for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What is missing here, and why; empty if nothing is.
    pub incomplete: Vec<String>,
}

/// What a deletion has taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedTenant {
    /// Whose things.
    pub tenant: Tenant,
    /// The change that deleted it.
    pub revision: Revision,
    /// How many destinations it had, with what waited for them, their dead letters and history.
    pub destinations: u64,
    /// How many tokens.
    pub tokens: u64,
    /// How many dead letters with its events the operator's destinations had.
    pub dead_letters: u64,
}

/// Why something was not done.
#[derive(Debug, Error)]
pub enum TenantAdminError {
    /// What is known of tenants stands in the way.
    #[error(transparent)]
    Refused(#[from] TenantRefusal),
    /// The configuration file stands in the way.
    #[error("{0}")]
    OfFile(String),
    /// Nothing is known of it, and nothing belongs to it. Its name would be refused for a week because of a slip.
    #[error(
        "nothing is known of a tenant {0}, and it has no destinations and no tokens. If events of it are to go all the \
         same, make it known first (laneway tenants limit {0}), and delete it then"
    )]
    Unknown(Tenant),
    /// Others change tenants so often that this change found no gap.
    #[error("tenants are changed by others all the time, and this change found no gap: try again")]
    Busy,
    /// Its destinations could not be deleted.
    #[error("the tenant takes and gets no events any more, but not all of it is deleted; try again: {0}")]
    Destinations(AdminError),
    /// Its tokens could not be revoked.
    #[error("the tenant takes and gets no events any more, but not all of it is deleted; try again: {0}")]
    Tokens(TokenAdminError),
    /// The store has not done it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an operator does about tenants.
#[async_trait]
pub trait TenantAdmin: Send + Sync {
    /// A page of them, of names after `after`.
    async fn list(&self, after: Option<&Tenant>, limit: usize) -> Result<TenantList, TenantAdminError>;

    /// One of them. There is one of every name: a tenant of which nothing is known has no limits of its own.
    async fn show(&self, tenant: &Tenant) -> Result<TenantShown, TenantAdminError>;

    /// Sets what it may, for `by`, instead of what was set before. Every process follows within a second.
    async fn limit(&self, by: &str, tenant: &Tenant, limits: TenantLimits) -> Result<TenantShown, TenantAdminError>;

    /// Deletes a tenant with everything of it, for `by`: its destinations, its tokens, what waits, its dead letters. Its
    /// events in the log are delivered and shown to nobody any more, and leave it as all do. Asked again, it goes on where it
    /// was.
    ///
    /// - Must refuse, with nothing done, while the configuration file has destinations or tokens of it.
    /// - Must refuse a name of which nothing is known and to which nothing belongs.
    async fn delete(&self, by: &str, tenant: &Tenant) -> Result<DeletedTenant, TenantAdminError>;
}
