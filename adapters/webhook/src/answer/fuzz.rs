//! Answers of receivers that say anything at all.

use super::*;
use crate::config::WebhookConfig;
use crate::secret::Secret;
use laneway_fuzz::{cases, corpus_lines, mutated};
use proptest::prelude::*;
use std::time::UNIX_EPOCH;
use url::Url;

/// Cases of a quick run.
const QUICK: u32 = 500;
const SECRET: &str = "whsec_topsecret";
/// What a reason may be longer than its excerpts: the status, and the words around them.
const MOST_WORDS: usize = 200;
/// Twenty years after 1970 in seconds: what two digits of a year can say without a doubt.
const MOST_SECONDS: u64 = 20 * 365 * 86_400;

/// What values of the header, and bodies, are made of.
const PIECES: &[&[u8]] = &[
    b"0",
    b"9",
    b"-",
    b"+",
    b".",
    b" ",
    b",",
    b":",
    b"GMT",
    b"Thu",
    b"Jan",
    b"1970",
    b"00:01:00",
    b"99999999999999999999",
    b"\t",
    b"\r\n",
    b"\x1b[31m",
    b"\xff",
    b"\xe2\x80\xae",
    b"whsec_topsecret",
    b"http://u:p@h/?q#f",
    b"//",
    b"@",
    b"?",
];

fn wait(bytes: &[u8], now: SystemTime) -> Option<Duration> {
    HeaderValue::from_bytes(bytes).ok().and_then(|value| retry_after(&value, now))
}

/// Whatever it says, the wait is bounded, and digits alone say seconds.
fn bounded(bytes: &[u8]) {
    for now in [UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(1_800_000_000)] {
        let asked = wait(bytes, now);
        assert!(asked.is_none_or(|asked| asked <= MAX_RETRY_AFTER), "{asked:?}");
        let digits = bytes.trim_ascii();
        if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) && HeaderValue::from_bytes(bytes).is_ok() {
            let seconds =
                digits.iter().fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add((digit - b'0').into()));
            assert_eq!(asked, Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER)));
        }
    }
}

#[test]
fn every_retry_after_of_the_corpus_is_a_bounded_wait_or_none() {
    for line in corpus_lines("retry-after") {
        println!("{}", line.name);
        bounded(&line.bytes);
    }
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    let seeds = corpus_lines("retry-after").into_iter().map(|line| line.bytes).collect();
    mutated(seeds, PIECES).prop_map(|(_, value)| value)
}

proptest! {
    #![proptest_config(cases(QUICK))]

    #[test]
    fn a_changed_retry_after_is_a_bounded_wait_or_none(value in values()) {
        bounded(&value);
    }

    #[test]
    fn a_date_in_any_of_its_forms_is_the_time_until_then(now in 0..MOST_SECONDS, wait_for in 0..86_400_u64) {
        let (now, asked) = (UNIX_EPOCH + Duration::from_secs(now), Duration::from_secs(wait_for));
        let date = httpdate::fmt_http_date(now + asked);
        prop_assert_eq!(wait(date.as_bytes(), now), Some(asked));
        // "Sun, 06 Nov 1994 08:49:37 GMT", and how asctime() writes it: "Sun Nov  6 08:49:37 1994".
        let (day, month, year, time) = (&date[5..7], &date[8..11], &date[12..16], &date[17..25]);
        let asctime = format!("{} {month} {:>2} {time} {year}", &date[..3], day.trim_start_matches('0'));
        prop_assert_eq!(wait(asctime.as_bytes(), now), Some(asked), "{}", asctime);
    }

    #[test]
    fn a_reason_is_one_short_line_without_the_secret(
        status in 300_u16..600, asked in values(), location in values(), body in values()
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in [(RETRY_AFTER, &asked), (LOCATION, &location)] {
            headers.extend(HeaderValue::from_bytes(value).map(|value| (name, value)));
        }
        let config = WebhookConfig { secrets: vec![Secret::new(SECRET)], ..WebhookConfig::new("") };
        let redactor = Redactor::new(&config, &Url::parse("https://h.example/").unwrap(), None);
        let judge = Judge { reject: vec![400], redactor, clock: SystemTime::now };
        let outcome = judge.outcome(&Answer { status: StatusCode::from_u16(status).unwrap(), headers, body });
        let (Outcome::Retry { reason, .. } | Outcome::Rejected { reason } | Outcome::Gone { reason }) = &outcome else {
            panic!("{outcome:?} has no reason");
        };
        prop_assert!(!reason.contains(SECRET), "{reason:?}");
        prop_assert!(!reason.chars().any(is_invisible), "{reason:?}");
        prop_assert!(reason.chars().count() <= 2 * MAX_EXCERPT_CHARS + MOST_WORDS, "{reason:?}");
    }
}
