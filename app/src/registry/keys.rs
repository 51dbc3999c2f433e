//! Keys that seal the secrets of destinations in the store.
//!
//! A store is copied, backed up and looked at; its secrets are of use to nobody without the key, which is elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::{fmt, fs, io};
use thiserror::Error;

/// The bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of its digest that name a key.
const ID_BYTES: usize = 8;
/// What is sealed, so that nothing else that may once be sealed with the same key passes for it.
const PURPOSE: &[u8] = b"laneway destination settings 1\0";

/// Why secrets cannot be sealed.
#[derive(Debug, Error)]
pub enum Unsealable {
    /// There is no key.
    #[error(
        "secrets, header values and passwords are sealed in the store, and there is no key to seal them with: set \
         store.key (make one with: openssl rand -base64 32)"
    )]
    NoKey,
    /// The key file could not be made or read.
    #[error("the key file {path} beside the database cannot be used: {why}")]
    File {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The system gave no random numbers, or the cipher refused.
    #[error("secrets cannot be sealed: the system gives no random numbers")]
    System,
}

struct Key {
    id: String,
    cipher: LessSafeKey,
}

impl Key {
    fn new(bytes: &[u8; KEY_BYTES]) -> Result<Self, Unsealable> {
        let mut id = String::new();
        for byte in &digest(&SHA256, &[PURPOSE, bytes].concat()).as_ref()[..ID_BYTES] {
            let _ = write!(id, "{byte:02x}");
        }
        let cipher = UnboundKey::new(&CHACHA20_POLY1305, bytes).map_err(|_| Unsealable::System)?;
        Ok(Self { id, cipher: LessSafeKey::new(cipher) })
    }
}

/// The keys of a process. The first one seals; all of them open, so that one can follow another.
pub struct Keyring {
    keys: RwLock<Vec<Arc<Key>>>,
    /// Where a key is made when it is first needed.
    beside: Option<PathBuf>,
    /// Held by whoever makes it: of several who need it at once, one does.
    making: Mutex<()>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("ids", &self.ids()).field("beside", &self.beside).finish()
    }
}

impl Keyring {
    /// No key: nothing can be sealed.
    #[must_use]
    pub fn none() -> Self {
        Self { keys: RwLock::default(), beside: None, making: Mutex::default() }
    }

    /// These keys, the one that seals first.
    ///
    /// # Errors
    /// If the cipher takes no key, which it always does.
    pub fn of(keys: &[[u8; KEY_BYTES]]) -> Result<Self, Unsealable> {
        let keys = keys.iter().map(|bytes| Key::new(bytes).map(Arc::new)).collect::<Result<_, _>>()?;
        Ok(Self { keys: RwLock::new(keys), beside: None, making: Mutex::default() })
    }

    /// The key in the file at `path`, which is made when a key is first needed.
    ///
    /// # Errors
    /// If there is a file, and it holds no key.
    pub fn beside(path: &Path) -> Result<Self, Unsealable> {
        let keys = read_file(path)?.into_iter().map(Arc::new).collect();
        Ok(Self { keys: RwLock::new(keys), beside: Some(path.to_owned()), making: Mutex::default() })
    }

