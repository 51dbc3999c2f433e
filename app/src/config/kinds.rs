//! The table of kinds. A new kind of destination is a crate with its sink, a file here with its settings,
//! and a row.

#[cfg(feature = "mongodb")]
use super::mongodb;
use super::reader::Section;
use super::sink::Kind;
#[cfg(not(feature = "mongodb"))]
use super::without_mongodb as mongodb;
use super::{console, webhook};

const KINDS: [Kind; 3] = [webhook::KIND, mongodb::KIND, console::KIND];

/// The kind that a URL asks for. The message must not repeat anything of the URL: it may hold a password, or be the
/// content of a file that is no URL at all.
pub(super) fn of(url: &str) -> Result<&'static Kind, String> {
    let Some((scheme, _)) = url.split_once(':') else {
        return Err("is not a URL; write for instance \"https://example.com/hook\" or \"console:\"".to_owned());
    };
    let asked = scheme.to_ascii_lowercase();
    let known = KINDS.iter().find(|kind| kind.schemes.contains(&asked.as_str()));
    known.ok_or_else(|| {
        let mut schemes: Vec<String> =
            KINDS.iter().flat_map(|kind| kind.schemes).map(|scheme| format!("{scheme}:")).collect();
        let last = schemes.pop().unwrap_or_default();
        format!("its scheme is not a kind of destination; use {} or {last}", schemes.join(", "))
    })
}

/// Takes the settings of all other kinds, and says of those that are there that they mean nothing here. Where
/// the kind is not known they are taken as they are: what they should be depends on it.
pub(super) fn refuse_others(section: &mut Section<'_, '_>, kind: Option<&Kind>) {
    let own = kind.map_or(&[][..], |kind| kind.keys);
    let mut others: Vec<&'static str> = KINDS.iter().flat_map(|kind| kind.keys).copied().collect();
    others.sort_unstable();
    others.dedup();
    for key in others.into_iter().filter(|key| !own.contains(key)) {
        section.set_aside(key);
        if let Some(kind) = kind.filter(|_| section.has(key)) {
            section.problem(key, format!("has no effect at a {} destination; remove it", kind.name));
        }
    }
}
