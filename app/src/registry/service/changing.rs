//! From what is asked for to records, and into the registry.

use super::super::base::Base;
use super::super::former;
use super::super::settings::{Before, Next, checked, rotated};
use super::Destinations;
use crate::config::parse_duration;
use laneway_domain::{
    DestinationName, Edit, OperatorPause, Origin, Refused, Registered, Revision, Standing, TENANT_SEPARATOR, Tenant,
    TenantRefusal, Timestamp,
};
use laneway_ports::{
    AdminError, Change, ChangeRequest, Changed, Condition, Drafted, MAX_LIST, MAX_RECORD_BYTES, Mistake, RegistryHead,
    RegistryWrite, StoreError, WriteDraft,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often a change looks again after others were faster. Each of those others has made its change.
const ROUNDS: usize = 20;
/// How often a write of which it is not known whether it was made is made again.
const UNCLEAR: usize = 5;
/// How much longer a secret is used that was replaced, where nobody says otherwise: long enough for a receiver to be
/// given the new one in its people's working hours.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// The most bytes of an operator's reason, which goes into records and statuses.
const MAX_REASON: usize = 500;

/// The destinations at which nothing is to be in flight when the answer is given.
pub(super) fn must_settle(changes: &[ChangeRequest]) -> BTreeSet<DestinationName> {
    let settles = |change: &&ChangeRequest| matches!(change.change, Change::Pause(_) | Change::Delete);
    changes.iter().filter(settles).map(|change| change.name.clone()).collect()
}

/// What changes are looked at for.
#[derive(Clone, Copy)]
pub(super) enum Purpose<'b> {
    /// They are to be made, for whom the journal names.
    Change { by: &'b str },
    /// Somebody wants to know what they would come to.
    Preview,
}

/// What changes are looked at for, and what is known beside the registry.
#[derive(Clone, Copy)]
pub(super) struct Asked<'b> {
    pub(super) purpose: Purpose<'b>,
    /// About how many events wait for those that are to be deleted, where that is known.
    pub(super) waiting: &'b BTreeMap<DestinationName, u64>,
}

/// What one change makes of a destination.
struct Made {
    record: Option<Registered>,
    changed: Changed,
    what: String,
}

impl Destinations {
    /// Makes the changes, as many at a time as a write takes.
    pub(super) async fn make(&self, asked: Asked<'_>, changes: Vec<ChangeRequest>) -> Vec<Result<Changed, AdminError>> {
        let mut results = Vec::with_capacity(changes.len());
        let mut rest = changes.as_slice();
        while !rest.is_empty() {
            let (done, after) = self.make_some(asked, rest).await;
            results.extend(done);
            rest = after;
        }
        results
    }

