//! The library of `tests/preload` in a process: disks that fail, clocks that jump, power that goes.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long an injected failure may take to be met.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the shared file is looked at.
const GLANCE: Duration = Duration::from_millis(2);

/// The numbers of the shared file, as `tests/preload/faults.h` has them.
#[derive(Clone, Copy)]
enum Number {
    SyncFailsIn,
    Full,
    ClockOffset,
    Syncs,
    Failed,
    Count,
}

/// Compiles the library once per process, into the folder of the running program.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("preload");
        let program = std::env::current_exe().expect("the program has a path");
        let library = program.parent().expect("it is in a folder").join("liblaneway_faults.so");
        // Another test may be doing the same: the finished file comes in one step.
        let made = library.with_extension(format!("{}.so", std::process::id()));
        let compiled = Command::new("cc")
            .args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread", "-o"])
            .arg(&made)
            .args([sources.join("powercut.c"), sources.join("clock.c")])
            .output()
            .expect("a C compiler is there: SQLite was compiled with it");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        fs::rename(&made, &library).expect("the library can be put in its place");
        library
    })
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of a test is text")
}

/// What is preloaded into one server.
#[derive(Debug)]
pub struct Preload {
    prefix: PathBuf,
    log: PathBuf,
    control: File,
    control_path: PathBuf,
}

impl Preload {
    /// For files whose path begins with `prefix`; what it writes down itself goes into `folder`.
    ///
    /// # Panics
    /// If the library cannot be compiled, or `folder` not be written.
    #[must_use]
    pub fn new(folder: &Path, prefix: &str) -> Self {
        library();
        let folder = folder.canonicalize().expect("the folder is there");
        let control_path = folder.join("faults.control");
        let control = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&control_path);
        let control = control.expect("the shared file can be made");
        control.set_len(Number::Count as u64 * 8).expect("it can have its size");
        Self { prefix: folder.join(prefix), log: folder.join("faults.undo"), control, control_path }
    }

    /// The variables that a server is to be started with.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("LD_PRELOAD", text(library())),
            ("FAULTS_PREFIX", text(&self.prefix)),
            ("FAULTS_LOG", text(&self.log)),
            ("FAULTS_CONTROL", text(&self.control_path)),
        ]
    }

    /// The undo log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    fn set(&self, number: Number, value: i64) {
        self.control.write_all_at(&value.to_ne_bytes(), number as u64 * 8).expect("the shared file can be written");
    }

    fn get(&self, number: Number) -> i64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, number as u64 * 8).expect("the shared file can be read");
        i64::from_ne_bytes(bytes)
    }

    /// The `n`-th fsync from now fails, with EIO.
    pub fn fail_sync(&self, n: u32) {
        self.set(Number::SyncFailsIn, i64::from(n));
    }

    /// From now on every write fails with this error of the system; with 0 none does.
    pub fn fail_writes(&self, errno: i32) {
        self.set(Number::Full, i64::from(errno));
    }

    /// Moves the wall clock, from what it truly is.
    pub fn move_clock(&self, seconds: i64) {
        self.set(Number::ClockOffset, seconds * 1000);
    }

    /// How many fsyncs have succeeded.
    #[must_use]
    pub fn syncs(&self) -> i64 {
        self.get(Number::Syncs)
    }

    /// How many calls were made to fail.
    #[must_use]
    pub fn failed(&self) -> i64 {
        self.get(Number::Failed)
    }

    /// Waits until more calls than this were made to fail.
    ///
    /// # Panics
    /// If that does not come about in a minute.
    pub async fn until_failed(&self, before: i64) {
        let deadline = Instant::now() + PATIENCE;
        while self.failed() <= before {
            assert!(Instant::now() < deadline, "nothing was written or synced in {PATIENCE:?}");
            tokio::time::sleep(GLANCE).await;
        }
    }
}
