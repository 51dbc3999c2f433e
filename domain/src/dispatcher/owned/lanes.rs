//! The lanes of one partition, and who among them has to be looked at.

use crate::destination::DestinationIndex;
use crate::event::LoggedEvent;
use crate::lane::{Context, Lane};
use crate::partition::Offset;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// The lanes of one partition.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// By destination. `None`: attached, at the default position, with nothing under way. That is
    /// what thousands of idle destinations cost.
    by_destination: Vec<Option<Box<Lane>>>,
    /// How many destinations have a lane here, those included that are not in memory.
    members: usize,
    /// Those that read for themselves, by how far they have looked. Thousands may stand still in the middle of the
    /// log, so that nothing which happens at its end may look at all of them.
    detached: BTreeSet<(Offset, DestinationIndex)>,
    /// Of the others, those whose stored position is their own, or is to be: they move with the shared reader, and
    /// may come to share its position.
    rejoining: BTreeSet<DestinationIndex>,
    /// Of those, the ones with nothing on track: they stand where the shared reader is, and every commit looks
    /// whether they share its position now. Where the others stand changes only when they do.
    returning: BTreeSet<DestinationIndex>,
    /// Lanes that the next commit must look at, beside those.
    touched: BTreeSet<DestinationIndex>,
    /// Lanes with something on track.
    on_track: BTreeSet<DestinationIndex>,
    /// Of those, the ones that share a position, and may hold it back.
    holding: BTreeSet<DestinationIndex>,
    /// Lanes that could not pass their gate because too much is uncommitted, or the lease too short.
    stalled: BTreeSet<DestinationIndex>,
}

/// Where the lanes stand that share a position.
pub(super) struct SharedPosition {
    pub(super) at: Offset,
    /// Whether one of them holds the others back, so that another commit has to come.
    pub(super) is_held_back: bool,
}

impl Lanes {
    pub(super) fn get(&self, index: DestinationIndex) -> Option<&Lane> {
        self.by_destination.get(index.0)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, index: DestinationIndex) -> Option<&mut Lane> {
        self.by_destination.get_mut(index.0)?.as_deref_mut()
    }

    /// One of those that these tables name.
    fn known(&self, index: DestinationIndex) -> &Lane {
        self.get(index).unwrap_or_else(|| panic!("there is no lane of destination {}", index.0))
    }

    /// The same, to be changed.
    pub(super) fn known_mut(&mut self, index: DestinationIndex) -> &mut Lane {
        self.get_mut(index).unwrap_or_else(|| panic!("there is no lane of destination {}", index.0))
    }

    pub(super) fn insert(&mut self, lane: Lane) {
        let at = lane.destination.0;
        if self.by_destination.len() <= at {
            self.by_destination.resize_with(at + 1, || None);
        }
        self.by_destination[at] = Some(Box::new(lane));
    }

    /// Inserts a lane that does not begin at the shared position, or not at the shared reader.
    pub(super) fn insert_apart(&mut self, lane: Lane) {
        if lane.is_attached() {
            self.rejoining.insert(lane.destination);
        } else {
            self.detached.insert((lane.cursor(), lane.destination));
        }
        let index = lane.destination;
        self.insert(lane);
        self.file(index);
    }

    /// Keeps `returning` and `holding` after anything of a lane has changed that they go by.
    fn file(&mut self, index: DestinationIndex) {
        let (is_rejoining, has_on_track) = (self.rejoining.contains(&index), self.on_track.contains(&index));
        if is_rejoining && !has_on_track {
            self.returning.insert(index);
        } else {
            self.returning.remove(&index);
        }
        if has_on_track && !is_rejoining && self.known(index).is_attached() {
            self.holding.insert(index);
        } else {
            self.holding.remove(&index);
        }
    }

    /// Takes a lane out, if there is one.
    pub(super) fn remove(&mut self, index: DestinationIndex) -> Option<Box<Lane>> {
        self.touched.remove(&index);
        self.rejoining.remove(&index);
        self.returning.remove(&index);
        self.on_track.remove(&index);
        self.holding.remove(&index);
        self.stalled.remove(&index);
        let lane = self.by_destination.get_mut(index.0)?.take()?;
        if !lane.is_attached() {
            self.detached.remove(&(lane.cursor(), index));
        }
        Some(lane)
    }

