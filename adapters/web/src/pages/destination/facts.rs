//! What a destination is: its settings, and where they are changed.

use crate::data;
use crate::links;
use crate::page::ago;
use crate::show;
use crate::visit::Visit;
use laneway_domain::Origin;
use laneway_http::wire::DestinationRecord;
use maud::{Markup, html};
use serde_json::Value;

pub(super) fn section(visit: &Visit, record: &DestinationRecord) -> Markup {
    html! {
        section aria-labelledby="settings" {
            h2 #settings { "Settings" }
            p.small {
                @match record.origin {
                    Origin::File => "They are in the configuration file, and changed there.",
                    Origin::Api => "They are kept in the store, and changed over the interface.",
                }
                " Revision " span.mono { (record.revision) } ": "
                a href=(format!("{}/changes", links::destination(record.name.as_str()))) { "who changed what" } "."
                @if let Some(pause) = &record.paused {
                    @if let Some(since) = show::read_moment(&pause.since) { " Paused " (ago(visit.now, since)) "." }
                }
            }
            dl.facts { @for (name, value) in &record.settings { div { dt { (name) } dd.mono { (data::visible(&written(value))) } } } }
        }
    }
}

/// A setting as people read it. A text stands by itself.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) if all.iter().all(Value::is_string) => all.iter().map(written).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_are_written_plainly() {
        assert_eq!(written(&json!("https://a.example")), "https://a.example");
        assert_eq!(written(&json!(["order.*", "invoice.paid"])), "order.*, invoice.paid");
        assert_eq!(written(&json!({"initial": "1s"})), r#"{"initial":"1s"}"#);
        assert_eq!(written(&json!(64)), "64");
    }
}
