//! Pages that are kept up to date: each holds a connection and a place, and nobody has so many that none are left for
//! others.

use crate::cookie::Known;
use laneway_domain::Tenant;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many pages are kept up to date at once. Those beyond show what there was when they were loaded.
const PAGES_AT_ONCE: usize = 128;
/// How many of them are one tenant's: a quarter, so that several tenants and the operators have theirs.
const OF_A_TENANT: usize = 32;
/// How many of them are of one session. (A browser has six connections for a server that speaks HTTP/1.)
const OF_A_SESSION: usize = 8;

/// Whose page it is.
type Whose = (Known, Option<Tenant>);

/// Those that are open.
#[derive(Debug, Default)]
pub(crate) struct Places(Arc<Mutex<Vec<Whose>>>);

/// The place of one page, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    all: Arc<Mutex<Vec<Whose>>>,
    whose: Whose,
}

fn lock(all: &Mutex<Vec<Whose>>) -> MutexGuard<'_, Vec<Whose>> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Places {
    /// A place for a page of this session, which is this tenant's.
    ///
    /// # Errors
    /// Says who has how many already.
    pub(crate) fn take(&self, session: Known, tenant: Option<&Tenant>) -> Result<Place, String> {
        let mut all = lock(&self.0);
        let of_session = all.iter().filter(|(of, _)| *of == session).count();
        let of_tenant = all.iter().filter(|(_, of)| tenant.is_some() && of.as_ref() == tenant).count();
        let full = [
            (of_session >= OF_A_SESSION, OF_A_SESSION, "of your pages are"),
            (of_tenant >= OF_A_TENANT, OF_A_TENANT, "pages of your tenant are"),
            (all.len() >= PAGES_AT_ONCE, PAGES_AT_ONCE, "pages are"),
        ];
        if let Some((_, most, which)) = full.into_iter().find(|(is_full, ..)| *is_full) {
            return Err(format!("{most} {which} live already. This one shows what there was when it was loaded."));
        }
        let whose = (session, tenant.cloned());
        all.push(whose.clone());
        drop(all);
        Ok(Place { all: self.0.clone(), whose })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = lock(&self.all);
        if let Some(at) = all.iter().position(|whose| *whose == self.whose) {
            all.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cookie::Cookie;

    fn session() -> Known {
        Cookie::random(&http::HeaderMap::new()).known()
    }

    #[test]
    fn neither_a_session_nor_a_tenant_takes_all_places() {
        let (places, acme) = (Places::default(), Tenant::new("acme").unwrap());
        let one = session();
        let mut open: Vec<Place> = (0..OF_A_SESSION).map(|_| places.take(one, Some(&acme)).unwrap()).collect();
        assert!(places.take(one, Some(&acme)).unwrap_err().contains("8 of your pages"));
        while open.len() < OF_A_TENANT {
            open.push(places.take(session(), Some(&acme)).unwrap());
        }
        assert!(places.take(session(), Some(&acme)).unwrap_err().contains("32 pages of your tenant"));
        let mut others: Vec<Place> =
            (OF_A_TENANT..PAGES_AT_ONCE).map(|_| places.take(session(), None).unwrap()).collect();
        assert!(places.take(session(), None).is_err());
        // Who goes makes room, whoever else stays.
        others.pop();
        assert!(places.take(session(), None).is_ok());
        open.clear();
        assert!(places.take(one, Some(&acme)).is_ok());
    }
}
