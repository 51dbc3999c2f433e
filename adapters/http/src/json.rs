//! A strict JSON reader (RFC 8259) that always knows where it is.
//!
//! `serde_json` is what the rest of the crate uses. Events are read by this one because their
//! errors and bounds need what serde does not tell: the place of a wrong *type*, the length of an
//! array's element, and the depth of a value that is only kept, not read (its `RawValue` has no
//! depth limit). The tests hold it to `serde_json`: both accept the same texts and read the same
//! strings from them. Nothing here recurses.

use crate::limits::MAX_JSON_DEPTH;
use crate::refusal::{Read, Refusal};
use std::borrow::Cow;
use std::fmt;

#[cfg(test)]
mod tests;

/// What a value is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Null => "null",
        })
    }
}

/// Reads one text from front to back.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Scanner<'a> {
    /// Reads `text` from the byte `at` on. Values that are skipped may be nested `depth` deep.
    pub(crate) fn new(text: &'a str, at: usize, depth: u32) -> Self {
        Self { text, at, depth: depth.min(MAX_JSON_DEPTH) }
    }

    /// The byte that is read next.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
    }

    /// What the next value is; goes to its first byte.
    pub(crate) fn shape(&mut self) -> Read<Shape> {
        self.blank();
        match self.byte() {
            Some(b'{') => Ok(Shape::Object),
            Some(b'[') => Ok(Shape::Array),
            Some(b'"') => Ok(Shape::String),
            Some(b'-' | b'0'..=b'9') => Ok(Shape::Number),
            Some(b't' | b'f') => Ok(Shape::Boolean),
            Some(b'n') => Ok(Shape::Null),
            _ => Err(self.unexpected("a value")),
        }
    }

    /// Checks that nothing but white space is left.
    pub(crate) fn end(&mut self) -> Read<()> {
        self.blank();
        if self.at == self.text.len() { Ok(()) } else { Err(self.unexpected("the end")) }
    }

    /// Reads an object; `member` gets each name and where it is, and reads its value.
    pub(crate) fn object(&mut self, mut member: impl FnMut(&mut Self, Cow<'a, str>, usize) -> Read<()>) -> Read<()> {
        self.take(b'{', "`{`")?;
        self.blank();
        if self.byte() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blank();
            let at = self.at;
            let name = self.name()?;
            member(self, name, at)?;
            self.blank();
            match self.byte() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.unexpected("`,` or `}`")),
            }
        }
    }

    fn name(&mut self) -> Read<Cow<'a, str>> {
        if self.byte() != Some(b'"') {
            return Err(self.unexpected("a name in double quotes"));
        }
        let name = self.string()?;
        self.blank();
        self.take(b':', "`:`")?;
        Ok(name)
    }

    /// Reads an array; `element` reads each element, which it is given the index of.
    pub(crate) fn array(&mut self, mut element: impl FnMut(&mut Self, usize) -> Read<()>) -> Read<()> {
        self.take(b'[', "`[`")?;
        self.blank();
        if self.byte() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        for index in 0.. {
            self.blank();
            element(self, index)?;
            self.blank();
            match self.byte() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.unexpected("`,` or `]`")),
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a string; borrowed, unless it has escapes.
    pub(crate) fn string(&mut self) -> Read<Cow<'a, str>> {
        let start = self.at + 1;
        if !self.skip_string()? {
            return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        let (end, raw) = (self.at, &self.text[start..self.at - 1]);
        let decoded = unescape(raw).map_err(|within| Refusal::malformed(start + within, LONE_SURROGATE));
        self.at = end;
        decoded.map(Cow::Owned)
    }

    /// Skips `null`, if that comes next.
    pub(crate) fn null(&mut self) -> Read<()> {
        self.literal("null")
    }

    /// Checks and skips the next value, whatever it is, and returns its text, byte for byte.
    ///
    /// A value that is nested too deep is a [`Refusal::Field`] with no field yet: who knows where
    /// the value belongs adds it.
    pub(crate) fn value(&mut self) -> Read<&'a str> {
        self.blank();
        let start = self.at;
        let mut nesting = Nesting::default();
        loop {
            if !self.open_or_scalar(&mut nesting)? {
                continue;
            }
            loop {
                let Some(in_object) = nesting.innermost() else {
                    return Ok(&self.text[start..self.at]);
                };
                self.blank();
                match (self.byte(), in_object) {
                    (Some(b','), _) => {
                        self.at += 1;
                        self.blank();
                        if in_object {
                            self.skip_name()?;
                        }
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.at += 1;
                        nesting.leave();
                    }
                    (_, true) => return Err(self.unexpected("`,` or `}`")),
                    (_, false) => return Err(self.unexpected("`,` or `]`")),
                }
            }
        }
    }

    /// Takes a scalar or an empty container (`true`: a value is complete), or goes into a container.
    fn open_or_scalar(&mut self, nesting: &mut Nesting) -> Read<bool> {
        match self.shape()? {
            Shape::String => self.skip_string().map(|_| ())?,
            Shape::Number => self.number()?,
            Shape::Null => self.null()?,
            Shape::Boolean if self.byte() == Some(b't') => self.literal("true")?,
            Shape::Boolean => self.literal("false")?,
            shape @ (Shape::Object | Shape::Array) => {
                let (in_object, closing) = if shape == Shape::Object { (true, b'}') } else { (false, b']') };
                if nesting.depth == self.depth {
                    let reason = format!("is nested deeper than {} arrays and objects", self.depth);
                    return Err(Refusal::field("", reason).at(self.at));
                }
                self.at += 1;
                self.blank();
                if self.byte() != Some(closing) {
                    nesting.enter(in_object);
                    if in_object {
                        self.skip_name()?;
                    }
                    return Ok(false);
                }
                self.at += 1;
            }
        }
        Ok(true)
    }

    fn skip_name(&mut self) -> Read<()> {
        if self.byte() != Some(b'"') {
            return Err(self.unexpected("a name in double quotes"));
        }
        self.skip_string()?;
        self.blank();
        self.take(b':', "`:`")
    }

    /// Goes behind a string's closing quote; says whether it has escapes.
    fn skip_string(&mut self) -> Read<bool> {
        let mut escaped = false;
        self.at += 1;
        loop {
            self.at += plain_prefix(&self.text.as_bytes()[self.at..]);
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.unexpected("`\"`, or the character escaped,")),
                None => return Err(self.unexpected("`\"`")),
            }
        }
    }

    fn escape(&mut self) -> Read<()> {
        self.at += 1;
        match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.byte().is_some_and(|b| b.is_ascii_hexdigit()) {
                        return Err(self.unexpected("a hexadecimal digit"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.unexpected("one of `\"\\/bfnrtu`")),
        }
        Ok(())
    }

    fn number(&mut self) -> Read<()> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Read<()> {
        let start = self.at;
        while self.byte().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.unexpected("a digit")) } else { Ok(()) }
    }

    fn literal(&mut self, literal: &'static str) -> Read<()> {
        if !self.text.as_bytes()[self.at..].starts_with(literal.as_bytes()) {
            return Err(self.unexpected(literal));
        }
        self.at += literal.len();
        Ok(())
    }

    fn take(&mut self, byte: u8, expected: &str) -> Read<()> {
        if self.byte() != Some(byte) {
            return Err(self.unexpected(expected));
        }
        self.at += 1;
        Ok(())
    }

    #[cold]
    fn unexpected(&self, expected: &str) -> Box<Refusal> {
        let found = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            None => "the end".into(),
            Some(c) if c.is_control() || c == '\u{feff}' => format!("U+{:04X}", u32::from(c)),
            Some(c) => format!("`{c}`"),
        };
        Refusal::malformed(self.at, format!("expected {expected} but found {found}"))
    }
}

