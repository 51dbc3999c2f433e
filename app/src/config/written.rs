//! The settings of a destination as JSON has them, in two parts: what may be shown, and what may not.

use serde_json::{Map, Value as Json};
use std::fmt;

/// What is shown in the place of a text that is not.
pub const MARK: &str = "…";
/// The setting that says where a destination sends to.
const URL: &str = "url";

/// Settings as they were written, in the form of JSON. Only what was written is there, no defaults; units and
/// references are resolved.
#[derive(Clone, Default, PartialEq)]
pub struct Written {
    /// Everything, but for what must not be shown: there is [`MARK`] in its place.
    pub shown: Map<String, Json>,
    /// What must not be shown, at the same places.
    pub hidden: Map<String, Json>,
}

/// [`Written`] as it is kept for as long as the process runs: a text takes a tenth of the memory of its maps.
#[derive(Clone, PartialEq)]
pub struct KeptSettings(Box<str>);

impl KeptSettings {
    pub(super) fn of(Written { shown, hidden }: &Written) -> Self {
        // Maps of texts, numbers and lists of them, which the reader has made: writing those cannot fail.
        let text = serde_json::to_string(&[shown, hidden]);
        Self(text.unwrap_or_else(|error| panic!("settings that were read cannot be written: {error}")).into())
    }

    /// The settings.
    ///
    /// # Panics
    /// Never: it reads what it has written itself.
    #[must_use]
    pub fn read(&self) -> Written {
        let [shown, hidden] =
            serde_json::from_str(&self.0).unwrap_or_else(|error| panic!("this process has written it: {error}"));
        Written { shown, hidden }
    }
}

impl fmt::Debug for KeptSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptSettings").finish_non_exhaustive()
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A path or a query may be as secret as a password.
        f.debug_struct("Written").finish_non_exhaustive()
    }
}

impl Written {
    /// Notes the setting `key` of the table at `within`.
    pub(super) fn note(&mut self, within: &[&str], key: &str, shown: Json, hidden: Option<Json>) {
        table_at(&mut self.shown, within).insert(key.to_owned(), shown);
        if let Some(hidden) = hidden {
            table_at(&mut self.hidden, within).insert(key.to_owned(), hidden);
        }
    }

    /// All settings, in one.
    #[must_use]
    pub fn whole(&self) -> Map<String, Json> {
        let mut whole = self.shown.clone();
        lay_over(&mut whole, &self.hidden);
        whole
    }

    /// Puts what is hidden into the places of `sent` where it is shown as it is here: whoever sends back what was
    /// shown changes nothing.
    pub fn restore(&self, sent: &mut Map<String, Json>) {
        if let (Some(url), Some(ours)) = (sent.get_mut(URL), self.shown.get(URL))
            && ours.as_str().and_then(without_path).is_some_and(|shown| *url == shown)
        {
            *url = ours.clone();
        }
        restore(sent, &self.shown, &self.hidden);
    }
}

fn table_at<'m>(root: &'m mut Map<String, Json>, path: &[&str]) -> &'m mut Map<String, Json> {
    let Some((first, rest)) = path.split_first() else { return root };
    let slot = root.entry((*first).to_owned()).or_insert_with(|| Json::Object(Map::new()));
    if !slot.is_object() {
        *slot = Json::Object(Map::new());
    }
    match slot {
        Json::Object(table) => table_at(table, rest),
        _ => unreachable!("it was made one just now"),
    }
}

fn lay_over(below: &mut Map<String, Json>, above: &Map<String, Json>) {
    for (key, value) in above {
        match (below.get_mut(key), value) {
            (Some(Json::Object(below)), Json::Object(above)) => lay_over(below, above),
            _ => drop(below.insert(key.clone(), value.clone())),
        }
    }
}

fn restore(sent: &mut Map<String, Json>, shown: &Map<String, Json>, hidden: &Map<String, Json>) {
    for (key, hidden) in hidden {
        match (sent.get_mut(key), shown.get(key), hidden) {
            (Some(Json::Object(sent)), Some(Json::Object(shown)), Json::Object(hidden)) => {
                restore(sent, shown, hidden);
            }
            (Some(sent), Some(shown), hidden) if sent == shown => *sent = hidden.clone(),
            _ => {}
        }
    }
}

/// A URL without its user and password, if it has any.
pub(super) fn without_user(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (user, host) = rest[..end].rsplit_once('@')?;
    (!user.is_empty()).then(|| format!("{scheme}://{MARK}@{host}{}", &rest[end..]))
}

