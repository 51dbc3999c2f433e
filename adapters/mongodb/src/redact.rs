//! Keeps the URL's secrets out of what the driver and the server say.

/// Shorter texts are not looked for: they would turn up in everything.
const MIN_REDACTED_BYTES: usize = 4;
/// What stands where a secret stood.
const REDACTED: &str = "[secret]";
/// How much of a message a reason quotes, in characters: a few sentences, enough for what MongoDB
/// says of an error. What the driver says of a whole replica set may be much longer.
const MAX_EXCERPT_CHARS: usize = 400;

/// The texts of one destination that may appear in no reason and no log.
#[derive(Clone, PartialEq)]
pub(crate) struct Redactor {
    /// The longest first, so that one that contains another is replaced whole.
    hidden: Vec<String>,
}

impl Redactor {
    pub(crate) fn new(secrets: &[String]) -> Self {
        let mut hidden: Vec<String> = secrets.iter().filter(|text| text.len() >= MIN_REDACTED_BYTES).cloned().collect();
        hidden.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        hidden.dedup();
        Self { hidden }
    }

    /// `text` as one line of printable text of a bounded length, without the secrets.
    pub(crate) fn excerpt(&self, text: &str) -> String {
        let clean = self.hidden.iter().fold(text.to_owned(), |text, hidden| text.replace(hidden.as_str(), REDACTED));
        let words = clean.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
        let mut line = words.collect::<Vec<_>>().join(" ");
        if let Some((cut, _)) = line.char_indices().nth(MAX_EXCERPT_CHARS) {
            line.truncate(cut);
            line.push('…');
        }
        line
    }
}