    /// Which keys there are, by ids that say nothing of them.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).iter().map(|key| key.id.clone()).collect()
    }

    /// Whether what was sealed so can be opened with one of the keys.
    ///
    /// # Errors
    /// Names the key that is missing.
    pub fn has_key_of(&self, sealed: &str) -> Result<(), String> {
        let id = sealed.split('.').next().unwrap_or_default();
        self.key(id).map(drop).ok_or_else(|| missing(id))
    }

    /// Seals what belongs to the destination `name`. With another name it cannot be opened.
    ///
    /// # Errors
    /// Without a key.
    pub fn seal(&self, name: &str, text: &[u8]) -> Result<String, Unsealable> {
        let key = self.first()?;
        // Random nonces of 96 bits are safe for about 2^32 sealings with one key; each is a change that somebody made.
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| Unsealable::System)?;
        let mut sealed = text.to_vec();
        let with = Nonce::assume_unique_for_key(nonce);
        key.cipher.seal_in_place_append_tag(with, belonging(name), &mut sealed).map_err(|_| Unsealable::System)?;
        Ok(format!("{}.{}", key.id, STANDARD.encode([&nonce[..], &sealed].concat())))
    }

    /// Opens what was sealed.
    ///
    /// # Errors
    /// If the key is not there, or it is not what was sealed for this destination. Never shows any of it.
    pub fn open(&self, name: &str, sealed: &str) -> Result<Vec<u8>, String> {
        let damaged = || format!("the sealed secrets of {name} are damaged, or belong to another destination");
        let (id, text) = sealed.split_once('.').ok_or_else(damaged)?;
        let key = self.key(id).ok_or_else(|| missing(id))?;
        let bytes = STANDARD.decode(text).map_err(|_| damaged())?;
        let (nonce, text) = bytes.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
        let mut text = text.to_vec();
        let with = Nonce::assume_unique_for_key(*nonce);
        let opened = key.cipher.open_in_place(with, belonging(name), &mut text).map_err(|_| damaged())?;
        Ok(opened.to_vec())
    }

    fn key(&self, id: &str) -> Option<Arc<Key>> {
        let find = || {
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            keys.iter().find(|key| key.id == id).cloned()
        };
        // A file that was not there at the start may have been made meanwhile.
        find().or_else(|| self.read_again().then(find).flatten())
    }

    fn read_again(&self) -> bool {
        let Some(key) = self.beside.as_deref().and_then(|path| read_file(path).ok().flatten()) else { return false };
        self.keys.write().unwrap_or_else(PoisonError::into_inner).splice(.., [Arc::new(key)]);
        true
    }

    fn first(&self) -> Result<Arc<Key>, Unsealable> {
        let first = || self.keys.read().unwrap_or_else(PoisonError::into_inner).first().cloned();
        if let Some(key) = first() {
            return Ok(key);
        }
        let path = self.beside.as_deref().ok_or(Unsealable::NoKey)?;
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = first() {
            return Ok(key);
        }
        // What is used is what the file has then, whoever has made it: another process may.
        make_file(path).map_err(|error| Unsealable::File { path: path.to_owned(), why: error.to_string() })?;
        let key = read_file(path)?.map(Arc::new).ok_or(Unsealable::NoKey)?;
        self.keys.write().unwrap_or_else(PoisonError::into_inner).splice(.., [key.clone()]);
        Ok(key)
    }
}

fn belonging(name: &str) -> Aad<Vec<u8>> {
    Aad::from([PURPOSE, name.as_bytes()].concat())
}

fn missing(id: &str) -> String {
    format!(
        "its secrets are sealed with the key {id}, which this process does not have: put the key that was used before \
         into store.key too (a list of keys; the first one seals)"
    )
}

/// Reads a key as it is written: 32 bytes, as base64 or as 64 hexadecimal digits.
///
/// # Errors
/// Says what is wrong, without any of it.
pub(crate) fn parse_key(text: &str) -> Result<[u8; KEY_BYTES], String> {
    let text = text.trim();
    let hexadecimal = text.len() == 2 * KEY_BYTES && text.bytes().all(|b| b.is_ascii_hexdigit());
    let bytes = if hexadecimal {
        let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap_or(0);
        (0..KEY_BYTES).map(|n| digits(2 * n)).collect()
    } else {
        STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).unwrap_or_default()
    };
    bytes.try_into().map_err(|_| {
        format!(
            "must be {KEY_BYTES} bytes, as base64 or as {} hexadecimal digits; make one with: openssl rand -base64 32",
            2 * KEY_BYTES
        )
    })
}

