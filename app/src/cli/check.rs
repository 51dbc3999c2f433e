//! `laneway check`: what would run, without running it.

use super::args::ServeArgs;
use super::prose::Prose;
use super::table::{Align, Look, Table};
use super::{Failure, output, serve};
use crate::compose;
use crate::config::{Config, DestinationConfig, Durability, Source, StoreUrl, show_duration};
use laneway_domain::{Ordering, RetryPolicy};
use std::sync::Arc;

/// Checks configuration and store, and says what they make.
pub(super) async fn run(args: ServeArgs, source: &dyn Source) -> Result<(), Failure> {
    let config = serve::load(args.config.clone(), &args.overrides(), source)?;
    output::print(&describe(&config, Look::plain()))?;
    let checked = compose::check(&config).await.map_err(Failure::new)?;
    let mut text = Prose::new(Look::plain());
    for warning in &checked.warnings {
        text.line("warning       ", warning);
    }
    if let Some(upgrade) = &checked.upgrade {
        text.line("upgrade       ", upgrade);
    }
    if let Ok(found) = &checked.found {
        text.line("store state   ", found);
    }
    output::print(&text.into_text())?;
    checked.found.map(drop).map_err(Failure::new)
}

/// The configuration for people.
pub(super) fn describe(config: &Config, look: Look) -> String {
    let file = config.file.as_ref().map_or_else(|| "none; defaults".to_owned(), |path| path.display().to_string());
    let access = match config.server.tokens.len() {
        0 => "no tokens: open to everybody on this machine".to_owned(),
        1 => "1 token".to_owned(),
        n => format!("{n} tokens"),
    };
    let tls = match &config.server.tls {
        None => "",
        Some(tls) if tls.require_client => "TLS, with client certificates only; ",
        Some(tls) if tls.pem.ca.is_some() => "TLS, with client certificates; ",
        Some(_) => "TLS; ",
    };
    let store = &config.store;
    let durability = match store.durability {
        Durability::Full => "fsynced before each answer",
        Durability::Relaxed => "RELAXED: accepted events can be lost with the machine's power",
    };
    let retain = show_duration(store.retain);
    let mut text = Prose::new(look);
    text.line("configuration ", &file);
    text.line("listens on    ", &format!("{} ({tls}{access})", config.server.listen));
    if let Some(address) = config.server.operator_listen {
        text.line("operators on  ", &format!("{address} (the console and everything but events in)"));
    }
    if matches!(store.url, StoreUrl::Redis(_)) {
        text.line("workers on    ", &format!("{} (status of the `worker` binary)", config.worker.listen));
    }
    text.line("store         ", &format!("{} ({durability}; settled events kept for {retain})", store.url));
    text.gap();
    let mut text = text.into_text();
    text.push_str(&destinations(&config.destinations, look));
    text.push_str("`laneway destinations list` shows those that were made over HTTP, too\n");
    text.push('\n');
    text
}

fn destinations(destinations: &[Arc<DestinationConfig>], look: Look) -> String {
    let mut table = Table::new(&[
        ("DESTINATION", Align::Left),
        ("TO", Align::Text),
        ("WANTS", Align::Text),
        ("ORDER", Align::Left),
        ("IN FLIGHT", Align::Right),
        ("RETRIES", Align::Left),
    ]);
    for known in destinations {
        let DestinationConfig { destination, sink, .. } = &**known;
        let types: Vec<&str> = destination.filters.current.types.iter().map(|pattern| pattern.as_str()).collect();
        let types = if types.is_empty() { "all".to_owned() } else { types.join(", ") };
        let attributes =
            destination.filters.current.attributes.iter().map(|(name, value)| format!(" with {name}={value}"));
        let paused = if destination.paused.is_some() { " (paused)" } else { "" };
        table.row(vec![
            format!("{}{paused}", destination.name),
            sink.shown(),
            format!("{types}{}", attributes.collect::<String>()),
            order(destination.ordering).to_owned(),
            destination.max_in_flight.to_string(),
            retries(&destination.retry),
        ]);
    }
    table.fitted(look)
}

fn retries(policy: &RetryPolicy) -> String {
    let delays = format!("{} to {}", show_duration(policy.initial), show_duration(policy.limit));
    policy.total.map_or_else(|| delays.clone(), |total| format!("{delays}, for {}", show_duration(total)))
}

/// As the configuration writes it.
const fn order(ordering: Ordering) -> &'static str {
    match ordering {
        Ordering::Key => "key",
        Ordering::Strict => "strict",
        Ordering::None => "none",
    }
}
