//! `laneway serve`, `ingest` and `worker`.

use super::args::ServeArgs;
use super::{Failure, config_file};
use crate::compose::Role;
use crate::config::{Config, Overrides, Source};
use crate::{compose, files, telemetry};
use std::path::PathBuf;

/// Reads the configuration, starts logging, and serves until a signal ends it.
pub(super) async fn run(args: ServeArgs, role: Role, source: &dyn Source) -> Result<(), Failure> {
    let mut overrides = args.overrides();
    if role == Role::Worker {
        overrides.worker_listen = overrides.listen.take();
    }
    files::raise_limit();
    let read = || load(args.config.clone(), &overrides, source);
    let mut config = read()?;
    telemetry::start_logging(&config.log).map_err(|e| Failure::new(format!("logging could not be started: {e}")))?;
    let wanted = config.server.limits.connections;
    let files = files::limit();
    let accepted = files::shares(files, wanted).accepted;
    config.server.limits.connections = accepted;
    if config.server.limits.connections < wanted {
        tracing::warn!(
            "the process may have {files} files open, too few for server.limits.connections = {wanted}: at most {} \
             connections are accepted. Raise its limit (LimitNOFILE, ulimit -n)",
            config.server.limits.connections
        );
    }
    let read_again = || {
        let mut config = read().map_err(|failure| failure.what)?;
        config.server.limits.connections = files::shares(files, config.server.limits.connections).accepted;
        Ok(config)
    };
    compose::serve(config, role, &read_again).await.map_err(Failure::new)
}

/// The configuration that file, variables and flags make.
pub(super) fn load(file: Option<PathBuf>, overrides: &Overrides, source: &dyn Source) -> Result<Config, Failure> {
    let file = config_file(file, source);
    Config::load(source, file.as_deref(), overrides).map_err(|e| Failure::config(&e))
}
