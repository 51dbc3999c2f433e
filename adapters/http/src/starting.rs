//! What is answered by a process that cannot do its work yet.

use crate::problem::{Kind, Problem};
use crate::{answer, wire};
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::time::Duration;

/// When to ask again. What a start waits for may take a moment or hours.
const LATER: Duration = Duration::from_secs(2);

/// Answers of a process that starts, and waits for something: `/healthz` says that it is alive, so that nobody ends it
/// for being silent. Everything else gets a 503 with `why`.
pub fn starting(why: &'static str) -> Router {
    let not_ready = async move || -> Response {
        let mut problem = Problem::new(Kind::NotReady, why).retry_after(LATER);
        problem.body.reasons = vec![why.to_owned()];
        problem.into_response()
    };
    let alive = async || answer::ok(&wire::Health { status: "alive".into(), limitations: Vec::new() });
    Router::new().route("/healthz", get(alive)).fallback(not_ready)
}
