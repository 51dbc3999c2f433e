//! `If-Match` and `If-None-Match` (RFC 9110, section 13): a destination's revision is its entity tag.

use crate::problem::{Kind, Problem};
use http::{HeaderMap, HeaderName, header};
use laneway_domain::Revision;
use laneway_ports::Condition;

/// What the headers expect.
pub(in crate::operator) fn of_headers(headers: &HeaderMap) -> Result<Condition, Box<Problem>> {
    let matching = joined(headers, &header::IF_MATCH)?;
    let not_matching = joined(headers, &header::IF_NONE_MATCH)?;
    Ok(of(matching.as_deref(), not_matching.as_deref()))
}

/// What the two say. Of both the first counts, as in HTTP.
pub(super) fn of(matching: Option<&str>, not_matching: Option<&str>) -> Condition {
    match (matching.map(str::trim), not_matching.map(str::trim)) {
        (Some("*"), _) => Condition::Exists,
        // What is not a tag of ours matches nothing; and so it must be, for somebody meant to be careful.
        (Some(tags), _) => Condition::Match(revisions(tags)),
        (None, Some("*")) => Condition::Absent,
        (None, Some(tags)) => Condition::NotMatch(weakly(tags)),
        (None, None) => Condition::None,
    }
}

/// Whether whoever asks has that revision already.
pub(super) fn is_known(headers: &HeaderMap, revision: Revision) -> Result<bool, Box<Problem>> {
    let tags = joined(headers, &header::IF_NONE_MATCH)?;
    Ok(tags.is_some_and(|tags| tags.trim() == "*" || weakly(&tags).contains(&revision)))
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Box<Problem>> {
    let mut all = Vec::new();
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| {
            Problem::new(Kind::Invalid, format!("the header {name} is not ASCII text")).about(name.as_str())
        })?;
        all.push(text);
    }
    Ok((!all.is_empty()).then(|| all.join(",")))
}

/// The revisions that `If-Match` names. It compares strongly: a weak tag is none (RFC 9110, section 13.1.1).
fn revisions(tags: &str) -> Vec<Revision> {
    read(tags, |tag| tag)
}

/// Those that `If-None-Match` names. It compares weakly: a proxy that has weakened a tag still names that revision
/// (RFC 9110, section 13.1.2).
fn weakly(tags: &str) -> Vec<Revision> {
    read(tags, |tag| tag.strip_prefix("W/").unwrap_or(tag))
}

fn read(tags: &str, tag_of: impl Fn(&str) -> &str) -> Vec<Revision> {
    let one = |tag: &str| {
        let tag = tag_of(tag.trim());
        // A bare number is what the answers have in `revision`.
        let number = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag);
        number.parse().ok().map(Revision)
    };
    tags.split(',').filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_revision_is_known_also_by_a_weakened_tag() {
        for (tags, known) in [("\"7\"", true), ("W/\"7\"", true), ("W/\"8\", *", false), ("*", true), ("\"x\"", false)]
        {
            let headers = [(header::IF_NONE_MATCH, tags.parse().unwrap())].into_iter().collect();
            assert_eq!(is_known(&headers, Revision(7)).unwrap(), known, "{tags}");
        }
    }

    #[test]
    fn tags_are_revisions() {
        let these = |numbers: &[u64]| numbers.iter().copied().map(Revision).collect::<Vec<_>>();
        let table = [
            (None, None, Condition::None),
            (Some("*"), None, Condition::Exists),
            (Some("\"7\""), None, Condition::Match(these(&[7]))),
            (Some("7"), Some("*"), Condition::Match(these(&[7]))),
            (Some("\"7\", \"8\""), None, Condition::Match(these(&[7, 8]))),
            (Some("W/\"7\""), None, Condition::Match(vec![])),
            (Some("\"x\""), None, Condition::Match(vec![])),
            (Some(""), None, Condition::Match(vec![])),
            (None, Some("*"), Condition::Absent),
            (None, Some("\"7\""), Condition::NotMatch(these(&[7]))),
            (None, Some("W/\"7\", \"8\""), Condition::NotMatch(these(&[7, 8]))),
        ];
        for (matching, not_matching, expected) in table {
            assert_eq!(of(matching, not_matching), expected, "{matching:?} {not_matching:?}");
        }
    }
}
