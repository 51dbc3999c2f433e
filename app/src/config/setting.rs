//! What a single value can be read as. Values from variables and flags are text, whatever the
//! setting is; values from a file have to be of the setting's kind.

use super::tree::Value;
use super::units::{parse_duration, parse_size, show_duration, show_size};
use super::{Secret, Source, secret};
use std::time::Duration;

/// A kind of value that a setting can have.
pub(super) trait Setting: Sized {
    /// Reads it, or says what is wrong and what would be right.
    fn read(value: &Value, source: &dyn Source) -> Result<Self, String>;

    /// Shows it as it is written.
    fn show(&self) -> String;
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
}
