//! `laneway destinations edit`: a destination's settings in an editor.
//!
//! What is saved is sent with the revision that was read, so that nobody's change is lost: neither that of somebody
//! else, nor the edited text, which is kept in a file where it could not be sent.

mod text;

use super::super::client::Client;
use super::super::{Failure, output};
use super::managed::said;
use crate::config::Source;
use http::StatusCode;
use laneway_domain::{DestinationName, Origin};
use laneway_http::wire::{ChangeAnswer, DestinationRecord, Problem};
use serde_json::{Map, Value as Json};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What edits where no variable names anything; every Unix has it.
const EDITOR: &str = "vi";

pub(super) async fn run(client: &Client, name: &DestinationName, source: &dyn Source) -> Result<(), Failure> {
    let path = format!("/v1/destinations/{name}");
    let record: DestinationRecord = client.get(&path).await?;
    if record.origin == Origin::File {
        let what = format!("{name} is in the configuration file of the server, which alone can change it");
        return Err(Failure::new(what).advising(
            "change it there and send the server SIGHUP; or take it over with laneway destinations apply --adopt",
        ));
    }
    let settings = text::of(name, &record.settings)?;
    let mut sheet = Sheet::new(name, source)?;
    let mut mistakes = Vec::new();
    // What was edited last, without what this command writes above it.
    let mut body = settings.clone();
    loop {
        let edited = sheet.edit(&text::heading(name, &mistakes), &body)?;
        if edited.trim().is_empty() || edited == settings {
            return output::say("nothing to change");
        }
        if !mistakes.is_empty() && edited == body {
            return Err(sheet.kept(Failure::new(format!("the mistakes are still there; {name} is as it was"))));
        }
        body = edited;
        let mut wanted = match text::read(&body) {
            Ok(wanted) => wanted,
            Err(what) => {
                mistakes = vec![what];
                continue;
            }
        };
        wanted.entry("name").or_insert_with(|| name.as_str().into());
        if wanted == with_name(name, &record.settings) {
            return output::say("nothing to change");
        }
        let answer = match client.put_if(&path, record.revision.0, &wanted).await {
            Ok(answer) => answer,
            Err(failure) => return Err(sheet.kept(failure)),
        };
        match answer.status {
            status if status.is_success() => {
                let answer: ChangeAnswer = client.read(&answer).map_err(|failure| sheet.kept(failure))?;
                return output::say(&said(&answer, "is changed"));
            }
            StatusCode::PRECONDITION_FAILED => {
                let what = format!("somebody else has changed or deleted {name} meanwhile; nothing of yours was done");
                return Err(sheet.kept(Failure::new(what)));
            }
            // What can be mended in the text; with everything else it is not the text's fault.
            StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT | StatusCode::PAYLOAD_TOO_LARGE => {
                mistakes = told(&answer.problem());
            }
            _ => return Err(sheet.kept(client.refused(&answer))),
        }
    }
}

fn with_name(name: &DestinationName, settings: &Map<String, Json>) -> Map<String, Json> {
    let mut settings = settings.clone();
    settings.insert("name".to_owned(), name.as_str().into());
    settings
}

/// A line for each mistake.
fn told(problem: &Problem) -> Vec<String> {
    if problem.mistakes.is_empty() {
        return vec![output::clean(&problem.detail)];
    }
    let line = |field: &str, detail: &str| {
        // As TOML has it: /retry/initial is retry.initial.
        let field = field.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~");
        output::clean(&if field.is_empty() { detail.to_owned() } else { format!("{field}: {detail}") })
    };
    problem.mistakes.iter().map(|mistake| line(&mistake.field, &mistake.detail)).collect()
}

/// The file that is edited, in a folder that its owner alone can enter: what editors leave beside it is there too.
struct Sheet {
    folder: TempDir,
    file: PathBuf,
    editor: String,
    changed: bool,
}

impl Sheet {
    fn new(name: &DestinationName, source: &dyn Source) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("laneway-edit-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|e| Failure::new(format!("a folder for the text cannot be made: {e}")))?;
        let file = folder.path().join(format!("{name}.toml"));
        let named = |variable: &str| source.var(variable).filter(|value| !value.trim().is_empty());
        let editor = named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| EDITOR.to_owned());
        Ok(Self { folder, file, editor, changed: false })
    }

    /// Lets the text be edited below a heading; what it is then, without the heading.
    fn edit(&mut self, heading: &str, body: &str) -> Result<String, Failure> {
        let failed = |e: io::Error| Failure::new(format!("{}: {e}", self.file.display()));
        write(&self.file, &format!("{heading}{body}")).map_err(failed)?;
        // The variable may have arguments (`code --wait`), as a shell reads them.
        let script = format!("exec {} \"$1\"", self.editor);
        let ended = Command::new("sh").arg("-c").arg(script).arg("sh").arg(&self.file).status();
        let edited = fs::read_to_string(&self.file);
        let after = edited.as_ref().map_or("", |text| text.strip_prefix(heading).unwrap_or(text));
        self.changed |= after != body;
        let wrong = match ended {
            Ok(status) if status.success() => None,
            Ok(status) => Some(format!("the editor ({}) ended with {status}; nothing was changed", self.editor)),
            Err(e) => Some(format!("the editor ({}) cannot be started: {e}", self.editor)),
        };
        if let Some(what) = wrong {
            let failure = Failure::new(what).advising("set VISUAL or EDITOR to the editor that you want");
            return Err(if self.changed { self.kept(failure) } else { failure });
        }
        let edited = edited.map_err(failed)?;
        Ok(edited.strip_prefix(heading).unwrap_or(&edited).to_owned())
    }

    /// A failure after which the text is still there.
    fn kept(&mut self, failure: Failure) -> Failure {
        self.folder.disable_cleanup(true);
        let where_to = format!("your text is kept in {}", self.file.display());
        let advice = failure.advice.clone().map_or_else(|| where_to.clone(), |advice| format!("{advice}; {where_to}"));
        failure.advising(advice)
    }
}

/// Writes a file that its owner alone can read.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
