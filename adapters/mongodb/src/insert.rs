//! Insert mode: a document per event.

use crate::collection::Collection;
use crate::command::Fill;
use crate::config::Mode;
use crate::document::{document, document_id};
use crate::failure::{DUPLICATE_KEY, Failure, is_the_documents_fault};
use crate::ledger::{Ledger, rejected, retry};
use crate::reply::Reply;
use laneway_domain::Cause;
use laneway_domain::LoggedEvent;
use std::collections::HashMap;

/// Writes what is open in `ledger`.
///
/// The server takes each command's documents in their order and stops at the first that fails, so
/// that nothing of a key is written behind its failure. Without that key's events it goes on.
///
/// # Errors
/// When nothing more can be done in this attempt; what is still open failed for that reason.
pub(crate) async fn insert(collection: &Collection, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
    // So many of the next commands take one document each, to find the one that spoiled a command.
    let mut alone: usize = 0;
    while ledger.may_go_on() {
        let Fill { entries: indexes, documents, .. } = fill(ledger, alone > 0);
        if indexes.is_empty() {
            return Ok(());
        }
        alone = alone.saturating_sub(1);
        match collection.insert(documents).await {
            Ok(reply) => settle(collection, ledger, &indexes, reply).await?,
            Err(failure) if failure.documents_fault => match indexes[..] {
                [only] => ledger.failed(only, rejected(failure.reason)),
                _ => alone = indexes.len(),
            },
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

fn fill(ledger: &mut Ledger<'_>, alone: bool) -> Fill<usize> {
    let mut fill = Fill::new(alone);
    let open: Vec<usize> = ledger.open().collect();
    for index in open {
        // It may have been closed by a failure before it.
        if !ledger.is_open(index) {
            continue;
        }
        match document(&ledger.event(index).event, Mode::Insert) {
            Ok(document) => {
                if !fill.take(index, document) {
                    break;
                }
            }
            Err(reason) => ledger.failed(index, rejected(reason)),
        }
    }
    fill
}

async fn settle(
    collection: &Collection,
    ledger: &mut Ledger<'_>,
    indexes: &[usize],
    reply: Reply,
) -> Result<(), Failure> {
    if let Some(reason) = reply.unconfirmed {
        return Err(Failure::new(Cause::Refused, reason));
    }
    let Some(error) = reply.errors.into_iter().next() else {
        if reply.written != indexes.len() as u64 {
            return Err(contradiction(reply.written, indexes.len()));
        }
        indexes.iter().for_each(|index| ledger.delivered(*index));
        return Ok(());
    };
    let Some(failed) = indexes.get(error.index).copied() else {
        return Err(contradiction(reply.written, indexes.len()));
    };
    // A server that takes nothing of a command with a bad document says so with this number. What
    // is left open goes into the next command.
    if reply.written == error.index as u64 {
        indexes[..error.index].iter().for_each(|index| ledger.delivered(*index));
    }
    if error.id_taken {
        return recognise(collection, ledger, &indexes[error.index..]).await;
    }
    let for_good = error.code == DUPLICATE_KEY || is_the_documents_fault(error.code);
    ledger.failed(failed, if for_good { rejected(error.message) } else { retry(&error.message) });
    Ok(())
}

pub(crate) fn contradiction(written: u64, sent: usize) -> Failure {
    Failure::new(Cause::Unanswered, format!("MongoDB says that it wrote {written} of {sent} documents, and not which"))
}

/// The first event's `_id` is taken, probably by an earlier attempt at it, and then probably not
/// the only one of the batch: looks which of the events are there already.
async fn recognise(collection: &Collection, ledger: &mut Ledger<'_>, indexes: &[usize]) -> Result<(), Failure> {
    let id =
        |index: usize, ledger: &Ledger<'_>| document_id(&ledger.event(index).event.event, Mode::Insert).into_owned();
    let ids: Vec<String> = indexes.iter().map(|index| id(*index, ledger)).collect();
    let found = collection.find(&ids).await?;
    let found: HashMap<&str, _> = found.iter().map(|stored| (stored.id.as_str(), stored)).collect();
    for (place, (index, id)) in indexes.iter().zip(&ids).enumerate() {
        if !ledger.is_open(*index) {
            continue;
        }
        let logged = &ledger.event(*index).event;
        match found.get(id.as_str()) {
            Some(stored) if stored.is(logged) => ledger.delivered(*index),
            Some(stored) => ledger.failed(*index, rejected(clash(collection, id, stored, logged))),
            None if place == 0 => ledger.failed(
                *index,
                retry("there is a document with this event's _id, but a majority does not have it yet"),
            ),
            None => {}
        }
    }
    Ok(())
}

pub(crate) fn clash(
    collection: &Collection,
    id: &str,
    stored: &impl std::fmt::Display,
    logged: &LoggedEvent,
) -> String {
    let source =
        logged.event.source.as_deref().map_or("without a source".to_owned(), |source| format!("from {source:?}"));
    format!(
        "the _id {id:?} is taken in {collection} by {stored}; this event is at partition {}, offset {}, {source}. \
         Nothing was written over. Events of several sources that share ids, and logs that were made anew, need a \
         collection each",
        logged.partition, logged.offset
    )
}
