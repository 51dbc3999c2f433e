//! Secrets as they are written: literal, `env:NAME`, or `file:PATH`.

use super::source::References;
use super::written::MARK;
use super::{Secret, Source};
use std::path::Path;

/// The most bytes of a secret; more is a wrong file, not a secret. (Certificate bundles are the
/// largest: that of Mozilla has about 220 KiB.)
const MAX_SECRET_BYTES: usize = 1 << 20;

/// Reads `written` as a configuration has it: `env:NAME`, `file:PATH` (line breaks at its end are
/// not part of the secret), or the secret itself.
///
/// # Errors
/// Says what is wrong, without a byte of the secret.
pub(super) fn resolve(written: &str, source: &dyn Source) -> Result<Secret, String> {
    let refers = written.starts_with("env:") || written.starts_with("file:");
    let text = if source.references() == References::Literal {
        written.to_owned()
    } else if refers && source.references() == References::Refused {
        let what = "\"env:\" and \"file:\" are read in the configuration file only: send the text itself";
        return Err(what.to_owned());
    } else if written == MARK {
        return Err(format!("{MARK:?} stands for a text that is not shown, and there is none here that could be kept"));
    } else if let Some(name) = written.strip_prefix("env:") {
        source.var(name).ok_or_else(|| format!("the environment variable {name:?} is not set"))?
    } else if let Some(path) = written.strip_prefix("file:") {
        read_file(path, source)?
    } else {
        written.to_owned()
    };
    if text.is_empty() {
        return Err("the secret is empty".to_owned());
    }
    if text.len() > MAX_SECRET_BYTES {
        return Err(format!("the secret has {} bytes; at most {MAX_SECRET_BYTES} are allowed", text.len()));
    }
    Ok(Secret::new(text))
}

fn read_file(path: &str, source: &dyn Source) -> Result<String, String> {
    let bytes = source.read(Path::new(path)).map_err(|e| format!("cannot read the secret's file {path:?}: {e}"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("the secret's file {path:?} is not UTF-8 text"))?;
    Ok(without_end(&text).to_owned())
}

/// A file's text without the line breaks at its end, which are not part of the secret in it.
#[must_use]
pub fn without_end(text: &str) -> &str {
    text.trim_end_matches(['\r', '\n'])
}
