//! The file of a backup.
//!
//! | bytes | what |
//! | --- | --- |
//! | | [`MAGIC`], then frames |
//! | 1 | of each frame: its kind, see [`Kind`] |
//! | 4 | how many bytes its fields have |
//! | | the fields: each 4 bytes of length, and the value |
//! | 4 | CRC32C over the check of the frame before (zero before the first), and all of this frame up to here |
//!
//! Numbers are big-endian. A frame's check covers the one before, so that none can be left out, repeated, or moved. The
//! last one has how many frames there are before it and the SHA-256 of everything before it: a file that was cut off, also
//! between two frames, has no such end. Readers see the whole of a file before they believe any of it ([`verify`]).

use bytes::Bytes;
use laneway_ports::StoreError;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What a file begins with.
const MAGIC: &[u8; 24] = b"laneway backup of redis\n";
/// The most bytes of a frame's fields: some pages of what one answer of Redis has. A length beyond is damage.
const MAX_FRAME_BYTES: usize = 1 << 30;
/// How much is read and written at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// What the store is, as JSON: always the first.
    Header = b'H',
    /// The log of a partition begins: partition, its end (an offset).
    Partition = b'P',
    /// Entries of the log: id and bytes of each.
    Entries = b'E',
    /// Fields of its progress, and their values.
    Progress = b'G',
    /// Its cuts: revision and offset of each.
    Cuts = b'C',
    /// What of destinations has expired, and from when on their waiting counts: fields and values. Since format 2.
    Expiry = b'X',
    /// Keys that are behind in a lane: its name, and key, offset, retry state of each.
    Behind = b'B',
    /// Dead letters: name, letter, event, `1` or `0` for whether a retry is asked for, of each.
    Letters = b'D',
    /// What was kept aside: fields and values.
    Quarantine = b'Q',
    /// What was told of attempts: moment (ms), place, record, of each.
    History = b'A',
    /// What was lost: fields and values.
    Lost = b'L',
    /// The partition is all there: how many entries it has from which id on (what is before was trimmed meanwhile).
    Sealed = b'S',
    /// Ids that are remembered: partition, and name, offset, time left (ms) of each.
    Ids = b'I',
    /// Destinations: name, revision, `1` or `0` for whether it is deleted, record, of each.
    Records = b'R',
    /// What was said of a destination's changes: name, and revision and entry of each.
    Journal = b'J',
    /// The registry is all there: last revision, and up to which deleted ones may be forgotten.
    Registry = b'N',
    /// The tokens: revision, and all of them.
    Tokens = b'T',
    /// What is known of tenants: revision, and all of it.
    Tenants = b'M',
    /// The last one: how many frames there were, and the SHA-256 of all before.
    End = b'Z',
}

impl Kind {
    const ALL: [Self; 19] = [
        Self::Header,
        Self::Partition,
        Self::Entries,
        Self::Progress,
        Self::Cuts,
        Self::Expiry,
        Self::Behind,
        Self::Letters,
        Self::Quarantine,
        Self::History,
        Self::Lost,
        Self::Sealed,
        Self::Ids,
        Self::Records,
        Self::Journal,
        Self::Registry,
        Self::Tokens,
        Self::Tenants,
        Self::End,
    ];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) fields: Vec<Bytes>,
}

impl Frame {
    /// The field as text.
    ///
    /// # Errors
    /// If there is none, or it is no text: nobody has written such a frame.
    pub(crate) fn text(&self, at: usize) -> Result<&str, StoreError> {
        self.fields.get(at).and_then(|field| std::str::from_utf8(field).ok()).ok_or_else(|| self.malformed())
    }

    /// The field as a number.
    ///
    /// # Errors
    /// As [`Frame::text`].
    pub(crate) fn number(&self, at: usize) -> Result<u64, StoreError> {
        self.text(at)?.parse().map_err(|_| self.malformed())
    }

