//! Other people's programs and libraries in Python, each list of them in an environment of its own below `target`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the lists and the programs of the tests are.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

/// A Python that has the packages of a list.
#[derive(Debug)]
pub struct Python {
    environment: PathBuf,
}

impl Python {
    /// That of this list (a path below [`folder`]), made if it is not there or has another list's packages.
    ///
    /// # Errors
    /// Says why it cannot be had here.
    pub fn with(list: &str) -> Result<Self, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = root.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
        let name: String = list.trim_end_matches(".txt").replace('/', "-");
        let environment = target.join(format!("test-venv-{name}"));
        let io = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
        fs::create_dir_all(&target).map_err(|e| io(&target, e))?;
        // Tests run side by side, in processes of their own.
        let lock = target.join(format!("test-venv-{name}.lock"));
        let lock = File::create(&lock).and_then(|file| file.lock().map(|()| file)).map_err(|e| io(&lock, e))?;
        let (wanted, installed) = (folder().join(list), environment.join("installed.txt"));
        let wanted_text = fs::read_to_string(&wanted).map_err(|e| io(&wanted, e))?;
        let made = Self { environment };
        if fs::read_to_string(&installed).is_ok_and(|there| there == wanted_text) {
            return Ok(made);
        }
        run(Path::new("python3"), &["-m", "venv", "--clear", &made.environment.to_string_lossy()])?;
        let list = wanted.to_string_lossy();
        run(&made.program("python"), &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", &list])?;
        fs::write(&installed, wanted_text).map_err(|e| io(&installed, e))?;
        drop(lock);
        Ok(made)
    }

    /// A program of it: `python`, or one that a package brings.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.environment.join("bin").join(name)
    }
}

fn run(program: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("{}: {e}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{}: {said}", program.display())) }
}
