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

/// Starts logging to standard error, for the rest of the process.
///
/// # Errors
/// If it was started before, or the filter is wrong.
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
