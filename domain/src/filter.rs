//! Filters: which destination wants which event.

mod history;
mod index;
mod owners;

pub use history::{Filters, FormerFilter};
pub use owners::FilterIndex;

use crate::event::{Event, RESERVED_TYPES};
use crate::tenant::Tenant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use thiserror::Error;

/// The most bytes of a type pattern.
pub const MAX_PATTERN_BYTES: usize = 256;

/// A pattern for event types: exact, or a glob in which each `*` stands for any run of characters,
/// also none and also dots: `order.*` wants `order.paid` and `order.line.added`, not `order`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TypePattern(Box<str>);

/// Why a text cannot be a [`TypePattern`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} cannot be a type pattern: use 1 to {MAX_PATTERN_BYTES} bytes without control characters")]
pub struct InvalidPattern(pub String);

impl TypePattern {
    /// Checks `pattern`.
    ///
    /// # Errors
    /// If it is empty, too long, or has control characters.
    pub fn new(pattern: &str) -> Result<Self, InvalidPattern> {
        let fits = (1..=MAX_PATTERN_BYTES).contains(&pattern.len());
        if fits && !pattern.chars().any(char::is_control) {
            Ok(Self(pattern.into()))
        } else {
            Err(InvalidPattern(pattern.into()))
        }
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first `*`; the whole pattern if it has none.
    #[must_use]
    pub fn literal_prefix(&self) -> &str {
        self.0.split('*').next().unwrap_or("")
    }

    /// Whether it has no `*`.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether it asks for Laneway's own events, so that it can want one ([`Event::is_operational`]): its literal
    /// beginning says so. What wants everything does not want them, so that they go to nobody who did not ask.
    #[must_use]
    pub fn asks_for_operational(&self) -> bool {
        self.literal_prefix().starts_with(RESERVED_TYPES)
    }

    /// Whether it wants events of this type, Laneway's own aside. Takes time linear in both lengths for each `*`.
    #[must_use]
    pub fn matches(&self, event_type: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or("");
        let Some(mut rest) = event_type.strip_prefix(first) else { return false };
        let Some(mut part) = parts.next() else { return rest.is_empty() };
        // Each middle part is best found as early as possible; the last one belongs at the end.
        for next in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
            part = next;
        }
        rest.ends_with(part)
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TypePattern {
    type Error = InvalidPattern;
    fn try_from(pattern: String) -> Result<Self, InvalidPattern> {
        Self::new(&pattern)
    }
}

impl From<TypePattern> for String {
    fn from(pattern: TypePattern) -> Self {
        pattern.0.into()
    }
}

/// Which events a destination wants: those of its tenant and of one of its types that have all its attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Whose events it wants, and no others. `None`: an operator's destination, which wants everybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Wanted types; none means all.
    pub types: Vec<TypePattern>,
    /// Attributes that must be there with exactly this value: its text, whatever its type is
    /// ([`crate::AttributeValue::text`]).
    pub attributes: BTreeMap<Box<str>, Box<str>>,
}

impl Filter {
    /// Whether it wants `event`.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        if self.tenant.is_some() && self.tenant != event.tenant {
            return false; // Another's.
        }
        let event_type = event.event_type.as_str();
        let of_type = if event.is_operational() {
            self.types.iter().any(|pattern| pattern.asks_for_operational() && pattern.matches(event_type))
        } else {
            self.types.is_empty() || self.types.iter().any(|pattern| pattern.matches(event_type))
        };
        of_type
            && self
                .attributes
                .iter()
                .all(|(name, value)| event.attributes.get(name).is_some_and(|v| *v.text() == **value))
    }
}

impl Filter {
    /// Whether it may want one of Laneway's own events.
    #[must_use]
    pub fn asks_for_operational(&self) -> bool {
        self.types.iter().any(TypePattern::asks_for_operational)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventId, EventType};
    use bytes::Bytes;
    use proptest::prelude::*;

    fn event(event_type: &str, source: Option<&str>) -> Event {
        let (id, event_type) = (EventId::new("e").unwrap(), EventType::new(event_type).unwrap());
        Event { source: source.map(Into::into), ..Event::new(id, event_type, Bytes::new()) }
    }

    fn filter(types: &[&str]) -> Filter {
        let types = types.iter().map(|pattern| TypePattern::new(pattern).unwrap()).collect();
        Filter { types, ..Filter::default() }
    }

