//! Puts the parts of a process together.

use crate::config::{Config, Store, StoreUrl};

/// Runs the server until a signal ends it.
///
/// # Errors
/// Says what kept it from starting or going on.
pub async fn serve(config: Config) -> Result<(), String> {
    Err(format!("the parts that serve {} are not composed in this build", config.server.listen))
}

/// Checks the store without changing it, and says what is there. Reads all of it.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_store(store: &Store) -> Result<String, String> {
    let StoreUrl::Sqlite(path) = &store.url;
    if !path.try_exists().map_err(|e| format!("{} cannot be looked at: {e}", path.display()))? {
        return Ok(format!("{} will be made, with {} partitions", path.display(), store.partitions));
    }
    let report = laneway_sqlite::check(path).map_err(|e| e.to_string())?;
    if !report.findings.is_empty() {
        return Err(format!("{} is damaged:\n  {}", path.display(), report.findings.join("\n  ")));
    }
    if report.partitions != store.partitions {
        let made = report.partitions;
        return Err(format!(
            "{} was made with {made} partitions, and that cannot change; set store.partitions = {made}",
            path.display()
        ));
    }
    Ok(format!("{} events in {} partitions, all sound", report.events, report.partitions))
}
