//! Lists, limits and deletes tenants.

use super::known::KnownTenants;
use crate::registry::moment;
use async_trait::async_trait;
use laneway_domain::{
    DestinationName, Origin, Revision, Stamp, TENANT_SEPARATOR, Tenant, TenantBook, TenantLimits, TenantRecord,
    Timestamp, TokenRefusal,
};
use laneway_ports::{
    Change, ChangeRequest, Condition, DeletedTenant, DestinationAdmin, DestinationState, ListQuery, MAX_LIST,
    MAX_REGISTRY_PAGE, StoreError, Stores, TenantAdmin, TenantAdminError, TenantList, TenantShown, TokenAdmin,
    TokenAdminError, TokenListQuery,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};

/// How often a change is tried that others were faster than, and a write whose answer was lost is made again.
const TRIES: usize = 10;
/// How many records of destinations a look for the next tenant reads: those of the operator stand between. Where only
/// those are found, the next look reads twice as many, up to a page: there may be tens of thousands.
const LOOK: usize = 16;
/// How many such looks a page takes at most.
const MOST_LOOKS: usize = 2_000;
/// What is said where even those have found no tenant, and there may be some.
const TOO_FAR: &str = "tenants that have nothing but destinations: the next one stands behind more destinations of the \
    operator than one request reads";

/// What a tenant's things are deleted with.
pub struct Everything {
    /// Its destinations.
    pub destinations: Arc<dyn DestinationAdmin>,
    /// Its tokens.
    pub tokens: Arc<dyn TokenAdmin>,
}

/// The limits and deletions of tenants, as a process knows and changes them.
pub struct Tenants {
    pub(super) stores: Stores,
    pub(super) known: Arc<KnownTenants>,
    pub(super) everything: Everything,
    /// What the store had when it was asked last. Whoever holds it is the only one of this process that asks, so that no
    /// older answer comes behind a newer one.
    last: Mutex<TenantBook>,
}

impl Tenants {
    /// Those of this store, for a process that goes by `known`.
    #[must_use]
    pub fn new(stores: Stores, known: Arc<KnownTenants>, everything: Everything) -> Self {
        Self { stores, known, everything, last: Mutex::default() }
    }

    /// Asks the store once.
    ///
    /// # Errors
    /// If it does not answer, or what it has cannot be read.
    pub async fn look(&self) -> Result<(), StoreError> {
        self.look_with(&mut self.last.lock().await).await.map(drop)
    }

    /// The same; returns the store's clock.
    pub(super) async fn look_at_clock(&self) -> Result<Timestamp, StoreError> {
        self.look_with(&mut self.last.lock().await).await.map(|clock| Timestamp::from_millis(clock / 1000))
    }

    /// Asks the store; returns its clock, in microseconds.
    async fn look_with(&self, last: &mut MutexGuard<'_, TenantBook>) -> Result<u64, StoreError> {
        let seen = self.stores.tenants.tenants(last.revision()).await?;
        let Some(book) = seen.book else { return Ok(seen.clock) };
        let by = "laneway, since the store had lost it";
        let whole = book.lacking(last, &stamp(book.revision().max(last.revision()), seen.clock, by));
        **last = whole.as_ref().unwrap_or(&book).clone();
        self.known.set(last.clone());
        if let Some(whole) = whole {
            // If somebody else is faster, the next look tells what is left to do.
            if self.stores.tenants.write_tenants(book.revision(), &whole).await? {
                let revision = whole.revision();
                tracing::warn!(%revision, "the store had lost limits or deletions of tenants; they were written back");
            }
        }
        Ok(seen.clock)
    }

    /// Makes one change.
    pub(super) async fn change<T>(
        &self,
        by: &str,
        edit: impl Fn(&mut TenantBook, &Stamp) -> Result<T, TenantAdminError> + Send + Sync,
    ) -> Result<T, TenantAdminError> {
        let mut last = self.last.lock().await;
        for _ in 0..TRIES {
            let clock = self.look_with(&mut last).await?;
            let stamp = stamp(last.revision(), clock, by);
            let mut changed = last.clone();
            let made = edit(&mut changed, &stamp)?;
            if changed == *last || self.write(last.revision(), &changed).await? {
                *last = changed;
                self.known.set(last.clone());
                return Ok(made);
            }
        }
        Err(TenantAdminError::Busy)
    }

    async fn write(&self, last: Revision, book: &TenantBook) -> Result<bool, StoreError> {
        let mut written = self.stores.tenants.write_tenants(last, book).await;
        for _ in 1..TRIES {
            let Err(StoreError::Unknown { .. }) = &written else { break };
            // The same again is right, whether it was written or not.
            written = self.stores.tenants.write_tenants(last, book).await;
        }
        written
    }

