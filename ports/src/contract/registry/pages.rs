//! Reading a registry in pages, while others change it.

use super::{all_by_name, all_changes, delete, head, many, names, put, put_many, record, settings_for, written};
use crate::contract::Subject;
use crate::{MAX_RECORD_BYTES, MAX_REGISTRY_PAGE, MAX_WRITE_BYTES, Registry, RegistryPage};
use laneway_domain::Revision;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// In ascending order of (revision, name), from any revision.
pub async fn changes_come_by_revision_and_name_and_upto_goes_on_behind_them<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let registry = subject.store();
    let first = put(registry, &["c", "a", "b"]).await;
    let second = put(registry, &["d", "b"]).await;
    let third = delete(registry, &["a"]).await;
    let since = async |after| {
        let changes = registry.changed_since(after).await.unwrap();
        assert_eq!((changes.upto, changes.more), (third, false));
        names(&changes.records)
    };
    assert_eq!(since(Revision::ORIGIN).await, ["c", "b", "d", "a"]);
    assert_eq!(since(Revision(first.0 - 1)).await, ["c", "b", "d", "a"]);
    assert_eq!(since(first).await, ["b", "d", "a"]);
    assert_eq!(since(second).await, ["a"]);
    assert_eq!(since(third).await, [""; 0]);
    assert_eq!(since(Revision(third.0 + 1)).await, [""; 0]);
}

/// Of exactly the bound, one less and one more; nothing is missed and nothing comes twice.
pub async fn pages_of_changes_end_with_a_whole_revision<S: Subject<Store: Registry>>() {
    let most = MAX_REGISTRY_PAGE;
    for (revisions, expected) in [
        (vec![most], vec![most]),
        (vec![1, most], vec![1, most]),
        (vec![most - 1, 1], vec![most]),
        (vec![most - 1, 1, 1], vec![most, 1]),
        (vec![most / 2, most / 2, 2], vec![most, 2]),
        (vec![most / 2, most / 2 + 1], vec![most / 2, most / 2 + 1]),
        (vec![400, 400, 400], vec![800, 400]),
    ] {
        let subject = S::create(1).await;
        let all = many(revisions.iter().sum());
        let mut from = 0;
        for count in &revisions {
            put_many(subject.store(), &all[from..from + count]).await;
            from += count;
        }
        let (found, pages) = all_changes(subject.store(), Revision::ORIGIN).await;
        assert_eq!(pages, expected, "{revisions:?}");
        assert_eq!(names(&found), all, "{revisions:?}");
    }
}

/// So that no answer is larger than memory has room for.
pub async fn pages_of_changes_are_bounded_in_bytes<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let registry = subject.store();
    let each = MAX_WRITE_BYTES / 8;
    let large = |from: usize, count: usize| {
        move |revision| {
            let quarter = |name: String| record(&name, revision, &settings_for(&name, revision, MAX_RECORD_BYTES));
            (from..from + count).map(|n| quarter(format!("large-{n:03}"))).collect::<Vec<_>>()
        }
    };
    let count = each / MAX_RECORD_BYTES;
    let mut first = Revision::ORIGIN;
    for n in 0..8 {
        first = written(registry, large(n * count, count)).await;
    }
    // The largest page that there can be, and then one record more.
    assert_eq!(all_changes(registry, Revision::ORIGIN).await.1, [8 * count]);
    put(registry, &["small"]).await;
    assert_eq!(all_changes(registry, Revision::ORIGIN).await.1, [8 * count, 1]);
    written(registry, large(0, 8 * count)).await;
    assert_eq!(all_changes(registry, Revision::ORIGIN).await.1, [1, 8 * count]);
    assert_eq!(all_changes(registry, first).await.1, [1, 8 * count]);
}

