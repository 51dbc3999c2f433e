//! `[log]`: what is logged, and how.

use super::reader::Section;

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
        let log = match crate::telemetry::check_filter(&filter) {
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
