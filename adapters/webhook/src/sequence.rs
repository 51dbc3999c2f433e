//! `laneway-sequence`: what lets a receiver drop duplicates by remembering one value per key.

use laneway_domain::{Offset, Partition};

/// As many digits as the largest offset has.
const ZEROS: &str = "00000000000000000000";

/// The header that carries an event's sequence.
pub const SEQUENCE_HEADER: &str = "laneway-sequence";

/// An event's sequence as a receiver sees it: `<partition>-<offset>`, the offset in 20 digits (as
/// many as the largest has).
///
/// A key stays in its partition, so that the sequences of one key differ in the offset only and
/// rise. Because of the leading zeros that holds for plain text comparison too, also in languages
/// whose numbers end at 2^53; what follows the dash is a plain decimal number for all others.
///
/// One delivery breaks the rise, and says so in `laneway-redrive: true`: a dead letter that is
/// attempted once more, after later events of its key. It must not be dropped by its sequence.
#[must_use]
pub fn sequence_text(partition: Partition, offset: Offset) -> String {
    // Padding by `format!` writes each zero by a call of its own, for each delivery.
    let (partition, offset) = (partition.0.to_string(), offset.0.to_string());
    [&partition, "-", &ZEROS[offset.len()..], &offset].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_form_is_pinned() {
        assert_eq!(sequence_text(Partition(3), Offset(41)), "3-00000000000000000041");
        assert_eq!(sequence_text(Partition(1023), Offset(u64::MAX)), "1023-18446744073709551615");
    }

    proptest! {
        #[test]
        fn text_order_is_offset_order_within_a_partition(p in 0_u32..1024, a: u64, b: u64) {
            let (left, right) = (sequence_text(Partition(p), Offset(a)), sequence_text(Partition(p), Offset(b)));
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
            prop_assert_eq!(left.split_once('-').unwrap().1.parse::<u64>().unwrap(), a);
        }
    }
}
