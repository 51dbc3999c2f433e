//! What a partition that is taken over finds in the store, what it makes of it, and who needs a lane for that.

use super::fixtures::{PARTITION, name};
use crate::destination::{Destination, DestinationName, Ordering, StartFrom};
use crate::dispatcher::Dispatcher;
use crate::event::Key;
use crate::io::{DestinationChanges, Input, Notice, Output, ReadId};
use crate::lane_key::LaneKey;
use crate::partition::Offset;
use crate::progress::{Behind, Commit, LaneProgress, PartitionProgress, Position, Quarantined};
use crate::revision::{Cut, Cuts, Revision};
use crate::settings::Settings;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_millis(1_000);
const END: Offset = Offset(9);

struct Scene {
    dispatcher: Dispatcher,
    commits: Vec<Arc<Commit>>,
    /// Reads of events, and those of where the log ends.
    reads: Vec<ReadId>,
    ends: Vec<ReadId>,
    notices: Vec<Notice>,
}

impl Scene {
    /// A partition of which all is settled but for what the lanes say, and that follows a revision, if any.
    fn new(present: Vec<Destination>, lanes: BTreeMap<DestinationName, LaneProgress>, follows: Option<u64>) -> Self {
        let cuts = follows.map(|revision| Cut { revision: Revision(revision), at: Offset(0) });
        let cuts = Cuts::of(cuts.into_iter().collect());
        Self::over(present, PartitionProgress { scanned: END, lanes, cuts, ..PartitionProgress::default() }, END)
    }

    fn over(present: Vec<Destination>, progress: PartitionProgress, end: Offset) -> Self {
        let dispatcher = Dispatcher::new(Settings { check_state: end <= END, ..Settings::default() }, 1);
        let (commits, reads, ends, notices) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut scene = Self { dispatcher, commits, reads, ends, notices };
        scene.tell(present);
        let (log, until) = (Offset(0)..end, NOW.after(Duration::from_secs(5)));
        scene.input(Input::Claimed { partition: PARTITION, progress, gone: [].into(), log, until });
        scene
    }

    /// These are there now, as of the last revision that made one of them.
    fn tell(&mut self, present: Vec<Destination>) {
        let revision = present.iter().map(|destination| destination.born).max().unwrap_or_default();
        self.input(Input::Destinations(DestinationChanges { revision, present, ..DestinationChanges::default() }));
    }

    fn input(&mut self, input: Input) {
        self.dispatcher.handle(input, NOW);
        self.poll(NOW);
    }

    fn poll(&mut self, now: Timestamp) {
        while let Some(output) = self.dispatcher.poll(now) {
            match output {
                Output::Commit { commit, .. } => self.commits.push(commit),
                Output::Read { read, .. } => self.reads.push(read),
                Output::ReadEnd { read, .. } => self.ends.push(read),
                Output::Notice(notice) => self.notices.push(notice),
                _ => {}
            }
        }
    }

    /// The commit that is made within its interval, if any is.
    fn commit(&mut self) -> Option<Arc<Commit>> {
        self.poll(NOW.after(Settings::default().commit_interval));
        self.commits.pop()
    }

    fn has_lane(&self, of: &str) -> bool {
        let index = self.dispatcher.shared.destinations.named(&name(of)).expect("it is there");
        self.dispatcher.partitions[&PARTITION].lane(index).is_some()
    }
}

fn made(text: &str, born: u64) -> Destination {
    Destination { born: Revision(born), ..Destination::new(name(text)) }
}

fn stored(text: &str, born: u64) -> BTreeMap<DestinationName, LaneProgress> {
    [(name(text), LaneProgress { born: Revision(born), ..LaneProgress::default() })].into()
}

#[test]
fn what_is_stored_of_one_before_is_dropped_unless_the_next_one_takes_over() {
    let mut another = Scene::new(vec![made("a", 7)], stored("a", 3), Some(3));
    assert_eq!(another.ends.len(), 1, "it begins anew");
    assert!(another.commit().expect("there is something to say").dropped.contains(&name("a")));
    let mut same = Scene::new(vec![Destination { takes_over: true, ..made("a", 7) }], stored("a", 3), Some(3));
    let commit = same.commit().expect("there is something to say");
    assert_eq!((commit.dropped.len(), commit.lanes[&name("a")].born), (0, Some(Revision(7))));
    assert_eq!(Scene::new(vec![made("a", 3)], stored("a", 3), Some(3)).commit(), None, "nothing is to be said");
}

