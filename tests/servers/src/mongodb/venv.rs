//! SecantusDB, a server that speaks MongoDB's protocol, from the Python package index.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version that the tests were written against.
const PACKAGE: &str = "SecantusDB==0.7.0b3";
/// Where it is, seen from the folder of the virtual environment.
const PROGRAM: &str = "bin/secantusd-py";

/// The server's program in `target/test-venv`, which is made if it is not there; tests in other
/// processes wait for that.
///
/// # Errors
/// Says why it cannot be had.
pub(super) async fn program() -> Result<PathBuf, String> {
    tokio::task::spawn_blocking(made).await.map_err(|e| e.to_string())?
}

fn made() -> Result<PathBuf, String> {
    // A folder that is named from elsewhere than the root is the root's all the same: each test has a folder of its
    // own.
    let name = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    fs::create_dir_all(&target).map_err(|e| format!("{}: {e}", target.display()))?;
    let folder = target.canonicalize().map_err(|e| e.to_string())?.join("test-venv");
    let program = folder.join(PROGRAM);
    // Held until the end of this function.
    let lock = OpenOptions::new().create(true).append(true).open(target.join("test-venv.lock"));
    let lock = lock.map_err(|e| e.to_string())?;
    lock.lock().map_err(|e| e.to_string())?;
    if program.is_file() {
        return Ok(program);
    }
    let text = |path: &Path| path.display().to_string();
    if !folder.join("bin/python").is_file() {
        run("python3", &["-m", "venv", &text(&folder)])?;
    }
    run(&text(&folder.join("bin/python")), &["-m", "pip", "install", "--quiet", "--pre", PACKAGE])?;
    if program.is_file() { Ok(program) } else { Err(format!("{PACKAGE} was installed without {PROGRAM}")) }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = said.lines().rev().take(5).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(format!("{program} {}: {}: {}", arguments.join(" "), output.status, last.join(" | ")))
}