    fn shown(&self, tenant: &Tenant, record: Option<&TenantRecord>) -> TenantShown {
        TenantShown {
            tenant: tenant.clone(),
            own_limits: record.map(|record| record.limits).unwrap_or_default(),
            limits: self.known.limits_of(tenant),
            deleted: record.is_some_and(|record| record.deleted),
            destinations: None,
            changed: record.map(|record| moment(record.at)),
            changed_by: record.map(|record| record.by.to_string()),
            revision: record.map(|record| record.revision),
        }
    }

    /// The names of its destinations, and whether the configuration file has them now.
    async fn destinations_of(&self, tenant: &Tenant) -> Result<Vec<(DestinationName, bool)>, TenantAdminError> {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let query = ListQuery { tenant: Some(tenant.clone()), after, limit: MAX_LIST, ..ListQuery::default() };
            let page = self.everything.destinations.list(&query).await.map_err(TenantAdminError::Destinations)?;
            names.extend(page.items.into_iter().map(|record| {
                // One that has left the file is nobody's but the store's, and goes like any other.
                (record.name, record.origin == Origin::File && record.state != DestinationState::Left)
            }));
            let Some(next) = page.next.and_then(|next| DestinationName::new(&next).ok()) else { return Ok(names) };
            after = Some(next);
        }
    }

    /// The names of its tokens, and whether the configuration file has them.
    async fn tokens_of(&self, tenant: &Tenant) -> Result<Vec<(laneway_domain::TokenName, bool)>, TenantAdminError> {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let query = TokenListQuery { after, limit: MAX_LIST, tenant: Some(tenant.clone()) };
            let page = self.everything.tokens.list(&query).await.map_err(TenantAdminError::Tokens)?;
            let named = page.items.into_iter().filter_map(|record| Some((record.name?, record.origin == Origin::File)));
            names.extend(named);
            let Some(next) = page.next.and_then(|next| laneway_domain::TokenName::new(&next).ok()) else {
                return Ok(names);
            };
            after = Some(next);
        }
    }

    /// Why nothing is deleted: the file says that there is something, or there is nothing at all.
    async fn check_deletable(&self, tenant: &Tenant) -> Result<(), TenantAdminError> {
        let (destinations, tokens) = (self.destinations_of(tenant).await?, self.tokens_of(tenant).await?);
        if destinations.is_empty() && tokens.is_empty() {
            self.look().await?;
            if !self.known.book().tenants().contains_key(tenant) {
                return Err(TenantAdminError::Unknown(tenant.clone()));
            }
        }
        let destinations = destinations.into_iter().map(|(name, of)| (name.to_string(), of));
        let tokens = tokens.into_iter().map(|(name, of)| (name.to_string(), of));
        let all = destinations.map(|it| ("destination", it)).chain(tokens.map(|it| ("token", it)));
        let of_file = all.filter(|(_, (_, in_file))| *in_file);
        let named: Vec<String> = of_file.map(|(what, (name, _))| format!("the {what} {name}")).collect();
        if named.is_empty() {
            return Ok(());
        }
        Err(TenantAdminError::OfFile(format!(
            "the configuration file has {}: take that out there, reload the file (SIGHUP), and delete the tenant then",
            named.join(", ")
        )))
    }

    /// Deletes its destinations; returns how many. One that the file has now came there after the tenant was deleted, and
    /// stays.
    pub(super) async fn delete_destinations(&self, by: &str, tenant: &Tenant) -> Result<u64, TenantAdminError> {
        let mut names = self.destinations_of(tenant).await?;
        names.retain(|(_, in_file)| !in_file);
        let mut count = 0;
        for some in names.chunks(MAX_LIST) {
            let delete = |(name, _): &(DestinationName, bool)| ChangeRequest {
                name: name.clone(),
                change: Change::Delete,
                condition: Condition::None,
            };
            let done = self.everything.destinations.change(by, some.iter().map(delete).collect()).await;
            for result in done.results {
                match result {
                    Ok(_) => count += 1,
                    // Somebody else was faster.
                    Err(laneway_ports::AdminError::Unknown(_)) => {}
                    Err(error) => return Err(TenantAdminError::Destinations(error)),
                }
            }
        }
        Ok(count)
    }

    /// Revokes its tokens in the same way.
    pub(super) async fn revoke_tokens(&self, by: &str, tenant: &Tenant) -> Result<u64, TenantAdminError> {
        let mut count = 0;
        let tokens = self.tokens_of(tenant).await?.into_iter();
        for (name, _) in tokens.filter(|(_, in_file)| !in_file) {
            match self.everything.tokens.revoke(by, &name).await {
                Ok(_) => count += 1,
                // Somebody else was faster.
                Err(TokenAdminError::Refused(TokenRefusal::Unknown(_))) => {}
                Err(error) => return Err(TenantAdminError::Tokens(error)),
            }
        }
        Ok(count)
    }

    /// The tenants after `after` that have destinations, and whether there may be more than those.
    async fn owners(&self, after: Option<&Tenant>, most: usize) -> Result<(Vec<Tenant>, bool), StoreError> {
        // What stands behind a tenant's separator is behind all of its names.
        let behind = |tenant: &Tenant| format!("{tenant}{}", char::from(TENANT_SEPARATOR as u8 + 1));
        // They come by their destinations' names.
        let (mut owners, mut at, mut look) = (Vec::new(), after.map_or_else(String::new, behind), LOOK);
        for _ in 0..MOST_LOOKS {
            if owners.len() >= most {
                return Ok((owners, true));
            }
            let page = self.stores.registry.page(&at, look).await?;
            let owner = page.records.iter().find_map(|record| record.name.tenant());
            match (owner, page.records.last()) {
                (Some(owner), _) => {
                    (at, look) = (behind(&owner), LOOK);
                    owners.push(owner);
                }
                (None, Some(last)) if page.more => {
                    (at, look) = (last.name.to_string(), (look * 2).min(MAX_REGISTRY_PAGE));
                }
                (None, _) => return Ok((owners, false)),
            }
        }
        Ok((owners, true))
    }
}

