//! The frames of an HTTP/2 connection, as far as they say what became of a request.
//!
//! The client hands a request's body over long before it is written, and does not tell why a receiver stopped it.
//! A success is one only if the receiver got the whole request, or said that it needs no more of it (RFC 9113,
//! section 8.1). Both can be read off the heads of the frames. Streams have the numbers 1, 3, 5 … in the order in which
//! a connection takes its requests.

use std::collections::BTreeMap;

/// The bytes of a frame's head (RFC 9113, section 4.1).
const HEAD: usize = 9;
/// What a client sends before its first frame (section 3.4), in bytes.
const PREFACE: usize = 24;
/// How much of a frame's content is looked at: the reason of a reset.
const CONTENT: usize = 4;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The reason of a reset by which nothing is wrong.
const NO_ERROR: [u8; CONTENT] = [0; CONTENT];

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    /// It was written whole.
    Whole,
    /// The receiver needs no more of it.
    Enough,
    /// The receiver stopped it because something is wrong.
    Stopped,
}

/// The streams of a connection that somebody waits for.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    written: Walk,
    came: Walk,
    /// How much was written, of what comes before the first frame.
    preface: usize,
    /// How many requests the connection took.
    taken: u32,
    /// A stream that ends with its headers, once those are written.
    ends_with_headers: Option<u32>,
    waited_for: BTreeMap<u32, Option<Became>>,
}

impl Streams {
    /// The connection takes a request. Returns the number of its stream.
    pub(crate) fn open(&mut self) -> u32 {
        // A connection ends long before its numbers do.
        let number = self.taken.saturating_mul(2).saturating_add(1);
        self.taken = self.taken.saturating_add(1);
        self.waited_for.insert(number, None);
        number
    }

    /// Nobody waits for it any more.
    pub(crate) fn forget(&mut self, number: u32) {
        self.waited_for.remove(&number);
    }

    /// What became of that one's request, if that is known.
    pub(crate) fn became(&self, number: u32) -> Option<Became> {
        self.waited_for.get(&number).copied().flatten()
    }

    /// Takes what was written. Returns whether anything became known by that.
    pub(crate) fn wrote(&mut self, bytes: &[u8]) -> bool {
        let skipped = bytes.len().min(PREFACE - self.preface);
        self.preface += skipped;
        let (ends_with_headers, waited_for) = (&mut self.ends_with_headers, &mut self.waited_for);
        let mut known = false;
        self.written.over(&bytes[skipped..], |frame| {
            let has = |flag| frame.flags & flag != 0;
            let whole = match frame.kind {
                DATA => has(END_STREAM),
                HEADERS if !has(END_HEADERS) => {
                    *ends_with_headers = has(END_STREAM).then_some(frame.stream);
                    false
                }
                HEADERS => has(END_STREAM),
                CONTINUATION if has(END_HEADERS) => ends_with_headers.take() == Some(frame.stream),
                _ => false,
            };
            known |= whole && note(waited_for, frame.stream, Became::Whole);
        });
        known
    }

    /// Takes what came in. Returns whether anything became known by that.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> bool {
        let waited_for = &mut self.waited_for;
        let mut known = false;
        self.came.over(bytes, |frame| {
            let became = if frame.content == NO_ERROR { Became::Enough } else { Became::Stopped };
            known |= frame.kind == RST_STREAM && note(waited_for, frame.stream, became);
        });
        known
    }
}

/// What is known first stays.
fn note(waited_for: &mut BTreeMap<u32, Option<Became>>, stream: u32, became: Became) -> bool {
    match waited_for.get_mut(&stream) {
        Some(known @ None) => {
            *known = Some(became);
            true
        }
        _ => false,
    }
}

/// A frame that has ended.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    /// Its beginning.
    content: [u8; CONTENT],
}

/// Where in the frames a connection is, in one direction.
#[derive(Debug, Default)]
struct Walk {
    head: [u8; HEAD],
    /// How much of that is there.
    got: usize,
    content: [u8; CONTENT],
    /// How much of the frame's content has passed.
    passed: usize,
}

