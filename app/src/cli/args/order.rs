//! What says where the server is may stand before the command, too: `laneway --config FILE status`.

use super::{Cli, ClientArgs};
use clap::{Args as _, CommandFactory as _};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};

/// The words of a command line, with such flags behind the command, which is where they are read. Without a command
/// they stay: they are the server's own.
pub(in crate::cli) fn flags_behind_the_command(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut rest: VecDeque<OsString> = words.into_iter().collect();
    let mut ordered: Vec<OsString> = rest.pop_front().into_iter().collect();
    let client = ClientArgs::augment_args(clap::Command::new("client"));
    let mut flags = Vec::new();
    while let Some(takes_next) = rest.front().and_then(|word| takes_next(&client, word)) {
        flags.extend(rest.pop_front());
        if takes_next {
            flags.extend(rest.pop_front());
        }
    }
    let is_command = |word: &OsString| Cli::command().get_subcommands().any(|known| *word == *known.get_name());
    if !flags.is_empty() && rest.front().is_some_and(is_command) {
        ordered.extend(rest.pop_front());
    }
    ordered.extend(flags);
    ordered.extend(rest);
    ordered
}

/// Whether the next word is this flag's value, or it has its value in it; `None` if the word is none of these flags.
fn takes_next(client: &clap::Command, word: &OsStr) -> Option<bool> {
    let word = word.to_str()?;
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        let is_known = client.get_arguments().any(|known| known.get_long() == Some(name));
        return is_known.then_some(value.is_none());
    }
    let mut short = word.strip_prefix('-')?.chars();
    let name = short.next()?;
    let is_known = client.get_arguments().any(|known| known.get_short() == Some(name));
    is_known.then(|| short.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn ordered(line: &str) -> String {
        let words = flags_behind_the_command(line.split_whitespace().map(OsString::from));
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_says_where_the_server_is_may_stand_before_the_command() {
        for (written, read) in [
            ("laneway --config f status --keys", "laneway status --config f --keys"),
            ("laneway -c f --server=http://h destinations list", "laneway destinations -c f --server=http://h list"),
            ("laneway -cf check", "laneway check -cf"),
            ("laneway status --config f", "laneway status --config f"),
            // The server's own.
            ("laneway --config f", "laneway --config f"),
            ("laneway --config f --listen :9", "laneway --config f --listen :9"),
            ("laneway --config", "laneway --config"),
            ("laneway", "laneway"),
        ] {
            assert_eq!(ordered(written), read, "{written}");
        }
        for line in ["laneway --config f status", "laneway -c f events show e", "laneway --token t dead-letters list"] {
            assert!(Cli::try_parse_from(ordered(line).split_whitespace()).is_ok(), "{line}");
        }
        // What a command does not take is refused, wherever it stands.
        let refused = Cli::try_parse_from(ordered("laneway --config f completions bash").split_whitespace());
        assert!(refused.is_err());
    }
}
