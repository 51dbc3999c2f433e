//! Which trace an event belongs to.

use std::fmt::{self, Write};

/// The version that is written (W3C Trace Context, section 3.2.2).
const VERSION: &str = "00";

/// The context of a distributed trace, as the header `traceparent` carries it (W3C Trace Context). It goes with the
/// event from the request that brought it in to those that deliver it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace: [u8; 16],
    parent: [u8; 8],
    flags: u8,
}

impl TraceParent {
    /// How many bytes it is written with by [`TraceParent::to_bytes`].
    pub const BYTES: usize = 25;

    /// Reads the header's value. `None` if it is not one: whoever gets such a header goes on as if there were none
    /// (section 3.2.2.3). Of a later version, what is known of it is taken.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let mut next = |bytes: usize| fields.next().filter(|field| field.len() == 2 * bytes && is_hex(field));
        let (version, trace, parent, flags) = (next(1)?, next(16)?, next(8)?, next(1)?);
        let more = fields.next().is_some();
        if version == "ff" || (version == VERSION && more) {
            return None;
        }
        let mut bytes = [0; Self::BYTES];
        let digits = [trace, parent, flags].into_iter().flat_map(|field| field.as_bytes().chunks(2));
        for (byte, digits) in bytes.iter_mut().zip(digits) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Self::from_bytes(&bytes)
    }

    /// Its 16 bytes of trace id, 8 of parent id, and the flags.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let all = self.trace.into_iter().chain(self.parent).chain([self.flags]);
        bytes.iter_mut().zip(all).for_each(|(to, from)| *to = from);
        bytes
    }

    /// Reads what [`TraceParent::to_bytes`] wrote. `None` if an id is missing or all zero, which means none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::BYTES] = bytes.try_into().ok()?;
        let (trace, rest) = bytes.split_first_chunk::<16>()?;
        let (parent, rest) = rest.split_first_chunk::<8>()?;
        let known = *trace != [0; 16] && *parent != [0; 8];
        known.then_some(Self { trace: *trace, parent: *parent, flags: *rest.first()? })
    }
}

/// Whether these are hexadecimal digits as the header has them: small ones.
fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(VERSION)?;
        for field in [&self.trace[..], &self.parent[..], &[self.flags][..]] {
            f.write_char('-')?;
            field.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_the_standard_takes_is_taken_and_written_as_the_known_version() {
        assert_eq!(TraceParent::parse(EXAMPLE).unwrap().to_string(), EXAMPLE);
        let later = EXAMPLE.replacen("00", "cc", 1);
        assert_eq!(TraceParent::parse(&later).unwrap().to_string(), EXAMPLE);
        assert_eq!(TraceParent::parse(&format!("{later}-what-comes-later")).unwrap().to_string(), EXAMPLE);
    }

    #[test]
    fn what_the_standard_refuses_is_none() {
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn it_survives_both_ways_of_writing_it(bytes in prop::collection::vec(any::<u8>(), TraceParent::BYTES)) {
            if let Some(trace) = TraceParent::from_bytes(&bytes) {
                prop_assert_eq!(&trace.to_bytes()[..], &bytes[..]);
                prop_assert_eq!(TraceParent::parse(&trace.to_string()), Some(trace));
            }
        }

        #[test]
        fn reading_anything_never_panics(text in ".{0,80}") {
            let _ = TraceParent::parse(&text);
        }
    }
}