    /// Makes as many of the changes as fit into one write; returns the others.
    async fn make_some<'c>(
        &self,
        asked: Asked<'_>,
        changes: &'c [ChangeRequest],
    ) -> (Vec<Result<Changed, AdminError>>, &'c [ChangeRequest]) {
        for _ in 0..ROUNDS {
            match self.try_some(asked, changes).await {
                Ok(Some(done)) => return done,
                Ok(None) => {}
                Err(error) => return (changes.iter().map(|_| Err(error.clone().into())).collect(), &[]),
            }
        }
        (changes.iter().map(|_| Err(AdminError::Busy)).collect(), &[])
    }

    /// One look at the registry, and one write. `None` if others changed something between the two.
    async fn try_some<'c>(
        &self,
        asked: Asked<'_>,
        changes: &'c [ChangeRequest],
    ) -> Result<Option<Done<'c>>, StoreError> {
        let registry = &*self.stores.registry;
        // First: what is read then is at least as new.
        let base = Base::now(&self.stores).await?;
        let names: BTreeSet<DestinationName> = changes.iter().take(MAX_LIST).map(|c| c.name.clone()).collect();
        let names: Vec<DestinationName> = names.into_iter().collect();
        let found = registry.records(&names).await?;
        let before: BTreeMap<_, _> = found.into_iter().map(|record| (record.name.clone(), record)).collect();
        let by = match asked.purpose {
            Purpose::Change { by } => by,
            Purpose::Preview => "",
        };
        let needed = former::needed(&self.stores, before.values()).await?;
        let is_there = |name: &DestinationName| before.get(name).is_some_and(|it| it.standing != Standing::Deleted);
        let makes = |change: &&ChangeRequest| matches!(change.change, Change::Put { .. }) && !is_there(&change.name);
        // Of the same changes as below: one name may come many times, before others.
        let looked_up = changes.iter().take_while(|change| names.contains(&change.name));
        let mut room = self.room(looked_up.filter(makes)).await?;
        let mut draft = WriteDraft::new(&base.head, base.next);
        let (mut results, mut seen) = (Vec::new(), BTreeSet::new());
        let mut rest = changes;
        while let Some((change, others)) = rest.split_first() {
            if !names.contains(&change.name) {
                break;
            }
            let room = change.name.tenant().and_then(|tenant| room.get_mut(&tenant)).filter(|_| makes(&change));
            let made = if room.as_ref().is_some_and(|room| **room == 0) {
                Err(self.too_many(&change.name))
            } else if seen.insert(&change.name) {
                self.made(before.get(&change.name), change, &base, asked.waiting.get(&change.name).copied())
            } else {
                let what = format!("{} is changed twice in this batch: send the second change by itself", change.name);
                Err(AdminError::Conflict { field: None, what })
            };
            let result = match made {
                Ok(Made { record: Some(mut record), changed, what }) => {
                    record.filters.trim(needed);
                    match draft.add(record, by, &what) {
                        Drafted::Taken => {
                            room.into_iter().for_each(|room| *room -= 1);
                            Ok(Changed { what: Some(what.into()), ..changed })
                        }
                        Drafted::Full => break,
                        Drafted::TooLarge(bytes) => Err(too_large(bytes)),
                    }
                }
                Ok(Made { record: None, changed, .. }) => Ok(changed),
                Err(error) => Err(error),
            };
            results.push(result);
            rest = others;
        }
        match draft.finish() {
            Some(_) if matches!(asked.purpose, Purpose::Preview) => Ok(Some((results, rest))),
            Some(write) if !self.written(&write).await? => Ok(None),
            _ => Ok(Some((results, rest))),
        }
    }

    /// How many more destinations each tenant may have that is to get some by these changes.
    async fn room(&self, makes: impl Iterator<Item = &ChangeRequest>) -> Result<BTreeMap<Tenant, usize>, StoreError> {
        let tenants: BTreeSet<Tenant> = makes.filter_map(|change| change.name.tenant()).collect();
        let mut room = BTreeMap::new();
        for tenant in tenants {
            let (mut left, mut after) = (self.most_of(&tenant), format!("{tenant}{TENANT_SEPARATOR}"));
            loop {
                // One more than there may be says that there are too many.
                let page = self.stores.registry.page(&after, left.saturating_add(1)).await?;
                let own = page.records.iter().filter(|record| record.name.is_of(Some(&tenant))).count();
                left = left.saturating_sub(own);
                let Some(last) = page.records.last().filter(|last| last.name.is_of(Some(&tenant))) else { break };
                if !page.more || left == 0 {
                    break;
                }
                after = last.name.to_string();
            }
            room.insert(tenant, left);
        }
        Ok(room)
    }

    /// How many destinations a tenant may have.
    fn most_of(&self, tenant: &Tenant) -> usize {
        let Some(known) = &self.known_tenants else { return self.tenants.now().destinations };
        if known.book().is_deleted(tenant) {
            return 0;
        }
        known.limits_of(tenant).destinations.map_or(usize::MAX, |most| most as usize)
    }

    fn too_many(&self, name: &DestinationName) -> AdminError {
        let tenant = name.tenant();
        let deleted =
            tenant.as_ref().filter(|of| self.known_tenants.as_ref().is_some_and(|it| it.book().is_deleted(of)));
        if let Some(deleted) = deleted {
            return AdminError::Conflict { field: None, what: TenantRefusal::Deleted(deleted.clone()).to_string() };
        }
        let most = tenant.as_ref().map_or(0, |tenant| self.most_of(tenant));
        let of = tenant.map_or_else(String::new, |tenant| format!(" {tenant}"));
        let what = format!(
            "the tenant{of} has {most} destinations, which is as many as a tenant may have (tenants.destinations): delete \
             one that is not needed any more"
        );
        AdminError::Conflict { field: None, what }
    }

    /// Writes what was done at a destination into its history, which changes nothing.
    pub(super) async fn make_note(&self, by: &str, name: &DestinationName, what: &str) -> Result<(), AdminError> {
        for _ in 0..ROUNDS {
            let base = Base::now(&self.stores).await?;
            if self.stores.registry.records(std::slice::from_ref(name)).await?.is_empty() {
                return Ok(()); // Nobody would ever let go of its history.
            }
            let mut draft = WriteDraft::new(&base.head, base.next);
            draft.note(name, by, what);
            let Some(write) = draft.finish() else { return Ok(()) };
            if self.written(&write).await? {
                return Ok(());
            }
        }
        Err(AdminError::Busy)
    }

    /// Whether the write was made. One of which that is not known is made again, which is safe.
    async fn written(&self, write: &RegistryWrite) -> Result<bool, StoreError> {
        let mut unclear = None;
        for _ in 0..UNCLEAR {
            match self.stores.registry.write(write).await {
                // Somebody may have written after it meanwhile.
                Ok(false) if unclear.is_some() => return self.stands(write).await,
                Err(error @ StoreError::Unknown { .. }) => unclear = Some(error),
                known => return known,
            }
        }
        Err(unclear.unwrap_or_else(|| StoreError::unknown("the change of the destinations was not answered")))
    }

    async fn stands(&self, write: &RegistryWrite) -> Result<bool, StoreError> {
        let names: Vec<_> = write.records.iter().map(|record| record.name.clone()).collect();
        let found = self.stores.registry.records(&names).await?;
        Ok(write.records.iter().all(|record| found.contains(record)))
    }

    fn made(
        &self,
        before: Option<&Registered>,
        request: &ChangeRequest,
        base: &Base,
        waiting: Option<u64>,
    ) -> Result<Made, AdminError> {
        let ChangeRequest { name, change, condition } = request;
        let alive = before.filter(|record| record.standing != Standing::Deleted);
        if let Change::Rotate { request: Some(request), .. } = change
            && let Some(record) = alive.filter(|record| record.origin == Origin::Api)
            && let Some(secret) = Before::of(record, self.means())?.made_by(request, self.means().now)
        {
            let changed = changed(name, record.revision, false, Some(secret), None);
            return Ok(Made { record: None, changed, what: String::new() });
        }
        check(name, alive.map(|record| record.revision), condition)?;
        let unknown = || AdminError::Unknown(name.clone());
        let means = self.means();
        let mut secret = None;
        let (edit, what) = match change {
            Change::Put { settings, adopt } => {
                let own = alive.filter(|record| record.origin == Origin::Api || *adopt);
                if let Some(other) = alive.filter(|_| own.is_none()) {
                    return Err(refused(name, &Refused::Foreign(other.origin)));
                }
                let before = own.map(|record| Before::of(record, means)).transpose()?;
                let next = checked(name, settings.clone(), before.as_ref(), means)?;
                let what = match own {
                    None => "made".to_owned(),
                    Some(record) if record.origin != Origin::Api => "taken over from the configuration file".to_owned(),
                    Some(_) => told(&next.differing),
                };
                (put(next, *adopt), what)
            }
            Change::Patch(patch) => {
                let before = Before::of(owned(name, alive)?, means)?;
                let next = checked(name, before.patched(patch.clone()), Some(&before), means)?;
                let what = told(&next.differing);
                (put(next, false), what)
            }
            Change::Rotate { keep, request } => {
                if *condition == Condition::None {
                    let what = "rotating a secret needs If-Match with the destination's revision, so that a request \
                                which is sent twice makes one secret";
                    return Err(AdminError::ConditionMissing(what.to_owned()));
                }
                let before = Before::of(owned(name, alive)?, means)?;
                let keep = keep
                    .as_deref()
                    .map_or(Ok(KEPT), parse_duration)
                    .map_err(|detail| AdminError::Invalid(vec![Mistake { field: "/keep".to_owned(), detail }]))?;
                let (next, made) = rotated(name, &before, keep, request.clone(), means)?;
                secret = Some(made);
                (put(next, false), "a new signing secret".to_owned())
            }
            Change::Delete => (Edit::Delete, deleted(waiting)),
            Change::Pause(reason) => {
                let reason: Box<str> = short(reason);
                let what = if reason.is_empty() { "paused".to_owned() } else { format!("paused: {reason}") };
                (Edit::Pause(OperatorPause { since: by_store(&base.head), reason }), what)
            }
            Change::Resume => (Edit::Resume, "resumed".to_owned()),
        };
        let record = Registered::edited(before, name, edit, base.next, base.initial).map_err(|why| match why {
            Refused::Unknown => unknown(),
            foreign @ Refused::Foreign(_) => refused(name, &foreign),
        })?;
        let revision = record.as_ref().map_or_else(|| alive.map_or(Revision::ORIGIN, |r| r.revision), |r| r.revision);
        let dropped = waiting.filter(|_| matches!(change, Change::Delete));
        let changed = changed(name, revision, alive.is_none(), secret, dropped);
        Ok(Made { record, changed, what })
    }
}

