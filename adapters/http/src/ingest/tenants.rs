//! Taking in events of tenants, as far as each may send them.

use crate::problem::Problem;
use laneway_domain::{NewEvent, Tenant};
use laneway_ports::{Appended, EventLog, StoreError, TenantDoor, Unwelcome};
use std::collections::BTreeMap;
use std::time::Duration;

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
        && let Some(longest) = longest(refused.values())
    {
        return Err(Problem::from_unwelcome(longest));
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

/// What has to be told of several.
fn longest<'a>(refused: impl Iterator<Item = &'a Unwelcome>) -> Option<&'a Unwelcome> {
    refused.max_by_key(|why| waits(why))
}

/// For how long nothing can be done about it: whoever comes before the last of several has a quota again is refused
/// anew.
const fn waits(why: &Unwelcome) -> Duration {
    match why {
        Unwelcome::OverQuota { after, .. } => *after,
        // A time does not help, and somebody has to look: that is told first.
        Unwelcome::Deleted(_) | Unwelcome::TooLarge { .. } => Duration::MAX,
    }
}

/// The same among what the store says of others' events of the same request.
fn as_of_store(why: &Unwelcome) -> StoreError {
    match why {
        Unwelcome::OverQuota { after, .. } => StoreError::RetryLater { what: why.to_string(), after: *after },
        Unwelcome::Deleted(_) | Unwelcome::TooLarge { .. } => StoreError::refused(why.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::TenantRefusal;

    #[test]
    fn of_several_tenants_that_have_to_wait_the_one_that_waits_longest_is_told() {
        let over = |name: &str, seconds| Unwelcome::OverQuota {
            tenant: Tenant::new(name).unwrap(),
            what: "1 event a second".into(),
            after: Duration::from_secs(seconds),
        };
        let mut all = vec![over("a", 2), over("b", 60), over("c", 7)];
        assert_eq!(longest(all.iter()), all.get(1));
        all.push(Unwelcome::Deleted(TenantRefusal::Deleted(Tenant::new("d").unwrap())));
        assert_eq!(longest(all.iter()), all.last());
        assert_eq!(longest(std::iter::empty()), None);
    }
}
