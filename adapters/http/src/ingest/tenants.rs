//! Taking in events of tenants, as far as each may send them.

use crate::problem::Problem;
use laneway_domain::{NewEvent, Tenant};
use laneway_ports::{Appended, EventLog, StoreError, TenantDoor, Unwelcome};
use std::collections::BTreeMap;

/// What a request has of one tenant.
#[derive(Default)]
struct Sent {
    events: u64,
    bytes: u64,
    largest: usize,
}

/// Stores the events of those tenants that have a quota left, and all that are no tenant's. Of each tenant all or none, so
/// that of its order nothing is left out in the middle. Always as many results as events.
///
/// # Errors
/// If one of them can never be stored, as with any other event that is not right; or if none may be now.
pub(super) async fn append(
    door: &dyn TenantDoor,
    log: &dyn EventLog,
    events: Vec<NewEvent>,
) -> Result<Vec<Result<Appended, StoreError>>, Box<Problem>> {
    let mut sent: BTreeMap<&Tenant, Sent> = BTreeMap::new();
    for event in &events {
        if let Some(tenant) = &event.event.tenant {
            let (weight, of) = (event.event.weight(), sent.entry(tenant).or_default());
            (of.events, of.bytes, of.largest) = (of.events + 1, of.bytes + weight as u64, of.largest.max(weight));
        }
    }
    // First, so that nobody has paid for what is refused because of another.
    for (tenant, of) in &sent {
        door.fits(tenant, of.largest).map_err(|why| Problem::from_unwelcome(&why))?;
    }
    let took = |(tenant, of): (&Tenant, Sent)| Some((tenant.clone(), door.take(tenant, of.events, of.bytes).err()?));
    let refused: BTreeMap<Tenant, Unwelcome> = sent.into_iter().filter_map(took).collect();
    if refused.is_empty() {
        return Ok(super::append(log, events).await);
    }
    let why = |event: &NewEvent| event.event.tenant.as_ref().and_then(|tenant| refused.get(tenant));
    if events.iter().all(|event| why(event).is_some())
        && let Some(first) = refused.values().next()
    {
        return Err(Problem::from_unwelcome(first));
    }
    let mut results: Vec<Option<Result<Appended, StoreError>>> =
        events.iter().map(|event| why(event).map(|why| Err(as_of_store(why)))).collect();
    let taken = events.into_iter().zip(&results).filter(|(_, refused)| refused.is_none()).map(|(event, _)| event);
    let stored = super::append(log, taken.collect()).await;
    for (place, result) in results.iter_mut().filter(|result| result.is_none()).zip(stored) {
        *place = Some(result);
    }
    let missing = || Err(StoreError::unknown("the store did not say what became of the event"));
    Ok(results.into_iter().map(|result| result.unwrap_or_else(missing)).collect())
}

/// The same among what the store says of others' events of the same request.
fn as_of_store(why: &Unwelcome) -> StoreError {
    match why {
        Unwelcome::OverQuota { after, .. } => StoreError::RetryLater { what: why.to_string(), after: *after },
        Unwelcome::Deleted(_) | Unwelcome::TooLarge { .. } => StoreError::refused(why.to_string()),
    }
}
