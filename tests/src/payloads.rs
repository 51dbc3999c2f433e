//! Real payloads: GitHub's webhook examples, fetched with npm when the test runs.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::path::Path;
use std::process::Command;

/// The package; it is fetched, never kept.
pub const PACKAGE: &str = "@octokit/webhooks-examples";
/// One version, so that a run today and one tomorrow send the same.
const VERSION: &str = "7.6.1";

/// One payload.
#[derive(Clone, Debug)]
pub struct Payload {
    /// `github.<event>` or `github.<event>.<action>`.
    pub event_type: String,
    /// The repository's full name, if it is about one.
    pub repository: Option<String>,
    /// The payload, as it stands in the package, with all its spaces.
    pub text: String,
}

#[derive(Deserialize)]
struct Group<'a> {
    name: String,
    #[serde(borrow)]
    examples: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Facts {
    action: Option<String>,
    repository: Option<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: Option<String>,
}

/// Fetches the package and reads its payloads.
///
/// # Errors
/// Says why the package cannot be had here.
///
/// # Panics
/// If it was fetched and is not what it was.
pub fn fetch() -> Result<Vec<Payload>, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let package = format!("{PACKAGE}@{VERSION}");
    let packed = Command::new("npm").args(["pack", "--silent", &package]).current_dir(folder.path()).output();
    let packed = packed.map_err(|e| format!("npm cannot be started: {e}"))?;
    if !packed.status.success() {
        return Err(format!("npm pack {package} failed: {}", String::from_utf8_lossy(&packed.stderr).trim()));
    }
    let archive = format!("octokit-webhooks-examples-{VERSION}.tgz");
    let unpacked = Command::new("tar").args(["xzf", &archive]).current_dir(folder.path()).status();
    match unpacked {
        Ok(status) if status.success() => Ok(read(&folder.path().join("package/api.github.com/index.json"))),
        Ok(status) => Err(format!("tar xzf {archive}: {status}")),
        Err(error) => Err(format!("tar cannot be started: {error}")),
    }
}

fn read(path: &Path) -> Vec<Payload> {
    let text = std::fs::read_to_string(path).expect("the package has its index");
    let groups: Vec<Group<'_>> = serde_json::from_str(&text).expect("the index is a list of events");
    let payloads = groups.iter().flat_map(|group| group.examples.iter().map(|example| payload(&group.name, example)));
    payloads.collect()
}

fn payload(event: &str, example: &RawValue) -> Payload {
    let facts: Facts = serde_json::from_str(example.get()).expect("an example is an object");
    let action = facts.action.map(|action| format!(".{action}")).unwrap_or_default();
    Payload {
        event_type: format!("github.{event}{action}"),
        repository: facts.repository.and_then(|repository| repository.full_name),
        text: example.get().to_owned(),
    }
}
