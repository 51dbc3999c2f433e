//! The law of the API, and what is left of a partition that was let go of.

use super::fixtures::{PARTITION, name};
use crate::destination::Destination;
use crate::dispatcher::Dispatcher;
use crate::io::{DestinationChanges, Input, Output};
use crate::partition::Offset;
use crate::progress::PartitionProgress;
use crate::settings::Settings;
use crate::time::Timestamp;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_millis(1_000);

/// A destination, and a partition with an event to be read.
fn dispatcher() -> Dispatcher {
    let mut dispatcher = Dispatcher::new(Settings { check_state: true, ..Settings::default() }, 1);
    dispatcher.handle(Input::Destinations(DestinationChanges::present(vec![Destination::new(name("one"))])), NOW);
    let until = NOW.after(Duration::from_secs(5));
    let (progress, log) = (PartitionProgress::default(), Offset(0)..Offset(1));
    dispatcher.handle(Input::Claimed { partition: PARTITION, progress, gone: [].into(), log, until }, NOW);
    dispatcher
}

#[test]
#[should_panic(expected = "outputs are polled before the next input")]
fn no_input_is_taken_before_all_that_came_of_the_last_one_was_polled() {
    dispatcher().handle(Input::Grew { partition: PARTITION, end: Offset(2) }, NOW);
}

#[test]
fn nothing_is_left_here_of_a_partition_that_was_let_go_of() {
    let mut dispatcher = dispatcher();
    while dispatcher.poll(NOW).is_some() {}
    let mut inputs = vec![Input::Release(PARTITION)];
    let mut released = 0;
    while let Some(input) = inputs.pop() {
        dispatcher.handle(input, NOW);
        while let Some(output) = dispatcher.poll(NOW) {
            match output {
                Output::Commit { partition, .. } => inputs.push(Input::Committed(partition)),
                Output::Released(partition) => {
                    assert_eq!(partition, PARTITION);
                    released += 1;
                }
                _ => {}
            }
        }
    }
    assert_eq!((released, dispatcher.partitions().count()), (1, 0));
}
