use super::*;
use crate::config::WebhookConfig;
use crate::secret::Secret;
use url::Url;

fn judge(reject: &[u16]) -> Judge {
    let config = WebhookConfig { secrets: vec![Secret::new("whsec_topsecret")], ..WebhookConfig::new("") };
    let url = Url::parse("https://h.example/").unwrap();
    Judge { reject: reject.to_vec(), redactor: Redactor::new(&config, &url, None), clock: SystemTime::now }
}

fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &[u8]) -> Answer {
    let headers = headers.iter().map(|&(n, v)| (n.parse().unwrap(), HeaderValue::from_static(v))).collect();
    Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: body.to_vec() }
}

fn reason(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Retry { reason, .. } | Outcome::Rejected { reason } | Outcome::Gone { reason } => reason,
        other => panic!("{other:?} has no reason"),
    }
}

#[test]
fn every_status_has_its_outcome() {
    for status in (100..600).filter(|status| !(200..300).contains(status)) {
        let outcome = judge(&[400, 422]).outcome(&answer(status, &[], b""));
        let expected = match status {
            400 | 422 => "rejected",
            410 => "gone",
            _ => "retry",
        };
        assert_eq!(outcome.label(), expected, "{status}");
        assert!(reason(&outcome).contains(&status.to_string()));
    }
}

#[test]
fn the_operators_list_goes_before_the_rest() {
    for status in [410, 429, 503, 302] {
        assert_eq!(judge(&[status]).outcome(&answer(status, &[], b"")).label(), "rejected", "{status}");
    }
}

#[test]
fn retry_after_is_read_in_both_forms_and_bounded() {
    let at = |text| retry_after(&HeaderValue::from_bytes(text).unwrap(), SystemTime::UNIX_EPOCH);
    assert_eq!(at(b"120"), Some(Duration::from_secs(120)));
    assert_eq!(at(b" 7 "), Some(Duration::from_secs(7)));
    assert_eq!(at(b"0"), Some(Duration::ZERO));
    assert_eq!(at(b"Thu, 01 Jan 1970 00:01:00 GMT"), Some(Duration::from_secs(60)));
    assert_eq!(at(b"Thursday, 01-Jan-70 00:01:00 GMT"), Some(Duration::from_secs(60)));
    for far in [b"86401".as_slice(), b"99999999999999999999999", b"Fri, 31 Dec 9999 23:59:59 GMT"] {
        assert_eq!(at(far), Some(MAX_RETRY_AFTER));
    }
    for junk in
        [b"".as_slice(), b"soon", b"-1", b"1.5", b"+5", b"1e3", b"5s", b"\xff\xfe", b"Thu, 41 Jan 1970 00:01:00 GMT"]
    {
        assert_eq!(at(junk), None, "{junk:?}");
    }
    let late = retry_after(&HeaderValue::from_static("Thu, 01 Jan 1970 00:01:00 GMT"), SystemTime::now());
    assert_eq!(late, Some(Duration::ZERO));
}

#[test]
fn a_redirect_is_named_without_what_may_be_secret_in_it() {
    let to = |location| {
        let outcome = judge(&[]).outcome(&answer(302, &[("location", location)], b""));
        reason(&outcome).to_owned()
    };
    let shown = to("https://u:pw@other.example/a?token=t#f");
    assert!(shown.contains("https://other.example/a;"), "{shown}");
    assert!(shown.contains("never followed"), "{shown}");
    assert!(to("/login?next=x").contains(" /login;"));
    assert!(to("//u@h.example").contains(" //h.example;"));
}

#[test]
fn a_reason_quotes_a_line_that_is_safe_to_print() {
    let said = |body: &[u8]| reason(&judge(&[]).outcome(&answer(500, &[], body))).to_owned();
    assert_eq!(said(b"  no\r\n\x1b[31m  room\x00 "), "the receiver answered 500 Internal Server Error: no [31m room");
    assert!(said("a\u{202e}b".as_bytes()).ends_with(": a b"));
    assert!(said(b"\xff\xfeok").ends_with("ok"));
    let long = said("é".repeat(5000).as_bytes());
    assert_eq!(long.chars().filter(|&c| c == 'é').count(), MAX_EXCERPT_CHARS);
    assert!(long.ends_with('…'));
}

#[test]
fn a_secret_that_is_echoed_is_not_quoted() {
    let padding = "x".repeat(MAX_EXCERPT_CHARS - 10);
    for body in ["bad key whsec_topsecret".to_owned(), format!("{padding} whsec_topsecret")] {
        let outcome = judge(&[]).outcome(&answer(400, &[], body.as_bytes()));
        assert!(!reason(&outcome).contains("whsec_t"), "{outcome:?}");
    }
}