    /// The lanes in which something was ever under way.
    pub(super) fn all(&self) -> impl Iterator<Item = &Lane> {
        self.by_destination.iter().filter_map(Option::as_deref)
    }

    pub(super) fn indices(&self) -> Vec<DestinationIndex> {
        self.all().map(|lane| lane.destination).collect()
    }

    /// A destination has a lane here from now on, or no longer.
    pub(super) const fn is_member(&mut self, member: bool) {
        if member {
            self.members += 1;
        } else {
            self.members -= 1;
        }
    }

    /// How many lanes take what the shared reader reads, those included that are not in memory.
    pub(super) fn attached(&self) -> usize {
        self.members - self.detached.len()
    }

    /// Those that read for themselves and have come as far as `from`.
    pub(super) fn detached_from(&self, from: Offset) -> Vec<DestinationIndex> {
        self.detached.range((from, DestinationIndex(0))..).map(|(_, index)| *index).collect()
    }

    /// Those that read for themselves and wait for what comes from somewhere in `range` on.
    pub(super) fn reading_within(&self, range: Range<Offset>) -> impl Iterator<Item = DestinationIndex> {
        let there = self.detached.range((range.start, DestinationIndex(0))..(range.end, DestinationIndex(0)));
        there.map(|(_, index)| *index).filter(|index| self.known(*index).is_reading())
    }

    /// From here on the lane reads for itself.
    pub(super) fn detach(&mut self, index: DestinationIndex, at: Offset) {
        self.known_mut(index).detach(at);
        self.rejoining.remove(&index);
        self.detached.insert((at, index));
        self.touch(index);
    }

    /// A lane that reads for itself has looked at everything below `next`; see [`Lane::advance`].
    pub(super) fn advance(
        &mut self,
        index: DestinationIndex,
        next: Offset,
        seen: &[Arc<LoggedEvent>],
        cx: &Context<'_>,
    ) {
        let lane = self.known_mut(index);
        let before = lane.cursor();
        lane.advance(next, seen, cx);
        self.detached.remove(&(before, index));
        self.detached.insert((next, index));
        self.touch(index);
    }

    /// How far any of them has looked, with the shared reader at `head`. Those that share a position have not looked
    /// further.
    pub(super) fn looked_up_to(&self, head: Offset) -> Offset {
        let rejoining = self.rejoining.iter().map(|index| self.known(*index).looked_up_to(head));
        rejoining.fold(self.foremost(head).max(head), Offset::max)
    }

    /// How far the foremost of those that read for themselves has looked, but for `head`.
    pub(super) fn foremost(&self, head: Offset) -> Offset {
        self.detached.last().map_or(head, |(at, _)| *at)
    }

    /// Attaches those that have come as far as the shared reader and may go along with it. Returns whether there were
    /// any.
    pub(super) fn attach_at(&mut self, head: Offset, may_follow: impl Fn(DestinationIndex) -> bool) -> bool {
        let reached = |index: &DestinationIndex| !self.known(*index).is_reading() && may_follow(*index);
        let there = self.detached.range((head, DestinationIndex(0))..).take_while(|(at, _)| *at == head);
        let attaching: Vec<DestinationIndex> = there.map(|(_, index)| *index).filter(reached).collect();
        for index in &attaching {
            self.known_mut(*index).attach();
            self.detached.remove(&(head, *index));
            self.rejoining.insert(*index);
            self.touch(*index);
        }
        !attaching.is_empty()
    }

    /// Notes that a lane has changed.
    pub(super) fn touch(&mut self, index: DestinationIndex) {
        self.touched.insert(index);
        if self.known(index).has_on_track() {
            self.on_track.insert(index);
        } else {
            self.on_track.remove(&index);
        }
        self.file(index);
    }

    pub(super) fn any_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Those that the commit which is being made has to look at.
    pub(super) fn take_touched(&mut self) -> Vec<DestinationIndex> {
        let looking = self.touched.union(&self.returning).copied().collect();
        self.touched.clear();
        looking
    }