/// In ascending order of name.
pub async fn pages_by_name_leave_out_what_is_deleted<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let registry = subject.store();
    put(registry, &["b", "a.x", "a", "a-x", "a_x", "0", "c", "d", "a:x", "a:0", "ab:x", "a9"]).await;
    delete(registry, &["c", "0"]).await;
    let there = ["a", "a-x", "a.x", "a9", "a:0", "a:x", "a_x", "ab:x", "b", "d"];
    for most in [1, 2, 5, 9, 10, 11, MAX_REGISTRY_PAGE + 1] {
        assert_eq!(names(&all_by_name(registry, most).await), there, "{most}");
    }
    assert_eq!(names(&registry.page("a.x", 2).await.unwrap().records), ["a9", "a:0"]);
    // What is no name: where those of a tenant begin.
    assert_eq!(names(&registry.page("a:", 2).await.unwrap().records), ["a:0", "a:x"]);
    assert_eq!(names(&registry.page("c", 2).await.unwrap().records), ["d"]);
    assert_eq!(registry.page("d", 2).await.unwrap(), RegistryPage::default());
    assert_eq!(registry.page("", 0).await.unwrap(), RegistryPage { records: Vec::new(), more: true });
}

/// A page ends before it would be too large, and says that there is more.
pub async fn pages_by_name_are_bounded_in_bytes<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let registry = subject.store();
    let fits = MAX_WRITE_BYTES / MAX_RECORD_BYTES;
    let all = many(fits + 1);
    for part in all.chunks(fits) {
        written(registry, |revision| {
            part.iter().map(|name| record(name, revision, &settings_for(name, revision, MAX_RECORD_BYTES))).collect()
        })
        .await;
    }
    let page = registry.page("", MAX_REGISTRY_PAGE).await.unwrap();
    assert_eq!((page.records.len(), page.more), (fits, true));
    assert_eq!(names(&all_by_name(registry, MAX_REGISTRY_PAGE).await), all);
}

/// While others come, change, and go at the same time.
pub async fn a_name_that_is_there_all_the_time_is_in_one_page_whatever_changes<S: Subject<Store: Registry>>() {
    let subject = S::create(1).await;
    let registry = subject.store();
    let all = many(90);
    let (stay, go): (Vec<String>, Vec<String>) = all.into_iter().partition(|name| name.ends_with(['0', '3', '6', '9']));
    put_many(registry, &stay).await;
    let done = AtomicBool::new(false);
    let changing = async {
        let mut round = 0_usize;
        while !done.load(Ordering::SeqCst) {
            let some: Vec<&str> = go.iter().skip(round % 3).step_by(3).map(String::as_str).collect();
            put(registry, &some).await;
            put(registry, &[stay[round % stay.len()].as_str()]).await;
            delete(registry, &some).await;
            round += 1;
        }
        round
    };
    let reading = async {
        for most in [1, 3, 7, 1, 3, 7] {
            let found = names(&all_by_name(registry, most).await);
            assert!(found.is_sorted_by(|a, b| a < b), "{found:?}");
            let found: BTreeSet<String> = found.into_iter().collect();
            assert!(stay.iter().all(|name| found.contains(name)), "{most}: {found:?}");
            // Others have their turn, where nothing waits for anything.
            subject.pass(Duration::from_millis(1)).await;
        }
        done.store(true, Ordering::SeqCst);
    };
    let (rounds, ()) = tokio::join!(changing, reading);
    assert!(rounds > 0, "nothing changed meanwhile");
}

/// The short form of [`as_many_destinations`].
pub async fn many_destinations_are_written_and_read_in_pages<S: Subject<Store: Registry>>() {
    as_many_destinations::<S>(5_500).await;
}

/// That many are written a thousand at a time, and read by revision and by name.
pub async fn as_many_destinations<S: Subject<Store: Registry>>(count: usize) {
    let subject = S::create(1).await;
    let all = many(count);
    for some in all.chunks(MAX_REGISTRY_PAGE) {
        put_many(subject.store(), some).await;
    }
    let subject = subject.reopen().await;
    let registry = subject.store();
    let (found, pages) = all_changes(registry, Revision::ORIGIN).await;
    assert_eq!(pages.len(), count.div_ceil(MAX_REGISTRY_PAGE));
    assert_eq!(names(&found), all);
    assert_eq!(names(&all_by_name(registry, MAX_REGISTRY_PAGE).await), all);
    // One of them: found, changed, and seen as the only change.
    let last = head(registry).await.last;
    put(registry, &[all[count / 2].as_str()]).await;
    assert_eq!(names(&registry.changed_since(last).await.unwrap().records), [all[count / 2].as_str()]);
}
