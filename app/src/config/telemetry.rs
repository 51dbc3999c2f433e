//! `[telemetry]`: where traces go.

use super::Secret;
use super::reader::Section;
use laneway_otlp::Endpoint;

/// `[telemetry]`: where traces go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Telemetry {
    /// The collector of spans; without one there are none.
    pub otlp: Option<Endpoint>,
    /// The part of the requests without a trace that one is begun for, from 0 to 1.
    pub ratio: f64,
}

impl Telemetry {
    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let url = section.get::<String>("otlp");
        let headers = section.map::<Secret>("headers");
        let ratio = section.within("ratio", 0.0, 0.0..=1.0);
        let mut otlp = None;
        match url.as_deref().map(Endpoint::new) {
            Some(Ok(endpoint)) => {
                let with =
                    |endpoint: Endpoint, (name, value): (&String, &Secret)| endpoint.with_header(name, value.expose());
                match headers.iter().try_fold(endpoint, with) {
                    Ok(endpoint) => otlp = Some(endpoint),
                    Err(what) => section.problem("headers", what.to_string()),
                }
            }
            Some(Err(what)) => section.problem("otlp", what.to_string()),
            // One that is no text has been reported already.
            None if section.has("otlp") => {}
            None => {
                for key in ["headers", "ratio"] {
                    if section.has(key) {
                        section.problem(key, "says something of spans, but none go anywhere: set telemetry.otlp too");
                    }
                }
            }
        }
        section.finish();
        Self { otlp, ratio }
    }
}
