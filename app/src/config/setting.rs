//! What a single value can be read as. Values from variables and flags are text, whatever the
//! setting is; values from a file have to be of the setting's kind.

use super::tree::Value;
use super::units::{parse_duration, parse_size, show_duration, show_size};
use super::written::{MARK, is_masked, without_user};
use super::{Secret, Source, secret};
use serde_json::Value as Json;
use std::time::Duration;

/// A kind of value that a setting can have.
pub(super) trait Setting: Sized {
    /// Reads it, or says what is wrong and what would be right.
    fn read(value: &Value, source: &dyn Source) -> Result<Self, String>;

    /// Shows it as it is written.
    fn show(&self) -> String;

    /// It as it is written in JSON, without what must not be shown.
    fn json(&self) -> Json;

    /// All of it, if [`Setting::json`] leaves something out.
    fn hidden(&self) -> Option<Json> {
        None
    }
}

fn expected<T>(what: &str, found: &Value) -> Result<T, String> {
    match found {
        // Variables are always text: what was expected is all there is to say.
        Value::Raw(text) => Err(format!("expected {what}, found {text:?}")),
        other => Err(format!("expected {what}, found {}", other.kind())),
    }
}

impl Setting for String {
    fn read(value: &Value, _: &dyn Source) -> Result<Self, String> {
        match value {
            Value::Text(text) | Value::Raw(text) => Ok(text.clone()),
            other => expected("text in quotes", other),
        }
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }

    fn json(&self) -> Json {
        Json::from(self.as_str())
    }
}

impl Setting for Secret {
    fn read(value: &Value, source: &dyn Source) -> Result<Self, String> {
        match value {
            Value::Text(text) | Value::Raw(text) => secret::resolve(text, source),
            other => expected("text in quotes", other),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn json(&self) -> Json {
        Json::from(MARK)
    }

    fn hidden(&self) -> Option<Json> {
        Some(Json::from(self.expose()))
    }
}

/// A URL that may have a user and a password in it, which alone are secret. Written as a secret is.
pub(super) struct Address(pub(super) Secret);

impl Setting for Address {
    fn read(value: &Value, source: &dyn Source) -> Result<Self, String> {
        let read = Secret::read(value, source)?;
        if is_masked(read.expose()) {
            return Err(format!(
                "{MARK:?} stands for a part that is not shown, and goes with its own URL only: write it out"
            ));
        }
        Ok(Self(read))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }

    fn json(&self) -> Json {
        Json::from(without_user(self.0.expose()).unwrap_or_else(|| self.0.expose().to_owned()))
    }

    fn hidden(&self) -> Option<Json> {
        without_user(self.0.expose()).is_some().then(|| Json::from(self.0.expose()))
    }
}

/// Text that is written as a secret is, in place or by reference, and is none: a certificate.
pub(super) struct Public(pub(super) Secret);

impl Setting for Public {
    fn read(value: &Value, source: &dyn Source) -> Result<Self, String> {
        Secret::read(value, source).map(Self)
    }

    fn show(&self) -> String {
        self.0.to_string()
    }

    fn json(&self) -> Json {
        Json::from(self.0.expose())
    }
}

impl Setting for bool {
    fn read(value: &Value, _: &dyn Source) -> Result<Self, String> {
        match value {
            Value::Bool(yes) => Ok(*yes),
            Value::Raw(text) if text == "true" => Ok(true),
            Value::Raw(text) if text == "false" => Ok(false),
            other => expected("true or false", other),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn json(&self) -> Json {
        Json::from(*self)
    }
}

macro_rules! whole_number {
    ($($kind:ty),*) => {$(
        impl Setting for $kind {
            fn read(value: &Value, _: &dyn Source) -> Result<Self, String> {
                let number = match value {
                    Value::Integer(number) => *number,
                    Value::Raw(text) => match text.parse() {
                        Ok(number) => number,
                        Err(_) => return expected("a whole number", value),
                    },
                    other => return expected("a whole number", other),
                };
                Self::try_from(number).map_err(|_| format!("{number} is out of bounds; use 0 to {}", Self::MAX))
            }

            fn show(&self) -> String {
                self.to_string()
            }

            fn json(&self) -> Json {
                Json::from(*self)
            }
        }
    )*};
}
whole_number!(u16, u32, u64, usize);

impl Setting for f64 {
    fn read(value: &Value, _: &dyn Source) -> Result<Self, String> {
        match value {
            Value::Float(number) => Ok(*number),
            #[allow(clippy::cast_precision_loss)]
            Value::Integer(number) => Ok(*number as Self),
            Value::Raw(text) => text.parse().or_else(|_| expected("a number", value)),
            other => expected("a number", other),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn json(&self) -> Json {
        Json::from(*self)
    }
}

impl Setting for Duration {
    fn read(value: &Value, _: &dyn Source) -> Result<Self, String> {
        match value {
            Value::Text(text) | Value::Raw(text) => parse_duration(text),
            Value::Integer(number) => Err(format!("{number} has no unit; write \"{number}s\" or \"{number}ms\"")),
            other => expected("a duration such as \"30s\"", other),
        }
    }

    fn show(&self) -> String {
        show_duration(*self)
    }

    fn json(&self) -> Json {
        Json::from(self.show())
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub(super) u64);

impl Size {
    /// As an index type; a size beyond the address space counts as all of it.
    pub(super) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Setting for Size {
    fn read(value: &Value, _: &dyn Source) -> Result<Self, String> {
        match value {
            Value::Text(text) | Value::Raw(text) => parse_size(text).map(Size),
            Value::Integer(number) => match u64::try_from(*number) {
                Ok(number) => Ok(Self(number)),
                Err(_) => Err(format!("{number} is below zero")),
            },
            other => expected("a size such as \"256KiB\"", other),
        }
    }

    fn show(&self) -> String {
        show_size(self.0)
    }

    fn json(&self) -> Json {
        Json::from(self.show())
    }
}
