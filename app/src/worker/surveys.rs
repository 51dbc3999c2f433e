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

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::Settings;
    use laneway_domain::{
        Destination, DestinationChanges, DestinationName, Input, Offset, Partition, PartitionProgress,
    };
    use std::collections::BTreeSet;

    /// A worker's decisions, with so many destinations and one partition.
    fn dispatcher(destinations: usize) -> Dispatcher {
        let now = Timestamp::ZERO;
        let mut dispatcher = Dispatcher::new(Settings::default(), 1);
        let name = |n| DestinationName::new(&format!("d{n}")).unwrap();
        let present = (0..destinations).map(|n| Destination::new(name(n))).collect();
        dispatcher.handle(Input::Destinations(DestinationChanges { present, ..DestinationChanges::default() }), now);
        while dispatcher.poll(now).is_some() {}
        let (progress, log) = (PartitionProgress::default(), Offset::ZERO..Offset::ZERO);
        let (partition, gone) = (Partition(0), BTreeSet::new());
        dispatcher.handle(Input::Claimed { partition, progress, gone, log, until: Timestamp::MAX }, now);
        while dispatcher.poll(now).is_some() {}
        dispatcher
    }

    /// How many turns it takes until somebody is answered, and who that is.
    fn turns(surveys: &mut Surveys, dispatcher: &Dispatcher) -> (usize, StatusReport, Answers) {
        for turn in 1.. {
            if let Some((report, answers)) = surveys.go_on(dispatcher, Timestamp::ZERO) {
                return (turn, report, answers);
            }
        }
        unreachable!("it ends")
    }

    #[test]
    fn a_status_is_made_in_pieces_and_whoever_asks_meanwhile_gets_the_next_one() {
        let (dispatcher, mut surveys) = (dispatcher(1_000), Surveys::default());
        assert!(!surveys.is_asked());
        assert!(surveys.go_on(&dispatcher, Timestamp::ZERO).is_none(), "nobody asks");
        let asks = |surveys: &mut Surveys| {
            let (answer, answered) = oneshot::channel();
            surveys.ask(Listing::NoKeys, answer);
            answered
        };
        let _first = [asks(&mut surveys), asks(&mut surveys)];
        assert!(surveys.go_on(&dispatcher, Timestamp::ZERO).is_none(), "1,000 are more than one piece");
        let _later = asks(&mut surveys);
        let (more, report, answers) = turns(&mut surveys, &dispatcher);
        assert_eq!((report.destinations.len(), answers.len()), (1_000, 2), "both who asked before it began");
        assert!(more >= 1_000 / LOOKED_AT_FIRST - 1, "{more} turns more");
        assert!(surveys.is_asked());
        let (again, report, answers) = turns(&mut surveys, &dispatcher);
        assert_eq!((report.destinations.len(), answers.len()), (1_000, 1), "and then who came meanwhile");
        assert_eq!(again, more + 1, "anew");
        assert!(!surveys.is_asked());
    }
}