fn read_file(path: &Path) -> Result<Option<Key>, Unsealable> {
    let wrong = |why: String| Unsealable::File { path: path.to_owned(), why };
    match fs::read_to_string(path) {
        Ok(text) => Key::new(&parse_key(&text).map_err(wrong)?).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// Makes the file, durably, and readable by nobody else. One that is there stays.
fn make_file(path: &Path) -> io::Result<()> {
    let (mut key, mut draft) = ([0; KEY_BYTES], [0; ID_BYTES]);
    for random in [&mut key[..], &mut draft[..]] {
        SystemRandom::new().fill(random).map_err(|_| io::Error::other("the system gives no random numbers"))?;
    }
    // Written beside it first: a crash must not leave a part of a key behind. Nobody else has a draft of that name, or the
    // one that is linked could still be written.
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{:016x}", u64::from_be_bytes(draft)));
    let draft = PathBuf::from(name);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let made = (|| {
        writeln!(file, "{}", STANDARD.encode(key))?;
        file.sync_all()?;
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::File::open(folder)?.sync_all()
    })();
    let _ = fs::remove_file(&draft);
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn key(byte: u8) -> [u8; KEY_BYTES] {
        [byte; KEY_BYTES]
    }

    #[test]
    fn what_is_sealed_is_opened_by_its_key_for_its_destination_alone() {
        let keys = Keyring::of(&[key(1)]).unwrap();
        let sealed = keys.seal("billing", b"hunter2").unwrap();
        assert_eq!(keys.open("billing", &sealed).unwrap(), b"hunter2");
        assert!(keys.open("other", &sealed).unwrap_err().contains("another destination"));
        // The same again looks different.
        assert_ne!(sealed, keys.seal("billing", b"hunter2").unwrap());
        let (id, _) = sealed.split_once('.').unwrap();
        let wrong = Keyring::of(&[key(2)]).unwrap();
        for refused in [wrong.open("billing", &sealed).unwrap_err(), wrong.has_key_of(&sealed).unwrap_err()] {
            assert!(refused.contains(id), "{refused}");
        }
        assert!(wrong.open("billing", "nonsense").is_err());
    }

    #[test]
    fn any_changed_byte_is_found() {
        let keys = Keyring::of(&[key(1)]).unwrap();
        let sealed = keys.seal("a", b"x").unwrap();
        let (id, text) = sealed.split_once('.').unwrap();
        let bytes = STANDARD.decode(text).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let changed = format!("{id}.{}", STANDARD.encode(changed));
            assert!(keys.open("a", &changed).is_err(), "{at}");
        }
        assert!(keys.open("a", &format!("{id}.")).is_err());
    }

    #[test]
    fn one_key_follows_another() {
        let before = Keyring::of(&[key(1)]).unwrap();
        let both = Keyring::of(&[key(2), key(1)]).unwrap();
        let after = Keyring::of(&[key(2)]).unwrap();
        let old = before.seal("a", b"x").unwrap();
        assert_eq!(both.open("a", &old).unwrap(), b"x");
        let new = both.seal("a", b"x").unwrap();
        assert_eq!(after.open("a", &new).unwrap(), b"x");
        assert!(after.open("a", &old).is_err() && before.open("a", &new).is_err());
    }

    #[test]
    fn a_key_file_is_made_on_first_need_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("laneway.db.key");
        let (first, second) = (Keyring::beside(&path).unwrap(), Keyring::beside(&path).unwrap());
        assert!(!path.exists() && first.ids().is_empty());
        let sealed = first.seal("a", b"x").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(second.open("a", &sealed).unwrap(), b"x");
        assert_eq!(Keyring::beside(&path).unwrap().ids(), first.ids());
        fs::write(&path, "no key").unwrap();
        assert!(Keyring::beside(&path).unwrap_err().to_string().contains("laneway.db.key"));
        assert!(matches!(Keyring::none().seal("a", b"x"), Err(Unsealable::NoKey)));
    }

    #[test]
    fn of_many_who_need_the_first_key_at_once_all_get_the_same() {
        const AT_ONCE: usize = 32;
        for _ in 0..8 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("laneway.db.key");
            // One keyring of two processes each.
            let keys = [Keyring::beside(&path).unwrap(), Keyring::beside(&path).unwrap()];
            let begin = std::sync::Barrier::new(AT_ONCE);
            let sealed: Vec<String> = std::thread::scope(|scope| {
                let one = |nth: usize| {
                    let (keys, begin) = (&keys[nth % 2], &begin);
                    scope.spawn(move || {
                        begin.wait();
                        keys.seal("a", b"x").unwrap()
                    })
                };
                let all: Vec<_> = (0..AT_ONCE).map(one).collect();
                all.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let later = Keyring::beside(&path).unwrap();
            assert!(sealed.iter().all(|sealed| later.open("a", sealed).is_ok_and(|opened| opened == b"x")));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft stays behind");
        }
    }

    #[test]
    fn keys_are_written_in_base64_or_hexadecimal() {
        let hexadecimal = "0f".repeat(32);
        assert_eq!(parse_key(&hexadecimal), Ok(key(15)));
        assert_eq!(parse_key(&format!("{}\n", STANDARD.encode(key(15)))), Ok(key(15)));
        for bad in ["", "hunter2", &"0f".repeat(31), &STANDARD.encode([1; 31]), &"é".repeat(32)] {
            let what = parse_key(bad).unwrap_err();
            assert!(what.contains("openssl") && (bad.is_empty() || !what.contains(bad)), "{what}");
        }
    }
}