/// An `http:` or `https:` URL without path and query, if it has any: those of a chat's hook are as good as a password.
fn without_path(url: &str) -> Option<String> {
    let (scheme @ ("http" | "https"), rest) = url.split_once("://")? else { return None };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#'])?);
    (path != "/").then(|| format!("{scheme}://{host}/{MARK}"))
}

/// Takes out of settings that may be shown what only whoever may change them has to know.
pub fn hide_path(shown: &mut Map<String, Json>) {
    if let Some(url) = shown.get_mut(URL)
        && let Some(masked) = url.as_str().and_then(without_path)
    {
        *url = masked.into();
    }
}

/// Whether a URL says of a part of it only that it is there.
pub(super) fn is_masked(url: &str) -> bool {
    url.split_once("://")
        .is_some_and(|(_, rest)| rest.starts_with(&format!("{MARK}@")) || rest.ends_with(&format!("/{MARK}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn map(json: Json) -> Map<String, Json> {
        let Json::Object(map) = json else { panic!("{json}") };
        map
    }

    #[test]
    fn what_is_shown_and_sent_back_is_what_it_was() {
        let written = Written {
            shown: map(json!({"url": "https://…@h/x", "headers": {"a": "…", "b": "…"}, "rate": 3})),
            hidden: map(json!({"url": "https://u:p@h/x", "headers": {"a": "1", "b": "2"}})),
        };
        let mut sent = written.shown.clone();
        written.restore(&mut sent);
        assert_eq!(sent, written.whole());
        // Another header, another host: what was hidden goes with its own place only.
        let mut sent = map(json!({"url": "https://…@evil/x", "headers": {"a": "3", "c": "…"}}));
        written.restore(&mut sent);
        assert_eq!(sent, map(json!({"url": "https://…@evil/x", "headers": {"a": "3", "c": "…"}})));
        assert!(!format!("{written:?}").contains("u:p"));
    }

    proptest! {
        /// Numbers too: a process compares them with those in the store.
        #[test]
        fn what_is_kept_is_what_it_was(
            factor in proptest::num::f64::NORMAL,
            number: i64,
            texts in prop::collection::btree_map("\\PC{0,8}", "\\PC*", 0..4),
        ) {
            let shown = map(json!({"factor": factor, "retry": {"number": number, "list": [factor, number]}}));
            let written = Written { shown, hidden: map(json!({"headers": texts, "secrets": ["a"]})) };
            let kept = KeptSettings::of(&written);
            prop_assert_eq!(&kept.read(), &written);
            prop_assert_eq!(KeptSettings::of(&kept.read()), kept);
        }
    }

    #[test]
    fn a_path_that_was_not_shown_goes_with_its_own_host_only() {
        for (url, shown) in [
            ("https://h.example/x?y=1", "https://h.example/…"),
            ("https://h.example?y=1", "https://h.example/…"),
            ("http://u:p@h.example:81/x", "http://…@h.example:81/…"),
            ("https://h.example/", "https://h.example/"),
            ("https://h.example", "https://h.example"),
            ("mongodb://a,b/db/c", "mongodb://a,b/db/c"),
            ("console:", "console:"),
        ] {
            let mut written = Written::default();
            let hidden = without_user(url).map(|_| Json::from(url));
            written.note(&[], "url", without_user(url).unwrap_or_else(|| url.to_owned()).into(), hidden);
            let mut sent = written.shown.clone();
            hide_path(&mut sent);
            assert_eq!(sent["url"], shown);
            assert_eq!(is_masked(shown), shown.contains(MARK), "{url}");
            written.restore(&mut sent);
            assert_eq!(sent, written.whole(), "{url}");
            let mut sent = map(json!({"url": "https://evil.example/…"}));
            written.restore(&mut sent);
            assert_eq!(sent["url"], "https://evil.example/…", "{url}");
        }
    }

    #[test]
    fn of_a_url_only_the_user_is_secret() {
        for (url, shown) in [
            ("https://u:p@h.example/x?y=1", Some("https://…@h.example/x?y=1")),
            ("https://token@h.example", Some("https://…@h.example")),
            ("mongodb://u:p%40@a,b/db/c", Some("mongodb://…@a,b/db/c")),
            ("https://h.example/a@b", None),
            ("https://h.example/?q=u:p@x", None),
            ("console:", None),
            ("https://@h/", None),
        ] {
            assert_eq!(without_user(url).as_deref(), shown, "{url}");
        }
    }
}