const LONE_SURROGATE: &str = "expected a surrogate pair but found half of one, which is no character";

/// The open containers of a value, one bit each.
#[derive(Default)]
struct Nesting {
    objects: u128,
    depth: u32,
}

impl Nesting {
    fn enter(&mut self, object: bool) {
        self.objects = self.objects << 1 | u128::from(object);
        self.depth += 1;
    }

    fn leave(&mut self) {
        self.objects >>= 1;
        self.depth -= 1;
    }

    /// Whether the innermost one is an object.
    fn innermost(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.objects & 1 == 1)
    }
}

/// How many bytes come before the first quote, backslash or control character. Eight at a time:
/// in each byte of a word the top bit is set where the byte is one of them (or follows one, which
/// is why the lowest counts).
fn plain_prefix(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES << 7;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quotes = zero_bytes(word ^ (ONES * u64::from(b'"')));
        let backslashes = zero_bytes(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
        let found = quotes | backslashes | controls;
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let special = |b: &u8| *b == b'"' || *b == b'\\' || *b < 0x20;
    bytes.len() - rest.len() + rest.iter().position(special).unwrap_or(rest.len())
}

/// Decodes the escapes of a string that was checked already; fails where a surrogate is alone.
fn unescape(raw: &str) -> Result<String, usize> {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(escape) = rest.find('\\') {
        text.push_str(&rest[..escape]);
        let at = raw.len() - rest.len() + escape;
        let taken = match rest.as_bytes().get(escape + 1) {
            Some(b'u') => {
                let (c, taken) = unicode(&rest[escape..]).ok_or(at)?;
                text.push(c);
                taken
            }
            Some(&b) => {
                text.push(plain_escape(b));
                2
            }
            None => return Err(at),
        };
        rest = &rest[escape + taken..];
    }
    text.push_str(rest);
    Ok(text)
}

fn plain_escape(byte: u8) -> char {
    match byte {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        other => char::from(other),
    }
}

/// The character that `\uXXXX` or a pair of them at the front stands for, and their length.
fn unicode(text: &str) -> Option<(char, usize)> {
    const PAIR: usize = 12;
    let unit = |at: usize| {
        let escaped = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(escaped, 16).ok()
    };
    let first = unit(0)?;
    if let Some(c) = char::from_u32(u32::from(first)) {
        return Some((c, PAIR / 2));
    }
    let pair = char::decode_utf16([first, unit(PAIR / 2)?]).next()?.ok()?;
    Some((pair, PAIR))
}
