//! Links that sign a tenant's people in to the console for a while. They are not kept: what they open stands in
//! themselves, signed with a key that the processes of a store share. What is kept is the key, and who ended which.

use super::MAX_TOKENS;
use crate::revision::Revision;
use crate::role::Roles;
use crate::tenant::Tenant;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The longest that a link lasts: a working day and a night. It is passed on by mail and chat, where it lies about.
pub const MAX_LINK_LASTS: Duration = Duration::from_secs(24 * 3600);
/// How long a link lasts where nobody says otherwise: somebody opens it and does what they came for.
pub const DEFAULT_LINK_LASTS: Duration = Duration::from_secs(3600);
/// For how many tenants it is remembered from when on their links stand; beyond, more links end than somebody asked for.
pub const MAX_ENDED_LINKS: usize = MAX_TOKENS;

/// What is kept of links.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Links {
    /// What they are signed with, sealed: whoever has the store, or a backup of it, makes no links.
    key: Box<str>,
    /// The change that made the key.
    made_at: Revision,
    /// Of whom all links were ended, and the last moment at which one of those was made.
    ended: BTreeMap<Tenant, Timestamp>,
    /// All links that were made until then have ended, whoever's they are.
    all_ended: Timestamp,
}

impl Links {
    /// Signed with `key`, and none was ended yet.
    #[must_use]
    pub fn new(key: &str, made_at: Revision) -> Self {
        Self { key: key.into(), made_at, ended: BTreeMap::new(), all_ended: Timestamp::ZERO }
    }

    /// The key, as it was sealed.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Until when those links of a tenant were made that have been ended; one that is made later stands.
    #[must_use]
    pub fn ended_until(&self, tenant: &Tenant) -> Timestamp {
        self.ended.get(tenant).map_or(self.all_ended, |ended| self.all_ended.max(*ended))
    }

    /// When a link of the tenant can be made, by a clock that says `now`: later than any that was ended.
    #[must_use]
    pub fn made_from(&self, tenant: &Tenant, now: Timestamp) -> Timestamp {
        now.max(self.ended_until(tenant).after(Duration::from_millis(1)))
    }

    /// All links of the tenant that were made until `now` have ended.
    pub(super) fn end(&mut self, tenant: &Tenant, now: Timestamp) {
        let until = self.ended_until(tenant).max(now);
        // What was ended longer ago than a link can last needs no remembering: those have expired.
        self.ended.retain(|_, ended| ended.after(MAX_LINK_LASTS) > now);
        self.ended.insert(tenant.clone(), until);
        self.let_go();
    }

    /// Forgets what is beyond the bound, the earliest first: more links have ended then, and none less.
    fn let_go(&mut self) {
        let beyond = self.ended.len().saturating_sub(MAX_ENDED_LINKS);
        if beyond > 0 {
            let mut moments: Vec<Timestamp> = self.ended.values().copied().collect();
            let (_, last, _) = moments.select_nth_unstable(beyond - 1);
            self.all_ended = self.all_ended.max(*last);
            self.ended.retain(|_, at| *at > self.all_ended);
        }
    }

    /// The same, with what `known` has of the same key beside it; that of another key says nothing of these.
    pub(super) fn with(&self, known: &Self) -> Self {
        let mut whole = self.clone();
        if known.key == self.key {
            whole.all_ended = whole.all_ended.max(known.all_ended);
            for (tenant, at) in &known.ended {
                let ended = whole.ended.entry(tenant.clone()).or_default();
                *ended = (*ended).max(*at);
            }
            whole.ended.retain(|_, at| *at > whole.all_ended);
            whole.let_go();
        }
        whole
    }

    pub(super) const fn made_at(&self) -> Revision {
        self.made_at
    }

    /// What no change could have made.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.key.is_empty() {
            return Err("the key of links is empty".to_owned());
        }
        if self.ended.len() > MAX_ENDED_LINKS {
            let count = self.ended.len();
            return Err(format!("links of {count} tenants were ended, and {MAX_ENDED_LINKS} are remembered at most"));
        }
        Ok(())
    }
}

