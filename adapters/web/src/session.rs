//! Who is signed in, and what their last request has come to. Both are kept in memory, and bounded: a restart ends all
//! sessions.

use crate::cookie::Known;
use laneway_domain::Tenant;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The most tenants' people who are signed in at once, and the most operators, a few hundred bytes each. Beyond,
/// whoever of them has been away for longest has to sign in again. They are counted apart, so that no tenant signs an
/// operator out.
const MOST: usize = 1_000;
/// The most of one tenant: its people, on the devices that they have.
const MOST_OF_A_TENANT: usize = 100;
/// The most who have signed in with one token, or by one link: those who share it.
const MOST_OF_A_TOKEN: usize = 20;
/// After how long without a request a session ends. A page that is left open asks by itself.
const IDLE: Duration = Duration::from_secs(4 * 3600);
/// How long a session lasts at most: a working day.
const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// How long the outcome of a request waits to be shown.
const SHOWN_WITHIN: Duration = Duration::from_secs(60);

/// The token that somebody has signed in with. It is asked for at each request anew, so that a session ends with it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Arc<str>);

impl Secret {
    pub(crate) fn new(token: &str) -> Self {
        Self(token.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// It never gets into a log.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[derive(Debug)]
struct Session {
    token: Secret,
    /// Whose token it is; `None`: an operator's.
    tenant: Option<Tenant>,
    began: Instant,
    seen: Instant,
}

impl Session {
    fn lasts(&self, now: Instant) -> bool {
        now.duration_since(self.seen) < IDLE && now.duration_since(self.began) < LONGEST
    }
}

/// Of those who are such, the ones who have been away for longest make room for one more.
fn make_room(all: &mut HashMap<Known, Session>, most: usize, is_one: impl Fn(&Session) -> bool) {
    while all.values().filter(|session| is_one(session)).count() >= most {
        let such = all.iter().filter(|(_, session)| is_one(session));
        let away = such.min_by_key(|(_, session)| session.seen).map(|(cookie, _)| *cookie);
        // There is none only where there may be none.
        let Some(away) = away else { return };
        all.remove(&away);
    }
}

/// Everybody who is signed in.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<Known, Session>>);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<Known, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody has signed in with this token, which is this tenant's. Where there is no room, another of the same
    /// token makes it, or else of the same tenant, or else of the tenant that has most.
    pub(crate) fn begin(&self, cookie: Known, token: Secret, tenant: Option<&Tenant>) {
        let mut all = self.lock();
        let now = Instant::now();
        all.retain(|known, session| *known != cookie && session.lasts(now));
        make_room(&mut all, MOST_OF_A_TOKEN, |session| session.token == token);
        match tenant {
            None => make_room(&mut all, MOST, |session| session.tenant.is_none()),
            Some(tenant) => {
                make_room(&mut all, MOST_OF_A_TENANT, |session| session.tenant.as_ref() == Some(tenant));
                let mut of_tenants: BTreeMap<Tenant, usize> = BTreeMap::new();
                for tenant in all.values().filter_map(|session| session.tenant.as_ref()) {
                    *of_tenants.entry(tenant.clone()).or_default() += 1;
                }
                if of_tenants.values().sum::<usize>() >= MOST
                    && let Some((busiest, count)) = of_tenants.into_iter().max_by_key(|(_, count)| *count)
                {
                    make_room(&mut all, count, |session| session.tenant.as_ref() == Some(&busiest));
                }
            }
        }
        all.insert(cookie, Session { token, tenant: tenant.cloned(), began: now, seen: now });
    }

    /// The token of whoever comes with this cookie, who has been seen now.
    pub(crate) fn token(&self, cookie: Known) -> Option<Secret> {
        let mut all = self.lock();
        let now = Instant::now();
        let session = all.get_mut(&cookie)?;
        if session.lasts(now) {
            session.seen = now;
            return Some(session.token.clone());
        }
        all.remove(&cookie);
        None
    }

    /// Somebody has signed out, or their token is gone.
    pub(crate) fn end(&self, cookie: Known) {
        self.lock().remove(&cookie);
    }
}

/// What a request has come to, for the next page to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Whether it did what it was to do.
    pub(crate) is_good: bool,
    /// In words.
    pub(crate) what: String,
}

/// What requests have come to that was not shown yet.
#[derive(Debug, Default)]
pub(crate) struct Outcomes(Mutex<HashMap<Known, (Instant, Outcome)>>);

impl Outcomes {
    /// The next page that this browser asks for is to show this.
    pub(crate) fn put(&self, cookie: Known, outcome: Outcome) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        all.retain(|_, (at, _)| now.duration_since(*at) < SHOWN_WITHIN);
        // Beyond the bound it is not told; what was done can be seen all the same.
        if all.len() < MOST {
            all.insert(cookie, (now, outcome));
        }
    }

