//! The input cut into events: one a line (NDJSON), the elements of a JSON array, or JSON objects written over
//! several lines. Which of these it is, its beginning says.

use std::io::{self, BufRead, BufReader, Read};

/// The longest event that is read; far beyond what any server takes, so that a file without line
/// breaks ends in a refusal and not in all of the memory.
pub(super) const MAX_EVENT_BYTES: usize = 16 << 20;

/// How the events stand in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One a line.
    Lines,
    /// As the elements of an array, over as many lines as they like.
    Array,
    /// One after the other, over as many lines as they like.
    Objects,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The text of an event, or a blank line.
    Event,
    /// It is longer than [`MAX_EVENT_BYTES`]; it was passed over.
    TooLong,
    /// From here on nothing can be told apart any more: why.
    Broken(&'static str),
    /// There is nothing more.
    End,
}

pub(super) struct Pieces<R> {
    input: BufReader<R>,
    form: Option<Form>,
    /// Whether the array, or the whole input, is over.
    ended: bool,
    /// Whether an element of the array was read.
    begun: bool,
}

impl<R: Read> Pieces<R> {
    pub(super) fn new(input: R, buffer_bytes: usize) -> Self {
        Self { input: BufReader::with_capacity(buffer_bytes, input), form: None, ended: false, begun: false }
    }