/// By what tenants are listed: as the names of their destinations are, in which the separator is behind `-` and digits.
fn in_order(tenant: &Tenant) -> String {
    format!("{tenant}{TENANT_SEPARATOR}")
}

fn stamp(last: Revision, clock: u64, by: &str) -> Stamp {
    Stamp { revision: last.next(clock), at: Timestamp::from_millis(clock / 1000), by: by.into() }
}

#[async_trait]
impl TenantAdmin for Tenants {
    async fn list(&self, after: Option<&Tenant>, limit: usize) -> Result<TenantList, TenantAdminError> {
        self.look().await?;
        let book = self.known.book();
        // One more than asked for says whether there are more.
        let (owners, more) = self.owners(after, limit + 1).await?;
        // Beyond the last owner that was looked for, none is known.
        let horizon = if more { owners.last().cloned() } else { None };
        let incomplete = if more && horizon.is_none() { vec![TOO_FAR.to_owned()] } else { Vec::new() };
        let (after, horizon) = (after.map(in_order), horizon.as_ref().map(in_order));
        let all = book.tenants().keys().cloned().chain(owners).map(|tenant| (in_order(&tenant), tenant));
        let is_meant = |(at, _): &(String, Tenant)| {
            after.as_ref().is_none_or(|after| at > after) && horizon.as_ref().is_none_or(|horizon| at <= horizon)
        };
        let known: Vec<Tenant> = all.filter(is_meant).collect::<BTreeMap<_, _>>().into_values().collect();
        let items: Vec<_> =
            known.iter().take(limit).map(|tenant| self.shown(tenant, book.tenants().get(tenant))).collect();
        let goes_on = known.len() > limit || horizon.is_some();
        let next = items.last().filter(|_| goes_on).map(|last| last.tenant.to_string());
        Ok(TenantList { items, next, incomplete })
    }

    async fn show(&self, tenant: &Tenant) -> Result<TenantShown, TenantAdminError> {
        self.look().await?;
        let destinations = self.destinations_of(tenant).await?.len() as u64;
        let shown = self.shown(tenant, self.known.book().tenants().get(tenant));
        Ok(TenantShown { destinations: Some(destinations), ..shown })
    }

    async fn limit(&self, by: &str, tenant: &Tenant, limits: TenantLimits) -> Result<TenantShown, TenantAdminError> {
        self.change(by, |book, stamp| Ok(book.limit(tenant, limits, stamp)?)).await?;
        tracing::info!(%tenant, by, ?limits, "the limits of a tenant were set");
        self.show(tenant).await
    }

    async fn delete(&self, by: &str, tenant: &Tenant) -> Result<DeletedTenant, TenantAdminError> {
        self.check_deletable(tenant).await?;
        let delete = |book: &mut TenantBook, stamp: &Stamp| {
            book.delete(tenant, stamp)?;
            Ok(book.tenants().get(tenant).map_or(stamp.revision, |record| record.revision))
        };
        // First: nobody adds anything from here on.
        let revision = self.change(by, delete).await?;
        let destinations = self.delete_destinations(by, tenant).await?;
        let tokens = self.revoke_tokens(by, tenant).await?;
        // Whoever came by a link that an operator's token made is out too.
        self.everything.tokens.end_links(by, tenant).await.map_err(TenantAdminError::Tokens)?;
        let dead_letters = self.discard_dead_letters(&[tenant.clone()].into_iter().collect()).await?;
        tracing::info!(%tenant, by, destinations, tokens, dead_letters, "a tenant was deleted, with everything of it");
        Ok(DeletedTenant { tenant: tenant.clone(), revision, destinations, tokens, dead_letters })
    }
}
