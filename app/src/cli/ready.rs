//! `laneway ready`: for health checks.

use super::client::Client;
use super::{Failure, output};
use laneway_http::wire::Health;

/// Says whether the server can do its work; an error, with the reasons, if it cannot.
pub(super) async fn run(client: &Client) -> Result<(), Failure> {
    let health: Health = client.get("/readyz").await?;
    output::line(&health.status)?;
    health.limitations.iter().try_for_each(|limitation| output::say(&format!("but: {limitation}")))
}
