//! The copy of a partition. All offsets here are as Redis has them.

use super::file::{Kind, Mark, Writer};
use super::{BackupReport, Noted, Source, bytes, command, hash, scan};
use crate::codec::{self, Unreadable};
use crate::failure::Effect;
use crate::library::slot;
use crate::log::raw_entries;
use crate::place;
use crate::progress::{Names, answer};
use bytes::Bytes;
use fred::types::Value;
use futures_util::{StreamExt, TryStreamExt, stream};
use laneway_domain::{DestinationName, LaneKey, Offset, Partition, Revision};
use laneway_ports::{MAX_HISTORY_PAGE, MAX_HISTORY_PAGE_BYTES, StoreError};
use std::collections::{BTreeMap, BTreeSet};

/// Partitions that are asked for their ends at the same time.
const PARTITIONS_AT_ONCE: usize = 16;
/// How many bytes of the log one call brings, about; a single event may have more.
const LOG_BYTES: usize = 4 << 20;
/// The most entries of such a call.
const MAX_ENTRIES: usize = 512;
/// What an entry is taken to have before one was seen: the largest that there is, unless more is allowed.
const FIRST_ENTRY_BYTES: usize = 256 << 10;
/// Lanes, or keys behind, or dead letters, per call: a millisecond or two of Redis' time.
const PAGE: usize = 500;
/// How many bytes of dead letters' events one call brings, about.
const LETTER_BYTES: usize = 4 << 20;
/// Fields of what was kept aside that one call brings, about: every other one is an event.
const ASIDE: i64 = 16;
/// How often the copy of progress begins again because a position went back: replays and new destinations are seldom.
const MAX_TRIES: usize = 100;

/// Notes the ends of all partitions.
pub(super) async fn note_ends(source: &Source) -> Result<Vec<Noted>, StoreError> {
    let note = |partition| async move {
        let (_, end, generation) = bounds(source, partition).await?;
        let entries = command(&source.redis, "XLEN", &source.keys.log(partition), Vec::new()).await?;
        Ok::<_, StoreError>(Noted { partition, end, generation, entries: answer::number(&entries)? })
    };
    let noting = stream::iter((0..source.partitions).map(Partition)).map(note).buffered(PARTITIONS_AT_ONCE);
    noting.try_collect().await
}

/// Where the log begins and ends, and its generation.
async fn bounds(source: &Source, partition: Partition) -> Result<(Offset, Offset, u64), StoreError> {
    let keys = [source.keys.log(partition), source.keys.generation(partition)];
    let [start, end, generation] =
        answer::exactly(source.redis.call("laneway_bounds", Effect::Reads, &keys, Vec::new()).await?)?;
    Ok((Offset(answer::number(&start)?), Offset(answer::number(&end)?), answer::number(&generation)?))
}

/// Copies a partition.
pub(super) async fn copy(
    source: &Source,
    noted: &Noted,
    writer: &mut Writer,
    report: &mut BackupReport,
    copied: &mut (impl FnMut(u64) + Send),
) -> Result<(), StoreError> {
    let names = Names::new(&source.keys, noted.partition);
    let mut copy = Copy { source, noted, names, writer, report };
    let head = [noted.partition.to_string(), noted.end.to_string()];
    copy.writer.add(Kind::Partition, &head)?;
    let log = copy.log(copied).await?;
    // Before progress is read: what was trimmed up to now, that calls settled.
    let (start, ..) = bounds(source, noted.partition).await?;
    copy.progress().await?;
    copy.letters().await?;
    copy.aside().await?;
    copy.history().await?;
    copy.seal(log, start).await
}

struct Copy<'a> {
    source: &'a Source,
    noted: &'a Noted,
    names: Names<'a>,
    writer: &'a mut Writer,
    report: &'a mut BackupReport,
}

/// What was copied of a log.
#[derive(Default)]
struct Log {
    entries: u64,
    /// The last entry, and its check.
    last: Option<(Offset, u32)>,
    /// From where to where entries were missing.
    holes: Vec<(Offset, Offset)>,
}

