//! `[store]`: where events and progress are kept.

use super::reader::Section;
use super::units::MAX_DURATION;
use laneway_domain::MAX_PARTITIONS;
use std::path::PathBuf;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Which store holds the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:PATH`: one file on this machine.
    Sqlite(PathBuf),
}

impl std::fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

/// What a 202 promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The event survives power loss: it was fsynced before the answer.
    Full,
    /// The event survives a crash of the process, not of the machine.
    Relaxed,
}

/// `[store]`: where events and progress are kept.
#[derive(Clone, Debug)]
pub struct Store {
    /// Which store.
    pub url: StoreUrl,
    /// How many partitions a new store gets, 1 to [`MAX_PARTITIONS`].
    pub partitions: u32,
    /// How long settled events are kept for replays.
    pub retain: Duration,
    /// How long an id that a producer gave is remembered.
    pub duplicate_window: Duration,
    /// What a 202 promises.
    pub durability: Durability,
}

impl Store {
    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let url = section.get::<String>("url").map(|text| parse_store(&text));
        let url = url.and_then(|url| url.map_err(|what| section.problem("url", what)).ok());
        let durability = [("full", Durability::Full), ("relaxed", Durability::Relaxed)];
        let store = Self {
            url: url.unwrap_or_else(|| StoreUrl::Sqlite("laneway.db".into())),
            partitions: section.within("partitions", 8, 1..=MAX_PARTITIONS),
            retain: section.within("retain", DAY, Duration::ZERO..=MAX_DURATION),
            duplicate_window: section.within("duplicate_window", DAY, Duration::ZERO..=DAY * 366),
            durability: section.choice("durability", Durability::Full, &durability),
        };
        section.finish();
        store
    }
}

/// Messages must not repeat the URL: it may hold a password.
fn parse_store(text: &str) -> Result<StoreUrl, String> {
    let Some((scheme, rest)) = text.split_once(':') else {
        return Err("a store is chosen by URL; write for instance \"sqlite:laneway.db\"".to_owned());
    };
    match scheme {
        "sqlite" => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            let refused = path.is_empty() || path.starts_with(':') || path.contains('\0');
            if refused {
                return Err("\"sqlite:\" needs the path of a file; write for instance \"sqlite:laneway.db\"".to_owned());
            }
            Ok(StoreUrl::Sqlite(path.into()))
        }
        "redis" | "rediss" | "redis-cluster" => {
            Err(format!("this version has no {scheme}: store; use \"sqlite:PATH\""))
        }
        _ => Err(format!("{scheme:?} is not a kind of store; write for instance \"sqlite:laneway.db\"")),
    }
}
