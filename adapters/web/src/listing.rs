//! A page of many rows: searched, narrowed, and cut. Nothing here knows of how it is shown.

use crate::snapshot::{Row, Snapshot};
use laneway_domain::Need;

/// Rows of a page: a table of them is some 60 KiB.
pub(crate) const ROWS: usize = 50;

/// Which rows somebody wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// What the name has to hold, in whatever case.
    pub(crate) search: String,
    /// What they need a person for; everything if nothing is said.
    pub(crate) need: Option<Need>,
    /// Which page, from 1.
    pub(crate) page: usize,
}

/// What there is of it.
#[derive(Debug)]
pub(crate) struct Listed<'a> {
    pub(crate) rows: Vec<&'a Row>,
    /// How many rows are wanted, on all pages.
    pub(crate) found: usize,
    /// The page that this is: the last one, if more was asked for than there is.
    pub(crate) page: usize,
    pub(crate) pages: usize,
}

/// The wanted page.
pub(crate) fn listed<'a>(snapshot: &'a Snapshot, wanted: &Wanted) -> Listed<'a> {
    let search = wanted.search.to_lowercase();
    let is_wanted = |row: &&Row| {
        wanted.need.is_none_or(|need| row.need == need)
            // Names are in lower case.
            && (search.is_empty() || row.status.name.as_str().contains(&search))
    };
    let found: Vec<&Row> = snapshot.rows.iter().filter(is_wanted).collect();
    let pages = found.len().div_ceil(ROWS).max(1);
    let page = wanted.page.clamp(1, pages);
    let rows = found.iter().skip((page - 1) * ROWS).take(ROWS).copied().collect();
    Listed { rows, found: found.len(), page, pages }
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::{DestinationName, DestinationStatus, StatusReport};
    use std::collections::BTreeMap;

    fn snapshot(count: usize) -> Snapshot {
        let name = |at: usize| DestinationName::new(&format!("shop-{at:05}")).unwrap();
        let destinations = (0..count).map(|at| DestinationStatus {
            blocked_keys: u64::from(at % 10 == 3),
            ..DestinationStatus::idle(name(at), true)
        });
        Snapshot::of(StatusReport { destinations: destinations.collect(), ..StatusReport::default() }, BTreeMap::new())
    }

    fn names(listed: &Listed<'_>) -> Vec<String> {
        listed.rows.iter().map(|row| row.status.name.to_string()).collect()
    }

    #[test]
    fn pages_hold_everything_once_and_none_is_beyond_the_last() {
        let snapshot = snapshot(120);
        let page = |page| listed(&snapshot, &Wanted { page, ..Wanted::default() });
        let all: Vec<String> = (1..=3).flat_map(|number| names(&page(number))).collect();
        assert_eq!(all.len(), 120);
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 120);
        assert_eq!(all[..2], ["shop-00003", "shop-00013"]);
        assert_eq!((page(3).rows.len(), page(3).pages, page(0).page, page(99).page), (20, 3, 1, 3));
        assert_eq!(names(&page(usize::MAX)), names(&page(3)));
    }

    #[test]
    fn a_search_and_a_need_narrow_together() {
        let snapshot = snapshot(1_000);
        let found = |search: &str, need| {
            let listed = listed(&snapshot, &Wanted { search: search.to_owned(), need, page: 1 });
            (listed.found, names(&listed).into_iter().next())
        };
        assert_eq!(found("SHOP-0012", None), (10, Some("shop-00123".to_owned())));
        assert_eq!(found("0012", Some(Need::Blocked)), (1, Some("shop-00123".to_owned())));
        assert_eq!(found("", Some(Need::Nothing)).0, 900);
        assert_eq!(found("nowhere", None), (0, None));
    }
}