/// The key never gets into a log, sealed as it is.
impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { made_at, ended, all_ended, .. } = self;
        write!(f, "Links(…, made at {made_at}, ended: {ended:?}, all: {all_ended})")
    }
}

/// What a link says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whose things it opens.
    pub tenant: Tenant,
    /// What it opens of those.
    pub roles: Roles,
    /// When it was made, by the store's clock.
    pub made: Timestamp,
    /// From when on it opens nothing, by the store's clock.
    pub expires: Timestamp,
    /// The name of the token that made it; empty for one of `server.tokens`.
    pub maker: Box<str>,
}

/// Why a link opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkOver {
    /// Its time is over.
    Expired,
    /// Somebody has ended all links of the tenant that had been made by then.
    Ended,
}

impl Link {
    /// Whether it opens something at `now`, after those of its tenant were ended that were made until `ended`.
    ///
    /// # Errors
    /// Why not. What has expired and was ended too has expired: that is what whoever opens it can do nothing about.
    pub fn stands(&self, ended: Timestamp, now: Timestamp) -> Result<(), LinkOver> {
        if now >= self.expires || self.expires > self.made.after(MAX_LINK_LASTS) {
            return Err(LinkOver::Expired);
        }
        if self.made <= ended { Err(LinkOver::Ended) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tenant(n: usize) -> Tenant {
        Tenant::new(&format!("t{n}")).unwrap()
    }

    const HOUR: Duration = Duration::from_secs(3600);
    const START: Timestamp = Timestamp::from_millis(1_000_000_000);

    fn link(made: Timestamp, lasts: Duration) -> Link {
        let (tenant, roles) = (tenant(0), Roles::ALL);
        Link { tenant, roles, made, expires: made.after(lasts), maker: "boss".into() }
    }

    #[test]
    fn a_link_opens_until_the_moment_at_which_it_expires_or_those_of_its_tenant_were_ended() {
        let one = link(START, HOUR);
        let before = Timestamp::from_millis(START.as_millis() + 3_599_999);
        assert_eq!(one.stands(Timestamp::ZERO, START), Ok(()));
        assert_eq!(one.stands(Timestamp::ZERO, before), Ok(()));
        assert_eq!(one.stands(Timestamp::ZERO, START.after(HOUR)), Err(LinkOver::Expired));
        assert_eq!(one.stands(START, before), Err(LinkOver::Ended));
        assert_eq!(one.stands(START, START.after(HOUR)), Err(LinkOver::Expired));
        // One that says that it lasts for longer than any can was made by nobody.
        let longest = link(START, MAX_LINK_LASTS);
        assert_eq!(longest.stands(Timestamp::ZERO, START), Ok(()));
        let longer = link(START, MAX_LINK_LASTS + Duration::from_millis(1));
        assert_eq!(longer.stands(Timestamp::ZERO, START), Err(LinkOver::Expired));
    }

    proptest! {
        /// Whatever was ended and made in which order: a link stands exactly if it was made after the last time.
        #[test]
        fn a_link_stands_if_it_was_made_after_those_of_its_tenant_were_ended(
            steps in prop::collection::vec((0_usize..4, any::<bool>(), 0_u64..100_000_000), 1..60),
        ) {
            let mut links = Links::new("k", Revision(1));
            let (mut now, mut made) = (START, Vec::<(Link, bool)>::new());
            for (of, ends, passes) in steps {
                if ends {
                    links.end(&tenant(of), now);
                    made.iter_mut().filter(|(link, _)| link.tenant == tenant(of)).for_each(|(_, ended)| *ended = true);
                } else {
                    let at = links.made_from(&tenant(of), now);
                    made.push((Link { tenant: tenant(of), ..link(at, MAX_LINK_LASTS) }, false));
                }
                for (link, is_ended) in &made {
                    let stands = link.stands(links.ended_until(&link.tenant), now);
                    match (now >= link.expires, is_ended) {
                        (true, _) => prop_assert_eq!(stands, Err(LinkOver::Expired)),
                        (false, true) => prop_assert_eq!(stands, Err(LinkOver::Ended)),
                        (false, false) => prop_assert_eq!(stands, Ok(())),
                    }
                }
                prop_assert_eq!(links.check(), Ok(()));
                now = now.after(Duration::from_millis(passes));
            }
        }
    }

    #[test]
    fn beyond_the_bound_more_links_have_ended_than_somebody_asked_for_and_none_less() {
        let mut links = Links::new("k", Revision(1));
        for n in 0..=MAX_ENDED_LINKS {
            links.end(&tenant(n), Timestamp::from_millis(START.as_millis() + n as u64));
        }
        assert_eq!((links.ended.len(), links.all_ended), (MAX_ENDED_LINKS, START));
        assert_eq!(links.ended_until(&tenant(0)), START);
        assert_eq!(links.ended_until(&Tenant::new("other").unwrap()), START);
        // A day later nothing needs to be remembered.
        links.end(&tenant(1), START.after(2 * MAX_LINK_LASTS));
        assert_eq!(links.ended.len(), 1);
    }

    #[test]
    fn what_was_ended_here_and_there_is_bounded_when_it_comes_together() {
        let at = |n: usize| Timestamp::from_millis(START.as_millis() + n as u64);
        let ended = |n: usize| (tenant(n), at(n));
        let store = (0..MAX_ENDED_LINKS).map(|n| ended(2 * n)).collect();
        let known = (0..MAX_ENDED_LINKS).map(|n| ended(2 * n + 1)).collect();
        let [store, known] = [store, known].map(|ended| Links { ended, ..Links::new("k", Revision(1)) });
        let whole = store.with(&known);
        assert_eq!((whole.check(), whole.ended.len()), (Ok(()), MAX_ENDED_LINKS));
        for n in 0..2 * MAX_ENDED_LINKS {
            assert!(whole.ended_until(&tenant(n)) >= at(n), "the links of tenant {n} have ended");
        }
    }

    #[test]
    fn what_was_ended_under_the_same_key_stays_ended() {
        let (mut store, mut known) = (Links::new("k", Revision(1)), Links::new("k", Revision(1)));
        store.end(&tenant(1), START);
        known.end(&tenant(1), START.after(HOUR));
        known.end(&tenant(2), START);
        let whole = store.with(&known);
        assert_eq!((whole.ended_until(&tenant(1)), whole.ended_until(&tenant(2))), (START.after(HOUR), START));
        let other = Links { key: "another".into(), ..known };
        assert_eq!(store.with(&other), store);
        assert!(!format!("{:?}", Links::new("topsecret", Revision(1))).contains("topsecret"));
    }

    #[test]
    fn a_link_is_made_later_than_those_of_its_tenant_that_were_ended() {
        let mut links = Links::new("k", Revision(1));
        links.end(&tenant(1), START);
        let made = |n, now| links.made_from(&tenant(n), now);
        let next = START.after(Duration::from_millis(1));
        assert_eq!([made(1, Timestamp::ZERO), made(1, START), made(1, next)], [next; 3]);
        assert_eq!([made(1, START.after(HOUR)), made(2, START)], [START.after(HOUR), START]);
    }

    #[test]
    fn what_was_ended_is_remembered_for_as_long_as_a_link_of_before_may_last() {
        let mut links = Links::new("k", Revision(1));
        links.end(&tenant(0), START);
        let over = START.after(MAX_LINK_LASTS);
        links.end(&tenant(1), over.before(Duration::from_millis(1)));
        assert_eq!(links.ended_until(&tenant(0)), START);
        links.end(&tenant(1), over);
        assert_eq!(links.ended, [(tenant(1), over)].into());
    }

    #[test]
    fn what_has_ended_for_all_tenants_is_not_remembered_of_one() {
        let (mut one, new) = (Links::new("k", Revision(1)), Links::new("k", Revision(1)));
        one.end(&tenant(1), START);
        let all = Links { all_ended: START, ..new };
        assert_eq!([all.with(&one), one.with(&all)], [all.clone(), all]);
    }
}
