//! What a receiver's answer means.

use crate::redact::Redactor;
use crate::request::WEBHOOK_SIGNATURE;
use http::header::{AUTHORIZATION, HeaderValue, LOCATION, PROXY_AUTHORIZATION, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, Request, StatusCode};
use laneway_domain::{Answered, Cause, Outcome};
use laneway_ports::TestedAnswer;
use std::time::{Duration, SystemTime};

/// The longest wait that a receiver may ask for. A destination's own retry limit is usually
/// shorter; this keeps a mistaken date (year 9999) from looking like a plan.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// How much of an answer's body a reason quotes, in characters: a sentence or two, enough for most
/// error messages.
const MAX_EXCERPT_CHARS: usize = 200;
/// How much of it somebody is shown who tests a destination, in characters: most errors with their first details.
const MAX_TESTED_CHARS: usize = 1000;

/// How much of an answer's headers the history tells, in characters: the dozen that most answers have.
const MAX_HEADER_CHARS: usize = 1000;

/// What a receiver answered, but for a body that nobody will look at.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The beginning of the body.
    pub(crate) body: Vec<u8>,
}

/// Judges the answers of one destination.
pub(crate) struct Judge {
    /// The statuses that give an event up at once.
    pub(crate) reject: Vec<u16>,
    pub(crate) redactor: Redactor,
    /// The time: when an attempt is made, and what a date in Retry-After is compared with.
    pub(crate) clock: fn() -> SystemTime,
}

impl Judge {
    /// What an answer that is not a success means for the event. The operator's own list goes
    /// first: who lists 410 means the event, not the destination.
    pub(crate) fn outcome(&self, answer: &Answer) -> Outcome {
        if self.reject.contains(&answer.status.as_u16()) {
            return Outcome::Rejected { reason: self.reason(answer) };
        }
        if answer.status == StatusCode::GONE {
            return Outcome::Gone { reason: self.reason(answer) };
        }
        let asked = answer.headers.get(RETRY_AFTER).and_then(|value| retry_after(value, (self.clock)()));
        Outcome::Retry { cause: Cause::Refused, reason: self.reason(answer), not_before: asked }
    }

    fn reason(&self, answer: &Answer) -> String {
        let mut reason = format!("the receiver answered {}", answer.status);
        if answer.status.is_redirection() {
            match answer.headers.get(LOCATION) {
                Some(location) => {
                    let location = self.excerpt(&without_secrets(location), MAX_EXCERPT_CHARS);
                    reason.push_str(&format!(" and points to {location}; redirects are never followed"));
                }
                None => reason.push_str("; redirects are never followed"),
            }
        }
        let excerpt = self.excerpt(&answer.body, MAX_EXCERPT_CHARS);
        if !excerpt.is_empty() {
            reason.push_str(": ");
            reason.push_str(&excerpt);
        }
        reason
    }

    /// The answer as somebody is shown it who tests the destination.
    pub(crate) fn shown(&self, answer: &Answer) -> TestedAnswer {
        TestedAnswer { status: answer.status.as_u16(), body: self.excerpt(&answer.body, MAX_TESTED_CHARS) }
    }

    /// The answer as the history tells it: of a success its status, of anything else its beginning too.
    pub(crate) fn told(&self, answer: &Answer) -> Answered {
        let told = || {
            let body = self.excerpt(&answer.body, MAX_TESTED_CHARS).into();
            Box::new(laneway_domain::Answer { headers: self.headers(&answer.headers).into(), body })
        };
        let failed = !answer.status.is_success();
        Answered { status: Some(answer.status.as_u16()), answer: failed.then(told), request: None }
    }

    /// The first line and the headers of a request, as the history tells them of an attempt that failed.
    pub(crate) fn sent<B>(&self, request: &Request<B>) -> String {
        let url = self.redactor.clean(request.uri().to_string());
        format!("{} {url}\n{}", request.method(), self.headers(request.headers()))
    }

    /// The first headers, a line each. Of those that hold credentials there is only the name, and of a signature only
    /// its kind: whoever may read what was sent need not be able to send it again.
    fn headers(&self, headers: &HeaderMap) -> String {
        let mut lines = String::new();
        let mut room = MAX_HEADER_CHARS;
        for (name, value) in headers {
            let value = match *name {
                SET_COOKIE | AUTHORIZATION | PROXY_AUTHORIZATION => "[left out]".to_owned(),
                _ if name == WEBHOOK_SIGNATURE => {
                    let kind = |one: &str| format!("{},…", one.split(',').next().unwrap_or_default());
                    let signatures = value.to_str().unwrap_or_default().split(' ').map(kind);
                    signatures.collect::<Vec<_>>().join(" ")
                }
                LOCATION => self.excerpt(&without_secrets(value), MAX_EXCERPT_CHARS),
                _ => self.excerpt(value.as_bytes(), MAX_EXCERPT_CHARS),
            };
            let line = format!("{name}: {value}\n");
            let Some(left) = room.checked_sub(line.chars().count()) else { break };
            room = left;
            lines.push_str(&line);
        }
        lines
    }

    /// The first `most` characters of `bytes` as one line of printable text, without this destination's secrets.
    fn excerpt(&self, bytes: &[u8], most: usize) -> String {
        let text = self.redactor.clean(String::from_utf8_lossy(bytes).into_owned());
        let mut out = String::new();
        for word in text.split(|c: char| c.is_whitespace() || is_invisible(c)).filter(|word| !word.is_empty()) {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(word);
        }
        if let Some((cut, _)) = out.char_indices().nth(most) {
            out.truncate(cut);
            out.push('…');
        }
        out
    }
}

/// Characters that would move the cursor or turn the text around where the reason is shown.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A `Location` up to its query, and without a user: either may be a secret of the receiver's.
fn without_secrets(location: &HeaderValue) -> Vec<u8> {
    let bytes = location.as_bytes();
    let end = bytes.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(bytes.len());
    let bytes = &bytes[..end];
    let Some(start) = bytes.windows(2).position(|pair| pair == b"//").map(|at| at + 2) else {
        return bytes.to_vec();
    };
    let (scheme, rest) = bytes.split_at(start);
    let authority_end = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
    let host = rest[..authority_end].iter().rposition(|&b| b == b'@').map_or(0, |at| at + 1);
    [scheme, &rest[host..]].concat()
}

/// How long the receiver asked to be left alone (RFC 9110, section 10.2.3): seconds, or a date.
/// What is neither is as if it were not there; a date in the past is no wait.
fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let asked = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // Only a number beyond u64 fails, and that is a long wait too.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or(Duration::ZERO)
    };
    Some(asked.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
