//! What waits for the writer: bounded, so that a slow disk is answered with "retry later" and not
//! with memory.

use crate::request::Request;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The most events of one group: enough that the fsync is a small part of its cost, few enough
/// that who comes next waits some ten milliseconds at most.
const MAX_GROUP_EVENTS: usize = 4096;
/// The most bytes of one group, by weight; what it dirties must fit into the writer's cache.
const MAX_GROUP_BYTES: usize = 8 << 20;

/// The queue between those who write and the writer.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    max_events: usize,
    max_bytes: usize,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    events: usize,
    bytes: usize,
    closed: bool,
    writer_waits: bool,
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// Too much waits already.
    Full,
    /// The store is closing.
    Closed,
}

impl Queue {
    pub(crate) fn new(max_events: usize, max_bytes: usize) -> Self {
        Self { max_events, max_bytes, ..Self::default() }
    }

    /// Takes the request, at once or not at all. Only appends count against the bounds: changes of
    /// progress are what makes room, and each caller has one at a time.
    pub(crate) fn push(&self, request: Request) -> Result<(), NotTaken> {
        let mut state = self.lock();
        if state.closed {
            return Err(NotTaken::Closed);
        }
        if let Request::Append { events, weight, .. } = &request {
            let (all_events, all_bytes) = (state.events + events.len(), state.bytes + weight);
            if state.events > 0 && (all_events > self.max_events || all_bytes > self.max_bytes) {
                return Err(NotTaken::Full);
            }
            (state.events, state.bytes) = (all_events, all_bytes);
        }
        state.requests.push_back(request);
        if std::mem::take(&mut state.writer_waits) {
            drop(state);
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for requests and moves the next group into `group`. `false`: closed, and all is done.
    pub(crate) fn take(&self, group: &mut VecDeque<Request>) -> bool {
        let mut state = self.lock();
        while state.requests.is_empty() {
            if state.closed {
                return false;
            }
            state.writer_waits = true;
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let (mut events, mut bytes) = (0, 0);
        while let Some(request) = state.requests.front() {
            let (more, weight) = request.size();
            let fits = events + more <= MAX_GROUP_EVENTS && bytes + weight <= MAX_GROUP_BYTES;
            if !fits && !group.is_empty() {
                break;
            }
            (events, bytes) = (events + more, bytes + weight);
            group.extend(state.requests.pop_front());
        }
        state.events -= events;
        state.bytes -= bytes;
        true
    }

    /// Lets nothing more in; what waits is still done.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
