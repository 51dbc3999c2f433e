//! Durations such as `1h30m` and sizes such as `256KiB`, read and shown.

use std::fmt::Write as _;
use std::time::Duration;

/// The longest duration that a setting may have: ten years. Longer ones are typing mistakes, and
/// sums with the present time could leave the calendar.
pub const MAX_DURATION: Duration = Duration::from_secs(3650 * 24 * 3600);

/// Units of time, the longest first, in milliseconds.
const TIME_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
/// Units of size, the largest first, in bytes.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

/// Reads a duration: whole numbers with the units `ms`, `s`, `m`, `h` and `d`, the longest first,
/// each at most once.
///
/// # Errors
/// Says what is wrong and what would be right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write for instance \"250ms\", \"30s\", \"1h30m\" or \"2d\"");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    if rest.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{text:?} has no unit; write for instance \"{rest}s\" or \"{rest}ms\""));
    }
    let too_long = || format!("{text:?} is longer than {}", show_duration(MAX_DURATION));
    let (mut millis, mut units) = (0_u64, &TIME_UNITS[..]);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let at = units.iter().position(|(name, _)| *name == unit).filter(|_| digits > 0).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| too_long())?;
        let part = number.checked_mul(units[at].1).ok_or_else(too_long)?;
        millis = millis.checked_add(part).ok_or_else(too_long)?;
        units = &units[at + 1..];
        rest = after;
    }
    let duration = Duration::from_millis(millis);
    if duration > MAX_DURATION { Err(too_long()) } else { Ok(duration) }
}

/// Shows a duration as [`parse_duration`] reads it; parts of a millisecond are left out.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut shown = String::new();
    for (unit, size) in TIME_UNITS {
        let number = millis / size;
        if number > 0 {
            let _ = write!(shown, "{number}{unit}");
            millis %= size;
        }
    }
    shown
}

/// Reads a size in bytes: a whole number with `B`, `KiB`, `MiB`, `GiB`, `kB`, `MB`, `GB` or no unit.
///
/// # Errors
/// Says what is wrong and what would be right.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let unit = unit.trim_start();
    let size = if unit.is_empty() {
        Some(1)
    } else {
        SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, size)| *size)
    };
    let wrong = || format!("{text:?} is not a size; write for instance 65536, \"256KiB\" or \"8MiB\"");
    let (Some(size), false) = (size, number.is_empty()) else { return Err(wrong()) };
    let number: Option<u64> = number.parse().ok();
    number.and_then(|number| number.checked_mul(size)).ok_or_else(|| format!("{text:?} is too large"))
}

/// Shows a size as [`parse_size`] reads it.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let binary = SIZE_UNITS.iter().take(3).find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    binary.map_or_else(|| bytes.to_string(), |(unit, size)| format!("{}{unit}", bytes / size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_have_units() {
        for (text, millis) in [("1s", 1000), ("250ms", 250), ("1h30m", 5_400_000), ("0s", 0), ("1d2ms", 86_400_002)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "1x", "1.5s", "-1s", "30m1h", "1s1s", "1 s", "99999999999999999999s", "4000d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_duration("30").unwrap_err(), r#""30" has no unit; write for instance "30s" or "30ms""#);
    }

    #[test]
    fn sizes_are_binary_or_decimal() {
        for (text, bytes) in [("0", 0), ("65536", 65536), ("256KiB", 262_144), ("8 MiB", 8 << 20), ("2kb", 2000)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "KiB", "1.5MiB", "-1", "1 T", "99999999999GiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(millis in 0..=MAX_DURATION.as_millis() as u64, bytes: u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
            prop_assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }
}
