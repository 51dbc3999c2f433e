//! How a command fails: one line that says what happened, one that says what to do, and a code.

use super::wrap::for_terminals;
use crate::config::ConfigError;
use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

/// It was done.
pub const EXIT_OK: u8 = 0;
/// It could not be done.
pub const EXIT_FAILED: u8 = 1;
/// The command line or the configuration is wrong. (Also what clap ends with.)
pub const EXIT_CONFIG: u8 = 2;
/// `send`: some events were refused; all others are stored.
pub const EXIT_REFUSED: u8 = 3;

/// Why a command ended without having done its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened. Empty when everything was said already, or nobody is left to read it.
    pub what: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// The exit code.
    pub code: u8,
}

impl Failure {
    /// It could not be done.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), advice: None, code: EXIT_FAILED }
    }

    /// The same, with what to do.
    #[must_use]
    pub fn advising(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// All mistakes of a configuration.
    #[must_use]
    pub fn config(error: &ConfigError) -> Self {
        let what = match error.problems().len() {
            1 => error.to_string(),
            n => format!("the configuration has {n} mistakes:\n{error}"),
        };
        Self { what, advice: None, code: EXIT_CONFIG }
    }

    /// Ends with that code, without a word.
    pub(super) const fn silent(code: u8) -> Self {
        Self { what: String::new(), advice: None, code }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.advice {
            Some(advice) => write!(f, "\n  {advice}"),
            None => Ok(()),
        }
    }
}

/// Says on standard error what went wrong; the code to end with.
pub(super) fn report(failure: &Failure) -> ExitCode {
    if !failure.what.is_empty() {
        let said = format!("laneway: {failure}");
        let said = if std::io::stderr().is_terminal() { for_terminals(&said) } else { said };
        // Where standard error is closed, the code has to be enough.
        let _ = writeln!(std::io::stderr(), "{said}");
    }
    ExitCode::from(failure.code)
}
