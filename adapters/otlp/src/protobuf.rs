//! Protocol Buffers, as far as spans need them: <https://protobuf.dev/programming-guides/encoding/>.

/// What follows a field's number: how its value is written.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;

/// A message that is being written.
#[derive(Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// It as bytes.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            // Seven bits at a time, the lowest first; the eighth says that there are more.
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn begin(&mut self, field: u64, kind: u64) {
        self.varint(field << 3 | kind);
    }

    /// A field of bytes. Empty ones are left out, as their default is.
    pub(crate) fn bytes(&mut self, field: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.begin(field, LENGTH);
            self.varint(bytes.len() as u64);
            self.0.extend_from_slice(bytes);
        }
    }

    /// A field of text.
    pub(crate) fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    /// A field of text that says something also by being empty: one of a choice.
    pub(crate) fn chosen_text(&mut self, field: u64, text: &str) {
        self.begin(field, LENGTH);
        self.varint(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A field of an enum, or of a positive number.
    pub(crate) fn number(&mut self, field: u64, value: u64) {
        self.begin(field, VARINT);
        self.varint(value);
    }

    /// A field of a number of eight bytes.
    pub(crate) fn fixed64(&mut self, field: u64, value: u64) {
        self.begin(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A field that is a message.
    pub(crate) fn message(&mut self, field: u64, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.begin(field, LENGTH);
        self.varint(inner.0.len() as u64);
        self.0.append(&mut inner.0);
    }
}

/// The number in the field of a message's field, as `path` says: `[1, 1]` is field 1 of the message in field 1. `None`
/// if there is none, or if these bytes are no message.
pub(crate) fn number_at(bytes: &[u8], path: &[u64]) -> Option<u64> {
    let (field, inner) = path.split_first()?;
    let mut rest = bytes;
    let mut found = None;
    while !rest.is_empty() {
        let tag = take_varint(&mut rest)?;
        let (number, kind) = (tag >> 3, tag & 7);
        match kind {
            VARINT => {
                let value = take_varint(&mut rest)?;
                if number == *field && inner.is_empty() {
                    found = Some(value);
                }
            }
            LENGTH => {
                let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                let (value, after) = rest.split_at_checked(length)?;
                rest = after;
                if number == *field && !inner.is_empty() {
                    found = number_at(value, inner).or(found);
                }
            }
            FIXED64 => rest = rest.get(8..)?,
            // Four bytes.
            5 => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    found
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_number_comes_back_from_where_it_was_put(value: u64, before in ".{0,20}", other: u64) {
            let mut message = Message::default();
            message.message(1, |inner| {
                inner.text(2, &before);
                inner.fixed64(3, other);
                inner.number(1, value);
            });
            message.number(9, other);
            let bytes = message.into_bytes();
            prop_assert_eq!(number_at(&bytes, &[1, 1]), Some(value));
            prop_assert_eq!(number_at(&bytes, &[9]), Some(other));
            prop_assert_eq!(number_at(&bytes, &[1, 4]), None);
        }

        #[test]
        fn reading_anything_never_panics(bytes: Vec<u8>) {
            let _ = number_at(&bytes, &[1, 1]);
        }
    }
}