type Done<'c> = (Vec<Result<Changed, AdminError>>, &'c [ChangeRequest]);

fn changed(
    name: &DestinationName,
    revision: Revision,
    created: bool,
    secret: Option<String>,
    dropped: Option<u64>,
) -> Changed {
    Changed { name: name.clone(), revision, created, what: None, secret: secret.map(Into::into), dropped }
}

fn deleted(waiting: Option<u64>) -> String {
    match waiting {
        None => "deleted".to_owned(),
        Some(0) => "deleted; no event waited for it".to_owned(),
        Some(1) => "deleted, and about 1 event with it that waited".to_owned(),
        Some(some) => format!("deleted, and about {some} events with it that waited"),
    }
}

fn put(next: Next, adopt: bool) -> Edit {
    let Next { settings, filter, moved, .. } = next;
    Edit::Put { origin: Origin::Api, settings, filter, moved, adopt }
}

fn owned<'r>(name: &DestinationName, alive: Option<&'r Registered>) -> Result<&'r Registered, AdminError> {
    match alive {
        Some(record) if record.origin == Origin::Api => Ok(record),
        Some(record) => Err(refused(name, &Refused::Foreign(record.origin))),
        None => Err(AdminError::Unknown(name.clone())),
    }
}

fn refused(name: &DestinationName, why: &Refused) -> AdminError {
    AdminError::Conflict { field: None, what: format!("{name}: {why}") }
}

fn check(name: &DestinationName, revision: Option<Revision>, condition: &Condition) -> Result<(), AdminError> {
    let met = condition.holds(revision);
    if met { Ok(()) } else { Err(AdminError::Condition { name: name.clone(), revision }) }
}

fn told(differing: &[String]) -> String {
    format!("changed {}", differing.join(", "))
}

fn short(reason: &str) -> Box<str> {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].into()
}

fn by_store(head: &RegistryHead) -> Timestamp {
    Timestamp::from_millis(head.clock / 1_000)
}

fn too_large(size: usize) -> AdminError {
    let detail = format!(
        "with its filters of before, the destination takes {size} bytes; at most {MAX_RECORD_BYTES} are kept of one"
    );
    AdminError::Invalid(vec![Mistake { field: String::new(), detail }])
}
