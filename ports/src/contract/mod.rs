//! The suites that every adapter of a port must pass.
//!
//! A suite is a set of named checks, each an async function over a [`Subject`] (or a
//! [`sink::SinkSubject`]). An adapter calls the suite's macro once from its own tests and gets a
//! test per check, so that a failure says which promise is broken:
//!
//! ```ignore
//! laneway_ports::event_log_contract!(MySubject, #[tokio::test]);
//! laneway_ports::progress_store_contract!(MySubject, #[tokio::test]);
//! laneway_ports::dead_letters_contract!(MySubject, #[tokio::test]);
//! laneway_ports::history_contract!(MySubject, #[tokio::test]);
//! laneway_ports::workers_contract!(MySubject, #[tokio::test]);
//! laneway_ports::registry_contract!(MySubject, #[tokio::test]);
//! laneway_ports::tokens_contract!(MySubject, #[tokio::test]);
//! laneway_ports::tenants_contract!(MySubject, #[tokio::test]);
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a check fails by panicking")]

pub mod cuts;
pub mod damaged;
pub mod dead_letters;
pub mod event_log;
pub mod extent;
mod fixtures;
pub mod history;
pub mod progress_store;
pub mod registry;
pub mod replays;
pub mod sink;
pub mod tenants;
pub mod tokens;
pub mod trim;
pub mod workers;

use crate::Store;
use async_trait::async_trait;
use laneway_domain::{DestinationName, Offset, Partition};
use std::time::Duration;

/// The longest that one check may take. Far more than any needs; a check that gets here waits for
/// something that will not come.
pub const CHECK_DEADLINE: Duration = Duration::from_secs(120);

/// What of a dead letter is damaged, by a disk or by somebody's hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// What it was ordered with.
    Order,
    /// The id of its event.
    Id,
    /// How it has failed.
    History,
    /// A text of it, which is none any more.
    Text,
    /// Its end, which is missing.
    End,
    /// The copy of its event.
    Copy,
}

impl Damage {
    /// Each of them.
    pub const ALL: [Self; 6] = [Self::Order, Self::Id, Self::History, Self::Text, Self::End, Self::Copy];
}

/// A store under test.
#[async_trait]
pub trait Subject: Sized + Send + Sync {
    /// The store.
    type Store: Store + 'static;

    /// A new, empty store with that many partitions.
    async fn create(partitions: u32) -> Self;

    /// The store.
    fn store(&self) -> &Self::Store;

    /// The same store, as another process has it open; nothing where there can be only one.
    async fn another(&self) -> Option<Self::Store> {
        None
    }

    /// Ends the store as roughly as can be (a crash, if it can be had) and opens what it left.
    async fn reopen(self) -> Self;

    /// Lets the store's clock go on by at least `time`.
    async fn pass(&self, time: Duration);

    /// Damages a dead letter behind the store's back. `false` where that cannot be had.
    async fn damage(&self, partition: Partition, offset: Offset, of: &DestinationName, damage: Damage) -> bool {
        let _ = (partition, offset, of, damage);
        false
    }
}

/// Makes one test of each named check of a suite.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_tests {
    ($suite:ident, $name:ident, $subject:ty, #[$test:meta], $($check:ident)*) => {
        mod $name {
            #[allow(unused_imports, reason = "the subject may be named by a path")]
            use super::*;
            $(
                #[$test]
                async fn $check() {
                    let check = $crate::contract::$suite::$check::<$subject>();
                    let ended = ::tokio::time::timeout($crate::contract::CHECK_DEADLINE, check).await;
                    assert!(ended.is_ok(), "the check waits for something that does not come");
                }
            )*
        }
    };
}