impl Copy<'_> {
    async fn log(&mut self, copied: &mut (impl FnMut(u64) + Send)) -> Result<Log, StoreError> {
        let mut log = Log::default();
        let Some(last) = self.noted.end.0.checked_sub(1).map(Offset) else { return Ok(log) };
        let key = self.names.log();
        let at = slot(std::slice::from_ref(&key));
        let (mut from, mut largest) = ("-".to_owned(), FIRST_ENTRY_BYTES);
        loop {
            let count = (LOG_BYTES / largest.max(1)).clamp(1, MAX_ENTRIES);
            let arguments: Vec<Value> = vec![
                key.as_str().into(),
                from.into(),
                place::entry_id(last).into(),
                "COUNT".into(),
                i64::try_from(count).unwrap_or(i64::MAX).into(),
            ];
            let frame = self.source.redis.raw("XRANGE", at.clone(), arguments, false).await?;
            let entries = raw_entries(&frame);
            let Some((id, _)) = entries.last() else { break };
            from = format!("({}", String::from_utf8_lossy(id));
            let seen = entries.iter().filter_map(|(_, value)| value.as_ref().map(Bytes::len)).max().unwrap_or(1);
            // A large one is remembered for a while: where there was one, there will be others.
            largest = seen.max(largest - largest / 4).max(1);
            let is_end = entries.len() < count;
            self.add_entries(entries, &mut log)?;
            copied(self.report.events);
            if is_end {
                break;
            }
        }
        Ok(log)
    }

    fn add_entries(&mut self, entries: Vec<(Bytes, Option<Bytes>)>, log: &mut Log) -> Result<(), StoreError> {
        let partition = self.noted.partition;
        let mut fields = Vec::with_capacity(entries.len() * 2);
        for (id, value) in entries {
            let (Some(offset), Some(value)) = (place::offset_of(&id), value) else {
                let id = String::from_utf8_lossy(&id);
                let what =
                    format!("partition {partition} has an entry that Laneway did not write ({id}); it is not copied");
                self.report.add(what);
                continue;
            };
            match codec::decode(partition, offset, &value, u8::MAX) {
                Err(Unreadable::Damaged(why)) => {
                    let shown = self.names.numbers().shown(offset);
                    self.report.add(format!("the event at offset {shown} of partition {partition}: {why}"));
                }
                Ok(_) | Err(Unreadable::Newer(..)) => self.report.events += 1,
            }
            if let Some((before, _)) = log.last
                && before.next() != offset
                && place::entry_id(before).split_once('-').map(|id| id.0)
                    == place::entry_id(offset).split_once('-').map(|id| id.0)
                && log.holes.len() < super::MAX_FINDINGS
            {
                log.holes.push((before.next(), offset));
            }
            (log.entries, log.last) = (log.entries + 1, Some((offset, codec::check_of(&value))));
            fields.extend([id, value]);
        }
        self.writer.add(Kind::Entries, &fields)
    }

    /// The partition's positions and keys behind, made anew for as long as a position goes back meanwhile.
    async fn progress(&mut self) -> Result<(), StoreError> {
        let mark: Mark = self.writer.mark()?;
        for _ in 0..MAX_TRIES {
            if self.try_progress().await? {
                return Ok(());
            }
            self.writer.go_back(&mark)?;
        }
        Err(StoreError::retry_later(format!(
            "partition {} could not be copied: replays were begun, or destinations made, again and again meanwhile",
            self.noted.partition
        )))
    }

    /// Whether no position went back meanwhile.
    async fn try_progress(&mut self) -> Result<bool, StoreError> {
        let keys = [self.names.progress(), self.names.lease(), self.names.cuts()];
        let (mut cursor, mut first) = ("0".to_owned(), None);
        let (mut fields, mut cuts) = (BTreeMap::new(), Vec::new());
        loop {
            let args = [cursor, PAGE.to_string()].map(Bytes::from).to_vec();
            let answered = self.source.redis.call("laneway_copy_progress", Effect::Reads, &keys, args).await?;
            let [setbacks, scanned, next, page, some_cuts] = answer::exactly(answered)?;
            let (setbacks, scanned) = (answer::number(&setbacks)?, answer::number(&scanned)?);
            if first.get_or_insert((setbacks, scanned)).0 != setbacks {
                return Ok(false);
            }
            fields.extend(super::pairs(page)?);
            cuts.extend(answer::texts(some_cuts)?);
            cursor = answer::text(&next)?;
            if cursor == "0" {
                break;
            }
        }
        let (setbacks, scanned) = first.unwrap_or_default();
        let cuts = self.add_cuts(&cuts)?;
        let holding = self.holding().await?;
        let lanes = Lanes::of(&fields, Offset(scanned).min(self.noted.end), self.noted.end, cuts);
        let rows: Vec<(Bytes, Bytes)> = lanes.fields(fields);
        for page in rows.chunks(PAGE) {
            let flat: Vec<&Bytes> = page.iter().flat_map(|(field, value)| [field, value]).collect();
            self.writer.add(Kind::Progress, &flat)?;
        }
        self.expiry(&lanes).await?;
        for (name, position) in &lanes.positions {
            if holding.contains(name.as_str()) && !self.behind(name, *position, setbacks).await? {
                return Ok(false);
            }
        }
        // Also after the last page: a lane that became another one may have lost its keys behind before they were read.
        let now = command(&self.source.redis, "HGET", &self.names.lease(), vec!["setbacks".into()]).await?;
        Ok(now.as_u64().unwrap_or(0) == setbacks)
    }

    /// Adds the cuts that were taken up to the noted end. Returns the revision of the last one.
    fn add_cuts(&mut self, flat: &[String]) -> Result<Revision, StoreError> {
        let of_copy = |cut: &&[String]| cut[1].parse().is_ok_and(|at: u64| at <= self.noted.end.0);
        let kept: Vec<&[String]> = flat.chunks_exact(2).filter(of_copy).collect();
        let last = kept.last().and_then(|cut| cut[0].parse().ok()).map_or(Revision::ORIGIN, Revision);
        let flat: Vec<&String> = kept.into_iter().flatten().collect();
        self.writer.add(Kind::Cuts, &flat)?;
        Ok(last)
    }

    /// Adds what of the copy's lanes has expired, and from when on their waiting counts. It is read behind their
    /// positions, and a lane that goes back over what it had settled begins the copy anew: so it is not of an earlier
    /// time than they.
    async fn expiry(&mut self, lanes: &Lanes) -> Result<(), StoreError> {
        let mut cursor = "0".to_owned();
        loop {
            let count = i64::try_from(PAGE).unwrap_or(i64::MAX);
            let (next, page) = scan(&self.source.redis, "HSCAN", &self.names.expiry(), &cursor, count).await?;
            let is_there = |name: &Bytes| {
                let name = std::str::from_utf8(name).ok().and_then(|name| DestinationName::new(name).ok());
                name.is_some_and(|name| lanes.positions.contains_key(&name))
            };
            let of_lanes = page.into_iter().filter(|(name, _)| is_there(name));
            let fields: Vec<Bytes> =
                of_lanes.flat_map(|(name, said)| [name, expiry_in_copy(said, self.noted.end)]).collect();
            if !fields.is_empty() {
                self.writer.add(Kind::Expiry, &fields)?;
            }
            cursor = next;
            if cursor == "0" {
                return Ok(());
            }
        }
    }

    /// The lanes that may have keys behind.
    async fn holding(&self) -> Result<BTreeSet<String>, StoreError> {
        let (mut cursor, mut holding) = ("0".to_owned(), BTreeSet::new());
        loop {
            let count = i64::try_from(PAGE).unwrap_or(i64::MAX);
            let (next, page) = scan(&self.source.redis, "ZSCAN", &self.names.lowest(), &cursor, count).await?;
            holding.extend(page.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()));
            cursor = next;
            if cursor == "0" {
                return Ok(holding);
            }
        }
    }

    /// Adds the keys of a lane that are behind. Whether no position went back meanwhile.
    async fn behind(&mut self, name: &DestinationName, position: Offset, setbacks: u64) -> Result<bool, StoreError> {
        let keys = [self.names.lease(), self.names.behind(name), self.names.retry(name)];
        let mut cursor = "0".to_owned();
        loop {
            let args = [cursor, PAGE.to_string()].map(Bytes::from).to_vec();
            let answered = self.source.redis.call("laneway_copy_behind", Effect::Reads, &keys, args).await?;
            let mut values = answer::list(answered)?;
            let rows = values.split_off(values.len().min(2));
            let [now, next] = answer::exactly(Value::Array(values))?;
            if answer::number(&now)? != setbacks {
                return Ok(false);
            }
            let mut fields = vec![Bytes::from(name.as_str().to_owned())];
            for row in rows.chunks_exact(3) {
                let (key, at) = (bytes(row[0].clone()), Offset(answer::number(&row[1])?));
                match behind_in_copy(&key, at, position, self.noted.end) {
                    Some(at) if at == answer::number(&row[1])? => {
                        fields.extend([key, at.to_string().into(), bytes(row[2].clone())]);
                    }
                    Some(at) => fields.extend([key, at.to_string().into(), Bytes::new()]),
                    None => {}
                }
            }
            if fields.len() > 1 {
                self.writer.add(Kind::Behind, &fields)?;
            }
            cursor = answer::text(&next)?;
            if cursor == "0" {
                return Ok(true);
            }
        }
    }

    async fn letters(&mut self) -> Result<(), StoreError> {
        let keys = [self.names.dead_order(), self.names.dead(), self.names.dead_events(), self.names.dead_requested()];
        // Names are in the order of their offsets.
        let end = format!("{:016}:", self.noted.end.0);
        let mut after = String::new();
        loop {
            let args = [after, PAGE.to_string(), LETTER_BYTES.to_string()].map(Bytes::from).to_vec();
            let answered = self.source.redis.call("laneway_copy_letters", Effect::Reads, &keys, args).await?;
            let (last, rows) = answer::first_and_rest(answered)?;
            let rows: Vec<Bytes> = rows.into_iter().map(bytes).collect();
            let below = rows.chunks_exact(4).take_while(|row| *row[0] < *end.as_bytes()).flatten();
            let below: Vec<&Bytes> = below.collect();
            if !below.is_empty() {
                self.writer.add(Kind::Letters, &below)?;
            }
            after = answer::text(&last)?;
            if after.is_empty() || after >= end {
                return Ok(());
            }
        }
    }

    /// What was kept aside because it could not be read, and what was lost.
    async fn aside(&mut self) -> Result<(), StoreError> {
        let mut cursor = "0".to_owned();
        loop {
            let (next, page) = scan(&self.source.redis, "HSCAN", &self.names.quarantine(), &cursor, ASIDE).await?;
            let offset =
                |field: &Bytes| -> Option<u64> { std::str::from_utf8(field).ok()?.split(':').next()?.parse().ok() };
            let below = page.iter().filter(|(field, _)| offset(field).is_some_and(|at| at < self.noted.end.0));
            let fields: Vec<&Bytes> = below.flat_map(|(field, value)| [field, value]).collect();
            if !fields.is_empty() {
                self.writer.add(Kind::Quarantine, &fields)?;
            }
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
        let lost = hash(&self.source.redis, &self.source.keys.lost(self.noted.partition)).await?;
        let fields: Vec<&Bytes> = lost.iter().flat_map(|(field, value)| [field, value]).collect();
        self.writer.add(Kind::Lost, &fields)
    }

    /// What was told of attempts, the latest first: only the oldest go meanwhile.
    async fn history(&mut self) -> Result<(), StoreError> {
        let keys = self.source.keys.history(self.noted.partition);
        let mut before = ["+inf".to_owned(), String::new()];
        loop {
            let [at, place] = before;
            let args =
                ["latest".to_owned(), at, place, MAX_HISTORY_PAGE.to_string(), MAX_HISTORY_PAGE_BYTES.to_string()];
            let args = args.map(Bytes::from).to_vec();
            let answered = self.source.redis.call("laneway_history_page", Effect::Reads, &keys, args).await?;
            let rows: Vec<Bytes> = answer::list(answered)?.into_iter().map(bytes).collect();
            let Some([at, place, _]) = rows.last_chunk() else { return Ok(()) };
            before = [at, place].map(|last| String::from_utf8_lossy(last).into_owned());
            self.writer.add(Kind::History, &rows)?;
        }
    }

    /// Makes sure that the log is still the one that was copied, and says that its entries count from `start` on: those
    /// before were trimmed while it was copied, and so perhaps some behind them that are not in the copy.
    async fn seal(&mut self, log: Log, start: Offset) -> Result<(), StoreError> {
        let (source, partition) = (self.source, self.noted.partition);
        let (_, _, generation) = bounds(source, partition).await?;
        let mut is_same = generation == self.noted.generation;
        if let Some((at, check)) = log.last {
            let args = [at.0, u64::from(check)].map(|number| Bytes::from(number.to_string())).to_vec();
            let called = source.redis.call("laneway_compare", Effect::Reads, &[self.names.log()], args).await?;
            is_same &= answer::list(called)?.first().and_then(Value::as_u64) == Some(1);
        }
        if !is_same {
            return Err(StoreError::retry_later(format!(
                "Redis at {} has lost events of partition {partition} while it was copied (a failover?), so that the copy \
                 would not hold together: make it again",
                source.redis.place()
            )));
        }
        // What was trimmed while the log was copied is no hole.
        for (from, below) in log.holes.iter().filter(|(_, below)| *below > start) {
            let [from, below] = [*from, *below].map(|offset| self.names.numbers().shown(offset));
            self.report.add(format!("partition {partition} has no events from offset {from} to before {below}"));
        }
        let fields = [log.entries.to_string(), place::entry_id(start), self.noted.generation.to_string()];
        self.writer.add(Kind::Sealed, &fields)
    }
}

