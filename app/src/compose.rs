//! Puts the parts of a process together.

use crate::config::{Config, Store, StoreUrl};

/// Runs the server until a signal ends it.
///
/// # Errors
/// Says what kept it from starting or going on.
pub async fn serve(config: Config) -> Result<(), String> {
    Err(format!("the parts that serve {} are not composed in this build", config.server.listen))
}

/// Looks at the store without changing it, and says what is there.
///
/// # Errors
/// Says why it could not be used.
pub fn check_store(store: &Store) -> Result<String, String> {
    let StoreUrl::Sqlite(path) = &store.url;
    match std::fs::metadata(path) {
        Ok(facts) if facts.is_file() => Ok(format!("{} bytes in {}", facts.len(), path.display())),
        Ok(_) => Err(format!("{} is not a file; name a file in store.url", path.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(format!("{} will be made", path.display())),
        Err(e) => Err(format!("{} cannot be read: {e}", path.display())),
    }
}
