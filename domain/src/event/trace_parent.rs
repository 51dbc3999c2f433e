//! Which trace an event belongs to.

use std::fmt::{self, Write};

/// The version that is written (W3C Trace Context, section 3.2.2).
const VERSION: &str = "00";
/// The flag by which a caller says that it may have recorded the trace (section 3.2.2.5.1).
const SAMPLED: u8 = 1;

/// The id of a trace, written as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub [u8; 16]);

/// The id of a span within its trace, written as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub [u8; 8]);

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

    /// A context of the known version. `None` if an id is all zero, which means none.
    #[must_use]
    pub fn new(trace: TraceId, parent: SpanId, sampled: bool) -> Option<Self> {
        let known = trace.0 != [0; 16] && parent.0 != [0; 8];
        known.then_some(Self { trace: trace.0, parent: parent.0, flags: u8::from(sampled) * SAMPLED })
    }

    /// The trace.
    #[must_use]
    pub const fn trace_id(self) -> TraceId {
        TraceId(self.trace)
    }

    /// The span that whatever is done now belongs under.
    #[must_use]
    pub const fn parent_id(self) -> SpanId {
        SpanId(self.parent)
    }

    /// Whether the caller may have recorded the trace, so that whoever comes later is to record it too.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The same trace with another parent. `None` if its id is all zero, which means none.
    #[must_use]
    pub fn under(self, parent: SpanId) -> Option<Self> {
        (parent.0 != [0; 8]).then_some(Self { parent: parent.0, ..self })
    }

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

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
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
    fn its_parts_are_those_of_the_header() {
        let trace = TraceParent::parse(EXAMPLE).unwrap();
        assert_eq!(trace.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.parent_id().to_string(), "00f067aa0ba902b7");
        assert!(trace.is_sampled());
        let unsampled = TraceParent::parse(&EXAMPLE.replace("-01", "-02")).unwrap();
        assert!(!unsampled.is_sampled(), "the flag of a random id is not that of a sampled trace");
        let under = trace.under(SpanId([0xab; 8])).unwrap();
        assert_eq!(under.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-abababababababab-01");
        assert_eq!(trace.under(SpanId([0; 8])), None);
        assert_eq!(TraceParent::new(trace.trace_id(), trace.parent_id(), true), Some(trace));
        assert_eq!(TraceParent::new(TraceId([0; 16]), trace.parent_id(), true), None);
        assert_eq!(TraceParent::new(trace.trace_id(), SpanId([0; 8]), true), None);
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