/// What is said of a destination's expiry, `<born> <expired> <again_below> <again_since>`, in a copy of the log up to
/// `end`: an event that comes at or behind it after a restore was never there before. What is damaged stays as it is.
fn expiry_in_copy(said: Bytes, end: Offset) -> Bytes {
    let parts: Vec<&str> = std::str::from_utf8(&said).unwrap_or_default().split(' ').collect();
    match parts[..] {
        [born, expired, below, since] if below.parse().is_ok_and(|below: u64| below > end.0) => {
            format!("{born} {expired} {end} {since}").into()
        }
        _ => said,
    }
}

/// Where a key that is behind stands in the copy; `None`: with its lane.
fn behind_in_copy(key: &[u8], at: Offset, position: Offset, end: Offset) -> Option<u64> {
    if at < end {
        return Some(at.0);
    }
    // It has settled all that the copy has. Its lane need not have.
    let is_of_event =
        std::str::from_utf8(key).ok().and_then(LaneKey::parse).is_some_and(|key| matches!(key, LaneKey::Event(_)));
    (position < end && !is_of_event).then_some(end.0)
}

/// The lanes of a copy.
struct Lanes {
    scanned: Offset,
    /// Where each is.
    positions: BTreeMap<DestinationName, Offset>,
}

impl Lanes {
    /// From the fields of progress. A lane that was made after the last cut of the copy is left out: it is made again when
    /// that change is taken over.
    fn of(fields: &BTreeMap<Bytes, Bytes>, scanned: Offset, end: Offset, last_cut: Revision) -> Self {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let born = |name: &str| -> Revision {
            let field = fields.get(format!("born:{name}").as_bytes());
            field.and_then(|born| text(born).parse().ok()).map_or(Revision::ORIGIN, Revision)
        };
        let lane = |(field, value): (&Bytes, &Bytes)| {
            let field = text(field);
            let name = field.strip_prefix("lane:")?;
            if born(name) > last_cut {
                return None;
            }
            let position = text(value).parse().map_or(scanned, |at| Offset(at).min(end));
            Some((DestinationName::new(name).ok()?, position))
        };
        Self { scanned, positions: fields.iter().filter_map(lane).collect() }
    }

