//! Offsets and the ids of stream entries: `offset = (generation - 1) << 40 | sequence`, where the
//! id is `<generation>-<sequence>`.
//!
//! Redis numbers the entries of a generation by itself, densely. The generation is raised when
//! acknowledged entries have been lost, so that no offset is given out twice.

use laneway_domain::Offset;

const SEQUENCE_BITS: u32 = 40;
const SEQUENCES: u64 = 1 << SEQUENCE_BITS;

/// The id of the entry at `offset`.
pub(crate) fn entry_id(offset: Offset) -> String {
    format!("{}-{}", (offset.0 >> SEQUENCE_BITS) + 1, offset.0 % SEQUENCES)
}

/// The largest id below that of `offset`: what XREAD is to read behind.
pub(crate) fn id_before(offset: Offset) -> String {
    match offset.0.checked_sub(1) {
        // The last sequence that there can be, because a generation that ended early left a gap.
        Some(_) if offset.0.is_multiple_of(SEQUENCES) => format!("{}-{}", offset.0 >> SEQUENCE_BITS, u64::MAX),
        Some(before) => entry_id(Offset(before)),
        None => "0-0".into(),
    }
}

/// The offset of an entry, if its id is one that this store gives out.
pub(crate) fn offset_of(id: &[u8]) -> Option<Offset> {
    let (generation, sequence) = std::str::from_utf8(id).ok()?.split_once('-')?;
    let (generation, sequence): (u64, u64) = (generation.parse().ok()?, sequence.parse().ok()?);
    let base = generation.checked_sub(1)?.checked_mul(SEQUENCES)?;
    (sequence < SEQUENCES).then(|| Offset(base + sequence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_an_offset_and_back() {
        let second = SEQUENCES;
        for (offset, id, before) in [
            (0, "1-0", "0-0"),
            (1, "1-1", "1-0"),
            (SEQUENCES - 1, "1-1099511627775", "1-1099511627774"),
            (second, "2-0", "1-18446744073709551615"),
            (second + 5, "2-5", "2-4"),
        ] {
            assert_eq!(entry_id(Offset(offset)), id);
            assert_eq!(id_before(Offset(offset)), before);
            assert_eq!(offset_of(id.as_bytes()), Some(Offset(offset)));
        }
    }

    #[test]
    fn an_id_of_someone_else_is_none() {
        for id in ["", "1", "0-1", "1-x", "1526919030474-55-1", "18446744073709551615-0", "1-1099511627776"] {
            assert_eq!(offset_of(id.as_bytes()), None, "{id}");
        }
    }
}
