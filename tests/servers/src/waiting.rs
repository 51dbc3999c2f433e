//! Waiting for what servers do among themselves.

use std::time::Duration;
use tokio::time::Instant;

/// How long a change may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often it is looked.
const GLANCE: Duration = Duration::from_millis(50);

/// Looks until it is so; or says what was last in the way.
pub(crate) async fn wait<T>(what: &str, look: impl AsyncFn() -> Result<T, String>) -> Result<T, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(why) if Instant::now() > deadline => return Err(format!("waited in vain until {what}: {why}")),
            Err(_) => tokio::time::sleep(GLANCE).await,
        }
    }
}
