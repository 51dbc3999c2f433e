//! What Redis answers about streams, into records. By hand, so that the data of an event is not
//! checked for being UTF-8 and copied on its way.

use crate::codec;
use crate::numbers::Numbers;
use crate::place;
use bytes::Bytes;
use fred::types::Resp3Frame;
use laneway_domain::{Offset, Partition};
use laneway_ports::{LogRecord, StoreError};
use std::sync::Arc;

/// An entry: the record, and the check that tells it from another one at its place.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) record: LogRecord,
    pub(crate) check: u32,
    /// How many bytes it has in Redis.
    pub(crate) bytes: usize,
}

impl Entry {
    pub(crate) fn offset(&self) -> Offset {
        self.record.offset()
    }

    /// What counts against bounds of bytes.
    pub(crate) fn weight(&self) -> usize {
        match &self.record {
            LogRecord::Event(event) => event.event.weight(),
            LogRecord::Corrupt { reason, .. } => reason.len(),
        }
    }
}

/// The entries of one stream, as XRANGE answers them. What is none of this store's is left out,
/// with a log line: there is no offset to say where it is. `newest` is the newest version of an entry that is read.
///
/// # Errors
/// [`StoreError::RetryLater`] if the first of them was written by a newer release. Those before one that was are returned:
/// they can be read, and it is the first of what is asked for then.
pub(crate) fn entries(
    partition: Partition,
    frame: &Resp3Frame,
    newest: u8,
    numbers: &Numbers,
) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    for frame in items(frame) {
        match entry(partition, frame, newest, numbers) {
            Ok(entry) => entries.extend(entry),
            Err(error) if entries.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(entries)
}

/// Id and bytes of the entries of one stream, as XRANGE answers them; no bytes: Laneway has not written that one.
pub(crate) fn raw_entries(frame: &Resp3Frame) -> Vec<(Bytes, Option<Bytes>)> {
    let raw = |frame: &Resp3Frame| {
        let [id, fields] = items(frame) else { return None };
        let value = match items(fields) {
            [name, value] if bytes(name) == Some(codec::FIELD.as_bytes()) => bytes(value),
            _ => None,
        };
        Some((Bytes::copy_from_slice(bytes(id)?), value.map(Bytes::copy_from_slice)))
    };
    items(frame).iter().filter_map(raw).collect()
}

/// The streams of an answer to XREAD: their names and entries.
pub(crate) fn streams(frame: &Resp3Frame) -> impl Iterator<Item = (&[u8], &Resp3Frame)> {
    items(frame).iter().filter_map(|stream| match items(stream) {
        [name, entries] => Some((bytes(name)?, entries)),
        _ => None,
    })
}

fn entry(partition: Partition, frame: &Resp3Frame, newest: u8, numbers: &Numbers) -> Result<Option<Entry>, StoreError> {
    let [id, fields] = items(frame) else { return Ok(None) };
    let Some(id) = bytes(id) else { return Ok(None) };
    let Some(offset) = place::offset_of(id) else {
        tracing::error!(%partition, id = %String::from_utf8_lossy(id), "the log has an entry that Laneway did not write; it is skipped");
        return Ok(None);
    };
    let offset = numbers.shown(offset);
    let (name, value) = match items(fields) {
        [name, value, ..] => (bytes(name).unwrap_or_default(), bytes(value).unwrap_or_default()),
        _ => Default::default(),
    };
    let decoded = if name == codec::FIELD.as_bytes() {
        codec::decode(partition, offset, value, newest)
    } else {
        Err(format!("the entry has no field {}", codec::FIELD).into())
    };
    let record = match decoded {
        Ok(event) => LogRecord::Event(Arc::new(event)),
        Err(newer @ codec::Unreadable::Newer(..)) => {
            let what = format!("the event at offset {offset} of partition {partition} cannot be read yet: {newer}");
            return Err(StoreError::retry_later(what));
        }
        Err(codec::Unreadable::Damaged(reason)) => LogRecord::Corrupt { offset, reason },
    };
    Ok(Some(Entry { record, check: codec::check_of(value), bytes: value.len() }))
}

fn items(frame: &Resp3Frame) -> &[Resp3Frame] {
    match frame {
        Resp3Frame::Array { data, .. } => data,
        _ => &[],
    }
}

fn bytes(frame: &Resp3Frame) -> Option<&[u8]> {
    match frame {
        Resp3Frame::BlobString { data, .. } | Resp3Frame::SimpleString { data, .. } => Some(data),
        _ => None,
    }
}
