//! Text in lines that fit.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The least room that a line is broken for: a terminal that is narrower breaks lines itself.
const LEAST_ROOM: usize = 16;
/// What a terminal has whose width is not asked for: that of a question, and of an error.
const COLUMNS: usize = 80;

/// A question or an error in lines of 80 columns, each broken line going on a little to the right.
pub(super) fn for_terminals(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let (blanks, words) = line.split_at(line.len() - line.trim_start().len());
        let room = COLUMNS.saturating_sub(blanks.len());
        format!("{blanks}{}", wrapped(words, room, room - 4).join(&format!("\n{blanks}    ")))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The text in lines of at most so many columns (`first` of the first one), broken between words; only a word that is
/// longer than a line is broken itself. At least one line.
pub(super) fn wrapped(text: &str, first: usize, rest: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for mut word in text.split(' ') {
        loop {
            let room = if lines.is_empty() { first } else { rest }.max(LEAST_ROOM);
            let gap = if line.is_empty() { "" } else { " " };
            if line.width() + gap.len() + word.width() <= room {
                line.push_str(gap);
                line.push_str(word);
                break;
            }
            if line.is_empty() {
                let (fits, left) = word.split_at(fitting(word, room));
                line.push_str(fits);
                word = left;
            }
            lines.push(std::mem::take(&mut line));
        }
    }
    lines.push(line);
    lines
}

/// How many bytes of a word fit into so many columns; at least one character.
fn fitting(word: &str, room: usize) -> usize {
    let mut width = 0;
    for (at, c) in word.char_indices() {
        width += c.width().unwrap_or(0);
        if width > room && at > 0 {
            return at;
        }
    }
    word.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_lose_nothing() {
        let text = "the receiver answered 503 Service Unavailable: {\"error\":\"the database is locked\"} 日本語のとても長いメッセージ";
        for room in [16, 20, 33, 78, 200] {
            let lines = wrapped(text, room, room);
            assert!(lines.iter().all(|line| line.width() <= room), "{room}: {lines:#?}");
            assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""), "{room}");
        }
        assert_eq!(wrapped("", 20, 20), [""]);
        assert_eq!(wrapped(&"x".repeat(40), 20, 16).iter().map(String::len).collect::<Vec<_>>(), [20, 16, 4]);
    }

    #[test]
    fn an_error_keeps_its_own_lines() {
        let text = format!("{}end\n  its advice", "word ".repeat(20));
        let expected = format!("{}word\n    {}end\n  its advice", "word ".repeat(15), "word ".repeat(4));
        assert_eq!(for_terminals(&text), expected);
    }
}