    /// What follows the first `before` fields, `of` at a time.
    ///
    /// # Errors
    /// If it does not come out even.
    pub(crate) fn rows(&self, before: usize, of: usize) -> Result<std::slice::ChunksExact<'_, Bytes>, StoreError> {
        let rows = self.fields.get(before..).ok_or_else(|| self.malformed())?.chunks_exact(of);
        if rows.remainder().is_empty() { Ok(rows) } else { Err(self.malformed()) }
    }

    pub(crate) fn malformed(&self) -> StoreError {
        StoreError::refused(format!(
            "the backup has a part ({:?}) that this release of Laneway cannot understand, although it is as it was written: \
             was it made by a newer one?",
            self.kind
        ))
    }
}

/// A place in a file that is being written.
pub(crate) struct Mark {
    at: u64,
    check: u32,
    frames: u64,
    digest: Sha256,
}

/// A backup that is being written, under a name that says so. The file is gone if it never comes to its end.
pub(crate) struct Writer {
    unfinished: Unfinished,
    file: BufWriter<File>,
    check: u32,
    frames: u64,
    digest: Sha256,
}

impl Writer {
    /// A new file in the folder of `to`, which only its owner can read: it holds payloads.
    ///
    /// # Errors
    /// If `to` is there, or nothing can be written beside it.
    pub(crate) fn beside(to: &Path) -> Result<Self, StoreError> {
        if to.exists() {
            return Err(StoreError::refused(format!("{} is there already: give another name", to.display())));
        }
        remove_left_over(to);
        let mut name = to.as_os_str().to_owned();
        // Not the number of the process: in a container each has the same.
        let number = std::hash::RandomState::new().build_hasher().finish();
        name.push(format!(".{number:0DIGITS$x}{UNFINISHED}"));
        let path = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(|error| cannot_write(&path, &error))?;
        // By the lock others see that somebody writes it. Where files cannot be locked, nobody takes it for left over.
        let _ = file.try_lock();
        let unfinished = Unfinished(path);
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        let mut writer = Self { unfinished, file, check: 0, frames: 0, digest: Sha256::new() };
        writer.put(MAGIC)?;
        Ok(writer)
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn add<F: AsRef<[u8]>>(&mut self, kind: Kind, fields: &[F]) -> Result<(), StoreError> {
        let bytes: usize = fields.iter().map(|field| 4 + field.as_ref().len()).sum();
        if bytes > MAX_FRAME_BYTES {
            return Err(StoreError::refused(format!(
                "a part ({kind:?}) of {bytes} bytes is more than a backup can hold"
            )));
        }
        let mut frame = Vec::with_capacity(bytes + 9);
        frame.push(kind as u8);
        frame.extend(length(bytes));
        for field in fields {
            frame.extend(length(field.as_ref().len()));
            frame.extend(field.as_ref());
        }
        self.check = crc32c::crc32c_append(self.check, &frame);
        frame.extend(self.check.to_be_bytes());
        self.frames += 1;
        self.put(&frame)
    }

    /// Where the file is now, to go back to.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn mark(&mut self) -> Result<Mark, StoreError> {
        let at = self.file.flush().and_then(|()| self.file.stream_position());
        let at = at.map_err(|error| cannot_write(&self.unfinished.0, &error))?;
        Ok(Mark { at, check: self.check, frames: self.frames, digest: self.digest.clone() })
    }

    /// Takes back what was added since.
    ///
    /// # Errors
    /// If it cannot be.
    pub(crate) fn go_back(&mut self, mark: &Mark) -> Result<(), StoreError> {
        let gone = self.file.seek(SeekFrom::Start(mark.at)).and_then(|_| self.file.get_ref().set_len(mark.at));
        gone.map_err(|error| cannot_write(&self.unfinished.0, &error))?;
        (self.check, self.frames, self.digest) = (mark.check, mark.frames, mark.digest.clone());
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.digest.update(bytes);
        self.file.write_all(bytes).map_err(|error| cannot_write(&self.unfinished.0, &error))
    }