    /// What an event's number counts.
    pub(super) fn noun(&self) -> &'static str {
        if matches!(self.form, None | Some(Form::Lines)) { "line" } else { "event" }
    }

    /// Whether the next event is likely to be there without waiting for it.
    pub(super) fn has_more_at_hand(&self) -> bool {
        let end = if self.form == Some(Form::Lines) { b'\n' } else { b'}' };
        self.input.buffer().contains(&end)
    }

    /// Reads the next piece into `raw`, which is empty; how many bytes were read for it.
    pub(super) fn next(&mut self, raw: &mut Vec<u8>) -> io::Result<(Piece, u64)> {
        let form = match self.form {
            Some(form) => form,
            None => *self.form.insert(form_of(self.input.fill_buf()?)),
        };
        match form {
            Form::Lines => self.line(raw),
            Form::Array => self.element(raw),
            Form::Objects => self.object(raw),
        }
    }

    fn line(&mut self, raw: &mut Vec<u8>) -> io::Result<(Piece, u64)> {
        let kept = self.input.by_ref().take(MAX_EVENT_BYTES as u64 + 1).read_until(b'\n', raw)? as u64;
        let mut read = kept;
        while kept > MAX_EVENT_BYTES as u64 && raw.last() != Some(&b'\n') {
            let available = self.input.fill_buf()?;
            let end = available.iter().position(|b| *b == b'\n');
            let skipped = end.map_or(available.len(), |at| at + 1);
            self.input.consume(skipped);
            read += skipped as u64;
            if end.is_some() || skipped == 0 {
                break;
            }
        }
        let piece = match read {
            0 => Piece::End,
            _ if raw.len() > MAX_EVENT_BYTES => Piece::TooLong,
            _ => Piece::Event,
        };
        Ok((piece, read))
    }

    /// An element of the array. What is wrong in it is found when it is read as JSON.
    fn element(&mut self, raw: &mut Vec<u8>) -> io::Result<(Piece, u64)> {
        let mut read = 0;
        if !self.begun {
            self.begun = true;
            // The byte order mark, white space, and the bracket that was seen.
            while self.byte(&mut read)?.is_some_and(|byte| byte != b'[') {}
        }
        if self.ended {
            let piece = match self.skip_white_space(&mut read)? {
                Some(_) => Piece::Broken("something follows the end of the array"),
                None => Piece::End,
            };
            return Ok((piece, read));
        }
        let mut scan = Scan::default();
        loop {
            let Some(byte) = self.byte(&mut read)? else {
                self.ended = true;
                return Ok((Piece::Broken("the array does not end: there is no ] at its end"), read));
            };
            let at_the_end = scan.is_outside() && matches!(byte, b',' | b']');
            if !at_the_end {
                scan.take(byte, raw);
                continue;
            }
            self.ended = byte == b']';
            let empty = raw.iter().all(u8::is_ascii_whitespace) && !scan.too_long;
            if self.ended && empty {
                // An empty array, or a comma behind the last element, which does no harm.
                let (piece, more) = self.element(raw)?;
                return Ok((piece, read + more));
            }
            return Ok((scan.piece(), read));
        }
    }

    fn object(&mut self, raw: &mut Vec<u8>) -> io::Result<(Piece, u64)> {
        let mut read = 0;
        let Some(first) = self.skip_white_space(&mut read)? else { return Ok((Piece::End, read)) };
        if first != b'{' {
            // Nothing behind it can be told apart from it.
            while self.byte(&mut read)?.is_some() {}
            return Ok((Piece::Broken("is no JSON object, and nothing behind it was read"), read));
        }
        let mut scan = Scan::default();
        scan.take(first, raw);
        while !scan.is_outside() {
            let Some(byte) = self.byte(&mut read)? else {
                return Ok((Piece::Broken("the object does not end: there is no } at its end"), read));
            };
            scan.take(byte, raw);
        }
        Ok((scan.piece(), read))
    }

    /// The first byte that is neither white space nor of a byte order mark.
    fn skip_white_space(&mut self, read: &mut u64) -> io::Result<Option<u8>> {
        loop {
            match self.byte(read)? {
                Some(byte) if byte.is_ascii_whitespace() || BYTE_ORDER_MARK.contains(&byte) => {}
                other => return Ok(other),
            }
        }
    }

    fn byte(&mut self, read: &mut u64) -> io::Result<Option<u8>> {
        let Some(byte) = self.input.fill_buf()?.first().copied() else { return Ok(None) };
        self.input.consume(1);
        *read += 1;
        Ok(Some(byte))
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The form of an input that begins so.
fn form_of(beginning: &[u8]) -> Form {
    let text = beginning.strip_prefix(BYTE_ORDER_MARK).unwrap_or(beginning).trim_ascii_start();
    if text.first() == Some(&b'[') {
        return Form::Array;
    }
    let Some(first) = text.split(|byte| *byte == b'\n').next().filter(|line| line.len() < text.len()) else {
        return Form::Lines;
    };
    let (mut scan, first) = (Scan::default(), first.trim_ascii_end());
    first.iter().for_each(|byte| scan.take(*byte, &mut Vec::new()));
    // A line that breaks off in a string, say, is a bad line; these go on in the next one.
    let open = first.last().is_some_and(|last| b"{[,:".contains(last));
    let goes_on = scan.depth > 0 && !scan.in_string && open;
    if first.first() == Some(&b'{') && goes_on { Form::Objects } else { Form::Lines }
}

/// How deep in brackets, and whether in a string.
#[derive(Default)]
struct Scan {
    depth: u64,
    in_string: bool,
    escaped: bool,
    too_long: bool,
}

impl Scan {
    /// Takes one more byte, and keeps it. Line breaks between tokens become spaces: an event is sent as one line.
    fn take(&mut self, byte: u8, raw: &mut Vec<u8>) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_string => self.escaped = true,
            b'"' => self.in_string = !self.in_string,
            b'{' | b'[' if !self.in_string => self.depth += 1,
            b'}' | b']' if !self.in_string => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.too_long |= raw.len() >= MAX_EVENT_BYTES;
        if !self.too_long {
            let between = !self.in_string && matches!(byte, b'\n' | b'\r');
            raw.push(if between { b' ' } else { byte });
        }
    }

    const fn is_outside(&self) -> bool {
        self.depth == 0 && !self.in_string
    }

    const fn piece(&self) -> Piece {
        if self.too_long { Piece::TooLong } else { Piece::Event }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &[u8]) -> (Vec<String>, Option<&'static str>, &'static str) {
        let mut pieces = Pieces::new(text, 4096);
        let (mut events, mut bytes) = (Vec::new(), 0);
        loop {
            let mut raw = Vec::new();
            let (piece, read) = pieces.next(&mut raw).unwrap();
            bytes += read;
            match piece {
                Piece::Event => events.push(String::from_utf8(raw).unwrap().trim().to_owned()),
                Piece::TooLong => panic!("too long"),
                Piece::Broken(why) => return (events, Some(why), pieces.noun()),
                Piece::End => {
                    assert_eq!(bytes, text.len() as u64, "every byte is counted");
                    return (events, None, pieces.noun());
                }
            }
        }
    }

    #[test]
    fn the_beginning_says_how_events_stand_in_the_input() {
        let two = [r#"{"a":1}"#, r#"{"b":[2]}"#];
        for (text, noun) in [
            ("{\"a\":1}\n{\"b\":[2]}", "line"),
            ("[{\"a\":1},{\"b\":[2]}]", "event"),
            ("\u{feff} \n[\n  {\"a\":1},\r\n{\"b\":[2]} ,\n]\n\n", "event"),
            ("[ {\"a\":1} , {\"b\":[2]}]", "event"),
        ] {
            assert_eq!(all(text.as_bytes()), (two.iter().map(|e| (*e).to_owned()).collect(), None, noun), "{text}");
        }
        let objects = "{\n  \"a\": \"}\\\"]\\n\",\n  \"b\": [\n    1\n  ]\n}\n{\n}\n";
        let expected = vec![r#"{   "a": "}\"]\n",   "b": [     1   ] }"#.to_owned(), "{ }".to_owned()];
        assert_eq!(all(objects.as_bytes()), (expected, None, "event"));
        for empty in ["[]", " [ \n ] ", ""] {
            assert_eq!(all(empty.as_bytes()).0, Vec::<String>::new());
        }
    }

    #[test]
    fn a_first_line_that_is_merely_bad_does_not_turn_lines_into_something_else() {
        for bad in ["{\"a\":1", "{\"a\":\"x", "{\"a\":1},", "no json", "{\"a\":{\"b\":1}"] {
            let (events, broken, noun) = all(format!("{bad}\n{{\"good\":1}}\n").as_bytes());
            assert_eq!((events[1].as_str(), events.len(), broken, noun), (r#"{"good":1}"#, 2, None, "line"), "{bad}");
        }
    }

    #[test]
    fn what_breaks_off_is_said_to_and_what_came_before_is_read() {
        for (text, events, why) in [
            ("[{\"a\":1},{\"b\":2}", 1, "does not end"),
            ("[{\"a\":1}", 0, "does not end"),
            ("[{\"a\":1}] x", 1, "follows the end"),
            ("{\n\"a\":1\n}\n{\n\"b\":", 1, "does not end"),
            ("{\n\"a\":1\n}\n,", 1, "no JSON object"),
        ] {
            let (found, broken, _) = all(text.as_bytes());
            assert_eq!(found.len(), events, "{text}");
            assert!(broken.is_some_and(|broken| broken.contains(why)), "{text}: {broken:?}");
        }
    }

    proptest! {
        #[test]
        fn an_array_has_the_elements_that_a_parser_finds(
            values in prop::collection::vec(("[a-z\\[\\]{},\"\\\\ \n]{0,9}", any::<i32>()), 0..20),
            pretty: bool,
        ) {
            let values: Vec<_> = values.iter().map(|(text, n)| serde_json::json!({ "type": text, "data": [n, { "x": text }] })).collect();
            let array = serde_json::Value::Array(values.clone());
            let text = if pretty { serde_json::to_string_pretty(&array) } else { serde_json::to_string(&array) }.unwrap();
            let (found, broken, _) = all(text.as_bytes());
            prop_assert_eq!(broken, None);
            prop_assert!(found.iter().all(|event| !event.contains('\n')));
            let found: Vec<serde_json::Value> = found.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
            prop_assert_eq!(&found, &values);
            let objects: String = values.iter().map(|value| serde_json::to_string_pretty(value).unwrap() + "\n").collect();
            let (found, broken, _) = all(objects.as_bytes());
            prop_assert_eq!((found.len(), broken), (values.len(), None));
        }

        #[test]
        fn no_input_is_read_without_end(text: Vec<u8>) {
            let mut pieces = Pieces::new(&text[..], 16);
            for _ in 0..text.len() + 2 {
                let (piece, _) = pieces.next(&mut Vec::new()).unwrap();
                if matches!(piece, Piece::End | Piece::Broken(_)) {
                    return Ok(());
                }
            }
            prop_assert!(false, "it does not end");
        }
    }
}
