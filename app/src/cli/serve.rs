//! `laneway serve`.

use super::args::ServeArgs;
use super::{Failure, config_file};
use crate::config::{Config, Source};
use crate::{compose, telemetry};

/// Reads the configuration, starts logging, and serves until a signal ends it.
pub(super) async fn run(args: ServeArgs, source: &dyn Source) -> Result<(), Failure> {
    let config = load(args, source)?;
    telemetry::start_logging(&config.log).map_err(|e| Failure::new(format!("logging could not be started: {e}")))?;
    compose::serve(config).await.map_err(Failure::new)
}

/// The configuration that file, variables and flags make.
pub(super) fn load(args: ServeArgs, source: &dyn Source) -> Result<Config, Failure> {
    let overrides = args.overrides();
    let file = config_file(args.config, source);
    Config::load(source, file.as_deref(), &overrides).map_err(|e| Failure::config(&e))
}
