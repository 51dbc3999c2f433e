//! Destinations: what the dispatcher needs to know of each. Where it sends to is the sink's affair.

use crate::breaker::BreakerPolicy;
use crate::event::LoggedEvent;
use crate::filter::Filters;
use crate::lane_key::LaneKey;
use crate::retry::RetryPolicy;
use crate::revision::Revision;
use crate::tenant::{TENANT_SEPARATOR, Tenant, is_name, split, tenant_of};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// A destination's place in the dispatcher's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DestinationIndex(pub(crate) usize);

/// The most bytes of a destination's name, its tenant's aside; it is a label of every metric.
pub const MAX_DESTINATION_NAME_BYTES: usize = 64;
/// Attempts that one destination may have in flight by default: enough to hide a round trip of
/// some tens of milliseconds, few enough not to flood a small receiver.
pub const DEFAULT_MAX_IN_FLIGHT: u32 = 64;

/// A destination's name: 1 to 64 of `a`–`z`, `0`–`9`, `-`, `_` and `.`, beginning with a letter or digit. That of a
/// tenant's destination has the tenant before it, and a colon: `acme:billing`. So whose it is cannot be told apart from
/// its name, and each tenant has names of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DestinationName(Arc<str>);

/// Why a text cannot be a destination's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} cannot be a destination's name: use 1 to 64 of a-z, 0-9, '-', '_' and '.', beginning with a letter or digit"
)]
pub struct InvalidName(pub String);

impl DestinationName {
    /// Checks `name`.
    ///
    /// # Errors
    /// If it is empty, too long, or has other characters.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        let (tenant, own) = split(name);
        if is_name(own, MAX_DESTINATION_NAME_BYTES) && tenant.is_none_or(|tenant| Tenant::new(tenant).is_ok()) {
            Ok(Self(name.into()))
        } else {
            Err(InvalidName(name.into()))
        }
    }

    /// The name of the tenant's destination that the tenant calls `own`.
    ///
    /// # Errors
    /// If `own` can be no name, or has a tenant already.
    pub fn of(tenant: &Tenant, own: &str) -> Result<Self, InvalidName> {
        if is_name(own, MAX_DESTINATION_NAME_BYTES) {
            Ok(Self(format!("{tenant}{TENANT_SEPARATOR}{own}").into()))
        } else {
            Err(InvalidName(own.into()))
        }
    }

    /// Whose destination it is; `None`: the operator's.
    #[must_use]
    pub fn tenant(&self) -> Option<Tenant> {
        tenant_of(&self.0)
    }

    /// Whether it is a destination of this tenant; of `None`: the operator's.
    #[must_use]
    pub fn is_of(&self, tenant: Option<&Tenant>) -> bool {
        split(&self.0).0 == tenant.map(Tenant::as_str)
    }

    /// What its tenant calls it: the name without the tenant.
    #[must_use]
    pub fn own(&self) -> &str {
        split(&self.0).1
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// They are ordered as texts are, so that those of a tenant lie together.
impl Borrow<str> for DestinationName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DestinationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for DestinationName {
    type Error = InvalidName;
    fn try_from(name: String) -> Result<Self, InvalidName> {
        Self::new(&name)
    }
}

impl From<DestinationName> for String {
    fn from(name: DestinationName) -> Self {
        name.0.as_ref().into()
    }
}

/// Which events of a destination wait for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ordering {
    /// Those of one key.
    #[default]
    Key,
    /// All of the partition: one at a time, and a failing one blocks all behind it.
    Strict,
    /// None.
    None,
}

impl Ordering {
    /// What an event is ordered with.
    #[must_use]
    pub fn key_of(self, event: &LoggedEvent) -> LaneKey {
        match (self, &event.event.key) {
            (Self::Strict, _) => LaneKey::All,
            (Self::Key, Some(key)) => LaneKey::of(event.event.tenant.as_ref(), key),
            (Self::Key, None) | (Self::None, _) => LaneKey::Event(event.offset),
        }
    }

