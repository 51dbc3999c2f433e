use super::*;
use crate::lane::tests::{NOW, Scene, event, key};
use crate::settings::Settings;

fn after(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

/// Keys with an event each, the one of key `n` waiting since `n` seconds later.
fn waiting(keys: &[u8]) -> Queues {
    let mut queues = Queues::new(1);
    queues.oldest = Some(BTreeSet::new());
    keys.iter().for_each(|n| _ = queues.push(&key(*n), &event(u64::from(*n), *n), after(u64::from(*n))));
    queues
}

#[test]
fn those_that_wait_for_longest_come_first_as_far_as_they_wait_since_then() {
    let queues = waiting(&[3, 1, 2]);
    let since = |seconds| queues.waiting_since(after(seconds)).map(|(_, offset, _)| offset.0).collect::<Vec<_>>();
    assert_eq!([0, 1, 2, 9].map(since), [vec![], vec![1], vec![1, 2], vec![1, 2, 3]]);
    let later = |seconds| queues.waiting_since_after(after(seconds)).map(|(_, offset, _)| offset.0).collect::<Vec<_>>();
    assert_eq!([0, 1, 3].map(later), [vec![1, 2, 3], vec![2, 3], vec![]]);
    assert_eq!(
        [0, 1, 3].map(|seconds| queues.next_waiting_since(after(seconds))),
        [Some(after(1)), Some(after(2)), None]
    );
    assert_eq!(Queues::new(1).next_waiting_since(after(0)), None);
}

#[test]
fn a_key_waits_since_its_first_event_does() {
    let mut queues = waiting(&[1]);
    assert_eq!(queues.push(&key(1), &event(5, 1), NOW), 2);
    assert_eq!(queues.next_waiting_since(Timestamp::ZERO), Some(after(1)));
    let mut scene = Scene::new();
    let settled = scene.act(|_, cx| queues.settle_first(&key(1), &mut cx.memory));
    assert_eq!((settled, queues.next_waiting_since(Timestamp::ZERO)), ((Offset(1), true), Some(NOW)));
    scene.act(|_, cx| queues.settle_first(&key(1), &mut cx.memory));
    assert_eq!((queues.next_waiting_since(Timestamp::ZERO), queues.bytes()), (None, 0));
    queues.forget(&key(1));
    assert!(queues.is_empty());
}

#[test]
fn which_waits_for_longest_is_known_from_when_it_is_wanted_until_it_is_not() {
    let mut queues = waiting(&[2, 1]);
    let mut scene = Scene::new();
    let mut know = |queues: &mut Queues, wanted| scene.act(|_, cx| queues.know_oldest(wanted, &mut cx.memory));
    assert_eq!(know(&mut queues, false), BTreeSet::new());
    assert!(!queues.knows_oldest() && queues.waiting_since(after(9)).next().is_none());
    assert_eq!(know(&mut queues, true), BTreeSet::new(), "on track the age of each is known");
    assert!(queues.knows_oldest());
    assert_eq!(queues.waiting_since(after(9)).count(), 2);
    // Wanted already: nothing changes.
    queues.oldest = Some(BTreeSet::new());
    know(&mut queues, true);
    assert_eq!(queues.waiting_since(after(9)).count(), 0);
}

#[test]
fn offsets_are_remembered_up_to_the_bound_of_a_key() {
    let mut scene = Scene::bounded(Settings { waiting_per_key: 2, ..Settings::default() });
    scene.act(|_, cx| {
        let mut queues = waiting(&[1]);
        assert_eq!(queues.fall_behind(&key(1), &mut cx.memory), [Offset(1)]);
        assert_eq!((queues.bytes(), queues.waiting()), (0, 1));
        assert_eq!([5, 6, 7].map(|offset| queues.remember(&key(1), Offset(offset), NOW, cx)), [true, false, false]);
        assert_eq!((queues.waiting(), queues.known(&key(1)).known_below()), (2, Some(Offset(7))));
        cx.memory.remembered(2, 0);
    });
}

#[test]
fn a_dead_letter_is_there_once() {
    let mut queues = Queues::new(1);
    let mut scene = Scene::new();
    let mut redrive =
        |queues: &mut Queues, offset| scene.act(|_, cx| queues.redrive(&key(1), Offset(offset), &mut cx.memory));
    assert_eq!([3, 5, 3, 5].map(|offset| redrive(&mut queues, offset)), [true, true, false, false]);
    assert_eq!(queues.redrives(), 2);
    scene.act(|_, cx| queues.fill_redrive(&key(1), Some(event(3, 1)), &mut cx.memory));
    assert!(queues.known(&key(1)).redrives()[0].event.is_some());
    scene.act(|_, cx| queues.pop_redrive(&key(1), &mut cx.memory));
    scene.act(|_, cx| queues.fill_redrive(&key(1), None, &mut cx.memory));
    assert_eq!(queues.redrives(), 0, "one without an event is let go of");
}
