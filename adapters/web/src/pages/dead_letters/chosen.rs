//! `POST /console/dead-letters/chosen`: first how many there are and what will become of them, then that.

use super::FILTER;
use crate::failed::{Answer, Failed};
use crate::form::{Form, Posted};
use crate::interface::{Interface, problem};
use crate::links;
use crate::page::{page, proof};
use crate::show;
use crate::site::Site;
use crate::visit::Visit;
use axum::extract::State;
use http::Method;
use laneway_domain::{DestinationName, EventId, Key, MAX_REPLAY_CHOICES, Offset, Partition, Role, Tenant};
use laneway_http::wire::{Count, DeadLetterSelection, DeadLetterView, Place, Problem};
use maud::{Markup, html};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A dead letter as a field of a form: its place, since its id may be that of another tenant's or source's event too.
/// (No name of a destination has a space in it.)
pub(super) fn written(letter: &DeadLetterView) -> String {
    format!("{} {} {}", letter.destination, letter.partition, letter.offset)
}

fn read(text: &str) -> Option<(DestinationName, Place)> {
    let mut parts = text.split(' ');
    let destination = DestinationName::new(parts.next()?).ok()?;
    let (partition, offset) = (Partition(parts.next()?.parse().ok()?), Offset(parts.next()?.parse().ok()?));
    parts.next().is_none().then_some((destination, Place { partition, offset }))
}

/// What is done to dead letters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Retry,
    Discard,
}

impl What {
    fn of(word: &str) -> Option<Self> {
        match word {
            "retry" | "retry-all" => Some(Self::Retry),
            "discard" | "discard-all" => Some(Self::Discard),
            _ => None,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Discard => "discard",
        }
    }
}

pub(crate) async fn act(State(site): State<Arc<Site>>, visit: Visit, Posted(form): Posted) -> Answer {
    visit.needs(Role::Operate)?;
    let back = links::back(&form, links::DEAD_LETTERS).to_owned();
    let (asks, does) = (form.get("ask"), form.get("do"));
    let word = if asks.is_empty() { does } else { asks };
    let what = What::of(word).ok_or_else(|| mistaken("The form does not say what is to be done."))?;
    let selections = if word.ends_with("-all") { vec![of_filter(&form)?] } else { of_choice(&form)? };
    if selections.is_empty() {
        return Ok(site.came_to(&visit, false, "No dead letter was chosen.".to_owned(), &back));
    }
    let interface = site.interface(&visit);
    if !asks.is_empty() {
        let count = count(&interface, &selections).await?;
        return Ok(page(&visit, &title(what, count), &confirm(&visit, &form, what, word, count, &back)));
    }
    let (mut done, mut failed) = (0, Vec::new());
    for selection in &selections {
        let path = format!("/v1/dead-letters/{}", what.word());
        let answer: Result<Count, Box<Problem>> = interface.send(Method::POST, &path, &[], selection).await;
        match answer {
            Ok(answer) => done += answer.count,
            Err(problem) => failed.push(problem.detail),
        }
    }
    let mut said = match what {
        What::Retry => format!(
            "{} attempted once more. What fails stays here.",
            show::counted(done, "dead letter is", "dead letters are")
        ),
        What::Discard => format!("{} discarded.", show::counted(done, "dead letter is", "dead letters are")),
    };
    if !failed.is_empty() {
        said += &format!(" Some could not be: {}", failed.join("; "));
    }
    Ok(site.came_to(&visit, failed.is_empty() && done > 0, said, &back))
}

fn mistaken(what: &str) -> Failed {
    Failed(problem("invalid", 422, "The form is not complete", what))
}

