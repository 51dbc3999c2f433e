use super::*;
use crate::filter::TypePattern;
use proptest::prelude::*;

fn name() -> DestinationName {
    DestinationName::new("billing").unwrap()
}

fn filter(pattern: &str) -> Filter {
    Filter { types: vec![TypePattern::new(pattern).unwrap()], ..Filter::default() }
}

fn put(origin: Origin, pattern: &str) -> Edit {
    Edit::Put { origin, settings: pattern.into(), filter: filter(pattern), moved: false, adopt: false }
}

fn edited(before: Option<&Registered>, edit: Edit, revision: u64) -> Registered {
    Registered::edited(before, &name(), edit, Revision(revision), false).unwrap().unwrap()
}

#[test]
fn each_side_changes_its_own_and_is_told_whose_the_others_are() {
    let (file, api) = (edited(None, put(Origin::File, "a"), 1), edited(None, put(Origin::Api, "a"), 1));
    let try_to = |record: &Registered, edit| Registered::edited(Some(record), &name(), edit, Revision(9), false);
    assert_eq!(try_to(&file, put(Origin::Api, "b")), Err(Refused::Foreign(Origin::File)));
    assert_eq!(try_to(&api, put(Origin::File, "b")), Err(Refused::Foreign(Origin::Api)));
    assert_eq!(try_to(&file, Edit::Delete), Err(Refused::Foreign(Origin::File)));
    assert_eq!(try_to(&api, Edit::Leave), Err(Refused::Foreign(Origin::Api)));
    let pause = Edit::Pause(OperatorPause { since: Timestamp::ZERO, reason: "later".into() });
    assert!(try_to(&file, pause).unwrap().unwrap().paused.is_some(), "pauses are of both");
    let Edit::Put { settings, filter, .. } = put(Origin::Api, "b") else { unreachable!() };
    let adopted = try_to(&file, Edit::Put { origin: Origin::Api, settings, filter, moved: false, adopt: true });
    let adopted = adopted.unwrap().unwrap();
    assert_eq!((adopted.origin, adopted.born), (Origin::Api, file.born), "it is the same destination");
    assert_eq!(try_to(&edited(Some(&api), Edit::Delete, 2), Edit::Resume), Err(Refused::Unknown));
}

#[test]
fn a_name_that_is_made_again_is_another_destination() {
    let first = edited(None, put(Origin::Api, "a"), 1);
    let gone = edited(Some(&first), Edit::Delete, 2);
    assert_eq!((gone.standing, gone.revision, gone.born), (Standing::Deleted, Revision(2), Revision(1)));
    let second = edited(Some(&gone), put(Origin::Api, "b"), 3);
    assert_eq!((second.born, second.filters.former.len()), (Revision(3), 0));
    assert_eq!(second.filters.at(Revision(2)), &filter("b"), "of the one before nothing is left");
}

#[test]
fn one_that_the_file_names_again_goes_on() {
    let first = edited(None, put(Origin::File, "a"), 1);
    let left = edited(Some(&first), Edit::Leave, 2);
    let back = edited(Some(&left), put(Origin::File, "b"), 3);
    assert_eq!((back.born, back.standing), (Revision(1), Standing::Present));
    assert_eq!(back.filters.at(Revision(2)), &filter("a"));
    assert_eq!(edited(Some(&left), Edit::Delete, 3).standing, Standing::Deleted, "what left may be deleted");
}

#[test]
fn other_settings_are_of_the_same_target_unless_they_move_it() {
    let first = edited(None, put(Origin::Api, "a"), 1);
    let changed = edited(Some(&first), put(Origin::Api, "b"), 2);
    assert_eq!((&*changed.settings, changed.target_since), ("b", Revision(1)));
    let Edit::Put { origin, settings, filter, adopt, .. } = put(Origin::Api, "c") else { unreachable!() };
    let moved = edited(Some(&changed), Edit::Put { origin, settings, filter, moved: true, adopt }, 3);
    assert_eq!((&*moved.settings, moved.target_since), ("c", Revision(3)));
}

#[test]
fn of_what_is_deleted_only_that_it_was_there_is_kept() {
    let first = edited(None, put(Origin::Api, "a"), 1);
    let pause = OperatorPause { since: Timestamp::ZERO, reason: "later".into() };
    let paused = edited(Some(&first), Edit::Pause(pause), 2);
    let (settings, filters) = ("null".into(), Filters::default());
    let gone =
        Registered { revision: Revision(3), standing: Standing::Deleted, paused: None, settings, filters, ..first };
    assert_eq!(edited(Some(&paused), Edit::Delete, 3), gone);
}

#[test]
fn one_that_is_resumed_is_as_it_was_before_its_pause() {
    let first = edited(None, put(Origin::Api, "a"), 1);
    let pause = OperatorPause { since: Timestamp::ZERO, reason: "later".into() };
    let paused = edited(Some(&first), Edit::Pause(pause), 2);
    assert_eq!(edited(Some(&paused), Edit::Resume, 3), Registered { revision: Revision(3), ..first });
}

#[test]
fn only_one_of_the_interface_can_be_the_first_of_a_store() {
    for (origin, initial, is_first) in [
        (Origin::Api, true, true),
        (Origin::Api, false, false),
        (Origin::File, true, false),
        (Origin::File, false, false),
    ] {
        let made = Registered::edited(None, &name(), put(origin, "a"), Revision(1), initial).unwrap().unwrap();
        assert_eq!(made.is_first, is_first, "{origin:?} {initial}");
    }
}

#[test]
fn what_changes_nothing_is_no_change() {
    let first = edited(None, put(Origin::Api, "a"), 1);
    assert_eq!(Registered::edited(Some(&first), &name(), put(Origin::Api, "a"), Revision(2), false), Ok(None));
    assert_eq!(Registered::edited(Some(&first), &name(), Edit::Resume, Revision(2), false), Ok(None));
}

#[test]
fn a_store_without_a_registry_keeps_its_destinations() {
    let old = Registered::edited(None, &name(), put(Origin::File, "a"), Revision(7), true).unwrap().unwrap();
    assert_eq!((old.born, old.revision), (Revision::ORIGIN, Revision(7)));
    assert_eq!(old.filters.at(Revision::ORIGIN), &filter("a"));
}

proptest! {
    /// Against a list of who said what when.
    #[test]
    fn every_revision_is_judged_by_the_filter_that_stood_then(
        changes in prop::collection::vec((1_u64..4, 0_u8..3), 1..10), trimmed_at in 0_u64..40,
    ) {
        let mut history: Vec<(u64, u8)> = Vec::new();
        let mut record: Option<Registered> = None;
        for (gap, pattern) in changes {
            let revision = history.last().map_or(0, |(at, _)| *at) + gap;
            history.push((revision, pattern));
            let edit = put(Origin::Api, &pattern.to_string());
            let changed = Registered::edited(record.as_ref(), &name(), edit, Revision(revision), false).unwrap();
            record = changed.or(record);
        }
        let filters = record.unwrap().filters;
        let mut trimmed = filters.clone();
        trimmed.trim(Revision(trimmed_at));
        for revision in 0..45 {
            let stood = history.iter().rev().find(|(at, _)| *at <= revision).unwrap_or(&history[0]);
            let expected = filter(&stood.1.to_string());
            prop_assert_eq!(filters.at(Revision(revision)), &expected);
            if revision >= trimmed_at {
                prop_assert_eq!(trimmed.at(Revision(revision)), &expected);
            }
        }
    }
}
