//! Who asks for a status, and the status in the making: a piece of it each turn of the loop, so that events go on.

use super::handle::Listing;
use laneway_domain::{Dispatcher, StatusReport, Survey, Timestamp};
use tokio::sync::oneshot;

/// How many destinations, lanes and keys are looked at in a turn: 0.1 to 0.3 ms of work, as much as some ten attempts.
const LOOKED_AT_A_TURN: usize = 200;

/// Whoever is answered when a status is there.
type Answers = Vec<oneshot::Sender<StatusReport>>;

#[derive(Default)]
pub(super) struct Surveys {
    /// Those who asked since the survey under way began: it may have passed by what they ask about.
    waiting: Answers,
    /// Whether one of them wants blocked keys to be listed.
    list_keys: bool,
    under_way: Option<(Survey, Answers)>,
}

impl Surveys {
    pub(super) fn ask(&mut self, listing: Listing, answer: oneshot::Sender<StatusReport>) {
        self.list_keys |= listing == Listing::Keys;
        self.waiting.push(answer);
    }

    /// Whether anybody waits for a status.
    pub(super) fn is_asked(&self) -> bool {
        self.under_way.is_some() || !self.waiting.is_empty()
    }

    /// Looks at the next piece. The status, when that was the last one, and who asked for it.
    pub(super) fn go_on(&mut self, dispatcher: &Dispatcher, now: Timestamp) -> Option<(StatusReport, Answers)> {
        if self.under_way.is_none() && !self.waiting.is_empty() {
            let list_keys = std::mem::take(&mut self.list_keys);
            self.under_way = Some((Survey::new(list_keys), std::mem::take(&mut self.waiting)));
        }
        let (mut survey, answers) = self.under_way.take()?;
        match dispatcher.survey(&mut survey, LOOKED_AT_A_TURN, now) {
            Some(report) => Some((report, answers)),
            None => {
                self.under_way = Some((survey, answers));
                None
            }
        }
    }
}