fn of_choice(form: &Form) -> Result<Vec<DeadLetterSelection>, Failed> {
    let mut chosen: BTreeMap<DestinationName, Vec<Place>> = BTreeMap::new();
    for text in form.all("letter") {
        let (name, place) = read(text).ok_or_else(|| mistaken("It names something that is no dead letter."))?;
        chosen.entry(name).or_default().push(place);
    }
    let mut selections = Vec::new();
    for (name, places) in chosen {
        // More than that the interface does not take at once.
        for places in places.chunks(MAX_REPLAY_CHOICES) {
            let all = DeadLetterSelection::of(name.clone());
            selections.push(DeadLetterSelection { places: places.to_vec(), ..all });
        }
    }
    Ok(selections)
}

fn of_filter(form: &Form) -> Result<DeadLetterSelection, Failed> {
    let wrong = |what: String| mistaken(&what);
    let said = |name: &str| Some(form.get(name).trim().to_owned()).filter(|text| !text.is_empty());
    let destination = DestinationName::new(form.get("destination").trim()).map_err(|error| wrong(error.to_string()))?;
    let tenant = said("tenant").map(|tenant| Tenant::new(&tenant)).transpose();
    let tenant = tenant.map_err(|error| wrong(error.to_string()))?;
    let key = said("key").map(|key| Key::new(&key)).transpose().map_err(|error| wrong(error.reason))?;
    let event_id = said("event_id").map(|id| EventId::new(&id)).transpose().map_err(|error| wrong(error.reason))?;
    let statuses = said("status").map(|status| status.parse::<u16>()).transpose();
    let statuses = statuses.map_err(|_| wrong("The status is no number.".to_owned()))?;
    Ok(DeadLetterSelection {
        tenant,
        key,
        event_id,
        types: said("type").into_iter().collect(),
        statuses: statuses.into_iter().collect(),
        from: said("from"),
        to: said("to"),
        ..DeadLetterSelection::of(destination)
    })
}

/// How many dead letters that are, as the interface counts them.
async fn count(interface: &Interface, selections: &[DeadLetterSelection]) -> Result<u64, Failed> {
    let mut count = 0;
    for selection in selections {
        let asked = DeadLetterSelection { dry_run: true, ..selection.clone() };
        let found: Count = interface.send(Method::POST, "/v1/dead-letters/retry", &[], &asked).await?;
        count += found.count;
    }
    Ok(count)
}

fn title(what: What, count: u64) -> String {
    let word = if what == What::Retry { "Retry" } else { "Discard" };
    format!("{word} {}?", show::counted(count, "dead letter", "dead letters"))
}

fn confirm(visit: &Visit, form: &Form, what: What, word: &str, count: u64, back: &str) -> Markup {
    html! {
        @match what {
            What::Retry => {
                p { "Each is attempted once more, beside the order: later events of its key may have been delivered already. What fails stays a dead letter." }
                p { "To bring a key back in order, with everything after it, recover the key instead." }
            }
            What::Discard => p { "They are removed for good, with the copies of their events. Nothing is sent." },
        }
        form method="post" action=(links::CHOSEN) {
            (proof(visit))
            input type="hidden" name="back" value=(back);
            @if word.ends_with("-all") {
                @for (name, ..) in FILTER { input type="hidden" name=(name) value=(form.get(name)); }
            } @else {
                @for letter in form.all("letter") { input type="hidden" name="letter" value=(letter); }
            }
            div.actions {
                button.danger[what == What::Discard] type="submit" name="do" value=(word) { (title(what, count).trim_end_matches('?')) }
                a.button.plain href=(back) { "Cancel" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_is_read_as_it_was_written() {
        let (destination, place) = read("billing 3 17").unwrap();
        assert_eq!((destination.as_str(), place), ("billing", Place { partition: Partition(3), offset: Offset(17) }));
        for other in
            ["", "billing", "billing 3", "billing 3 ", "BILLING 3 17", " 3 17", "billing 3 17 1", "billing -3 17"]
        {
            assert!(read(other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn what_is_counted_is_told_with_its_number() {
        assert_eq!(title(What::Retry, 1), "Retry 1 dead letter?");
        assert_eq!(title(What::Discard, 1000), "Discard 1,000 dead letters?");
        assert!(What::of("drop").is_none());
    }
}