    /// Notes what a commit has made of a lane. One that is where the others are and has nothing under way is one that costs
    /// nothing from then on: at once if it has just come there, as what was made a moment ago; else if that was so when the
    /// commit before was made, so that a lane which has something to do again and again is not made again and again.
    pub(super) fn committed(&mut self, index: DestinationIndex, shares_position: bool, look_again: bool) {
        if shares_position {
            let stood_apart = self.rejoining.remove(&index);
            let lane = self.known_mut(index);
            let is_idle = lane.is_idle();
            let was_idle = std::mem::replace(&mut lane.was_idle, is_idle);
            if is_idle && (stood_apart || was_idle) {
                self.remove(index);
                return;
            }
            if is_idle {
                self.touched.insert(index);
            }
        } else if self.known(index).is_attached() {
            self.rejoining.insert(index);
        }
        self.file(index);
        if look_again {
            self.touched.insert(index);
        }
    }

    pub(super) fn all_on_track(&self) -> Vec<DestinationIndex> {
        self.on_track.iter().copied().collect()
    }

    pub(super) fn stall(&mut self, index: DestinationIndex) {
        self.stalled.insert(index);
    }

    pub(super) fn take_stalled(&mut self) -> BTreeSet<DestinationIndex> {
        std::mem::take(&mut self.stalled)
    }

    /// Decides where the lanes that share a position stand in the commit that is being made, with the
    /// shared reader at `head`, and which of them no longer do. Never below `before`, where they stood.
    ///
    /// What a crash repeats at a destination must not depend on another one (G4). So a lane holds the
    /// shared position back for one commit at most: what it had before it at the last commit (below
    /// `head_at_commit`) and has not settled by this one, it keeps to itself, at a position of its own.
    /// That is one [`crate::Settings::commit_interval`], and less under load; long enough that lanes which
    /// only have something in flight when a commit is made go on sharing, and a commit stays one number.
    pub(super) fn share_position(&mut self, head: Offset, head_at_commit: Offset, before: Offset) -> SharedPosition {
        let has_company = self.attached() > 1;
        let patience = if has_company { head_at_commit } else { Offset::ZERO };
        let holding = self.holding.iter().map(|index| self.known(*index));
        let positions: Vec<_> = holding.map(|lane| (lane.destination, lane.settled_below(head))).collect();
        let patient = positions.iter().map(|(_, position)| *position).filter(|position| *position >= patience);
        let at = patient.fold(head, Offset::min).max(before);
        for (index, _) in positions.iter().filter(|(_, position)| *position < at) {
            self.rejoining.insert(*index);
            self.touch(*index);
        }
        SharedPosition { at, is_held_back: has_company && at < head }
    }

    /// See [`super::super::Dispatcher::check`].
    pub(super) fn check(&self, members: usize, head: Offset) {
        assert_eq!(self.members, members, "how many destinations have a lane");
        let (attached, detached): (Vec<_>, Vec<_>) = self.all().partition(|lane| lane.is_attached());
        let detached = detached.into_iter().map(|lane| (lane.cursor(), lane.destination)).collect();
        assert_eq!(self.detached, detached, "which lanes read for themselves, and how far they have looked");
        let on_track = self.all().filter(|lane| lane.has_on_track()).map(|lane| lane.destination).collect();
        assert_eq!(self.on_track, on_track, "which lanes have something on track");
        let returning: BTreeSet<_> = self.rejoining.difference(&self.on_track).copied().collect();
        assert_eq!(self.returning, returning, "which lanes may share a position by the next commit");
        let shares = |lane: &&&Lane| lane.has_on_track() && !self.rejoining.contains(&lane.destination);
        let holding: BTreeSet<_> = attached.iter().filter(shares).map(|lane| lane.destination).collect();
        assert_eq!(self.holding, holding, "which lanes may hold the shared position back");
        for lane in attached.into_iter().filter(|lane| !self.rejoining.contains(&lane.destination)) {
            assert!(lane.shares_position(), "a lane stands apart, and is not known to");
            assert_eq!(lane.looked_up_to(head), head, "a lane that shares a position is where the others are");
        }
        for index in &self.rejoining {
            assert!(self.known(*index).is_attached(), "one that goes along with the shared reader is attached to it");
        }
        for index in self.touched.iter().chain(&self.stalled) {
            self.known(*index);
        }
    }
}
