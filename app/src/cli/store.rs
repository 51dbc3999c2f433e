//! `laneway store`: what the store holds, and how much room it takes.

use super::args::StoreSizeArgs;
use super::client::Client;
use super::prose::Prose;
use super::table::{Look, size};
use super::when::{local, localized};
use super::{Failure, output};
use crate::config::show_duration;
use laneway_http::wire::{StoreHistory, StorePartView, StoreView};
use std::time::Duration;

/// Carries the command out.
pub(super) async fn run(client: &Client, args: &StoreSizeArgs) -> Result<(), Failure> {
    let found: StoreView = client.get("/v1/store").await?;
    if args.json {
        let line = serde_json::to_string(&found).map_err(|error| Failure::new(error.to_string()))?;
        return output::line(&line);
    }
    found.incomplete.iter().for_each(|what| output::note(&localized(&output::clean(what))));
    output::print(&told(&found, Look::plain()))
}

fn told(store: &StoreView, look: Look) -> String {
    let mut text = Prose::new(look);
    let duration = |seconds| show_duration(Duration::from_secs(seconds));
    let s = if store.partitions == 1 { "" } else { "s" };
    text.line("", &format!("{}, {} partition{s}", store.place, store.partitions));
    let since = store.oldest_accepted_at.as_deref().map(|at| format!(", the oldest accepted {}", local(at)));
    text.line("  events   ", &format!("{}{}", store.events, since.unwrap_or_default()));
    text.line("           ", &format!("settled ones are kept for {} (store.retain)", duration(store.retain_seconds)));
    let window = duration(store.duplicate_window_seconds);
    text.line("  ids      ", &format!("remembered for {window} (store.duplicate_window)"));
    match &store.history {
        Some(StoreHistory { records, bytes, max_bytes, max_age_seconds }) => {
            let (bytes, most, age) = (size(*bytes), size(*max_bytes), duration(*max_age_seconds));
            let s = if *records == 1 { "" } else { "s" };
            text.line("  history  ", &format!("{bytes} in {records} record{s}; at most {most} and {age} are kept"));
        }
        None => text.line("  history  ", "switched off (history.enabled)"),
    }
    for (n, StorePartView { name, bytes, most_bytes }) in store.parts.iter().enumerate() {
        let most = most_bytes.map_or_else(String::new, |most| format!(" of at most {}", size(most)));
        text.line(if n == 0 { "  room     " } else { "           " }, &format!("{}{most}: {name}", size(*bytes)));
    }
    text.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_holds_fits_the_terminal() {
        let part = |name: &str, most| StorePartView { name: name.to_owned(), bytes: 3 << 20, most_bytes: most };
        let store = StoreView {
            place: "sqlite:/var/lib/laneway/laneway.db".to_owned(),
            partitions: 8,
            events: 1_234,
            oldest_accepted_at: None,
            retain_seconds: 86_400,
            duplicate_window_seconds: 3_600,
            history: Some(StoreHistory { records: 7, bytes: 1 << 20, max_bytes: 1 << 30, max_age_seconds: 604_800 }),
            parts: vec![
                part("/var/lib/laneway/laneway.db", Some(5 << 30)),
                part("/var/lib/laneway/laneway.db-wal", None),
            ],
            incomplete: Vec::new(),
        };
        let expected = "\
sqlite:/var/lib/laneway/laneway.db, 8 partitions
  events   1234
           settled ones are kept for 1d (store.retain)
  ids      remembered for 1h (store.duplicate_window)
  history  1.0 MiB in 7 records; at most 1.0 GiB and 7d are kept
  room     3.0 MiB of at most 5.0 GiB: /var/lib/laneway/laneway.db
           3.0 MiB: /var/lib/laneway/laneway.db-wal
";
        let look = Look { width: Some(80), ..Look::default() };
        assert_eq!(told(&store, look), expected);
        let off = told(&StoreView { history: None, ..store }, look);
        assert!(off.contains("  history  switched off") && off.lines().all(|line| line.len() <= 80), "{off}");
    }
}
