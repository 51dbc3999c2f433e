//! Follows what the store says of tenants.

use super::service::Tenants;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How often the store is asked: four times a second, so that a deletion is seen within one also where a look fails or takes
/// its time. A look is one small read where nothing has changed.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Tenants {
    /// Follows for as long as it is polled. What was known last goes on to hold while the store does not answer.
    pub async fn follow(self: Arc<Self>) {
        let mut failing = false;
        loop {
            sleep(LOOK_EVERY).await;
            self.known.count_processes();
            let looked = self.look().await;
            match (&looked, failing) {
                (Err(error), false) => {
                    tracing::warn!(%error, "limits and deletions of tenants cannot be read; those known go on to hold");
                }
                (Ok(()), true) => tracing::info!("limits and deletions of tenants can be read again"),
                _ => {}
            }
            failing = looked.is_err();
        }
    }
}
