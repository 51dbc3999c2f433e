//! Whatever at-least-once-in-order delivery repeats: one number per key gives one effect per event.

use super::*;
use proptest::prelude::*;

/// What happens to a request that reaches the receiver.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is handled and answered.
    Answered,
    /// It is handled, and the answer gets lost: the receiver dies after its transaction, or the
    /// connection does.
    AnswerLost,
    /// The receiver dies before its transaction is committed.
    NothingHappens,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next attempt of a key, whichever that is.
    Attempt(usize, Fate),
    /// The sender crashes: each key goes back to some event that was not before its last commit.
    Crash(usize),
    /// The sender commits: a crash goes back no further.
    Commit,
    /// A request of earlier, from a sender that is gone or a connection that was slow, arrives now.
    Late(usize, usize, Fate),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::Answered), Just(Fate::AnswerLost), Just(Fate::NothingHappens)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..KEYS, fate()).prop_map(|(key, fate)| Step::Attempt(key, fate)),
        1 => any::<usize>().prop_map(Step::Crash),
        1 => Just(Step::Commit),
        2 => (0..KEYS, any::<usize>(), fate()).prop_map(|(key, which, fate)| Step::Late(key, which, fate)),
    ]
}

const KEYS: usize = 3;
const EVENTS: usize = 6;

/// The offset of a key's event: keys share a partition.
fn sequence(key: usize, event: usize) -> Sequence {
    Sequence { partition: Partition(1), offset: Offset((event * KEYS + key) as u64) }
}

/// A receiver whose transaction covers the effect and the number.
#[derive(Default)]
struct Receiver {
    last: LastSeenByKey,
    effects: [Vec<usize>; KEYS],
}

impl Receiver {
    fn request(&mut self, key: usize, event: usize, fate: Fate) -> bool {
        if !matches!(fate, Fate::NothingHappens)
            && self.last.is_new(&format!("k{key}"), sequence(key, event), Occasion::Live)
        {
            self.effects[key].push(event);
        }
        matches!(fate, Fate::Answered)
    }
}

/// A sender that starts a key's next event when the one before is settled.
#[derive(Default)]
struct Sender {
    next: [usize; KEYS],
    committed: [usize; KEYS],
    /// How many events of each key were attempted at all: only these can still be on their way.
    begun: [usize; KEYS],
}

fn play(steps: &[Step]) -> Receiver {
    let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
    let attempt = |sender: &mut Sender, receiver: &mut Receiver, key: usize, fate| {
        let event = sender.next[key];
        if event < EVENTS {
            sender.begun[key] = sender.begun[key].max(event + 1);
            sender.next[key] += usize::from(receiver.request(key, event, fate));
        }
    };
    for step in steps {
        match *step {
            Step::Attempt(key, fate) => attempt(&mut sender, &mut receiver, key, fate),
            Step::Commit => sender.committed = sender.next,
            Step::Crash(back) => {
                for key in 0..KEYS {
                    let lost = sender.next[key] - sender.committed[key];
                    sender.next[key] -= back % (lost + 1);
                }
            }
            Step::Late(key, which, fate) if sender.begun[key] > 0 => {
                receiver.request(key, which % sender.begun[key], fate);
            }
            Step::Late(..) => {}
        }
    }
    for key in 0..KEYS {
        while sender.next[key] < EVENTS {
            attempt(&mut sender, &mut receiver, key, Fate::Answered);
        }
    }
    receiver
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn every_effect_is_had_once_and_in_order_whatever_is_repeated(steps in prop::collection::vec(step(), 0..120)) {
        let all: Vec<usize> = (0..EVENTS).collect();
        for effects in play(&steps).effects {
            prop_assert_eq!(&effects, &all);
        }
    }
}

#[test]
fn an_event_that_comes_again_is_not_new() {
    let mut last = LastSeen::default();
    let at = |offset| Sequence { partition: Partition(0), offset: Offset(offset) };
    assert!(last.is_new(at(0), Occasion::Live), "zero is a number like others");
    assert!(!last.is_new(at(0), Occasion::Live));
    assert!(last.is_new(at(7), Occasion::Live), "numbers of a key have gaps");
    assert!(
        !last.is_new(at(0), Occasion::Live)
            && !last.is_new(at(6), Occasion::Live)
            && !last.is_new(at(7), Occasion::Live)
    );
    assert_eq!(last.number(), Some(7));
    let mut restarted = LastSeen::stored(last.number(), last.replayed());
    assert!(!restarted.is_new(at(7), Occasion::Live) && restarted.is_new(at(8), Occasion::Live));
}

#[test]
fn a_retried_dead_letter_is_new_and_leaves_the_number_where_it_was() {
    let at = |offset| Sequence { partition: Partition(0), offset: Offset(offset) };
    let mut last = LastSeen::stored(Some(9), None);
    assert!(last.is_new(at(4), Occasion::Redrive));
    assert_eq!(last.number(), Some(9));
    assert!(!last.is_new(at(9), Occasion::Redrive), "the last number itself was taken");
    assert!(!last.is_new(at(4), Occasion::Live), "what is no redrive is a late duplicate");
    let mut none = LastSeen::default();
    assert!(
        none.is_new(at(4), Occasion::Redrive)
            && !none.is_new(at(4), Occasion::Redrive)
            && none.is_new(at(5), Occasion::Live)
    );
}

#[test]
fn keys_do_not_know_of_each_other() {
    let at = |offset| Sequence { partition: Partition(0), offset: Offset(offset) };
    let mut last = LastSeenByKey::new();
    assert!(last.is_new("a", at(5), Occasion::Live) && last.is_new("b", at(4), Occasion::Live));
    assert!(!last.is_new("a", at(5), Occasion::Live) && !last.is_new("b", at(4), Occasion::Live));
}
