//! The oracle can be trusted to object: a good story is told wrongly, and it has to notice.

use super::oracle::judge;
use super::plan::STEADY;
use super::*;

type Lines = Vec<(Duration, What)>;

/// What is done to the story, and to what is left in the end.
type Tamper = fn(&mut Lines, &mut Remains);

/// A run with something of everything, its story and what was left.
fn good() -> (Arc<Plan>, Lines, Remains) {
    let mut simulation = Simulation::new(7, None);
    assert!(simulation.play());
    let (lines, remains) = (simulation.story.trace().lines(), simulation.remains());
    assert_eq!(judge(&simulation.plan, &lines, &remains), Vec::<crate::seeded::Violation>::new());
    (simulation.plan.clone(), lines, remains)
}

/// The lines of one receiver's requests with one event each.
fn single_arrivals(lines: &mut Lines) -> Vec<&mut Got> {
    let got = |line| {
        let (_, what): &mut (Duration, What) = line;
        let What::Arrived { to: STEADY, events, .. } = what else { return None };
        (events.len() == 1).then(|| events.first_mut()).flatten()
    };
    lines.iter_mut().filter_map(got).collect()
}

fn is_noticed(what: &str, tamper: Tamper) {
    let (plan, mut lines, mut remains) = good();
    let before = lines.clone();
    let (log, dead) = (remains.log.len(), remains.dead.len());
    tamper(&mut lines, &mut remains);
    let changed = lines != before || (log, dead) != (remains.log.len(), remains.dead.len());
    assert!(changed, "{what}: there was nothing to tamper with");
    assert!(!judge(&plan, &lines, &remains).is_empty(), "{what}: not noticed");
}

#[test]
fn what_must_not_happen_is_noticed() {
    is_noticed("two requests change places", |lines, _| {
        let mut arrivals = single_arrivals(lines);
        let key = arrivals[0].key.clone();
        let of_key: Vec<usize> = (0..arrivals.len()).filter(|n| arrivals[*n].key == key).collect();
        let (first, second) = (arrivals[of_key[0]].clone(), arrivals[of_key[1]].clone());
        *arrivals[of_key[0]] = second;
        *arrivals[of_key[1]] = first;
    });
    is_noticed("a request has another event's id", |lines, _| single_arrivals(lines)[0].id.push('x'));
    is_noticed("a request has another event's key", |lines, _| single_arrivals(lines)[0].key.push('x'));
    is_noticed("a request has a number that the log has not", |lines, _| single_arrivals(lines)[0].place.1 = 100_000);
    is_noticed("no answer settles an event", |lines, _| {
        let first = lines.iter().find_map(|(_, what)| match what {
            What::Answered { to: STEADY, events, .. } => events.first().map(|(place, _)| *place),
            _ => None,
        });
        lines.retain(|(_, what)| match what {
            What::Answered { to: STEADY, events, .. } => events.first().map(|(place, _)| *place) != first,
            _ => true,
        });
    });
    is_noticed("an accepted event is not in the log", |_, remains| drop(remains.log.pop()));
    is_noticed("an attempt is made twice at a time", |lines, _| {
        let at = lines.iter().position(|(_, what)| matches!(what, What::Began { .. })).unwrap();
        lines.insert(at, lines[at].clone());
    });
    is_noticed("a settled event is attempted again by the same life", |lines, _| {
        let heard = |(_, what): &(Duration, What)| matches!(what, What::Heard { events, .. } if events[0].1);
        let at = lines.iter().position(heard).unwrap();
        let What::Heard { life, to, events, .. } = &lines[at].1 else { return };
        let began = What::Began { life: *life, to: *to, events: vec![(events[0].0, 2)] };
        lines.insert(at + 1, (lines[at].0, began));
    });
    is_noticed("a life goes on after its end", |lines, _| {
        let at = lines.iter().position(|(_, what)| matches!(what, What::Began { .. })).unwrap();
        lines.insert(at, (lines[at].0, What::Started(99)));
    });
    is_noticed("the steady receiver waits", |lines, _| {
        for (at, what) in lines.iter_mut() {
            if matches!(what, What::Answered { to: STEADY, .. }) {
                *at += Duration::from_secs(60);
            }
        }
    });
    is_noticed("progress says less than there is", |lines, remains| {
        lines.push((Duration::ZERO, What::Text("changed".to_owned())));
        remains.progress.iter_mut().for_each(|progress| progress.scanned = laneway_domain::Offset::ZERO);
        remains.progress.iter_mut().for_each(|progress| progress.lanes.clear());
    });
    is_noticed("a life goes back to what was stored as settled", |lines, remains| {
        let end = remains.progress.clone();
        lines.push((Duration::ZERO, What::Text("changed".to_owned())));
        remains.found.iter_mut().for_each(|found| found.clone_from(&end));
    });
    is_noticed("a destination goes back further than it was asked to", |lines, _| {
        let asked = lines.iter_mut().rev().find_map(|(_, what)| match what {
            What::ReplayAsked { since, .. } => Some(since),
            _ => None,
        });
        *asked.unwrap() = Some(laneway_domain::Timestamp::MAX);
    });
    is_noticed("a replay that was taken brings nothing", |lines, _| {
        let asked = lines.iter().rposition(|(_, what)| matches!(what, What::ReplayAsked { .. })).unwrap();
        let mut n = 0;
        lines.retain(|(_, what)| {
            n += 1;
            n <= asked + 1 || matches!(what, What::ReplayEnded { .. })
        });
    });
}