    /// What this browser was not shown yet. It is shown once.
    pub(crate) fn take(&self, cookie: Known) -> Option<Outcome> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, outcome) = all.remove(&cookie)?;
        (at.elapsed() < SHOWN_WITHIN).then_some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cookie::Cookie;
    use tokio::time::advance;

    fn secret() -> Secret {
        Secret::new("a-token-of-some-length")
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_by_itself_when_nobody_comes_and_after_a_day_in_any_case() {
        let (sessions, cookie) = (Sessions::default(), Cookie::random(&http::HeaderMap::new()).known());
        assert_eq!(sessions.token(cookie), None);
        sessions.begin(cookie, secret(), None);
        advance(IDLE - Duration::from_secs(1)).await;
        assert_eq!(sessions.token(cookie), Some(secret()));
        advance(IDLE - Duration::from_secs(1)).await;
        assert_eq!(sessions.token(cookie), Some(secret()));
        advance(IDLE - Duration::from_secs(1)).await;
        assert_eq!(sessions.token(cookie), Some(secret()));
        advance(Duration::from_secs(3)).await;
        assert_eq!(sessions.token(cookie), None, "it has lasted for 12 hours");
        sessions.begin(cookie, secret(), None);
        advance(IDLE).await;
        assert_eq!(sessions.token(cookie), None, "nobody came for 4 hours");
        sessions.begin(cookie, secret(), None);
        sessions.end(cookie);
        assert_eq!(sessions.token(cookie), None);
        assert_eq!(format!("{:?}", secret()), "Secret(…)");
    }

    fn cookie() -> Known {
        Cookie::random(&http::HeaderMap::new()).known()
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_been_away_for_longest_makes_room_for_others_of_the_token() {
        let sessions = Sessions::default();
        let cookies: Vec<Known> = (0..MOST_OF_A_TOKEN).map(|_| cookie()).collect();
        for cookie in &cookies {
            sessions.begin(*cookie, secret(), None);
            advance(Duration::from_millis(1)).await;
        }
        assert!(sessions.token(cookies[0]).is_some());
        let another = cookie();
        sessions.begin(another, secret(), None);
        assert!(sessions.token(another).is_some() && sessions.token(cookies[0]).is_some());
        assert!(sessions.token(cookies[1]).is_none());
        assert_eq!(sessions.lock().len(), MOST_OF_A_TOKEN);
    }

    #[tokio::test(start_paused = true)]
    async fn however_often_tenants_sign_in_operators_and_other_tenants_stay() {
        let (sessions, operator, of_other) = (Sessions::default(), cookie(), cookie());
        let tenant = |name: &str| Tenant::new(name).unwrap();
        sessions.begin(operator, secret(), None);
        sessions.begin(of_other, Secret::new("of-other"), Some(&tenant("other")));
        // By as many links as there are people.
        for nth in 0..1_100 {
            advance(Duration::from_millis(1)).await;
            sessions.begin(cookie(), Secret::new(&format!("link-{nth}")), Some(&tenant("acme")));
        }
        assert!(sessions.token(operator).is_some() && sessions.token(of_other).is_some());
        assert_eq!(sessions.lock().len(), MOST_OF_A_TENANT + 2);
        for nth in 0..2 * MOST {
            advance(Duration::from_millis(1)).await;
            let of = tenant(&format!("t{}", nth / MOST_OF_A_TENANT));
            sessions.begin(cookie(), Secret::new(&format!("another-{nth}")), Some(&of));
        }
        assert!(sessions.token(operator).is_some() && sessions.token(of_other).is_some());
        assert_eq!(sessions.lock().len(), MOST + 1);
        // And operators sign no tenant out.
        for nth in 0..MOST + 1 {
            sessions.begin(cookie(), Secret::new(&format!("operator-{nth}")), None);
        }
        assert!(sessions.token(of_other).is_some());
        assert_eq!(sessions.lock().len(), 2 * MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outcome_is_shown_once_and_soon() {
        let (outcomes, cookie) = (Outcomes::default(), Cookie::random(&http::HeaderMap::new()).known());
        let outcome = Outcome { is_good: true, what: "done".into() };
        outcomes.put(cookie, outcome.clone());
        assert_eq!((outcomes.take(cookie), outcomes.take(cookie)), (Some(outcome.clone()), None));
        outcomes.put(cookie, outcome.clone());
        advance(SHOWN_WITHIN).await;
        assert_eq!(outcomes.take(cookie), None);
        for _ in 0..MOST + 10 {
            outcomes.put(Cookie::random(&http::HeaderMap::new()).known(), outcome.clone());
        }
        assert_eq!(outcomes.0.lock().unwrap().len(), MOST);
    }
}
