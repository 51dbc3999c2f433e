//! Moments as people write and read them: in local time, with the offset where they are shown.

use crate::config::parse_duration;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

/// A moment that somebody has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct When(Timestamp);

impl When {
    /// Reads a moment: how long ago (`1h`), a time of today, a date, both, `today`, `yesterday`, or RFC 3339. What has no
    /// offset is local.
    ///
    /// # Errors
    /// Says what would be right.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Self::parse_at(text, &Zoned::now())
    }

    fn parse_at(text: &str, now: &Zoned) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || {
            format!(
                "{text:?} is no moment; write for instance 1h (ago), 10:00 (today), yesterday, \"2026-01-31 10:00\" or \
                 2026-01-31T10:00:00Z"
            )
        };
        // As it is shown, too: there the offset stands apart.
        let exact = text.rsplit_once(' ').filter(|(_, offset)| offset.starts_with(['+', '-']));
        let exact = exact.map_or_else(|| text.to_owned(), |(time, offset)| format!("{time}{offset}"));
        if let Ok(exact) = exact.parse::<Timestamp>() {
            return Ok(Self(exact));
        }
        if let Ok(ago) = parse_duration(text) {
            let millis = i64::try_from(ago.as_millis()).map_err(|_| wrong())?;
            let then = now.timestamp().checked_sub(millis.milliseconds()).map_err(|_| wrong())?;
            return Ok(Self(then));
        }
        let today = now.date();
        let local = match text {
            "today" => today.at(0, 0, 0, 0),
            "yesterday" => today.yesterday().map_err(|_| wrong())?.at(0, 0, 0, 0),
            _ => {
                let of_today = || text.parse::<Time>().ok().map(|time| today.to_datetime(time));
                let of_day = || text.parse::<Date>().ok().map(|date| date.at(0, 0, 0, 0));
                let time = text.contains(':');
                let dated = text.contains('-');
                let found = match (dated, time) {
                    (true, true) => text.parse::<DateTime>().ok(),
                    (true, false) => of_day(),
                    (false, true) => of_today(),
                    (false, false) => None,
                };
                found.ok_or_else(wrong)?
            }
        };
        let zoned = local.to_zoned(now.time_zone().clone()).map_err(|_| wrong())?;
        Ok(Self(zoned.timestamp()))
    }

    /// As the server reads it: RFC 3339, in UTC.
    pub(super) fn to_rfc3339(self) -> String {
        self.0.to_string()
    }

    /// As people read it: in local time, with its offset.
    pub(super) fn local(self) -> String {
        shown(self.0, TimeZone::system())
    }
}

/// From when on, where that can be the beginning of all that is stored, which is before every moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Since {
    Beginning,
    At(When),
}

impl Since {
    /// Reads `beginning`, or a moment as [`When::parse`] does.
    ///
    /// # Errors
    /// Says what would be right.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "beginning" {
            return Ok(Self::Beginning);
        }
        When::parse(text).map(Self::At).map_err(|why| format!("{why}, or beginning"))
    }

    /// As the server reads it.
    pub(super) fn to_text(self) -> String {
        match self {
            Self::Beginning => "beginning".to_owned(),
            Self::At(when) => when.to_rfc3339(),
        }
    }

    /// As people read it.
    pub(super) fn local(self) -> String {
        match self {
            Self::Beginning => "the beginning".to_owned(),
            Self::At(when) => when.local(),
        }
    }
}

/// A moment of RFC 3339 in local time, with its offset; as it is if it is none.
pub(super) fn local(text: &str) -> String {
    in_zone(text, &TimeZone::system())
}

/// The same without fractions of a second: nobody needs them in a list.
pub(super) fn local_second(text: &str) -> String {
    let second = |at: Timestamp| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string();
    text.parse().map_or_else(|_| text.to_owned(), second)
}

/// A moment in local time, with its offset.
pub(super) fn moment(at: laneway_domain::Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).ok();
    let at = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    at.map_or_else(|| "never".to_owned(), |at| shown(at, TimeZone::system()))
}

