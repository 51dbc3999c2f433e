//! `GET /console/workers`: who works on which partition, and which processes share the store.

use crate::failed::Answer;
use crate::links;
use crate::page::{incomplete, live, page};
use crate::show;
use crate::site::Site;
use crate::visit::Visit;
use axum::extract::State;
use laneway_domain::Partition;
use maud::{Markup, html};
use std::sync::Arc;

pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit) -> Answer {
    visit.runs_the_server()?;
    let snapshot = site.snapshot(&visit).await?;
    let ranges = ranges(&snapshot.partitions);
    let content = live(
        "workers",
        &html! {
            (incomplete(&snapshot.incomplete))
            p { (show::counted(snapshot.partitions.len() as u64, "partition is", "partitions are")) " worked on: " (ranges) "." }
            h2 { "Workers" }
            @if snapshot.workers.is_empty() {
                p { "This process works on all of them: its store cannot be shared." }
            } @else {
                (table("Workers", &["Worker", "Partitions", "Which"], snapshot.workers.iter().map(|worker| {
                    [worker.worker.clone(), show::count(worker.partitions.len() as u64), self::ranges(&worker.partitions)]
                })))
            }
            @if !snapshot.processes.is_empty() {
                h2 { "Processes that have the store open" }
                (table("Processes", &["Process", "Role", "Release"], snapshot.processes.iter().map(|process| {
                    [process.process.clone(), process.role.clone(), process.release.clone()]
                })))
            }
        },
    );
    let content =
        html! { (content) p { a href=(links::STORE) { "What the store holds, and how much room it takes" } } };
    Ok(page(&visit, "Workers and partitions", &content))
}

fn table(caption: &str, head: &[&str; 3], rows: impl Iterator<Item = [String; 3]>) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label=(caption) {
            table {
                caption.hidden { (caption) }
                thead { tr { @for head in head { th scope="col" { (head) } } } }
                tbody { @for [first, second, third] in rows { tr { th scope="row" { (first) } td { (second) } td { (third) } } } }
            }
        }
    }
}

/// Partitions as people write them: `0-3, 7`.
fn ranges(partitions: &[Partition]) -> String {
    let mut sorted: Vec<u32> = partitions.iter().map(|partition| partition.0).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let runs = sorted.chunk_by(|a, b| a + 1 == *b);
    let shown = runs.filter_map(|run| match run {
        [] => None,
        [one] => Some(one.to_string()),
        [first, .., last] => Some(format!("{first}-{last}")),
    });
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_written_as_ranges() {
        let of = |numbers: &[u32]| ranges(&numbers.iter().copied().map(Partition).collect::<Vec<_>>());
        assert_eq!(of(&[]), "none");
        assert_eq!(of(&[4]), "4");
        assert_eq!(of(&[2, 0, 1, 7, 8, 5, 5]), "0-2, 5, 7-8");
        assert_eq!(of(&[u32::MAX]), u32::MAX.to_string());
    }
}
