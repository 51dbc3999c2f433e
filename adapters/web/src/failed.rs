//! What a page answers that cannot be made: the guard shows it within the layout.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use laneway_http::wire::Problem;

/// Why there is no page.
#[derive(Clone, Debug)]
pub(crate) struct Failed(pub(crate) Box<Problem>);

impl From<Box<Problem>> for Failed {
    fn from(problem: Box<Problem>) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let mut response =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What a page answers.
pub(crate) type Answer = Result<Response, Failed>;
