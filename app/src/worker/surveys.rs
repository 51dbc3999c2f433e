//! Who asks for a status, and the status in the making: a piece of it each turn of the loop, so that events go on.

use super::handle::Listing;
use laneway_domain::{Dispatcher, StatusReport, Survey, Timestamp};
use tokio::sync::oneshot;

/// How many destinations, lanes and keys are looked at in the first turn: 0.1 to 0.3 ms of work, as much as some ten
/// attempts. In each turn after that it is one more, so that a survey of a million of them has an end, too: after 1,200
/// turns, of which the last ones take about a millisecond. Whoever asks does not wait for longer than some seconds.
const LOOKED_AT_FIRST: usize = 200;

/// Whoever is answered when a status is there.
type Answers = Vec<oneshot::Sender<StatusReport>>;

#[derive(Default)]
pub(super) struct Surveys {
    /// Those who asked since the survey under way began: it may have passed by what they ask about.
    waiting: Answers,
    /// Whether one of them wants blocked keys to be listed.
    list_keys: bool,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    survey: Survey,
    answers: Answers,
    /// How many pieces it has had.
    pieces: usize,
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
            let survey = Survey::new(std::mem::take(&mut self.list_keys));
            self.under_way = Some(UnderWay { survey, answers: std::mem::take(&mut self.waiting), pieces: 0 });
        }
        let mut under_way = self.under_way.take()?;
        let most = LOOKED_AT_FIRST.saturating_add(under_way.pieces);
        let report = dispatcher.survey(&mut under_way.survey, most, now);
        under_way.pieces += 1;
        match report {
            Some(report) => Some((report, under_way.answers)),
            None => {
                self.under_way = Some(under_way);
                None
            }
        }
    }
}