    #[test]
    fn a_pattern_is_shown_as_it_was_written() {
        let pattern = TypePattern::new("order.*").unwrap();
        assert_eq!((pattern.as_str(), pattern.to_string(), String::from(pattern.clone())), {
            let text = "order.*";
            (text, text.to_owned(), text.to_owned())
        });
        assert_eq!((pattern.literal_prefix(), pattern.is_exact()), ("order.", false));
        let exact = TypePattern::new("order.paid").unwrap();
        assert_eq!((exact.literal_prefix(), exact.is_exact()), ("order.paid", true));
    }

    #[test]
    fn parts_between_stars_are_found_one_behind_the_other() {
        for (pattern, event_type, matches) in [
            ("a*bb*c", "a.bb.c", true),
            ("a*bb*b", "a.bb", false),
            ("*ab*ab*", "xabab", true),
            ("*ab*ab*", "xaba", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(TypePattern::new(pattern).unwrap().matches(event_type), matches, "{pattern} {event_type}");
        }
    }

    #[test]
    fn only_who_asks_for_laneways_own_events_gets_them() {
        let own = event("laneway.breaker.opened", Some("urn:laneway"));
        for (types, wants) in [
            (&[][..], false),
            (&["*"], false),
            (&["lane*"], false),
            (&["laneway*"], false),
            (&["*opened"], false),
            (&["laneway.*"], true),
            (&["laneway.breaker.*"], true),
            (&["laneway.breaker.opened"], true),
            (&["laneway.breaker.closed"], false),
            (&["*", "laneway.breaker.*"], true),
            (&["*", "laneway.destination.*"], false),
        ] {
            assert_eq!(filter(types).wants(&own), wants, "{types:?}");
        }
    }

    #[test]
    fn what_a_producer_sent_and_what_tests_a_destination_are_events_like_any_other() {
        for (event_type, source) in [
            ("laneway.test", Some("urn:laneway")),
            // From before these types were reserved.
            ("laneway.breaker.opened", Some("/shop")),
            ("laneway.breaker.opened", None),
            ("lanewayish", Some("urn:laneway")),
            ("order.paid", Some("urn:laneway")),
        ] {
            let event = event(event_type, source);
            assert!(filter(&[]).wants(&event) && filter(&["*"]).wants(&event), "{event_type} {source:?}");
        }
    }

    #[test]
    fn a_tenants_destination_gets_its_events_and_an_operators_gets_all() {
        let tenant = |name: &str| Some(Tenant::new(name).unwrap());
        for (whose, of, wants) in [
            (None, None, true),
            (None, tenant("a"), true),
            (tenant("a"), tenant("a"), true),
            (tenant("a"), tenant("b"), false),
            (tenant("a"), None, false),
        ] {
            let event = Event { tenant: of.clone(), ..event("t", None) };
            let filter = Filter { tenant: whose.clone(), ..filter(&[]) };
            assert_eq!(filter.wants(&event), wants, "{whose:?} {of:?}");
        }
    }

    fn matches(pattern: &str, event_type: &str) -> bool {
        TypePattern::new(pattern).unwrap().matches(event_type)
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        assert!(matches("order.*", "order.paid"));
        assert!(matches("order.*", "order.line.added"));
        assert!(matches("order.*", "order."));
        assert!(!matches("order.*", "order"));
        assert!(matches("*", "anything"));
        assert!(matches("*.paid", "order.paid"));
        assert!(matches("a*b*c", "a1b2b3c"));
        assert!(!matches("a*b*c", "a1c"));
        assert!(!matches("ab*ba", "aba"));
        assert!(matches("order.paid", "order.paid"));
        assert!(!matches("order.paid", "order.paid2"));
    }

    /// The definition: a `*` takes none of the text, or one more character of it.
    fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => by_definition(rest, text) || (!text.is_empty() && by_definition(pattern, &text[1..])),
            Some((c, rest)) => text.first() == Some(c) && by_definition(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn globs_match_as_their_definition_says(pattern in "[ab*]{1,8}", text in "[ab]{0,8}") {
            prop_assert_eq!(matches(&pattern, &text), by_definition(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn any_text_is_a_pattern_or_refused(pattern: String, text: String) {
            if let Ok(pattern) = TypePattern::new(&pattern) {
                let _ = pattern.matches(&text);
            }
        }
    }
}