    /// Whether events can be ordered with it: a record of a key may be of another ordering.
    pub(crate) const fn has(self, key: &LaneKey) -> bool {
        matches!(
            (self, key),
            (Self::Strict, LaneKey::All)
                | (Self::Key, LaneKey::Key(_) | LaneKey::Tenant(..) | LaneKey::Event(_))
                | (Self::None, LaneKey::Event(_))
        )
    }
}

/// Where a destination that was not known before starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartFrom {
    /// After the events that the log holds already. (One that no change has made starts at the beginning of a partition
    /// where no destination was ever known: nothing was waited on there.)
    #[default]
    End,
    /// At the oldest event that the log still holds.
    Beginning,
}

/// What happens to an event that is given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnGiveUp {
    /// It becomes a dead letter, and its key goes on.
    #[default]
    DeadLetter,
    /// Its key is held until an operator retries or skips it.
    Hold,
}

/// A token bucket: `per_second` attempts (of single events or batches) a second, in bursts of at
/// most one second's worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate {
    /// Attempts a second, on average.
    pub per_second: NonZeroU32,
}

/// How events are put together for one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPolicy {
    /// The most events of one attempt. 1 sends every event by itself.
    pub max_events: usize,
    /// The most bytes of event data in one attempt; a larger single event goes alone.
    pub max_bytes: usize,
    /// How long the first event may wait for others to join it.
    pub linger: Duration,
}

impl Default for BatchPolicy {
    fn default() -> Self {
        Self { max_events: 1, max_bytes: 1 << 20, linger: Duration::ZERO }
    }
}

/// A named place that events go to: which it wants, in what order, how fast, how often.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    /// Its name; progress is kept under it.
    pub name: DestinationName,
    /// When it was made. The same name made again is another destination, whose progress begins anew.
    pub born: Revision,
    /// Whether the registry knew nothing of this name when it was made, not even a deletion. Progress of one that was
    /// made before then is of one that the registry has lost, and this one goes on where that was: nobody has said that
    /// what waited there may go.
    pub takes_over: bool,
    /// Since when it sends to where it sends now. What failed at another place is attempted again at once.
    pub target_since: Revision,
    /// Whether its progress is kept. Else it begins where all others are when its process starts, holds nothing in the
    /// store, and leaves nothing there: what stands in while there is no destination yet.
    pub is_kept: bool,
    /// Which events it wants, and wanted before.
    pub filters: Arc<Filters>,
    /// Which of its events wait for each other.
    pub ordering: Ordering,
    /// Where it starts when it is new.
    pub from: StartFrom,
    /// The most attempts in flight at once, over all partitions of this process.
    pub max_in_flight: NonZeroU32,
    /// How many attempts a second, over all partitions of this process; `None` for no limit.
    pub rate: Option<Rate>,
    /// How events are put together.
    pub batch: BatchPolicy,
    /// When a failed event is tried again, and when no more.
    pub retry: RetryPolicy,
    /// What happens then.
    pub on_give_up: OnGiveUp,
    /// When failures count as an outage of the destination; `None` never.
    pub breaker: Option<BreakerPolicy>,
    /// How long an event may wait, from when it was accepted (of a replay: from when that was asked for). One that has
    /// waited for so long is settled without another attempt: it *expires*. `None`: for ever.
    pub max_age: Option<Duration>,
    /// Why the operator has paused it, if so: no attempts, nothing lost.
    pub paused: Option<Box<str>>,
    /// Since when, if that was written down.
    pub paused_since: Option<Timestamp>,
}

