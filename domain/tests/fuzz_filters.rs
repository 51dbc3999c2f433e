//! Globs of event types, and filters over them, against what they mean.
#![allow(clippy::unwrap_used, reason = "a corpus that cannot be read fails the test, with the place")]

use bytes::Bytes;
use laneway_domain::{Event, EventId, EventType, Filter, FilterIndex, TypePattern};
use laneway_fuzz::{cases, corpus_lines, mutated};
use proptest::prelude::*;
use proptest::sample::Index;

/// Cases of a quick run.
const QUICK: u32 = 500;

/// What patterns and types are made of.
const PIECES: &[&[u8]] =
    &[b"*", b"**", b"*a*", b".", b"a", b"b", b"ab", "é".as_bytes(), "\u{301}".as_bytes(), b"[a]", b"?", b"\\*"];

/// The definition, by a table: row `i` says of each prefix of the text whether the first `i`
/// characters of the pattern match it.
fn by_definition(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut row: Vec<bool> = (0..=text.len()).map(|n| n == 0).collect();
    for c in pattern.chars() {
        let mut next = vec![c == '*' && row[0]];
        for (at, other) in text.iter().enumerate() {
            next.push(if c == '*' { row[at + 1] || next[at] } else { row[at] && c == *other });
        }
        row = next;
    }
    row[text.len()]
}

fn event(event_type: &str) -> Event {
    Event {
        content_type: "text/plain".into(),
        ..Event::new(EventId::new("e").unwrap(), EventType::new(event_type).unwrap(), Bytes::new())
    }
}

/// Matches it in every way that there is, and returns what all say.
fn matches(pattern: &str, event_type: &str) -> bool {
    let pattern = TypePattern::new(pattern).unwrap();
    let found = pattern.matches(event_type);
    let filter = Filter { types: vec![pattern], ..Filter::default() };
    let mut wanted = Vec::new();
    FilterIndex::new([(7, &filter)]).wanted_by(&event(event_type), &mut wanted);
    assert_eq!(wanted, if found { vec![7] } else { vec![] }, "{filter:?} and {event_type:?} by the index");
    found
}

/// A case of the corpus: pattern, type, whether it matches.
fn case(line: &[u8]) -> (String, String, bool) {
    let line = String::from_utf8(line.to_vec()).unwrap();
    let parts: Vec<&str> = line.split('|').collect();
    let [pattern, event_type, said] = parts[..] else { panic!("{line}") };
    assert!(["yes", "no"].contains(&said), "{line}");
    (pattern.into(), event_type.into(), said == "yes")
}

#[test]
fn every_case_of_the_corpus_matches_as_it_says() {
    for line in corpus_lines("glob") {
        let (pattern, event_type, said) = case(&line.bytes);
        assert_eq!(matches(&pattern, &event_type), said, "{}", line.name);
        assert_eq!(by_definition(&pattern, &event_type), said, "{}: the definition of this test", line.name);
    }
}

/// A changed pattern or type, if it still is one.
fn texts(which: fn((String, String, bool)) -> String) -> impl Strategy<Value = String> {
    let seeds = corpus_lines("glob").into_iter().map(|line| which(case(&line.bytes)).into_bytes()).collect();
    mutated(seeds, PIECES).prop_filter_map("neither a pattern nor a type", |(_, bytes)| {
        let text = String::from_utf8(bytes).ok()?;
        (TypePattern::new(&text).is_ok() && EventType::new(&text).is_ok()).then_some(text)
    })
}

proptest! {
    #![proptest_config(cases(QUICK))]

    #[test]
    fn a_changed_pattern_matches_what_its_definition_says(
        pattern in texts(|case| case.0), event_type in texts(|case| case.1)
    ) {
        prop_assert_eq!(matches(&pattern, &event_type), by_definition(&pattern, &event_type));
    }

    #[test]
    fn a_type_with_stretches_made_stars_matches_itself(
        event_type in texts(|case| case.1), cuts in prop::collection::vec((any::<Index>(), any::<Index>()), 1..4)
    ) {
        let mut pattern: Vec<char> = event_type.chars().collect();
        for (a, b) in cuts {
            let (a, b) = (a.index(pattern.len() + 1), b.index(pattern.len() + 1));
            pattern.splice(a.min(b)..a.max(b), ['*']);
        }
        let pattern: String = pattern.into_iter().collect();
        // Stars that took nothing may have made it too long to be one.
        prop_assume!(TypePattern::new(&pattern).is_ok());
        prop_assert!(matches(&pattern, &event_type), "{pattern:?} and {event_type:?}");
    }

    #[test]
    fn any_bytes_are_a_pattern_or_refused(text in texts(|case| case.0), junk: String) {
        for text in [text, junk] {
            if let Err(error) = TypePattern::new(&text) {
                prop_assert!(error.to_string().contains("pattern"));
            }
        }
    }
}
