//! The addresses of the console's pages, and of what they ask the interface for. Whatever stands in them is encoded here.

use crate::form::Form;
use form_urlencoded::Serializer;
use laneway_domain::{Offset, Partition, Tenant};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Where the console is.
pub(crate) const HOME: &str = "/console";
/// Where somebody signs in.
pub(crate) const SIGN_IN: &str = "/console/sign-in";
/// Where somebody signs in by a link that they were sent.
pub(crate) const ENTER: &str = "/console/enter";
/// Where somebody signs out.
pub(crate) const SIGN_OUT: &str = "/console/sign-out";
/// Who works on what.
pub(crate) const WORKERS: &str = "/console/workers";
pub(crate) const STORE: &str = "/console/store";

/// Events of the log.
pub(crate) const EVENTS: &str = "/console/events";
/// A key.
pub(crate) const KEYS: &str = "/console/keys";
/// What was given up.
pub(crate) const DEAD_LETTERS: &str = "/console/dead-letters";
/// What becomes of those that were chosen.
pub(crate) const CHOSEN: &str = "/console/dead-letters/chosen";
/// An event by hand.
pub(crate) const SEND: &str = "/console/send";
/// A new destination.
pub(crate) const NEW: &str = "/console/new";
/// Who may do what.
pub(crate) const TOKENS: &str = "/console/tokens";

/// What stays as it is in a part of a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A part of a path. (`.` and `..` by themselves would lead elsewhere.)
pub(crate) fn part(text: &str) -> String {
    match text {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => utf8_percent_encode(text, PLAIN).to_string(),
    }
}

/// A path with a query. What is empty is left out.
pub(crate) fn with(path: &str, query: &[(&str, &str)]) -> String {
    let mut written = Serializer::new(String::new());
    written.extend_pairs(query.iter().filter(|(_, value)| !value.is_empty()));
    let query = written.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// The page of a destination.
pub(crate) fn destination(name: &str) -> String {
    format!("{HOME}/destinations/{}", part(name))
}

/// The page of an event.
pub(crate) fn event(id: &str) -> String {
    format!("{EVENTS}/{}", part(id))
}

/// The same of the one that stands there: others can have its id, from other tenants and sources.
pub(crate) fn event_at(id: &str, partition: Partition, offset: Offset) -> String {
    with(&event(id), &[("at", &format!("{partition}:{offset}"))])
}

/// The page of a key, of a tenant or of none.
pub(crate) fn key(tenant: Option<&Tenant>, key: &str) -> String {
    with(KEYS, &[("key", key), ("tenant", tenant.map_or("", Tenant::as_str))])
}

/// The page of a dead letter.
pub(crate) fn dead_letter(destination: &str, partition: Partition, offset: Offset) -> String {
    format!("{DEAD_LETTERS}/{}/{partition}/{offset}", part(destination))
}

/// What a recovery of a key will do.
pub(crate) fn recover(destination: &str, tenant: Option<&Tenant>, key: &str) -> String {
    let path = format!("{}/keys/recover", self::destination(destination));
    with(&path, &[("key", key), ("tenant", tenant.map_or("", Tenant::as_str))])
}

/// Where a token is revoked.
pub(crate) fn revoke(token: &str) -> String {
    format!("{TOKENS}/{}/revoke", part(token))
}

/// A destination in the interface.
pub(crate) fn api_destination(name: &str) -> String {
    format!("/v1/destinations/{}", part(name))
}

/// Where a form says that it was sent from, if that is one of the console's own pages.
pub(crate) fn back<'a>(form: &'a Form, otherwise: &'a str) -> &'a str {
    match form.get("back") {
        "" => otherwise,
        back => own(back),
    }
}

/// Where to go after something else, if that is one of the console's own pages; else its first one.
pub(crate) fn own(path: &str) -> &str {
    let inside = path == HOME || path.strip_prefix(HOME).is_some_and(|rest| rest.starts_with(['/', '?']));
    // What a header could not carry, and what leads out of the console by dots or back strokes, is none of ours.
    let plain =
        path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') && !path.contains("..") && !path.contains("//");
    if inside && plain { path } else { HOME }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whoever_signs_in_goes_on_within_the_console() {
        for inside in ["/console", "/console/workers", "/console?page=2", "/console/destinations/a%2Fb?x=1"] {
            assert_eq!(own(inside), inside);
        }
        for outside in [
            "",
            "/",
            "/consoles",
            "//evil.example/console",
            "/console//evil.example",
            "https://evil.example/console",
            "/console/../v1/status",
            "/console\\..",
            "/console?a\r\nSet-Cookie: x",
            "/console/ü",
        ] {
            assert_eq!(own(outside), HOME, "{outside}");
        }
    }

    proptest! {
        #[test]
        fn what_stands_in_an_address_comes_out_as_it_went_in(text: String, other: String) {
            let path = destination(&text);
            prop_assert!(path.bytes().all(|b| b.is_ascii_graphic()));
            let last = path.strip_prefix("/console/destinations/").unwrap();
            prop_assert!(!last.contains(['/', '?', '#', '"', '<', '&']));
            prop_assert_eq!(percent_encoding::percent_decode_str(last).decode_utf8().unwrap(), text.as_str());
            let address: http::Uri = with("/x", &[("a", &text), ("b", &other)]).parse().unwrap();
            let read: Vec<(String, String)> =
                form_urlencoded::parse(address.query().unwrap_or_default().as_bytes()).into_owned().collect();
            let written = [("a", text), ("b", other)].into_iter().filter(|(_, value)| !value.is_empty());
            prop_assert_eq!(read, written.map(|(name, value)| (name.to_owned(), value)).collect::<Vec<_>>());
        }
    }
}
