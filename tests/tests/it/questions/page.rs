//! What `docs/questions.md` says: for each question its commands, which the tests run as they stand there.

use std::path::Path;

/// How many questions there are.
pub(super) const QUESTIONS: usize = 18;

/// A question of the page.
#[derive(Debug)]
pub(super) struct Question {
    /// Its heading, without the number.
    pub(super) asks: String,
    /// The commands that answer it.
    pub(super) commands: Vec<String>,
    /// The configuration that answers it, where that is what does.
    pub(super) toml: String,
}

/// The question of that number.
#[track_caller]
pub(super) fn question(number: usize) -> Question {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/questions.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut sections = text.split("\n## ");
    let begin = format!("{number}. ");
    let section = sections.find_map(|section| section.strip_prefix(&begin));
    let section = section.unwrap_or_else(|| panic!("docs/questions.md has no heading \"## {begin}\""));
    let (asks, rest) = section.split_once('\n').expect("a heading is a line");
    let blocks = |language: &str| -> Vec<String> {
        let begin = format!("```{language}\n");
        rest.split(&begin).skip(1).filter_map(|block| Some(block.split_once("```")?.0.to_owned())).collect()
    };
    let lines = blocks("sh").concat().replace("\\\n", " ");
    let commands = lines.lines().map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned());
    let commands = commands.filter(|command| !command.is_empty()).collect();
    Question { asks: asks.to_owned(), commands, toml: blocks("toml").concat() }
}

/// The commands of a question that has so many.
#[track_caller]
pub(super) fn commands<const N: usize>(number: usize) -> [String; N] {
    let Question { asks, commands, .. } = question(number);
    commands.try_into().unwrap_or_else(|found: Vec<_>| panic!("{asks} has {} commands, not {N}", found.len()))
}

#[test]
fn every_question_has_an_answer_that_a_test_checks() {
    for number in 1..=QUESTIONS {
        let Question { asks, commands, toml } = question(number);
        assert!(asks.len() > 10 && (!commands.is_empty() || !toml.is_empty()), "{number}. {asks}");
    }
}
