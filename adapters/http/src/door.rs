//! What is asked of every request before anything else: that it is one which HTTP allows, and that it does not come
//! from a page that has no business here.

use crate::hosts::Hosts;
use crate::problem::{Kind, Problem};
use crate::shown::{Shown, authorize};
use crate::token::{Access, Known};
use http::uri::Authority;
use http::{HeaderMap, Method, Version, header};
use laneway_domain::Role;

/// A request as far as it is known before its body.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) version: Version,
    pub(crate) uri: &'a http::Uri,
    pub(crate) headers: &'a HeaderMap,
    shown: Shown<'a>,
}

impl<'a> Asked<'a> {
    pub(crate) fn of(parts: &'a http::request::Parts) -> Self {
        let http::request::Parts { method, version, uri, headers, .. } = parts;
        Self { method, version: *version, uri, headers, shown: Shown::of(parts) }
    }
}

/// Lets the request in, or says why not: it is not well formed, comes from a foreign page, or has no token that
/// opens what needs the role `needs`. Says what it opens.
pub(crate) fn enter(
    asked: &Asked<'_>,
    hosts: &Hosts,
    tokens: &Known,
    needs: Option<Role>,
) -> Result<Access, Box<Problem>> {
    admit(asked, hosts, tokens)?;
    authorize(tokens, asked.shown, needs)
}

/// The same but for the token.
pub(crate) fn admit(asked: &Asked<'_>, hosts: &Hosts, tokens: &Known) -> Result<(), Box<Problem>> {
    let host = well_formed(asked)?;
    if tokens.is_open() {
        no_foreign_page(asked, host.as_ref(), hosts)?;
    }
    Ok(())
}

/// Whom the request is for. `None`: HTTP/1.0 does not have to say.
fn well_formed(asked: &Asked<'_>) -> Result<Option<Authority>, Box<Problem>> {
    for coding in asked.headers.get_all(header::TRANSFER_ENCODING) {
        if !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
            let what = format!("the transfer coding {coding:?} is not known here; send the body plain or chunked");
            return Err(Problem::new(Kind::TransferCoding, what).about("transfer-encoding").closing());
        }
    }
    // RFC 9112, section 3.2; in HTTP/2 the authority stands in the target.
    let mut named = asked.headers.get_all(header::HOST).iter();
    let read = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse::<Authority>().ok());
    let wrong = |what: &str| Problem::new(Kind::BadRequest, what).about("host").closing();
    let host = match (named.next(), named.next()) {
        (_, Some(_)) => return Err(wrong("the request has more than one Host")),
        (Some(host), None) => Some(read(host.as_bytes()).ok_or_else(|| wrong("the request's Host is not a name"))?),
        (None, None) => None,
    };
    match (asked.uri.authority(), host) {
        // In a target that says it all, that is what counts; a Host beside it must not say otherwise.
        (Some(target), Some(host)) if *target != host => {
            Err(wrong("the request's Host is another one than that of its target"))
        }
        (Some(target), _) => Ok(Some(target.clone())),
        (None, None) if asked.version == Version::HTTP_11 => Err(wrong("the request has no Host")),
        (None, host) => Ok(host),
    }
}

fn no_foreign_page(asked: &Asked<'_>, host: Option<&Authority>, hosts: &Hosts) -> Result<(), Box<Problem>> {
    if let Some(host) = host.map(Authority::host).filter(|host| !hosts.has(host)) {
        let what = format!(
            "the request is for the host {host:?}, which is none of this machine's own names; a server without tokens \
             answers to others only if server.hosts names them"
        );
        return Err(Problem::new(Kind::WrongHost, what).about("host"));
    }
    let mut origins = asked.headers.get_all(header::ORIGIN).iter();
    let foreign = origins.find(|origin| origin.to_str().map_or(true, |origin| !hosts.trusts(origin, host)));
    if let Some(origin) = foreign {
        let what = format!(
            "the request comes from a page of {origin:?}; a server without tokens takes requests of its own pages \
             only, and of the hosts that server.hosts names"
        );
        return Err(Problem::new(Kind::ForeignPage, what).about("origin"));
    }
    // What browsers say of requests that have no Origin: images, forms that ask, and the like.
    let fetched = |name: &str| asked.headers.get(name).map_or(&b""[..], |value| value.as_bytes());
    if fetched("sec-fetch-site") == b"cross-site" && fetched("sec-fetch-mode") != b"navigate" {
        let what = "a page of another site asked for this; a server without tokens answers its own pages only";
        return Err(Problem::new(Kind::ForeignPage, what).about("sec-fetch-site"));
    }
    Ok(())
}