/// A sentence of the server's, whose moments are in UTC, with all of them in local time.
pub(super) fn localized(text: &str) -> String {
    words_in_zone(text, &TimeZone::system())
}

fn words_in_zone(text: &str, zone: &TimeZone) -> String {
    let words = text.split(' ').map(|word| {
        let bare = word.trim_end_matches([',', ';', ':', '.', ')']);
        // Nothing shorter is a date and a time with an offset.
        let is_moment = bare.len() >= "2026-01-31T10:00Z".len() && bare.starts_with(|c: char| c.is_ascii_digit());
        if is_moment { format!("{}{}", in_zone(bare, zone), &word[bare.len()..]) } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn in_zone(text: &str, zone: &TimeZone) -> String {
    text.parse::<Timestamp>().map_or_else(|_| text.to_owned(), |at| shown(at, zone.clone()))
}

fn shown(at: Timestamp, zone: TimeZone) -> String {
    at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S%.3f %:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::offset;

    fn now() -> Zoned {
        let zone = TimeZone::fixed(offset(2));
        "2026-01-31T10:00:00Z".parse::<Timestamp>().unwrap().to_zoned(zone)
    }

    #[test]
    fn moments_are_read_as_people_write_them() {
        let cases = [
            ("1h30m", "2026-01-31T08:30:00Z"),
            ("08:15", "2026-01-31T06:15:00Z"),
            ("08:15:30", "2026-01-31T06:15:30Z"),
            ("today", "2026-01-30T22:00:00Z"),
            ("yesterday", "2026-01-29T22:00:00Z"),
            ("2026-01-02", "2026-01-01T22:00:00Z"),
            ("2026-01-02 08:15", "2026-01-02T06:15:00Z"),
            ("2026-01-02T08:15:00", "2026-01-02T06:15:00Z"),
            ("2026-01-02T08:15:00Z", "2026-01-02T08:15:00Z"),
            ("2026-01-02T08:15:00+05:00", "2026-01-02T03:15:00Z"),
            ("2026-01-02 08:15:00.250 +05:00", "2026-01-02T03:15:00.25Z"),
            ("2026-01-02 08:15:00.250 -00:30", "2026-01-02T08:45:00.25Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(When::parse_at(text, &now()).map(When::to_rfc3339), Ok(expected.to_owned()), "{text}");
        }
        for text in ["", "soon", "25:00", "2026-13-01", "10", "2026-01-02 8h"] {
            assert!(When::parse_at(text, &now()).unwrap_err().contains("yesterday"), "{text}");
        }
    }

    #[test]
    fn moments_are_shown_in_local_time_with_their_offset() {
        let zone = TimeZone::fixed(offset(-3));
        assert_eq!(in_zone("2026-01-31T10:00:00.5Z", &zone), "2026-01-31 07:00:00.500 -03:00");
        assert_eq!(in_zone("no moment", &zone), "no moment");
        let said = "paused since 2026-01-31T10:00:00Z; 2 events, 2026-01-31T11:00:00Z.";
        let local = "paused since 2026-01-31 07:00:00.000 -03:00; 2 events, 2026-01-31 08:00:00.000 -03:00.";
        assert_eq!(words_in_zone(said, &zone), local);
        assert_eq!(local_second("2026-01-31T10:00:00.5Z").matches('.').count(), 0);
        assert_eq!(local_second("no. moment"), "no. moment");
        assert_eq!(moment(laneway_domain::Timestamp::MAX), "never");
    }

    #[test]
    fn what_is_shown_can_be_typed_again() {
        let when = When::parse("2026-01-31T10:00:00.250Z").unwrap();
        assert_eq!(When::parse(&when.local()), Ok(when));
    }

    #[test]
    fn a_beginning_is_read_beside_every_moment() {
        assert_eq!(Since::parse("beginning"), Ok(Since::Beginning));
        for text in ["2h", "10:00", "yesterday", "2026-01-31T12:00:00Z", "2026-01-31 12:00"] {
            let since = Since::parse(text).unwrap();
            assert!(since.to_text().ends_with('Z'), "{text}: {since:?}");
        }
        assert!(Since::parse("soon").unwrap_err().ends_with(", or beginning"));
    }
}
