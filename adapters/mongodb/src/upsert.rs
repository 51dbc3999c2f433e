//! Upsert mode: a document per key, that of its latest event.

use crate::collection::Collection;
use crate::command::Fill;
use crate::config::Mode;
use crate::document::{document, document_id, signed};
use crate::failure::{DUPLICATE_KEY, Failure, is_the_documents_fault};
use crate::insert::{clash, contradiction};
use crate::ledger::{Ledger, rejected, retry};
use crate::reply::Reply;
use crate::stored::Standing;
use laneway_domain::Cause;
use laneway_domain::LoggedEvent;
use mongodb::bson::raw::cstr;
use mongodb::bson::{RawDocumentBuf, rawdoc};
use std::collections::{BTreeMap, HashMap};

/// Writes what is open in `ledger`: of each key only the last event, which stands for those before
/// it. An event that can be no document leaves the one before it to be written.
///
/// # Errors
/// When nothing more can be done in this attempt; what is still open failed for that reason.
pub(crate) async fn upsert(collection: &Collection, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
    // So many of the next commands take one document each, to find the one that spoiled a command.
    let mut alone: usize = 0;
    while ledger.may_go_on() {
        let fill = fill(ledger, alone > 0);
        if fill.entries.is_empty() {
            if ledger.open().next().is_none() {
                return Ok(());
            }
            // The last events of some keys were refused here, so that others are the last now.
            continue;
        }
        alone = alone.saturating_sub(1);
        match collection.update(fill.documents).await {
            Ok(reply) => settle(collection, ledger, &fill.entries, reply).await?,
            Err(failure) if failure.documents_fault => match &fill.entries[..] {
                [only] => ledger.failed(last(only), rejected(failure.reason)),
                _ => alone = fill.entries.len(),
            },
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

fn last(group: &[usize]) -> usize {
    group.last().copied().unwrap_or_default()
}

/// Updates for the open keys. Every key's last event that cannot be one is closed, so that this
/// comes to an end.
fn fill(ledger: &mut Ledger<'_>, alone: bool) -> Fill<Vec<usize>> {
    let mut fill = Fill::new(alone);
    for group in ledger.open_by_key() {
        let last = last(&group);
        match update(&ledger.event(last).event) {
            Ok(update) => {
                if !fill.take(group, update) {
                    break;
                }
            }
            Err(reason) => ledger.failed(last, rejected(reason)),
        }
    }
    fill
}

/// Replaces the key's document if it is an earlier event's, or makes it. If it is a later one's,
/// or none of ours, the query finds nothing, and making one fails because the `_id` is taken.
fn update(logged: &LoggedEvent) -> Result<RawDocumentBuf, String> {
    let event = &logged.event;
    let document = document(logged, Mode::Upsert)?;
    let offset = signed(logged.offset.0).unwrap_or(i64::MAX);
    let mut query = rawdoc! {
        "_id": &*document_id(event, Mode::Upsert),
        "partition": i64::from(logged.partition.0),
        "offset": { "$lt": offset },
    };
    match &event.tenant {
        Some(tenant) => query.append(cstr!("tenant"), tenant.as_str()),
        None => query.append(cstr!("tenant"), rawdoc! { "$exists": false }),
    }
    match &event.key {
        Some(key) => query.append(cstr!("key"), key.as_str()),
        None => {
            query.append(cstr!("key"), rawdoc! { "$exists": false });
            match &event.source {
                Some(source) => query.append(cstr!("source"), &**source),
                None => query.append(cstr!("source"), rawdoc! { "$exists": false }),
            }
        }
    }
    Ok(rawdoc! { "q": query, "u": document, "upsert": true })
}

async fn settle(
    collection: &Collection,
    ledger: &mut Ledger<'_>,
    groups: &[Vec<usize>],
    reply: Reply,
) -> Result<(), Failure> {
    if let Some(reason) = reply.unconfirmed {
        return Err(Failure::new(Cause::Refused, reason));
    }
    let mut errors: BTreeMap<usize, _> = reply.errors.into_iter().map(|error| (error.index, error)).collect();
    if reply.written + errors.len() as u64 != groups.len() as u64 {
        return Err(contradiction(reply.written, groups.len()));
    }
    let mut taken = Vec::new();
    for (place, group) in groups.iter().enumerate() {
        match errors.remove(&place) {
            None => group.iter().for_each(|index| ledger.delivered(*index)),
            Some(error) if error.id_taken => taken.push(group.as_slice()),
            Some(error) if error.code == DUPLICATE_KEY || is_the_documents_fault(error.code) => {
                ledger.failed(last(group), rejected(error.message));
            }
            Some(error) => ledger.failed(group[0], retry(&error.message)),
        }
    }
    if taken.is_empty() { Ok(()) } else { recognise(collection, ledger, &taken).await }
}

/// The `_id`s of these keys are taken by what is no earlier event of them: looks by what.
async fn recognise(collection: &Collection, ledger: &mut Ledger<'_>, groups: &[&[usize]]) -> Result<(), Failure> {
    let event = |group: &[usize], ledger: &Ledger<'_>| std::sync::Arc::clone(&ledger.event(last(group)).event);
    let events: Vec<_> = groups.iter().map(|group| event(group, ledger)).collect();
    let ids: Vec<_> = events.iter().map(|logged| document_id(&logged.event, Mode::Upsert)).collect();
    let found = collection.find(&ids).await?;
    let found: HashMap<&str, _> = found.iter().map(|stored| (stored.id.as_str(), stored)).collect();
    for ((group, logged), id) in groups.iter().zip(&events).zip(&ids) {
        let first = group[0];
        match found.get(&**id).map(|stored| (stored.standing(logged), stored)) {
            Some((Standing::Current, _)) => group.iter().for_each(|index| ledger.delivered(*index)),
            Some((Standing::Behind, _)) => {
                ledger.failed(first, retry("another worker wrote an earlier event of this key at the same moment"));
            }
            Some((Standing::Foreign, stored)) => {
                ledger.failed(first, rejected(clash(collection, id, stored, logged)));
            }
            None => ledger
                .failed(first, retry("there is a later document of this key, but a majority does not have it yet")),
        }
    }
    Ok(())
}
