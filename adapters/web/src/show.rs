//! How numbers, sizes and times are written for people. Nothing here knows of pages.

use laneway_domain::{DestinationStatus, Timestamp};
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A number with its thousands apart: `12,345`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A number and what it counts: `1 event`, `12 events`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// How many events wait for a destination: `12 events wait`, or `at most 12 events wait` where not all were looked at.
pub(crate) fn waiting(status: &DestinationStatus) -> String {
    let about = status.pending_is().words();
    format!("{about}{}", counted(status.pending, "event waits", "events wait"))
}

/// A duration in its two largest units: `250 ms`, `4 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |large: u64, unit: &str, small: u64, part: &str| match small {
        0 => format!("{} {unit}", count(large)),
        _ => format!("{} {unit} {small} {part}", count(large)),
    };
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => two(seconds / MINUTE, "min", seconds % MINUTE, "s"),
        HOUR..DAY => two(seconds / HOUR, "h", seconds % HOUR / MINUTE, "min"),
        _ => two(seconds / DAY, "d", seconds % DAY / HOUR, "h"),
    }
}

/// The same of microseconds, with a decimal where that says more: `0.4 ms`, `12 ms`, `1.5 s`.
pub(crate) fn took(micros: u64) -> String {
    let tenths = |value: u64, per: u64, unit: &str| {
        let tenths = value / (per / 10);
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    };
    match micros {
        0..10_000 => tenths(micros, 1_000, "ms"),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..60_000_000 => tenths(micros, 1_000_000, "s"),
        _ => duration(Duration::from_micros(micros)),
    }
}

/// How long ago something was, or how soon it will be.
pub(crate) fn relative(now: Timestamp, at: Timestamp) -> String {
    const MOMENT: Duration = Duration::from_secs(1);
    let (past, coming) = (now.since(at), at.since(now));
    match (past < MOMENT, coming < MOMENT) {
        (true, true) => "now".to_owned(),
        (false, _) => format!("{} ago", duration(past)),
        (true, false) => format!("in {}", duration(coming)),
    }
}

/// A moment to the second, in UTC: `2026-11-27 15:30:33 UTC`.
pub(crate) fn moment(at: Timestamp) -> String {
    zoned(at).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A moment as machines read it (RFC 3339).
pub(crate) fn machine(at: Timestamp) -> String {
    zoned(at).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// A moment of RFC 3339, as far as it is one.
pub(crate) fn read_moment(text: &str) -> Option<Timestamp> {
    let read: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_millis(u64::try_from(read.as_millisecond()).unwrap_or(0)))
}

fn zoned(at: Timestamp) -> jiff::Zoned {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX).to_zoned(jiff::tz::TimeZone::UTC)
}

/// A size in the largest unit of which there is one, with a decimal below ten: `512 B`, `1.5 KiB`, `256 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    let (mut unit, mut value) = ("B", bytes);
    let mut tenths = 0;
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024 {
            break;
        }
        (unit, tenths, value) = (larger, value % 1024 * 10 / 1024, value / 1024);
    }
    if unit != "B" && value < 10 && tenths > 0 { format!("{value}.{tenths} {unit}") } else { format!("{value} {unit}") }
}

/// So many within so many seconds, as a rate: `0.3/s`, `12/s`, `1,200/s`.
pub(crate) fn rate(number: u64, seconds: u64) -> String {
    let seconds = seconds.max(1);
    if number >= seconds.saturating_mul(10) || number == 0 {
        return format!("{}/s", count(number / seconds));
    }
    let tenths = number.saturating_mul(10) / seconds;
    // Something is not nothing.
    if tenths == 0 { "<0.1/s".to_owned() } else { format!("{}.{}/s", tenths / 10, tenths % 10) }
}

/// The first characters of a text, and whether that is all of it. No character is cut apart.
pub(crate) fn beginning(text: &str, characters: usize) -> (&str, bool) {
    match text.char_indices().nth(characters) {
        Some((at, _)) => (&text[..at], false),
        None => (text, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_have_their_thousands_apart() {
        let table = [(0, "0"), (999, "999"), (1_000, "1,000"), (80_000, "80,000"), (1_234_567, "1,234,567")];
        for (number, shown) in table {
            assert_eq!(count(number), shown);
        }
        assert_eq!(
            (counted(1, "event", "events"), counted(0, "event", "events")),
            ("1 event".into(), "0 events".into())
        );
    }

    #[test]
    fn durations_have_their_two_largest_units() {
        let table = [
            (0, "0 ms"),
            (250, "250 ms"),
            (999, "999 ms"),
            (1_000, "1 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (200_000, "3 min 20 s"),
            (3_600_000, "1 h"),
            (7_500_000, "2 h 5 min"),
            (86_400_000, "1 d"),
            (273_600_000, "3 d 4 h"),
            (100_000_000_000, "1,157 d 9 h"),
        ];
        for (millis, shown) in table {
            assert_eq!(duration(Duration::from_millis(millis)), shown, "{millis}");
        }
        for (micros, shown) in
            [(0, "0.0 ms"), (450, "0.4 ms"), (12_345, "12 ms"), (1_530_000, "1.5 s"), (61_000_000, "1 min 1 s")]
        {
            assert_eq!(took(micros), shown, "{micros}");
        }
    }

    #[test]
    fn moments_are_told_from_now_and_by_the_clock() {
        let at = Timestamp::from_millis;
        let now = at(1_795_793_433_278);
        for (millis, shown) in
            [(0, "now"), (-999, "now"), (-1_000, "1 s ago"), (-65_000, "1 min 5 s ago"), (2_000, "in 2 s")]
        {
            assert_eq!(relative(now, at(now.as_millis().saturating_add_signed(millis))), shown, "{millis}");
        }
        assert_eq!(moment(now), "2026-11-27 15:30:33 UTC");
        assert_eq!(machine(now), "2026-11-27T15:30:33.278Z");
        assert_eq!(read_moment(&machine(now)), Some(now));
        assert_eq!(read_moment("yesterday"), None);
        // What no clock shows is shown all the same.
        assert!(moment(Timestamp::MAX).starts_with("9999-12-3"));
    }

    #[test]
    fn sizes_and_rates_have_units() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (262_144, "256 KiB"),
            (1 << 30, "1 GiB"),
            (u64::MAX, "16777215 TiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
        for (number, shown) in
            [(0, "0/s"), (1, "0.1/s"), (3, "0.3/s"), (99, "9.9/s"), (100, "10/s"), (12_000, "1,200/s")]
        {
            assert_eq!(rate(number, 10), shown);
        }
        assert_eq!(rate(1, 60), "<0.1/s");
    }

    proptest! {
        #[test]
        fn everything_can_be_written(number: u64, other: u64, text: String, characters in 0_usize..40) {
            let (a, b) = (Timestamp::from_millis(number), Timestamp::from_millis(other));
            for shown in [count(number), duration(Duration::from_millis(number)), took(number), relative(a, b), moment(a),
                machine(a), size(number), rate(number, other)] {
                prop_assert!(!shown.is_empty());
            }
            prop_assert_eq!(count(number).replace(',', ""), number.to_string());
            let (begin, is_all) = beginning(&text, characters);
            prop_assert!(text.starts_with(begin) && begin.chars().count() <= characters);
            prop_assert_eq!(is_all, begin == text);
        }
    }
}
