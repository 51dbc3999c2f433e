//! Writing what is in a backup, frame by frame. All offsets here are as Redis has them.

use super::{arguments, refused};
use crate::backup::file::{Frame, Kind};
use crate::connect::Redis;
use crate::failure::Effect;
use crate::keys::Keys;
use crate::library::slot;
use crate::log::append::now;
use crate::place;
use crate::progress::Names;
use crate::replicated::Replicated;
use bytes::Bytes;
use fred::types::Value;
use laneway_domain::{DestinationName, Offset, Partition, Revision, Stamp, TokenBook};
use laneway_ports::{StoreError, decoded_book, encoded_book};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How often the store's key is told that the restore is under way (`RESTORING_FOR` in `lua/restore.lua` is half a minute).
const TOLD_EVERY: Duration = Duration::from_secs(5);
/// Pairs of one command, ids or dead letters of one call: about a millisecond of Redis' time.
const AT_ONCE: usize = 500;
/// How often, and in which steps, it is tried to say that the store is whole.
const END_TRIES: u32 = 10;
const END_PAUSE: Duration = Duration::from_millis(500);
/// How many of the entries that are not wanted one command takes away.
const TRIM_AT_ONCE: u64 = 1000;

/// Where a backup is restored to.
pub(super) struct Target {
    pub(super) redis: Redis,
    pub(super) keys: Keys,
    replicated: Option<Replicated>,
    /// What this restore is called.
    who: String,
    told: Instant,
    partition: Option<Partition>,
    /// Entries of logs so far.
    pub(super) entries: u64,
    /// Of each partition that is there, how many entries it has, and its end.
    whole: BTreeMap<Partition, (u64, Offset)>,
    /// The end of the partition that is being restored, and its entries.
    end: Offset,
    of_partition: u64,
    pub(super) revoked_tokens: usize,
}

impl Target {
    pub(super) fn new(redis: Redis, replicated: Option<Replicated>, keys: Keys, who: String) -> Self {
        Self {
            redis,
            keys,
            replicated,
            who,
            told: Instant::now(),
            partition: None,
            entries: 0,
            whole: BTreeMap::new(),
            end: Offset::ZERO,
            of_partition: 0,
            revoked_tokens: 0,
        }
    }

    /// Says that from now on what is there is a part of a backup. Returns whether an interrupted restore has left something.
    pub(super) async fn begin(&mut self) -> Result<bool, StoreError> {
        let args = arguments([self.who.clone()]);
        let begun = self.redis.call("laneway_restore_begin", Effect::Writes, &[self.keys.store()], args).await;
        self.told = Instant::now();
        Ok(begun.map_err(refused)?.as_u64() == Some(1))
    }

    /// Says so again, from time to time.
    ///
    /// # Errors
    /// If another restore has begun.
    pub(super) async fn go_on(&mut self) -> Result<(), StoreError> {
        if self.told.elapsed() >= TOLD_EVERY {
            self.call("laneway_restore_goes_on", &[self.keys.store()], arguments([self.who.clone()])).await?;
            self.told = Instant::now();
        }
        Ok(())
    }

    /// Writes what is in a frame.
    pub(super) async fn apply(&mut self, frame: &Frame, keep_tokens: bool) -> Result<(), StoreError> {
        match frame.kind {
            Kind::Header | Kind::End => Ok(()),
            Kind::Partition => {
                let partition = u32::try_from(frame.number(0)?).map_err(|_| frame.malformed())?;
                (self.partition, self.end) = (Some(Partition(partition)), Offset(frame.number(1)?));
                self.of_partition = 0;
                Ok(())
            }
            Kind::Ids => self.ids(frame).await,
            Kind::Records => self.records(frame).await,
            Kind::Journal => self.journal(frame).await,
            Kind::Registry => {
                let head = [("last", frame.number(0)?), ("forgotten", frame.number(1)?)];
                let there = head.into_iter().filter(|(_, revision)| *revision > 0);
                let fields = there.flat_map(|(name, revision)| [name.to_owned(), revision.to_string()]);
                let fields: Vec<Bytes> = fields.map(Bytes::from).collect();
                self.many("HSET", &self.keys.registry("head"), &fields).await
            }
            Kind::Tokens => self.tokens(frame, keep_tokens).await,
            Kind::Tenants => self.tenants(frame).await,
            Kind::Entries
            | Kind::Progress
            | Kind::Cuts
            | Kind::Expiry
            | Kind::Behind
            | Kind::Letters
            | Kind::Quarantine
            | Kind::History
            | Kind::Lost
            | Kind::Sealed => {
                let partition = self.partition.ok_or_else(|| frame.malformed())?;
                self.of_partition(partition, frame).await
            }
        }
    }

