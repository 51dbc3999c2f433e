//! What has become of an event at a destination, as a badge.

use crate::need::Tone;
use maud::{Markup, html};

/// How loudly a state of the interface is shown.
fn tone(state: &str) -> Tone {
    match state {
        "delivered" => Tone::Good,
        "blocked" | "held" => Tone::Bad,
        "dead-letter" => Tone::Warning,
        _ => Tone::Quiet,
    }
}

/// The state in a word.
pub(crate) fn badge(state: &str) -> Markup {
    html! { span class={ "badge " (tone(state).class()) } { (state.replace('-', " ")) } }
}
