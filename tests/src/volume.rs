//! A small file system of its own, to be full or read-only.

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A mounted tmpfs; dropping it unmounts it.
#[derive(Debug)]
pub struct Volume {
    folder: TempDir,
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|e| format!("{program}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{program} {}: {}", arguments.join(" "), said.trim())) }
}

impl Volume {
    /// Mounts one with this many MiB.
    ///
    /// # Errors
    /// Says why that cannot be done here (it takes root).
    pub fn mount(mebibytes: u32) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let options = format!("size={mebibytes}m");
        run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", &folder.path().to_string_lossy()])?;
        Ok(Self { folder })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// From now on nothing can be written. Nobody may have a file open for that.
    ///
    /// # Panics
    /// If somebody has.
    pub fn read_only(&self) {
        run("mount", &["-o", "remount,ro", &self.path().to_string_lossy()]).expect("it can be mounted again");
    }

    /// Writes a file of this many MiB that is only there to take up space.
    ///
    /// # Panics
    /// If there is less left.
    #[must_use]
    pub fn ballast(&self, mebibytes: usize) -> PathBuf {
        let path = self.path().join("ballast");
        std::fs::write(&path, vec![0; mebibytes << 20]).expect("there is room for the ballast");
        path
    }
}

impl Volume {
    /// Takes up all the space that is left, with a file of its own.
    ///
    /// # Panics
    /// If that file cannot be made.
    #[must_use]
    pub fn fill(&self) -> PathBuf {
        let path = self.path().join("rest");
        let mut file = std::fs::File::create(&path).expect("a file can be made");
        // To the last byte: first by large pieces, then by small ones.
        for piece in [1 << 20, 4096, 1] {
            while std::io::Write::write(&mut file, &vec![0; piece]).is_ok_and(|written| written == piece) {}
        }
        path
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if let Err(error) = run("umount", &["-l", &self.path().to_string_lossy()]) {
            eprintln!("{error}");
        }
    }
}
