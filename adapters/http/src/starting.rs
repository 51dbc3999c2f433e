//! What is answered by a process that cannot do its work yet.

use crate::operator::status::{healthz, not_ready_because};
use axum::Router;
use axum::routing::get;
use std::time::Duration;

/// When to ask again. What a start waits for may take a moment or hours.
const LATER: Duration = Duration::from_secs(2);

/// Answers of a process that starts, and waits for something: `/healthz` says that it is alive, so that nobody ends it
/// for being silent. Everything else gets a 503 with `why`.
pub fn starting(why: &'static str) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .fallback(async move || not_ready_because(vec![why.to_owned()]).retry_after(LATER))
}
