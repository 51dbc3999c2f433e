//! JSON as BSON, where that loses nothing.

use mongodb::bson::raw::CString;
use mongodb::bson::{Decimal128, RawArrayBuf, RawBson, RawDocumentBuf};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// How deep data may be nested. MongoDB allows 100 levels in a document ("MongoDB Limits and
/// Thresholds: Nested Depth for BSON Documents"), of which the event's own take some.
const MAX_DEPTH: usize = 90;

/// The value that `data` is in JSON, if BSON can hold it: with the same members in the same order,
/// the same texts, and numbers of the same value (as 32 or 64 bit integer, double or decimal, the
/// first that holds it; a double holds a number that it prints as).
///
/// `None` if it is no JSON, or has what BSON or MongoDB cannot have: a number of more than 34
/// digits that no double prints as, a name twice in one object, a name with U+0000 or one that
/// begins with `$`, half a surrogate pair, or more than 90 levels.
pub(crate) fn to_bson(data: &[u8]) -> Option<RawBson> {
    // The grammar is checked here, so that the walk below meets nothing else.
    let checked: &RawValue = serde_json::from_slice(data).ok()?;
    Walk { text: checked.get(), at: 0 }.value(0)
}

struct Walk<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Walk<'t> {
    fn value(&mut self, depth: usize) -> Option<RawBson> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => Some(RawBson::String(self.string()?.into_owned())),
            b't' => self.word("true", RawBson::Boolean(true)),
            b'f' => self.word("false", RawBson::Boolean(false)),
            b'n' => self.word("null", RawBson::Null),
            _ => self.number(),
        }
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().position(|b| !b.is_ascii_whitespace())?;
        self.text.as_bytes().get(self.at).copied()
    }

    /// Whether the next byte is `byte`, which is then taken.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn object(&mut self, depth: usize) -> Option<RawBson> {
        let mut document = RawDocumentBuf::new();
        let mut names = BTreeSet::new();
        self.take(b'{');
        while !self.take(b'}') {
            self.take(b',');
            self.peek()?;
            let name = self.string()?;
            if name.starts_with('$') || !names.insert(name.clone()) {
                return None;
            }
            self.take(b':');
            let value = self.value(depth + 1)?;
            document.append(CString::try_from(&*name).ok()?, value);
        }
        Some(RawBson::Document(document))
    }

    fn array(&mut self, depth: usize) -> Option<RawBson> {
        let mut array = RawArrayBuf::new();
        self.take(b'[');
        while !self.take(b']') {
            self.take(b',');
            array.push(self.value(depth + 1)?);
        }
        Some(RawBson::Array(array))
    }

    fn string(&mut self) -> Option<Cow<'t, str>> {
        let token = self.text.get(self.at..)?;
        let mut escaped = false;
        let mut bytes = token.bytes().enumerate().skip(1);
        let end = loop {
            match bytes.next()? {
                (end, b'"') => break end,
                (_, b'\\') => {
                    escaped = true;
                    bytes.next();
                }
                _ => {}
            }
        };
        self.at += end + 1;
        if escaped {
            serde_json::from_str(token.get(..=end)?).ok().map(Cow::Owned)
        } else {
            token.get(1..end).map(Cow::Borrowed)
        }
    }

    fn word(&mut self, word: &str, value: RawBson) -> Option<RawBson> {
        self.at += word.len();
        Some(value)
    }

    fn number(&mut self) -> Option<RawBson> {
        let rest = self.text.get(self.at..)?;
        let end = rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(rest.len());
        self.at += end;
        number(rest.get(..end)?)
    }
}

fn number(text: &str) -> Option<RawBson> {
    let integer = text.parse::<i64>().ok().filter(|_| text != "-0");
    if let Some(integer) = integer {
        return Some(i32::try_from(integer).map_or(RawBson::Int64(integer), RawBson::Int32));
    }
    let value = Decimal::of(text)?;
    let double: f64 = text.parse().ok()?;
    if prints_as(double, &value) {
        return Some(RawBson::Double(double));
    }
    let decimal: Decimal128 = text.parse().ok()?;
    (Decimal::of(&decimal.to_string())? == value).then_some(RawBson::Decimal128(decimal))
}

/// Whether `value` is how `double` is written: with the fewest digits that mean it, nearest first.
///
/// Two such may be equally near. Then JSON's writers take the even one (ECMAScript 2025,
/// Number::toString, note 2), as `serde_json` does, and Rust's own formatting the greater.
fn prints_as(double: f64, value: &Decimal) -> bool {
    let is_value = |text: &str| Decimal::of(text).as_ref() == Some(value);
    let Some(number) = serde_json::Number::from_f64(double) else { return false };
    is_value(&number.to_string()) || is_value(&format!("{double:e}"))
}

/// A number's value, however it is spelled: its digits without zeros on either side, and the power
/// of ten of the last one.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn of(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent: i64 = exponent.parse().ok()?;
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_end_matches('0');
        if significant.is_empty() {
            return Some(Self { negative, digits: String::new(), exponent: 0 });
        }
        let dropped = i64::try_from(digits.len() - significant.len()).ok()?;
        let places = i64::try_from(fraction.len()).ok()?;
        let exponent = exponent.checked_sub(places)?.checked_add(dropped)?;
        Some(Self { negative, digits: significant.trim_start_matches('0').to_owned(), exponent })
    }
}

#[cfg(test)]
mod tests;
