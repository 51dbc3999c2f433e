//! Going on around a part of the database that is damaged.
//!
//! SQLite writes nothing more in a transaction that has met damage, so that all of a group would fail because of one
//! request, again and again. So the transaction is undone, and made anew without that request. If it is a change, it is
//! then made once more, alone: with another connection it looks at what may be damaged, and leaves that out.

use super::{Pending, Writer, refuse};
use crate::failure::{self, Reach};
use crate::request::{Change, Request};
use crate::schema::open_reader;
use crate::shared::REST_AFTER_DAMAGE;
use laneway_ports::StoreError;
use std::collections::VecDeque;
use std::time::Instant;

/// How many requests of a group are left out one by one. Where more meet damage, the group fails: each costs the others
/// another transaction.
const LEFT_OUT: usize = 8;

impl Writer<'_> {
    /// Carries the group out, but for what meets damage: changes go to `damaged`, and appends are answered.
    pub(super) fn attempt_around_damage(
        &mut self,
        group: &mut VecDeque<Request>,
        damaged: &mut Vec<Box<dyn Change>>,
    ) -> Result<(), StoreError> {
        for _ in 0..LEFT_OUT {
            let reach = match self.attempt(group) {
                Ok(()) => return Ok(()),
                Err(reach @ Reach::Damage(_)) if !self.pending.is_empty() => reach,
                Err(reach) => return Err(self.undo(reach)),
            };
            let left_out = self.take_back(group);
            let error = self.undo(reach);
            match left_out {
                // It was undone with the group, and may do better alone.
                Some(Pending::Change(change)) if self.aside.is_none() => damaged.push(change),
                Some(pending) => pending.answer(Err(error)),
                None => {}
            }
            self.shared.usable()?;
        }
        self.attempt(group).map_err(|reach| self.undo(reach))
    }

    /// Makes requests again of what was carried out, and puts them before the others of `group`; but for the last one,
    /// which has met damage.
    fn take_back(&mut self, group: &mut VecDeque<Request>) -> Option<Pending> {
        let last = self.pending.pop();
        let mut events = self.appender.take_back();
        let again = self.pending.drain(..).map(|pending| match pending {
            // What it weighs counted in the queue, where it no longer is.
            Pending::Append(answer, placed) => {
                let events = placed.iter().filter_map(|placed| events.next(placed)).collect();
                Request::Append { events, weight: 0, answer }
            }
            Pending::Change(change) => Request::Change(change),
        });
        let again: Vec<Request> = again.collect();
        again.into_iter().rev().for_each(|request| group.push_front(request));
        last
    }

    /// Makes each of the changes that have met damage once more, by itself.
    pub(super) fn store_with_care(&mut self, damaged: Vec<Box<dyn Change>>) {
        match open_reader(&self.shared.path) {
            Ok(aside) => {
                self.aside = Some(aside);
                for change in damaged {
                    self.store_group(&mut VecDeque::from([Request::Change(change)]), &mut Vec::new());
                }
                self.aside = None;
            }
            Err(error) => {
                let error = failure::of_read(&error, &self.shared.path);
                damaged.into_iter().for_each(|change| refuse(Request::Change(change), error.clone()));
            }
        }
    }

    /// Forgets ids whose window is over. By itself, and when everybody has been answered: whatever it fails of,
    /// nobody's events fail with it.
    pub(super) fn expire_ids(&mut self) {
        let rests = self.ids_rest_until.is_some_and(|until| Instant::now() < until);
        if rests || self.room.wants_log_written_back() || self.shared.usable().is_err() {
            return;
        }
        let Err(error) = self.appender.expire_ids(self.last_now, self.room.is_short()) else { return };
        let path = &self.shared.path;
        match failure::of_statement(&error, path) {
            Reach::Store(what) => self.shared.fail(what),
            Reach::NoRoom(_) if !self.room.is_short() => self.room.ran_out(),
            // There will be room, or the lock is free.
            Reach::NoRoom(_) | Reach::Group(_) | Reach::Statement(_) => {}
            Reach::Damage(what) => {
                self.ids_rest_until = Some(Instant::now() + REST_AFTER_DAMAGE);
                tracing::error!(path = %path.display(), "ids whose window is over cannot be forgotten: {what}");
            }
        }
    }
}
