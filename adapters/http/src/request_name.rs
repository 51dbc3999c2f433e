//! What a request calls itself, so that it can be sent again: `Idempotency-Key`.

use http::HeaderMap;

/// The header.
pub(crate) const HEADER: &str = "idempotency-key";
/// The most characters. With an event's place in a batch behind it, it is still an event's id.
pub(crate) const MOST: usize = 250;

/// The request's name, if it has one; or what is wrong with it.
pub(crate) fn of(headers: &HeaderMap) -> Result<Option<&str>, String> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let name = std::str::from_utf8(value.as_bytes()).ok().map(unquoted);
    let fits = |name: &&str| (1..=MOST).contains(&name.len()) && name.bytes().all(|b| matches!(b, b' '..=b'~'));
    let wrong = || format!("must be 1 to {MOST} characters of printable ASCII");
    name.filter(fits).map(Some).ok_or_else(wrong)
}

/// The name without the quotes of a structured field (RFC 8941), which some clients put around it.
fn unquoted(name: &str) -> &str {
    let inner = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.filter(|inner| !inner.contains(['"', '\\'])).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_printable_and_bounded() {
        let (most, more) = ("k".repeat(MOST), "k".repeat(MOST + 1));
        let good = [("a", "a"), ("\"a b\"", "a b"), ("a\"b", "a\"b"), (most.as_str(), most.as_str())];
        let bad = ["", "\"\"", "a\tb", "\u{84}", "ü", more.as_str()].map(|text| (text, ""));
        for (sent, read) in good.into_iter().chain(bad) {
            let value = http::HeaderValue::from_bytes(sent.as_bytes()).unwrap();
            let headers = HeaderMap::from_iter([(http::HeaderName::from_static(HEADER), value)]);
            assert_eq!(of(&headers).ok().flatten(), Some(read).filter(|read| !read.is_empty()), "{sent:?}");
        }
        assert_eq!(of(&HeaderMap::new()), Ok(None));
    }
}
