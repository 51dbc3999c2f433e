//! `[log]`: what is logged, and how.

use super::reader::Section;
use tracing_subscriber::filter::Targets;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`: what is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// What is logged: a level, or directives such as `info,laneway_webhook=debug`.
    pub filter: String,
}

impl Log {
    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
        let format = section.choice("format", LogFormat::Auto, &formats);
        let filter = section.or("filter", "info".to_owned());
        let log = match check_filter(&filter) {
            Ok(()) => Self { format, filter },
            Err(what) => {
                section.problem("filter", what);
                Self { format, filter: "info".to_owned() }
            }
        };
        section.finish();
        log
    }
}

/// Checks log directives such as `info` or `info,laneway_webhook=debug`.
///
/// # Errors
/// Says which part is wrong.
fn check_filter(filter: &str) -> Result<(), String> {
    let wrong = |part: &str| {
        format!("{part:?} is not a log filter; write a level (off, error, warn, info, debug, trace) or MODULE=LEVEL")
    };
    // A bare word that is no level would be taken for a module, and silence everything else.
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for part in filter.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let bare = part.bytes().all(|b| b.is_ascii_alphabetic());
        if bare && !LEVELS.contains(&part.to_ascii_lowercase().as_str()) {
            return Err(wrong(part));
        }
        // What is no name of a module would be taken for one.
        let module = part.split_once('=').map_or("module", |(module, _)| module);
        if module.is_empty() || !module.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':')) {
            return Err(wrong(part));
        }
        part.parse::<Targets>().map_err(|_| wrong(part))?;
    }
    filter.parse::<Targets>().map(|_| ()).map_err(|_| wrong(filter))
}

#[cfg(test)]
mod tests {
    use super::check_filter;

    #[test]
    fn a_misspelt_level_is_no_module() {
        assert_eq!(check_filter("info,laneway_webhook=debug"), Ok(()));
        assert_eq!(check_filter("WARN"), Ok(()));
        for bad in ["inof", "info,debgu", "laneway=verbose", "=,="] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }
}