#[test]
fn what_is_new_begins_at_the_end_where_somebody_was_known_or_a_change_was_followed() {
    for (lanes, follows) in [(stored("other", 0), None), (BTreeMap::new(), Some(3))] {
        let mut scene = Scene::new(vec![made("new", 0)], lanes, follows);
        let commit = scene.commit().expect("it is told to the store");
        assert_eq!(commit.lanes[&name("new")].position, Some(Position::Shared), "{follows:?}");
    }
}

#[test]
fn who_stands_where_the_others_are_and_has_nothing_under_way_needs_no_lane() {
    let mut scene = Scene::new(vec![made("a", 3)], stored("a", 3), Some(3));
    assert!(!scene.has_lane("a"), "as it was found");
    scene.tell(vec![made("joins", 5)]);
    let read = scene.ends.pop().expect("it was asked where the log ends");
    scene.input(Input::EndRead { read, end: END });
    assert!(!scene.has_lane("joins"));
    scene.tell(vec![Destination { is_kept: false, ..made("stands-in", 0) }]);
    assert!(!scene.has_lane("stands-in"));
}

#[test]
fn one_with_keys_behind_goes_along_with_the_shared_reader_if_it_has_come_as_far() {
    let key = LaneKey::Key(Key::new("k").unwrap());
    let behind = [(key, Behind { offset: Offset(1), retry: None })].into();
    let lanes = [(name("a"), LaneProgress { behind, ..LaneProgress::default() })].into();
    let scene = Scene::new(vec![made("a", 0)], lanes, None);
    let index = scene.dispatcher.shared.destinations.named(&name("a")).unwrap();
    assert!(scene.dispatcher.partitions[&PARTITION].lane(index).is_some_and(|lane| lane.is_attached()));
}

#[test]
fn what_is_stored_of_one_of_which_nothing_is_kept_goes() {
    let mut scene = Scene::new(vec![Destination { is_kept: false, ..made("a", 0) }], stored("a", 0), None);
    assert!(scene.commit().expect("there is something to say").dropped.contains(&name("a")));
}

#[test]
fn one_that_is_ordered_otherwise_from_now_on_stays_the_one_that_it_was() {
    let mut scene = Scene::new(vec![made("a", 3)], stored("a", 3), Some(3));
    scene.tell(vec![Destination { ordering: Ordering::Strict, ..made("a", 3) }]);
    assert!(scene.ends.is_empty(), "it does not begin anew");
    let commit = scene.commit().expect("its lane is made anew");
    assert_eq!((commit.dropped.len(), commit.lanes[&name("a")].position), (0, Some(Position::Shared)));
}

#[test]
fn nothing_wakes_a_partition_at_rest_and_what_changes_nothing_makes_no_commit() {
    let mut scene = Scene::new(vec![made("a", 0)], stored("a", 0), None);
    assert_eq!(scene.dispatcher.next_wakeup(), None);
    scene.tell(vec![made("a", 0)]);
    assert_eq!(scene.dispatcher.next_wakeup(), None);
}

/// Several readers come by the same records, of which as many as that are known to have been reported.
#[test]
fn damaged_records_are_reported_once_up_to_a_number_that_no_healthy_disk_reaches() {
    const REMEMBERED: u64 = 4096;
    let corrupt = || (0..=REMEMBERED).map(|n| Quarantined { offset: Offset(n), reason: "damaged".into() }).collect();
    let next = Offset(REMEMBERED + 1);
    let from_beginning = |text| Destination { from: StartFrom::Beginning, ..made(text, 0) };
    let mut scene = Scene::over(vec![from_beginning("a")], PartitionProgress::default(), next);
    let mut reported = Vec::new();
    for another in ["b", "c"] {
        let read = scene.reads.pop().expect("it is read");
        scene.input(Input::Read { read, events: Vec::new(), corrupt: corrupt(), next });
        let is_of_record = |notice: &Notice| matches!(notice, Notice::Quarantined { .. });
        reported.push(scene.notices.drain(..).filter(is_of_record).count() as u64);
        scene.tell(vec![from_beginning(another)]);
    }
    assert_eq!(reported, [REMEMBERED + 1, 1]);
}
