//! How the console asks Laneway's HTTP interface, which it stands in front of: by requests within the process, with the
//! token of whoever looks. So it can do what the interface can do, for whom the interface would do it, and nothing else.

use crate::session::Secret;
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, header};
use http_body_util::BodyExt as _;
use laneway_http::ForPage;
use laneway_http::wire::{PROBLEM_TYPES, Problem};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::ServiceExt as _;

/// The interface, as somebody may use it.
#[derive(Clone, Debug)]
pub(crate) struct Interface {
    router: Router,
    token: Option<Secret>,
}

impl Interface {
    pub(crate) fn new(router: Router, token: Option<Secret>) -> Self {
        Self { router, token }
    }

    /// Reads something.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Box<Problem>> {
        self.ask(Method::GET, path, &[], Body::empty()).await
    }

    /// Has something done.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &impl Serialize,
    ) -> Result<T, Box<Problem>> {
        let body = serde_json::to_vec(body).map_err(|error| unreadable(&error.to_string()))?;
        self.ask(method, path, headers, body.into()).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Result<T, Box<Problem>> {
        // Whether the browser may be here at all was asked before (`laneway_http::admit`).
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        request = request.header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.as_str()));
        }
        let request = request.extension(ForPage);
        let request = request.body(body).map_err(|error| unreadable(&error.to_string()))?;
        let answer = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| unreadable(&error.to_string()))?.to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| unreadable(&error.to_string()));
        }
        Err(serde_json::from_slice(&body).unwrap_or_else(|_| {
            Box::new(Problem {
                title: status.canonical_reason().unwrap_or("An error").to_owned(),
                status: status.as_u16(),
                detail: "the interface says no more than that".to_owned(),
                ..Problem::default()
            })
        }))
    }
}

/// Both sides are of one release, so that this is a defect.
fn unreadable(what: &str) -> Box<Problem> {
    problem("console", 500, "The console does not understand the interface", what)
}

/// A problem of the console itself.
pub(crate) fn problem(kind: &str, status: u16, title: &str, detail: &str) -> Box<Problem> {
    Box::new(Problem {
        type_uri: format!("{PROBLEM_TYPES}{kind}"),
        title: title.to_owned(),
        status,
        detail: detail.to_owned(),
        ..Problem::default()
    })
}

/// Whether what a browser sent may come from another site's page, as far as the browser says.
pub(crate) fn is_of_another_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
}