impl Destination {
    /// A destination of that name which wants every event, with the defaults everywhere.
    #[must_use]
    pub fn new(name: DestinationName) -> Self {
        Self {
            name,
            born: Revision::ORIGIN,
            takes_over: false,
            is_kept: true,
            target_since: Revision::ORIGIN,
            filters: Arc::default(),
            ordering: Ordering::default(),
            from: StartFrom::default(),
            max_in_flight: NonZeroU32::new(DEFAULT_MAX_IN_FLIGHT).unwrap_or(NonZeroU32::MIN),
            rate: None,
            batch: BatchPolicy::default(),
            retry: RetryPolicy::default(),
            on_give_up: OnGiveUp::default(),
            breaker: Some(BreakerPolicy::default()),
            max_age: None,
            paused: None,
            paused_since: None,
        }
    }

    /// Whether progress of a destination of this name, made then, is this one's.
    pub(crate) fn goes_on_from(&self, born: Revision) -> bool {
        born == self.born || (self.takes_over && born < self.born)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Key;
    use crate::partition::Offset;

    #[test]
    fn names_are_safe_as_labels_and_file_names() {
        let longest = format!("{}:{}", "t".repeat(64), "x".repeat(64));
        for good in ["billing", "a", "0x", "eu-1.billing_v2", "acme:billing", &"x".repeat(64), &longest] {
            assert!(DestinationName::new(good).is_ok(), "{good}");
        }
        let (long, of_long) = ("x".repeat(65), format!("{}:x", "t".repeat(65)));
        for bad in ["", "-a", ".a", "Billing", "a b", "a/b", ":b", "a:", "a:b:c", "A:b", "a:-b", &long, &of_long] {
            assert!(DestinationName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_says_whose_destination_it_is() {
        let (acme, umbrella) = (Tenant::new("acme").unwrap(), Tenant::new("umbrella").unwrap());
        let of_acme = DestinationName::new("acme:billing").unwrap();
        assert_eq!((of_acme.tenant().as_ref(), of_acme.own()), (Some(&acme), "billing"));
        assert_eq!(DestinationName::of(&acme, "billing").as_ref(), Ok(&of_acme));
        assert!(of_acme.is_of(Some(&acme)) && !of_acme.is_of(Some(&umbrella)) && !of_acme.is_of(None));
        // The tenant's name begins another one's, and the operator's destination is called as the tenant is.
        let other = DestinationName::new("acme2:billing").unwrap();
        let operators = DestinationName::new("acme").unwrap();
        assert!(!other.is_of(Some(&acme)) && !operators.is_of(Some(&acme)) && operators.is_of(None));
        assert_eq!((operators.tenant(), operators.own()), (None, "acme"));
        for bad in ["", "umbrella:billing", "acme:billing", "Billing"] {
            assert!(DestinationName::of(&acme, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_found_by_their_text() {
        let all = std::collections::BTreeMap::from([(DestinationName::new("acme:billing").unwrap(), 7)]);
        assert_eq!(all.get("acme:billing"), Some(&7));
    }

    #[test]
    fn an_ordering_has_the_keys_that_it_gives_events() {
        let key = Key::new("k").unwrap();
        let tenant = Tenant::new("acme").unwrap();
        let all = [LaneKey::All, LaneKey::of(None, &key), LaneKey::of(Some(&tenant), &key), LaneKey::Event(Offset(1))];
        for (ordering, has) in [
            (Ordering::Strict, [true, false, false, false]),
            (Ordering::Key, [false, true, true, true]),
            (Ordering::None, [false, false, false, true]),
        ] {
            assert_eq!(all.each_ref().map(|key| ordering.has(key)), has, "{ordering:?}");
        }
    }

    #[test]
    fn one_that_takes_over_goes_on_from_what_was_made_before_it() {
        let one = |takes_over| Destination {
            born: Revision(5),
            takes_over,
            ..Destination::new(DestinationName::new("a").unwrap())
        };
        assert_eq!([4, 5, 6].map(|born| one(true).goes_on_from(Revision(born))), [true, true, false]);
        assert_eq!([4, 5, 6].map(|born| one(false).goes_on_from(Revision(born))), [false, true, false]);
    }
}
