//! What the process says of itself: log lines and metrics.

pub mod destinations;
pub mod metrics;

use crate::config::{Log, LogFormat};
use std::io::{self, IsTerminal as _};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// The client of Redis warns of every connection that ends, several times; the store says it once, in
/// words. MongoDB's driver tells of each step to the egress guard. What the settings say comes later and wins.
const QUIET: &str = "fred=error,fast_socks5=warn";

/// Checks log directives such as `info` or `info,laneway_webhook=debug`.
///
/// # Errors
/// Says which part is wrong.
pub fn check_filter(filter: &str) -> Result<(), String> {
    let wrong = |part: &str| {
        format!("{part:?} is not a log filter; write a level (off, error, warn, info, debug, trace) or MODULE=LEVEL")
    };
    // A bare word that is no level would be taken for a module, and silence everything else.
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for part in filter.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let bare = part.bytes().all(|b| b.is_ascii_alphabetic());
        if bare && !LEVELS.contains(&part.to_ascii_lowercase().as_str()) {
            return Err(wrong(part));
        }
        // What is no name of a module would be taken for one.
        let module = part.split_once('=').map_or("module", |(module, _)| module);
        if module.is_empty() || !module.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':')) {
            return Err(wrong(part));
        }
        part.parse::<Targets>().map_err(|_| wrong(part))?;
    }
    filter.parse::<Targets>().map(|_| ()).map_err(|_| wrong(filter))
}

/// Starts logging to standard error, for the rest of the process.
///
/// # Errors
/// If it was started before, or the filter is wrong (see [`check_filter`]).
pub fn start_logging(log: &Log) -> Result<(), String> {
    let filter: Targets = format!("{QUIET},{}", log.filter).parse().map_err(|e| format!("{e}"))?;
    let terminal = io::stderr().is_terminal();
    let text = match log.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let started = if text {
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        registry.with(layer.with_ansi(colours).with_target(false)).try_init()
    } else {
        registry.with(layer.json().flatten_event(true)).try_init()
    };
    started.map_err(|e: TryInitError| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::check_filter;

    #[test]
    fn a_misspelt_level_is_no_module() {
        assert_eq!(check_filter("info,laneway_webhook=debug"), Ok(()));
        assert_eq!(check_filter("WARN"), Ok(()));
        for bad in ["inof", "info,debgu", "laneway=verbose", "=,="] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }
}