impl Walk {
    fn over(&mut self, mut bytes: &[u8], mut ended: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_at(bytes.len().min(HEAD - self.got));
            self.head[self.got..self.got + head.len()].copy_from_slice(head);
            self.got += head.len();
            if self.got < HEAD {
                return;
            }
            let [long, middle, short, kind, flags, a, b, c, d] = self.head;
            let length = u32::from_be_bytes([0, long, middle, short]) as usize;
            let (content, rest) = rest.split_at(rest.len().min(length.saturating_sub(self.passed)));
            for (kept, byte) in self.content.iter_mut().skip(self.passed).zip(content) {
                *kept = *byte;
            }
            self.passed += content.len();
            bytes = rest;
            if self.passed == length {
                // The first bit is reserved.
                let stream = u32::from_be_bytes([a & 0x7f, b, c, d]);
                ended(Frame { kind, flags, stream, content: self.content });
                (self.got, self.passed) = (0, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], content].concat()
    }

    /// What becomes of the first two requests, however what is written and what comes in is cut.
    fn became(written: &[Vec<u8>], came: &[Vec<u8>]) -> [Option<Became>; 2] {
        let written = [&[b'P'; PREFACE], &*written.concat()].concat();
        let came = came.concat();
        let of = |piece: usize| {
            let mut streams = Streams::default();
            assert_eq!([streams.open(), streams.open()], [1, 3]);
            for piece in written.chunks(piece) {
                streams.wrote(piece);
            }
            for piece in came.chunks(piece) {
                streams.read(piece);
            }
            [1, 3].map(|number| streams.became(number))
        };
        let at_once = of(1 << 20);
        for piece in 1..20 {
            assert_eq!(of(piece), at_once, "{piece}");
        }
        at_once
    }

    #[test]
    fn a_request_is_whole_when_its_last_frame_is_written() {
        let settings = frame(4, 0, 0, &[0; 12]);
        let one = [settings, frame(HEADERS, END_HEADERS, 1, b"abcdef"), frame(DATA, 0, 1, b"body")];
        assert_eq!(became(&one, &[]), [None, None]);
        let end = frame(DATA, END_STREAM, 1, b"end");
        let cut = [&one[..], &[end[..end.len() - 1].to_vec()]].concat();
        assert_eq!(became(&cut, &[]), [None, None], "its last byte is not written yet");
        assert_eq!(became(&[&one[..], &[end]].concat(), &[]), [Some(Became::Whole), None]);
        let empty = [&one[..], &[frame(DATA, END_STREAM, 1, b"")]].concat();
        assert_eq!(became(&empty, &[]), [Some(Became::Whole), None]);
        let without_body = frame(HEADERS, END_STREAM | END_HEADERS, 3, b"abc");
        assert_eq!(became(&[without_body], &[]), [None, Some(Became::Whole)]);
        let begun = frame(HEADERS, END_STREAM, 3, b"abc");
        assert_eq!(became(std::slice::from_ref(&begun), &[]), [None, None]);
        let rest = [frame(CONTINUATION, 0, 3, b"de"), frame(CONTINUATION, END_HEADERS, 3, b"f")];
        assert_eq!(became(&[begun, rest.concat()], &[]), [None, Some(Became::Whole)]);
    }

    #[test]
    fn a_reset_says_whether_anything_is_wrong() {
        let answer = frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0x88]);
        let reset = |stream, reason| frame(RST_STREAM, 0, stream, &[0, 0, 0, reason]);
        assert_eq!(became(&[], std::slice::from_ref(&answer)), [None, None]);
        assert_eq!(became(&[], &[answer.clone(), reset(1, 0)]), [Some(Became::Enough), None]);
        assert_eq!(became(&[], &[answer, reset(3, 2), reset(1, 8)]), [Some(Became::Stopped); 2]);
        let whole = frame(DATA, END_STREAM, 1, b"end");
        assert_eq!(became(&[whole], &[reset(1, 2)]), [Some(Became::Whole), None], "it had got all of it");
    }

    #[test]
    fn only_those_are_kept_that_somebody_waits_for() {
        let mut streams = Streams::default();
        for _ in 0..3 {
            let number = streams.open();
            streams.forget(number);
        }
        assert!(!streams.read(&frame(RST_STREAM, 0, 3, &[0; 4])));
        assert_eq!((streams.open(), streams.waited_for.len()), (7, 1));
    }
}
