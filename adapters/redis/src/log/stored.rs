//! What the function that appends answers.

use fred::types::Value;
use laneway_domain::{Offset, Partition};
use laneway_ports::Appended;

/// Where the events of a group went, in offsets as Redis has them.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    /// How many were appended, one behind the other, and where the first of them is.
    pub(super) count: u64,
    pub(super) first: Offset,
    /// Of the others their places in the group, rising, and where the one is that came first.
    duplicates: Vec<(u64, Offset)>,
}

impl Stored {
    /// From what the function answers: generation, from, below, count, first, and two numbers for
    /// each duplicate.
    pub(super) fn of(answer: &[Value]) -> Option<Self> {
        let number = |at: usize| answer.get(at).and_then(Value::as_u64);
        let pairs = answer.get(5..)?.chunks_exact(2);
        let duplicates = pairs.map(|pair| Some((pair.first()?.as_u64()?, Offset(pair.get(1)?.as_u64()?))));
        Some(Self { count: number(3)?, first: Offset(number(4)?), duplicates: duplicates.collect::<Option<_>>()? })
    }

    /// One for each event of the group.
    pub(super) fn places(&self, partition: Partition) -> impl Iterator<Item = Appended> {
        let mut duplicates = self.duplicates.iter().peekable();
        let (mut next, end) = (self.first.0, self.first.0 + self.count);
        (0..).map_while(move |place| {
            if let Some((_, first)) = duplicates.next_if(|(at, _)| *at == place) {
                return Some(Appended { partition, offset: *first, duplicate: true });
            }
            let offset = (next < end).then_some(Offset(next))?;
            next += 1;
            Some(Appended { partition, offset, duplicate: false })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(answer: &[u64]) -> Vec<(u64, bool)> {
        let head = [Value::from(1), "".into(), "".into()];
        let rest = answer.iter().map(|number| Value::from(i64::try_from(*number).unwrap()));
        let stored = Stored::of(&head.into_iter().chain(rest).collect::<Vec<_>>()).unwrap();
        stored.places(Partition(0)).map(|place| (place.offset.0, place.duplicate)).collect()
    }

    #[test]
    fn every_event_is_told_where_it_went() {
        assert_eq!(stored(&[3, 40]), [(40, false), (41, false), (42, false)]);
        // The first, the third and the last came before.
        let mixed = [(7, true), (40, false), (40, true), (41, false), (9, true)];
        assert_eq!(stored(&[2, 40, 0, 7, 2, 40, 4, 9]), mixed);
        assert_eq!(stored(&[0, 0, 0, 7, 1, 7]), [(7, true), (7, true)]);
        assert!(Stored::of(&[Value::from(1)]).is_none());
    }
}
