//! A power cut: after `kill -9`, the files go back to what was on the disk for certain.
//!
//! The library of `tests/preload` has written down what every change overwrote, and which fsyncs
//! have succeeded. Undone in reverse, each file is as of its last completed fsync. A disk may also
//! have taken some of the rest already: a beginning of it, or any of its sectors in any order.

use rand::RngExt;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;
/// `struct record` of `tests/preload/powercut.c`: seven numbers of 8 bytes.
const HEAD: usize = 56;
const MAGIC: u64 = 0x4c41_4e45_5741_5931;

/// What of the changes that no fsync covers has reached the disk all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// Nothing.
    Nothing,
    /// Per file the first of them, each whole.
    Writes,
    /// Per file the first of them; the last of those torn at a sector.
    Beginning,
    /// Any of them, whole or some of their sectors, in any order.
    Sectors,
}

impl Survives {
    /// One of them.
    #[must_use]
    pub fn any(random: &mut StdRng) -> Self {
        [Self::Nothing, Self::Writes, Self::Beginning, Self::Sectors][random.random_range(0..4)]
    }
}

/// What a power cut has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Changes that no fsync covered.
    pub unsynced: usize,
    /// How many of them were lost, whole or in part.
    pub lost: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Change,
    Truncate,
    Mark,
    FailedSync,
    Gone,
}

#[derive(Clone, Debug)]
struct Record {
    at: u64,
    kind: Kind,
    inode: u64,
    offset: u64,
    length: u64,
    old_size: u64,
    before: Vec<u8>,
    /// What the change wrote: read from the file when all later changes are undone.
    after: Vec<u8>,
}

/// Takes the power from the files in `folder`, by the undo log, which is then gone. Nobody may have
/// them open any more.
///
/// # Panics
/// If the log is not one, or a file cannot be changed.
pub fn cut(log: &Path, folder: &Path, survives: Survives, random: &mut StdRng) -> Cut {
    let Ok(bytes) = fs::read(log) else { return Cut::default() };
    let mut files = BTreeMap::new();
    find_files(folder, &mut files);
    let mut cut = Cut::default();
    for (inode, mut records) in unsynced(&parse(&bytes)) {
        // A file that is no longer there has nothing to lose.
        let Some(path) = files.get(&inode) else { continue };
        let file = OpenOptions::new().read(true).write(true).open(path).expect("the file can be opened");
        undo(&file, &mut records);
        cut.unsynced += records.len();
        cut.lost += records.len() - redo(&file, &records, survives, random);
    }
    fs::remove_file(log).expect("the undo log can be removed");
    cut
}

fn find_files(folder: &Path, files: &mut BTreeMap<u64, PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        let Ok(state) = fs::symlink_metadata(&path) else { continue };
        if state.is_dir() {
            find_files(&path, files);
        } else {
            files.insert(state.ino(), path);
        }
    }
}

/// A record that the kill has cut off was not followed by its change.
fn parse(bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + HEAD) {
        let number = |n: usize| u64::from_ne_bytes(head[n * 8..n * 8 + 8].try_into().expect("8 bytes"));
        assert_eq!(number(0), MAGIC, "the undo log has no record at {at}");
        let kind = match number(1) {
            1 => Kind::Change,
            2 => Kind::Truncate,
            3 => Kind::Mark,
            4 => Kind::FailedSync,
            5 => Kind::Gone,
            other => panic!("the undo log has a record of kind {other} at {at}"),
        };
        let kept = usize::try_from(number(6)).expect("a size");
        let Some(before) = bytes.get(at + HEAD..at + HEAD + kept) else { break };
        let (inode, offset, length, old_size) = (number(2), number(3), number(4), number(5));
        let before = before.to_vec();
        records.push(Record { at: at as u64, kind, inode, offset, length, old_size, before, after: Vec::new() });
        at += HEAD + kept;
    }
    records
}

/// Per file, what no fsync covers. After a failed fsync none does any more: the kernel may have
/// dropped the pages, and calls the next fsync a success.
fn unsynced(records: &[Record]) -> BTreeMap<u64, Vec<Record>> {
    #[derive(Default)]
    struct State {
        open: Vec<Record>,
        failed: bool,
    }
    let mut files: BTreeMap<u64, State> = BTreeMap::new();
    for record in records {
        let state = files.entry(record.inode).or_default();
        match record.kind {
            Kind::Change | Kind::Truncate => state.open.push(record.clone()),
            Kind::Mark if state.failed => {}
            Kind::Mark => state.open.retain(|change| change.at >= record.offset),
            Kind::FailedSync => state.failed = true,
            Kind::Gone => *state = State::default(),
        }
    }
    files.into_iter().map(|(inode, state)| (inode, state.open)).filter(|(_, open)| !open.is_empty()).collect()
}

fn undo(file: &File, records: &mut [Record]) {
    for record in records.iter_mut().rev() {
        if record.kind == Kind::Change {
            let size = file.metadata().expect("the file has a size").len();
            let there = size.saturating_sub(record.offset).min(record.length);
            record.after = vec![0; usize::try_from(there).expect("a size")];
            file.read_exact_at(&mut record.after, record.offset).expect("the file can be read");
        }
        file.set_len(record.old_size).expect("the file can have its old size");
        file.write_all_at(&record.before, record.offset).expect("the file can be written");
    }
}

/// Returns how many have survived whole.
fn redo(file: &File, records: &[Record], survives: Survives, random: &mut StdRng) -> usize {
    let beginning = random.random_range(0..=records.len());
    let mut whole = 0;
    for (n, record) in records.iter().enumerate() {
        let sectors = sectors(record).len();
        // Whether a sector has reached the disk.
        let reached: Vec<bool> = match survives {
            Survives::Nothing => vec![false; sectors],
            Survives::Writes => vec![n < beginning; sectors],
            Survives::Beginning if n != beginning => vec![n < beginning; sectors],
            Survives::Beginning => {
                let torn = random.random_range(0..=sectors);
                (0..sectors).map(|sector| sector < torn).collect()
            }
            Survives::Sectors => match random.random_range(0..3) {
                0 => vec![false; sectors],
                1 => vec![true; sectors],
                _ => (0..sectors).map(|_| random.random_bool(0.5)).collect(),
            },
        };
        whole += usize::from(reached.iter().all(|reached| *reached));
        write_sectors(file, record, &reached);
    }
    whole
}

/// The pieces of a change that lie in one sector each; a truncation is one piece.
fn sectors(record: &Record) -> Vec<(u64, u64)> {
    if record.kind == Kind::Truncate {
        return vec![(record.offset, record.offset)];
    }
    let end = record.offset + record.after.len() as u64;
    let first = record.offset / SECTOR;
    let pieces = (first..).map(|n| ((n * SECTOR).max(record.offset), ((n + 1) * SECTOR).min(end)));
    pieces.take_while(|(from, to)| from < to).collect()
}

fn write_sectors(file: &File, record: &Record, reached: &[bool]) {
    for ((from, to), _) in sectors(record).into_iter().zip(reached).filter(|(_, reached)| **reached) {
        if record.kind == Kind::Truncate {
            file.set_len(record.offset).expect("the file can be cut off");
            continue;
        }
        let part = |at: u64| usize::try_from(at - record.offset).expect("a size");
        file.write_all_at(&record.after[part(from)..part(to)], from).expect("the file can be written");
    }
}

#[cfg(test)]
mod tests;
