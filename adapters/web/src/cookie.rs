//! The cookie by which a browser is known: 256 random bits, and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// What its name begins with. The port follows, if the browser names one: of several servers on one host each has a
/// cookie of its own, which browsers do not see to.
const NAME: &str = "laneway";
/// How many random bytes it is.
const BYTES: usize = 32;

/// What a browser sends.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Cookie {
    name: String,
    value: String,
}

/// The name of this server's cookie, as the browser knows the server.
fn name(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let port = host.and_then(|host| host.parse::<Authority>().ok()).and_then(|host| host.port_u16());
    port.map_or_else(|| NAME.to_owned(), |port| format!("{NAME}-{port}"))
}

/// It never gets into a log.
impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(…)")
    }
}

/// By what the server remembers a cookie: whoever reads the server's memory cannot send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Known([u8; 32]);

impl Cookie {
    /// A new one, for whoever sends this.
    pub(crate) fn random(headers: &HeaderMap) -> Self {
        Self { name: name(headers), value: URL_SAFE_NO_PAD.encode(rand::random::<[u8; BYTES]>()) }
    }

    /// That of a request. One that is none of ours is as none; of several the first that is one counts.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let name = name(headers);
        let mut ours = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value);
        let is_one = |value: &&str| URL_SAFE_NO_PAD.decode(value).is_ok_and(|bytes| bytes.len() == BYTES);
        let value = ours.find(is_one)?.to_owned();
        Some(Self { name, value })
    }

    /// By what the server remembers it.
    pub(crate) fn known(&self) -> Known {
        Known(Sha256::digest(self.value.as_bytes()).into())
    }

    /// What it is made of.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.value.as_bytes()
    }

    /// The header that sets it, until the browser is closed. `secure`: never over anything but TLS.
    pub(crate) fn set(&self, secure: bool) -> Option<HeaderValue> {
        let secure = if secure { "; Secure" } else { "" };
        let written = format!("{}={}; Path=/console; HttpOnly; SameSite=Lax{secure}", self.name, self.value);
        HeaderValue::try_from(written).ok()
    }
}

/// Whether the browser reached us over TLS, as far as it or a proxy says so. (A cookie that is `Secure` for no reason
/// is not sent again; nobody else is harmed by who says so.)
pub(crate) fn is_over_tls(headers: &HeaderMap) -> bool {
    let says = |name: http::HeaderName, how: &dyn Fn(&str) -> bool| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(how)
    };
    says(header::ORIGIN, &|origin| origin.starts_with("https://"))
        || says(http::HeaderName::from_static("x-forwarded-proto"), &|protocol| {
            protocol.split(',').next().is_some_and(|first| first.trim().eq_ignore_ascii_case("https"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Option<Cookie> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_str(line).unwrap());
        }
        Cookie::of(&headers)
    }

    #[test]
    fn a_cookie_is_found_among_others_and_what_is_none_of_ours_is_none() {
        let none = HeaderMap::new();
        let cookie = Cookie::random(&none);
        assert_ne!(cookie, Cookie::random(&none));
        let value = &cookie.value;
        assert_eq!(of(&[&format!("laneway={value}")]).as_ref(), Some(&cookie));
        assert_eq!(of(&[&format!("a=b; laneway={value}; c=d")]).as_ref(), Some(&cookie));
        assert_eq!(of(&["a=b", &format!("laneway=x;laneway={value}")]).as_ref(), Some(&cookie));
        for other in ["", "laneway=", "laneway", "laneways=x", "laneway=AAAA", &format!("Laneway={value}")] {
            assert_eq!(of(&[other]), None, "{other}");
        }
    }

    #[test]
    fn it_is_out_of_reach_of_scripts_and_of_other_sites() {
        let cookie = Cookie::random(&HeaderMap::new());
        let set = cookie.set(false).unwrap().to_str().unwrap().to_owned();
        assert_eq!(set, format!("laneway={}; Path=/console; HttpOnly; SameSite=Lax", cookie.value));
        assert_eq!(cookie.set(true).unwrap().to_str().unwrap(), format!("{set}; Secure"));
        assert_eq!(format!("{cookie:?}"), "Cookie(…)");
    }

    #[test]
    fn servers_on_other_ports_have_other_cookies() {
        let at = |host: &'static str| HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
        for (host, expected) in [
            ("localhost:8080", "laneway-8080"),
            ("[::1]:9", "laneway-9"),
            ("laneway.example", "laneway"),
            ("not a host:8080", "laneway"),
        ] {
            assert_eq!(name(&at(host)), expected);
        }
        let mut headers = at("localhost:8080");
        let cookie = Cookie::random(&headers);
        let line = format!("laneway-8081={0}x; laneway={0}; laneway-8080={0}", cookie.value);
        headers.insert(header::COOKIE, HeaderValue::from_str(&line).unwrap());
        assert_eq!(Cookie::of(&headers), Some(cookie));
    }

    #[test]
    fn tls_is_known_by_what_the_browser_or_a_proxy_says() {
        let table = [
            ("origin", "https://laneway.example", true),
            ("origin", "http://laneway.example", false),
            ("origin", "null", false),
            ("x-forwarded-proto", "HTTPS", true),
            ("x-forwarded-proto", "https, http", true),
            ("x-forwarded-proto", "http, https", false),
            ("host", "https://laneway.example", false),
        ];
        for (name, value, secure) in table {
            let headers =
                HeaderMap::from_iter([(http::HeaderName::from_static(name), HeaderValue::from_static(value))]);
            assert_eq!(is_over_tls(&headers), secure, "{name}: {value}");
        }
    }
}