    /// The fields as the copy has them.
    fn fields(&self, fields: BTreeMap<Bytes, Bytes>) -> Vec<(Bytes, Bytes)> {
        let in_copy = |(field, value): (Bytes, Bytes)| {
            let text = String::from_utf8_lossy(&field).into_owned();
            let value = match text.split_once(':') {
                None if text == "scanned" => self.scanned.to_string().into(),
                // Counted anew.
                None if text == "commits" => return None,
                Some((of @ ("lane" | "paused" | "born"), name)) => {
                    let position = DestinationName::new(name).ok().and_then(|name| self.positions.get(&name))?;
                    if of == "lane" && *value != *b"shared" { position.to_string().into() } else { value }
                }
                _ => value,
            };
            Some((field, value))
        };
        fields.into_iter().filter_map(in_copy).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_are_not_in_the_copy_were_never_there_to_be_waited_for_anew() {
        let copied = |said: &'static str| expiry_in_copy(Bytes::from_static(said.as_bytes()), Offset(9));
        for (said, expected) in [
            ("0 5 0 0", "0 5 0 0"),
            ("17 5 9 1700", "17 5 9 1700"),
            ("17 5 12 1700", "17 5 9 1700"),
            ("17 5 x 1700", "17 5 x 1700"),
            ("", ""),
        ] {
            assert_eq!(copied(said), expected.as_bytes(), "{said}");
        }
    }
}
