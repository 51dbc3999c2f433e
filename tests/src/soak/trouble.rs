//! The troubles of the soak, and their order.

use super::site::Store;
use super::state::Cost;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use std::collections::BTreeMap;

/// What happens to Laneway, or around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Every process is stopped gently and started again, one after the other.
    Deployment,
    /// A process is killed.
    Kill,
    /// The primary of Redis is killed, and its replica takes over.
    Failover,
    /// A receiver shows a certificate of another authority.
    Certificate,
    /// Webhooks are signed with another secret.
    Secret,
    /// The disk is full, until producers notice.
    FullDisk,
    /// A backup is made and restored into a new place, and the soak goes on there.
    Restore,
    /// An operator retries all dead letters.
    DeadLetters,
}

impl Trouble {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Deployment,
        Self::Kill,
        Self::Failover,
        Self::Certificate,
        Self::Secret,
        Self::FullDisk,
        Self::Restore,
        Self::DeadLetters,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::Kill => "kill -9",
            Self::Failover => "Redis failover",
            Self::Certificate => "certificate renewed",
            Self::Secret => "secret rotated",
            Self::FullDisk => "full disk",
            Self::Restore => "backup and restore",
            Self::DeadLetters => "dead letters retried",
        }
    }

    /// Whether it can happen on this store.
    #[must_use]
    pub fn is_of(self, store: Store) -> bool {
        match self {
            Self::Failover => store == Store::Redis,
            Self::FullDisk => store == Store::Sqlite,
            _ => true,
        }
    }
}

/// A round of troubles: each kind once, by chance, and those first that there were least of.
pub fn round(store: Store, so_far: &BTreeMap<String, Cost>, random: &mut StdRng) -> Vec<Trouble> {
    let mut round: Vec<Trouble> = Trouble::ALL.into_iter().filter(|trouble| trouble.is_of(store)).collect();
    round.shuffle(random);
    round.sort_by_key(|trouble| so_far.get(trouble.name()).map_or(0, |cost| cost.times));
    round
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_round_has_each_kind_once_and_begins_with_what_was_rare() {
        let so_far: BTreeMap<String, Cost> = Trouble::ALL
            .into_iter()
            .filter(|trouble| *trouble != Trouble::Kill)
            .map(|trouble| (trouble.name().to_owned(), Cost { times: 2, worst: 1.0 }))
            .collect();
        let of = |seed| round(Store::Sqlite, &so_far, &mut StdRng::seed_from_u64(seed));
        assert_eq!((of(1).len(), of(1)[0]), (7, Trouble::Kill));
        assert_eq!(of(1), of(1));
        assert!((2..20).any(|seed| of(seed) != of(1)), "the order is always the same");
    }
}
