//! What an attribute's value is.

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// An attribute's value, with the type that its producer gave it: CloudEvents 1.0 (section 3.1) has a boolean, an
/// integer of 32 bits, and several that JSON writes as strings and that stay texts here.
///
/// As JSON it is the string, number or boolean that it is. Where only texts are known (headers, filters), it is
/// what CloudEvents writes for it ([`AttributeValue::text`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// A text.
    Text(Box<str>),
    /// A whole number.
    Integer(i32),
    /// True or false.
    Boolean(bool),
}

impl AttributeValue {
    /// The most bytes of a value that is no text: `-2147483648`.
    const MAX_SHORT_BYTES: usize = 11;

    /// Its canonical text (CloudEvents 1.0, section 3.1): `-7`, `true`, or the text itself.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Boolean(true) => Cow::Borrowed("true"),
            Self::Boolean(false) => Cow::Borrowed("false"),
        }
    }

    /// How many bytes its text has at most.
    #[must_use]
    pub fn max_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Integer(_) | Self::Boolean(_) => Self::MAX_SHORT_BYTES,
        }
    }
}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Cow<'_, str>> for AttributeValue {
    fn from(text: Cow<'_, str>) -> Self {
        Self::Text(text.into())
    }
}

impl From<i32> for AttributeValue {
    fn from(number: i32) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for AttributeValue {
    fn from(is: bool) -> Self {
        Self::Boolean(is)
    }
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl Serialize for AttributeValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Integer(number) => serializer.serialize_i32(*number),
            Self::Boolean(is) => serializer.serialize_bool(*is),
        }
    }
}

impl<'de> Deserialize<'de> for AttributeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = AttributeValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a boolean or an integer of 32 bits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<AttributeValue, E> {
        Ok(text.into())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<AttributeValue, E> {
        Ok(text.into())
    }

    fn visit_bool<E: de::Error>(self, is: bool) -> Result<AttributeValue, E> {
        Ok(is.into())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<AttributeValue, E> {
        let short = i32::try_from(number);
        short.map(AttributeValue::Integer).map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<AttributeValue, E> {
        let short = i32::try_from(number);
        short.map(AttributeValue::Integer).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_itself_in_json_and_has_one_text() {
        for (value, json, text) in [
            ("5".into(), "\"5\"", "5"),
            (5.into(), "5", "5"),
            (i32::MIN.into(), "-2147483648", "-2147483648"),
            (true.into(), "true", "true"),
            (false.into(), "false", "false"),
            ("true".into(), "\"true\"", "true"),
            ("ä\"".into(), "\"ä\\\"\"", "ä\""),
            ("".into(), "\"\"", ""),
        ] as [(AttributeValue, &str, &str); 8]
        {
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            assert_eq!(serde_json::from_str::<AttributeValue>(json).unwrap(), value);
            assert_eq!((&*value.text(), &*value.to_string()), (text, text));
            assert!(value.max_bytes() >= text.len());
        }
    }

    #[test]
    fn what_cloudevents_has_no_type_for_is_no_value() {
        for json in ["1.5", "2147483648", "-2147483649", "18446744073709551615", "null", "[]", "{}"] {
            let refused = serde_json::from_str::<AttributeValue>(json).unwrap_err().to_string();
            assert!(refused.contains("expected a string, a boolean or an integer of 32 bits"), "{json}: {refused}");
        }
    }
}