    /// Ends the file, makes it durable, and gives it its name.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn finish(mut self, to: &Path) -> Result<(), StoreError> {
        let digest = self.digest.clone().finalize();
        self.add(Kind::End, &[self.frames.to_string().as_bytes(), &digest])?;
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        let named = synced.and_then(|()| fs::rename(&self.unfinished.0, to));
        named.and_then(|()| sync_folder_of(to)).map_err(|error| cannot_write(to, &error))
    }
}

fn length(bytes: usize) -> [u8; 4] {
    // Checked to be below `MAX_FRAME_BYTES`.
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

/// What the name of an unfinished file ends with.
const UNFINISHED: &str = ".unfinished";
/// How many hexadecimal digits stand before that: a number that no other copy has.
const DIGITS: usize = 16;

/// Removes what copies that were interrupted have left beside `to`: files that nobody has locked.
fn remove_left_over(to: &Path) {
    let Some(name) = to.file_name().and_then(|name| name.to_str()) else { return };
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let number =
            found.to_str().and_then(|found| found.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(UNFINISHED));
        if number.is_none_or(|number| number.len() != DIGITS || !number.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            continue;
        }
        if File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            drop(Unfinished(entry.path()));
        }
    }
}

struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It has its name by now, or there is nothing more that could be done.
        let _ = fs::remove_file(&self.0);
    }
}

/// A new name survives a power cut only when its folder is synced too.
fn sync_folder_of(file: &Path) -> io::Result<()> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn cannot_write(path: &Path, error: &io::Error) -> StoreError {
    StoreError::refused(format!(
        "{} cannot be written: {error}. Check that its folder exists, that this user may write there, and its space",
        path.display()
    ))
}

/// Reads the frames of a file, and checks each.
#[derive(Debug)]
pub(crate) struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    check: u32,
    frames: u64,
    digest: Sha256,
    ended: bool,
}

impl Reader {
    /// # Errors
    /// If there is no such file, it cannot be read, or it is no backup of Redis.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                StoreError::refused(format!("there is no backup at {}: nothing was changed", path.display()))
            }
            _ => cannot_read(path, &error),
        })?;
        let file = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut reader = Self { path: path.to_owned(), file, check: 0, frames: 0, digest: Sha256::new(), ended: false };
        let mut magic = [0; MAGIC.len()];
        match reader.file.read_exact(&mut magic) {
            Ok(()) if magic == *MAGIC => reader.digest.update(magic),
            Ok(()) | Err(_) if magic.starts_with(b"SQLite format 3") => {
                return Err(StoreError::refused(format!(
                    "{} is a backup of a store in a file (SQLite), and store.url says Redis: restore it with --store \
                     sqlite:PATH",
                    path.display()
                )));
            }
            Ok(()) => {
                let what =
                    format!("{} is no backup that `laneway backup` has made of a store on Redis", path.display());
                return Err(StoreError::refused(what));
            }
            Err(error) => return Err(reader.failed(&error)),
        }
        Ok(reader)
    }

    /// The next frame; `None` behind the last one.
    ///
    /// # Errors
    /// If the file is damaged or cut off, or cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, StoreError> {
        let mut head = [0; 5];
        if self.ended {
            return match self.file.read(&mut head) {
                Ok(0) => Ok(None),
                Ok(_) => Err(self.damaged("something follows its end")),
                Err(error) => Err(cannot_read(&self.path, &error)),
            };
        }
        self.read(&mut head)?;
        let [kind, length @ ..] = head;
        let bytes = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if bytes > MAX_FRAME_BYTES {
            return Err(self.damaged("a length is not possible"));
        }
        // As much as there is: a damaged length must not take memory that nothing fills.
        let mut body = Vec::new();
        let read = (&mut self.file).take(u64::try_from(bytes).unwrap_or(u64::MAX)).read_to_end(&mut body);
        if read.map_err(|error| cannot_read(&self.path, &error))? < bytes {
            return Err(self.cut_off());
        }
        let mut carried = [0; 4];
        self.read(&mut carried)?;
        let check = crc32c::crc32c_append(crc32c::crc32c_append(self.check, &head), &body);
        if check != u32::from_be_bytes(carried) {
            return Err(self.damaged("a checksum is wrong"));
        }
        let kind = Kind::of(kind).ok_or_else(|| self.damaged("it has a part of an unknown kind"))?;
        let body = Bytes::from(body);
        let fields = fields(body.clone()).ok_or_else(|| self.damaged("a part is malformed"))?;
        let frame = Frame { kind, fields };
        if kind == Kind::End {
            self.check_end(&frame)?;
        }
        for part in [&head[..], &body, &carried] {
            self.digest.update(part);
        }
        (self.check, self.frames) = (check, self.frames + 1);
        Ok(Some(frame))
    }

    fn check_end(&mut self, end: &Frame) -> Result<(), StoreError> {
        let digest = self.digest.clone().finalize();
        let is_right = end.number(0).is_ok_and(|frames| frames == self.frames)
            && end.fields.get(1).is_some_and(|carried| **carried == *digest);
        self.ended = true;
        if is_right { Ok(()) } else { Err(self.damaged("its SHA-256 is not what stands at its end")) }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<(), StoreError> {
        self.file.read_exact(buffer).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.cut_off(),
            _ => cannot_read(&self.path, error),
        }
    }

    fn cut_off(&self) -> StoreError {
        self.damaged("it ends too early: it was cut off")
    }

    fn damaged(&self, how: &str) -> StoreError {
        StoreError::refused(format!(
            "the backup {} is damaged (behind its part {}): {how}. Nothing of it is restored: take another copy of it, or an \
             older backup",
            self.path.display(),
            self.frames
        ))
    }
}