/// Whether a request that changes something says that its body is JSON, also if it has none: a form of a foreign
/// page cannot say so without asking first (a preflight, which nobody answers here).
pub(crate) fn no_form(asked: &Asked<'_>) -> Result<(), Box<Problem>> {
    let patches = asked.method == Method::PATCH;
    if !patches && asked.method != Method::POST && asked.method != Method::PUT {
        // Forms only know GET, which changes nothing, and POST; the others here have no body.
        return Ok(());
    }
    let given = asked.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = given.split(';').next().unwrap_or_default().trim();
    let is_patch = patches && media.eq_ignore_ascii_case("application/merge-patch+json");
    if is_patch || media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let what = "add the header `Content-Type: application/json`, also where there is no body";
    Err(Problem::new(Kind::UnsupportedMedia, what).about("content-type"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{Token, Tokens};

    /// A request, and the kind of problem that it gets.
    type Case<'a> = (Version, &'a str, &'a [(&'a str, &'a str)], Option<&'a str>);

    /// The kind of problem that such a request gets where there are no tokens, if any.
    fn refusal(version: Version, target: &str, headers: &[(&str, &str)]) -> Option<&'static str> {
        let mut builder = http::Request::builder().method("POST").version(version).uri(target);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let (parts, ()) = builder.body(()).unwrap().into_parts();
        enter(&Asked::of(&parts), &Hosts::default(), &Tokens::default().now(), None)
            .err()
            .map(|problem| problem.kind.name())
    }

    #[test]
    fn what_is_let_in_and_what_is_not() {
        const V1: Version = Version::HTTP_11;
        const V2: Version = Version::HTTP_2;
        let own = ("host", "127.0.0.1:8080");
        let table: &[Case<'_>] = &[
            (V1, "/v1/events", &[own], None),
            (V1, "/v1/events", &[("host", "localhost:9")], None),
            (V1, "/v1/events", &[("host", "[::1]:8080")], None),
            (Version::HTTP_10, "/v1/events", &[], None),
            (V2, "http://127.0.0.1:8080/v1/events", &[], None),
            (V1, "http://127.0.0.1:8080/v1/events", &[own], None),
            (V1, "/v1/events", &[own, ("origin", "http://127.0.0.1:8080")], None),
            (V1, "/v1/events", &[own, ("transfer-encoding", "Chunked")], None),
            (V1, "/v1/events", &[own, ("sec-fetch-site", "same-origin")], None),
            (V1, "/v1/events", &[own, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], None),
            // Not HTTP.
            (V1, "/v1/events", &[], Some("bad-request")),
            (V1, "/v1/events", &[own, own], Some("bad-request")),
            (V1, "/v1/events", &[("host", "a b")], Some("bad-request")),
            (V1, "http://127.0.0.1:8080/", &[("host", "localhost")], Some("bad-request")),
            (V1, "/v1/events", &[own, ("transfer-encoding", "gzip, chunked")], Some("transfer-coding")),
            (V1, "/v1/events", &[own, ("transfer-encoding", "identity")], Some("transfer-coding")),
            // Pages of others: DNS rebinding, in each way to name a host; and requests across origins.
            (V1, "/v1/status", &[("host", "evil.example:8080")], Some("wrong-host")),
            (V1, "/v1/status", &[("host", "127.0.0.1.evil.example")], Some("wrong-host")),
            (V1, "/v1/status", &[("host", "10.0.0.1")], Some("wrong-host")),
            (V2, "http://evil.example:8080/v1/status", &[], Some("wrong-host")),
            (V1, "http://evil.example/v1/status", &[("host", "evil.example")], Some("wrong-host")),
            (V1, "/v1/status", &[own, ("origin", "https://evil.example")], Some("foreign-page")),
            (V1, "/v1/status", &[own, ("origin", "null")], Some("foreign-page")),
            (V1, "/v1/status", &[own, ("origin", "http://127.0.0.1:3000")], Some("foreign-page")),
            (V1, "/v1/status", &[own, ("origin", "http://127.0.0.1:8080"), ("origin", "null")], Some("foreign-page")),
            (V1, "/v1/status", &[own, ("sec-fetch-site", "cross-site")], Some("foreign-page")),
        ];
        for (version, target, headers, expected) in table {
            assert_eq!(refusal(*version, target, headers), *expected, "{version:?} {target} {headers:?}");
        }
    }

    #[test]
    fn with_tokens_the_token_decides_and_the_request_still_has_to_be_one() {
        let tokens = Tokens::of(vec![Token::new("a-token-of-some-length").unwrap()]).now();
        let enter = |headers: &[(&str, &str)]| {
            let mut builder = http::Request::builder().uri("/v1/status");
            for (name, value) in headers {
                builder = builder.header(*name, *value);
            }
            let (parts, ()) = builder.body(()).unwrap().into_parts();
            enter(&Asked::of(&parts), &Hosts::default(), &tokens, None).err().map(|problem| problem.kind.name())
        };
        let authorization = ("authorization", "Bearer a-token-of-some-length");
        assert_eq!(enter(&[("host", "laneway.example"), ("origin", "https://a.example"), authorization]), None);
        assert_eq!(enter(&[("host", "laneway.example")]), Some("unauthorized"));
        assert_eq!(enter(&[authorization]), Some("bad-request"));
    }
}