    async fn of_partition(&mut self, partition: Partition, frame: &Frame) -> Result<(), StoreError> {
        let keys = self.keys.clone();
        let names = Names::new(&keys, partition);
        match frame.kind {
            Kind::Entries if !frame.fields.is_empty() => {
                let added = u64::try_from(frame.rows(0, 2)?.len()).unwrap_or(u64::MAX);
                self.call("laneway_restore_log", &[names.log()], frame.fields.clone()).await?;
                (self.entries, self.of_partition) = (self.entries + added, self.of_partition + added);
                Ok(())
            }
            Kind::Progress => self.progress(&names, frame).await,
            // Revision and offset; the offset is the score.
            Kind::Cuts => {
                let scored: Vec<Bytes> = frame.rows(0, 2)?.flat_map(|row| [row[1].clone(), row[0].clone()]).collect();
                self.many("ZADD", &names.cuts(), &scored).await
            }
            Kind::Expiry => self.many("HSET", &names.expiry(), &frame.fields).await,
            Kind::Behind => self.behind(&names, frame).await,
            Kind::Letters => self.letters(&names, frame).await,
            Kind::Quarantine => self.many("HSET", &names.quarantine(), &frame.fields).await,
            Kind::History => self.history(&keys.history(partition), frame).await,
            Kind::Lost => self.many("HSET", &keys.lost(partition), &frame.fields).await,
            Kind::Sealed => {
                if frame.number(0)? != self.of_partition {
                    return Err(frame.malformed());
                }
                let trimmed = self.trim(&names, frame.text(1)?).await?;
                self.whole.insert(partition, (self.of_partition - trimmed, self.end));
                self.partition = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Fields of progress. Lanes with a position of their own hold the trim.
    async fn progress(&self, names: &Names<'_>, frame: &Frame) -> Result<(), StoreError> {
        self.many("HSET", &names.progress(), &frame.fields).await?;
        let own = frame.rows(0, 2)?.filter_map(|row| {
            let name = row[0].strip_prefix(b"lane:")?;
            (*row[1] != *b"shared").then(|| [row[1].clone(), row[0].slice_ref(name)])
        });
        let own: Vec<Bytes> = own.flatten().collect();
        self.many("ZADD", &names.lowest(), &own).await
    }

    /// Keys that are behind, as `change_lane` in `lua/progress.lua` takes them.
    async fn behind(&self, names: &Names<'_>, frame: &Frame) -> Result<(), StoreError> {
        let name = DestinationName::new(frame.text(0)?).map_err(|_| frame.malformed())?;
        let keys = [names.progress(), names.lowest(), names.behind(&name), names.retry(&name)];
        let rows: Vec<&[Bytes]> = frame.rows(1, 3)?.collect();
        let failed: Vec<&&[Bytes]> = rows.iter().filter(|row| !row[2].is_empty()).collect();
        let mut args = arguments([name.to_string(), String::new(), String::new(), (rows.len() * 2).to_string()]);
        args.extend(rows.iter().flat_map(|row| [row[1].clone(), row[0].clone()]));
        args.push((failed.len() * 2).to_string().into());
        args.extend(failed.iter().flat_map(|row| [row[0].clone(), row[2].clone()]));
        args.extend(arguments(["0".to_owned(), "0".to_owned()]));
        self.call("laneway_restore_lane", &keys, args).await
    }

    async fn letters(&self, names: &Names<'_>, frame: &Frame) -> Result<(), StoreError> {
        let mut of: BTreeMap<DestinationName, Vec<Bytes>> = BTreeMap::new();
        for row in frame.rows(0, 4)? {
            let name = std::str::from_utf8(&row[0]).ok().and_then(|name| name.split_once(':'));
            let destination = name.and_then(|name| DestinationName::new(name.1).ok());
            of.entry(destination.ok_or_else(|| frame.malformed())?).or_default().extend_from_slice(row);
        }
        for (destination, rows) in of {
            let mut keys = names.all_dead().to_vec();
            keys.push(names.dead_of(&destination));
            for rows in rows.chunks(AT_ONCE * 4) {
                let args = std::iter::once(destination.to_string().into()).chain(rows.iter().cloned()).collect();
                self.call("laneway_restore_letters", &keys, args).await?;
            }
        }
        Ok(())
    }

    /// What was told of attempts, as `tell` in `lua/history.lua` keeps it.
    async fn history(&self, [history, order]: &[String; 2], frame: &Frame) -> Result<(), StoreError> {
        let rows: Vec<&[Bytes]> = frame.rows(0, 3)?.collect();
        let told: Vec<Bytes> = rows.iter().flat_map(|row| [row[1].clone(), row[2].clone()]).collect();
        let scored: Vec<Bytes> = rows.iter().flat_map(|row| [row[0].clone(), row[1].clone()]).collect();
        self.many("HSET", history, &told).await?;
        self.many("ZADD", order, &scored).await?;
        let bytes: usize = rows.iter().map(|row| row[2].len()).sum();
        self.many("HINCRBY", history, &[Bytes::from("bytes"), bytes.to_string().into()]).await
    }

    /// Takes away the entries before `start`: they were trimmed while the log was copied. Returns how many those were.
    async fn trim(&self, names: &Names<'_>, start: &str) -> Result<u64, StoreError> {
        let (log, mut gone) = (names.log(), 0);
        let at = slot(std::slice::from_ref(&log));
        let Some(start) = place::offset_of(start.as_bytes()) else { return Ok(0) };
        loop {
            let first: Vec<Value> = vec![log.as_str().into(), "-".into(), "+".into(), "COUNT".into(), 1.into()];
            let frame = self.redis.raw("XRANGE", at.clone(), first, false).await?;
            let first = crate::log::raw_entries(&frame).first().and_then(|(id, _)| place::offset_of(id));
            let Some(first) = first.filter(|first| *first < start) else { return Ok(gone) };
            let below = place::entry_id(Offset(first.0 + TRIM_AT_ONCE).min(start));
            let trim = vec![log.as_str().into(), "MINID".into(), "=".into(), below.into()];
            gone += self.redis.command("XTRIM", at.clone(), trim, Effect::Writes).await?.as_u64().unwrap_or(0);
        }
    }

    async fn ids(&self, frame: &Frame) -> Result<(), StoreError> {
        let partition = u32::try_from(frame.number(0)?).map(Partition).map_err(|_| frame.malformed())?;
        let rows: Vec<&[Bytes]> = frame.rows(1, 3)?.collect();
        for rows in rows.chunks(AT_ONCE) {
            let name = |row: &&[Bytes]| Some(self.keys.id_named(partition, std::str::from_utf8(&row[0]).ok()?));
            let keys: Option<Vec<String>> = rows.iter().map(name).collect();
            let args = rows.iter().flat_map(|row| [row[1].clone(), row[2].clone()]).collect();
            self.call("laneway_restore_ids", &keys.ok_or_else(|| frame.malformed())?, args).await?;
        }
        Ok(())
    }

    /// Records of destinations: name, revision, whether it is deleted, record. One that changed while the backup was made
    /// comes twice, the last time as it is.
    async fn records(&self, frame: &Frame) -> Result<(), StoreError> {
        let [records, changed, there, deleted] =
            ["records", "changed", "names", "deleted"].map(|what| self.keys.registry(what));
        let rows: Vec<&[Bytes]> = frame.rows(0, 4)?.collect();
        let flat =
            |of: &dyn Fn(&[Bytes]) -> Vec<Bytes>| -> Vec<Bytes> { rows.iter().flat_map(|row| of(row)).collect() };
        let is_deleted = |row: &[Bytes]| *row[2] == *b"1";
        let only = |wanted: bool, fields: Vec<Bytes>| if wanted { fields } else { Vec::new() };
        let zero = Bytes::from_static(b"0");
        self.many("HSET", &records, &flat(&|row| vec![row[0].clone(), row[3].clone()])).await?;
        self.many("ZADD", &changed, &flat(&|row| vec![row[1].clone(), row[0].clone()])).await?;
        let gone = flat(&|row| only(is_deleted(row), vec![row[1].clone(), row[0].clone()]));
        self.many("ZADD", &deleted, &gone).await?;
        let here = flat(&|row| only(!is_deleted(row), vec![zero.clone(), row[0].clone()]));
        self.many("ZADD", &there, &here).await?;
        self.many("ZREM", &there, &flat(&|row| only(is_deleted(row), vec![row[0].clone()]))).await?;
        self.many("ZREM", &deleted, &flat(&|row| only(!is_deleted(row), vec![row[0].clone()]))).await
    }

    async fn journal(&self, frame: &Frame) -> Result<(), StoreError> {
        let key = self.keys.registry(&format!("journal:{}", frame.text(0)?));
        let rows = frame.rows(1, 2)?;
        let scored: Vec<Bytes> = rows.flatten().cloned().collect();
        self.many("ZADD", &key, &scored).await
    }

    /// The tokens, revoked unless they are to be kept. Damaged ones open nothing as they are.
    async fn tokens(&mut self, frame: &Frame, keep: bool) -> Result<(), StoreError> {
        let (mut revision, mut text) = (frame.text(0)?.to_owned(), frame.text(1)?.to_owned());
        if let Ok(mut book) = decoded_book::<TokenBook>(&text)
            && !keep
        {
            let (last, at) = (Revision(frame.number(0)?), now());
            let next = last.next(at.as_millis().saturating_mul(1000));
            let revoked = book.revoke_all(&Stamp { revision: next, at, by: "laneway restore".into() });
            // Where there is no token, there may be a key of links.
            if book.revision() != last {
                (revision, text) = (next.to_string(), encoded_book(last, &book)?);
                self.revoked_tokens = revoked;
            }
        }
        let fields = ["revision".to_owned(), revision, "book".to_owned(), text].map(Bytes::from);
        self.many("HSET", &self.keys.tokens(), &fields).await
    }

    /// What is known of tenants, as it is.
    async fn tenants(&mut self, frame: &Frame) -> Result<(), StoreError> {
        let (revision, text) = (frame.text(0)?.to_owned(), frame.text(1)?.to_owned());
        let fields = ["revision".to_owned(), revision, "book".to_owned(), text].map(Bytes::from);
        self.many("HSET", &self.keys.tenants(), &fields).await
    }

    /// Lets all partitions go on in this generation.
    pub(super) async fn seal(&mut self, generation: u64) -> Result<(), StoreError> {
        for (partition, (entries, end)) in self.whole.clone() {
            self.go_on().await?;
            let keys = [self.keys.log(partition), self.keys.generation(partition), self.keys.lease(partition)];
            let args = arguments([entries.to_string(), end.to_string(), generation.to_string()]);
            self.write("laneway_restore_seal", &keys, args).await?;
        }
        // What is of no partition: a write that replicas must have says that they have all before.
        for key in [self.keys.registry("head"), self.keys.tokens(), self.keys.tenants()] {
            self.write("laneway_restore_touch", &[key], Vec::new()).await?;
        }
        Ok(())
    }

    /// Says that the store is whole.
    pub(super) async fn end(&self, fields: Vec<(String, String)>) -> Result<(), StoreError> {
        let flat = fields.into_iter().flat_map(|(field, value)| [field, value].map(Bytes::from));
        let args: Vec<Bytes> = std::iter::once(Bytes::from(self.who.clone())).chain(flat).collect();
        let mut tries = 1;
        loop {
            match self.write("laneway_restore_end", &[self.keys.store()], args.clone()).await {
                // Where the answer is lost, it may have happened, and everything is there: it is worth another question.
                Err(StoreError::Unknown { .. } | StoreError::RetryLater { .. }) if tries < END_TRIES => {
                    tries += 1;
                    sleep(END_PAUSE).await;
                }
                ended => return ended,
            }
        }
    }

    /// A command with many values for one key, in steps. Both of a pair go together.
    async fn many(&self, name: &'static str, key: &str, values: &[Bytes]) -> Result<(), StoreError> {
        let key = key.to_owned();
        for some in values.chunks(AT_ONCE * 2) {
            let at = slot(std::slice::from_ref(&key));
            let some = some.iter().cloned().map(Value::from);
            let arguments = std::iter::once(Value::from(key.as_str())).chain(some).collect();
            self.redis.command(name, at, arguments, Effect::Writes).await?;
        }
        Ok(())
    }

    async fn call(&self, function: &'static str, keys: &[String], args: Vec<Bytes>) -> Result<(), StoreError> {
        self.redis.call(function, Effect::Writes, keys, args).await.map(drop).map_err(refused)
    }

    /// The same; resolves when as many replicas as the options ask for have it, and all that was written there before.
    async fn write(&self, function: &'static str, keys: &[String], args: Vec<Bytes>) -> Result<(), StoreError> {
        match &self.replicated {
            Some(replicated) => replicated.write(function, keys, &args).await.map(drop).map_err(refused),
            None => self.call(function, keys, args).await,
        }
    }
}
