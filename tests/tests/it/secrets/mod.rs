//! Secrets of every kind, and the search for them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::fmt::Write as _;

pub(crate) const WHSEC: &str = "whsec_q83vASNFZ4mrze8BI0VniavN7wEjRWeJ";
pub(crate) const WHSK: &str = "whsk_gIGCg4SFhoeIiYqLjI2Oj5CRkpOUlZaXmJmam5ydnp8=";
pub(crate) const BEARER: &str = "bear-tok3n/with+signs-5f1e88d2";
pub(crate) const BASIC: &str = "pa55w0rd-of-basic-77c1";
pub(crate) const HEADER: &str = "header-k3y/0f-acme-91ab";
pub(crate) const TOKEN: &str = "server-t0ken-one-3d2c41f6";
pub(crate) const OTHER_TOKEN: &str = "server-t0ken-two-88e0b7a5";
pub(crate) const URL_PATH: &str = "hooks/T0PATH/b4d5ecretpathsegment";
pub(crate) const URL_QUERY: &str = "qu3ry-t0ken-6e0f";
/// As it stands in a URL …
pub(crate) const URL_PASSWORD_WRITTEN: &str = "u5er%2Finf0%40pass-c0de";
/// … and what it means.
const URL_PASSWORD: &str = "u5er/inf0@pass-c0de";

/// What is in a text in base64, as far as it is text.
pub(crate) fn decoded(base64: &str) -> String {
    String::from_utf8_lossy(&STANDARD.decode(base64).unwrap_or_default()).into_owned()
}

/// Searches everything that is said for every spelling of every secret.
pub(crate) struct Search {
    /// What is looked for, and what it is.
    needles: Vec<(String, Vec<u8>)>,
    found: Vec<String>,
}

impl Search {
    /// With the private key (PEM) of the client certificate besides.
    pub(crate) fn new(key: &str) -> Self {
        let mut search = Self { needles: Vec::new(), found: Vec::new() };
        for secret in
            [BEARER, BASIC, HEADER, TOKEN, OTHER_TOKEN, URL_PATH, URL_QUERY, URL_PASSWORD, URL_PASSWORD_WRITTEN]
        {
            search.spellings(secret, secret.as_bytes());
        }
        for secret in [WHSEC, WHSK] {
            let (_, encoded) = secret.split_once('_').unwrap();
            search.spellings(secret, encoded.as_bytes());
            search.spellings(secret, &STANDARD.decode(encoded).unwrap());
        }
        for (user, password) in [("laneway", BASIC), ("me", BASIC), ("me", URL_PASSWORD)] {
            search.spellings("basic credentials", format!("{user}:{password}").as_bytes());
        }
        for line in key.lines().filter(|line| !line.starts_with('-')) {
            search.needle("the client's key", line.as_bytes());
        }
        search
    }

    /// Looks for this secret too.
    pub(crate) fn add(&mut self, what: &str, secret: &str) {
        self.spellings(what, secret.as_bytes());
    }

    /// As it is, in JSON, percent-encoded, in base64 and in hex.
    fn spellings(&mut self, what: &str, secret: &[u8]) {
        self.needle(what, secret);
        self.needle(what, STANDARD_NO_PAD.encode(secret).as_bytes());
        self.needle(what, URL_SAFE_NO_PAD.encode(secret).as_bytes());
        let (mut hex, mut percent, mut list) = (String::new(), String::new(), String::new());
        for byte in secret {
            write!(hex, "{byte:02x}").unwrap();
            write!(list, "{byte}, ").unwrap();
            match byte {
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' => percent.push(char::from(*byte)),
                _ => write!(percent, "%{byte:02X}").unwrap(),
            }
        }
        self.needle(what, hex.as_bytes());
        self.needle(what, hex.to_uppercase().as_bytes());
        self.needle(what, percent.as_bytes());
        // How a slice of bytes is shown.
        self.needle(what, list.trim_end_matches(", ").as_bytes());
        self.needle(what, &String::from_utf8_lossy(secret).replace('/', "\\/").into_bytes());
    }

    /// The whole and, so that one that is cut off is found too, its halves.
    fn needle(&mut self, what: &str, text: &[u8]) {
        let (first, second) = text.split_at(text.len() / 2);
        for part in [text, first, second] {
            if part.len() >= 8 && !self.needles.iter().any(|(_, known)| known == part) {
                self.needles.push((what.to_owned(), part.to_vec()));
            }
        }
    }

    /// Looks through what was said at one place.
    pub(crate) fn look(&mut self, place: &str, said: &[u8]) {
        // Bytes as they are, and never mind what is not text: a needle may not be text either.
        let text: String = said.iter().map(|byte| char::from(*byte)).collect();
        for (what, needle) in &self.needles {
            let needle: String = needle.iter().map(|byte| char::from(*byte)).collect();
            if let Some(at) = text.find(&needle) {
                let start = text.floor_char_boundary(at.saturating_sub(300));
                let end = text.floor_char_boundary((at + needle.len() + 60).min(text.len()));
                self.found.push(format!("{place}: {needle:?} of {what} in …{}…", &text[start..end]));
            }
        }
    }

    /// # Panics
    /// If anything was found.
    pub(crate) fn assert_clean(&self) {
        assert!(self.found.is_empty(), "{} secrets were shown:\n{}", self.found.len(), self.found.join("\n\n"));
    }
}
