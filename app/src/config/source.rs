//! Where configuration comes from: variables and files, behind a trait so that tests pass a map.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The most bytes of a file that is read for configuration. The largest sensible one (thousands of
/// destinations) is far below; a wrong path may lead to anything.
pub const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// What a configuration is read from.
pub trait Source {
    /// The value of one environment variable; `None` if it is not set or not UTF-8.
    fn var(&self, name: &str) -> Option<String>;

    /// All environment variables whose names begin with `prefix`, by name.
    fn vars(&self, prefix: &str) -> BTreeMap<String, String>;

    /// A file's bytes.
    ///
    /// # Errors
    /// As the file system says; also if it is larger than [`MAX_FILE_BYTES`].
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// What `env:NAME` and `file:PATH` mean where a secret is expected.
    fn references(&self) -> References {
        References::Followed
    }
}

/// What `env:NAME` and `file:PATH` mean where a secret is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum References {
    /// The variable's value; the file's content.
    Followed,
    /// Nothing, and they are a mistake: whoever sent them must not read this machine's environment.
    Refused,
    /// Themselves: what is read was checked, and its references followed, when it was stored.
    Literal,
}

/// JSON that comes from elsewhere: it has no environment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json(pub(super) References);

impl Source for Json {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn vars(&self, _: &str) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn references(&self) -> References {
        self.0
    }
}

/// The environment and the file system of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process;

impl Source for Process {
    fn var(&self, name: &str) -> Option<String> {
        // `std::env::var` panics on no name, but a name may hold what the system refuses.
        let refused = name.is_empty() || name.contains(['=', '\0']);
        if refused { None } else { std::env::var(name).ok() }
    }

    fn vars(&self, prefix: &str) -> BTreeMap<String, String> {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let all = std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value)));
        all.filter(|(name, _)| name.starts_with(prefix)).collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        let taken = std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if taken as u64 > MAX_FILE_BYTES {
            return Err(io::Error::other(format!("it has more than {MAX_FILE_BYTES} bytes")));
        }
        Ok(bytes)
    }
}

/// Variables and files that a test made up.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Environment variables.
    pub vars: BTreeMap<String, String>,
    /// Files by path.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Given {
    /// Adds an environment variable.
    #[must_use]
    pub fn with_var(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.into(), value.into());
        self
    }

    /// Adds a file.
    #[must_use]
    pub fn with_file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }
}

impl Source for Given {
    fn var(&self, name: &str) -> Option<String> {
        self.vars.get(name).cloned()
    }

    fn vars(&self, prefix: &str) -> BTreeMap<String, String> {
        self.vars.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(n, v)| (n.clone(), v.clone())).collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "No such file or directory");
        self.files.get(path).cloned().ok_or_else(missing)
    }
}