/// The fields of a frame, which share its bytes.
fn fields(mut body: Bytes) -> Option<Vec<Bytes>> {
    let mut fields = Vec::new();
    while !body.is_empty() {
        let length = body.get(..4)?.try_into().ok().map(u32::from_be_bytes)?;
        let length = usize::try_from(length).ok()?;
        let mut rest = body.split_off(4);
        if rest.len() < length {
            return None;
        }
        body = rest.split_off(length);
        fields.push(rest);
    }
    Some(fields)
}

fn cannot_read(path: &Path, error: &io::Error) -> StoreError {
    StoreError::refused(format!("the backup {} cannot be read: {error}", path.display()))
}

/// Reads all of a file, and checks that it is as it was written. Shows every frame; the first is the header.
///
/// # Errors
/// If it is not, or `each` fails.
pub(crate) fn verify(path: &Path, mut each: impl FnMut(&Frame) -> Result<(), StoreError>) -> Result<(), StoreError> {
    let mut reader = Reader::open(path)?;
    let header = reader.next()?.filter(|frame| frame.kind == Kind::Header);
    each(&header.ok_or_else(|| reader.damaged("it does not begin with what it is"))?)?;
    while let Some(frame) = reader.next()? {
        each(&frame)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that was killed leaves a file, and in a container the next one has its number again.
    #[test]
    fn what_an_interrupted_copy_has_left_is_removed_and_stands_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("copy");
        let names =
            ["copy.0123456789abcdef.unfinished", "copy.1.unfinished", "other.0123456789abcdef.unfinished", "copy.txt"];
        for name in names {
            fs::write(folder.path().join(name), "half a copy").unwrap();
        }
        let other_copy = Writer::beside(&to).unwrap();
        let writer = Writer::beside(&to).unwrap();
        assert!(other_copy.unfinished.0.exists(), "somebody writes it");
        assert_eq!(names.map(|name| folder.path().join(name).exists()), [false, true, true, true]);
        writer.finish(&to).unwrap();
        drop(other_copy);
        verify(&to, |_| Ok(())).unwrap_err();
        assert_eq!(folder.path().read_dir().unwrap().count(), 4, "three that are others', and the copy");
    }
}
