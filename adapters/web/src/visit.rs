//! Who looks, and at what.

use crate::cookie::Cookie;
use crate::interface::problem;
use crate::session::{Outcome, Secret};
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use laneway_domain::{Role, TENANT_SEPARATOR, Tenant, Timestamp};
use laneway_http::Visitor;
use laneway_http::wire::Problem;
use std::sync::Arc;
use std::time::SystemTime;

/// One request of somebody.
#[derive(Clone, Debug)]
pub(crate) struct Visit(Arc<Facts>);

/// What is known of it.
#[derive(Debug)]
pub(crate) struct Facts {
    /// By what the browser is known.
    pub(crate) cookie: Cookie,
    /// Whether the browser has to be told that cookie.
    pub(crate) is_new: bool,
    /// Who it is; `None` only where nobody has to be.
    pub(crate) visitor: Option<Visitor>,
    /// The token that they signed in with; `None` where none is asked for.
    pub(crate) token: Option<Secret>,
    /// What the page's forms carry.
    pub(crate) proof: String,
    /// What the request before has come to, if it was not shown yet.
    pub(crate) outcome: Option<Outcome>,
    /// The path that was asked for.
    pub(crate) path: String,
    /// By which name the browser reached the server: `laneway.example:8080`.
    pub(crate) host: String,
    /// Whether it reached the server, or a proxy before it, over TLS.
    pub(crate) is_over_tls: bool,
    /// Whether the browser says that it is another site's page which sends this.
    pub(crate) is_of_another_site: bool,
    /// Whether this process takes events in: a worker only delivers.
    pub(crate) takes_events: bool,
    /// When it came.
    pub(crate) now: Timestamp,
}

impl Visit {
    pub(crate) fn new(facts: Facts) -> Self {
        Self(Arc::new(facts))
    }

    pub(crate) fn token(&self) -> Option<&Secret> {
        self.0.token.as_ref()
    }

    /// Whether they may do what needs `role`: what may not be done is not offered.
    pub(crate) fn may(&self, role: Role) -> bool {
        self.needs(role).is_ok()
    }

    /// The tenant whose things are all that they see; `None`: an operator.
    pub(crate) fn tenant(&self) -> Option<&Tenant> {
        self.0.visitor.as_ref().and_then(Visitor::tenant)
    }

    /// Whether they run the server.
    ///
    /// # Errors
    /// As the interface answers a tenant.
    pub(crate) fn runs_the_server(&self) -> Result<(), Box<Problem>> {
        let what = "This is for whoever runs the server: it needs a token without a tenant.";
        match self.tenant() {
            None => Ok(()),
            Some(_) => Err(problem("forbidden", 403, "The token does not open this", what)),
        }
    }

    /// The whole name of the destination that they call so: a tenant may leave its own name out.
    pub(crate) fn whole_name(&self, name: &str) -> String {
        match self.tenant() {
            Some(tenant) if !name.contains(TENANT_SEPARATOR) => format!("{tenant}{TENANT_SEPARATOR}{name}"),
            _ => name.to_owned(),
        }
    }

    /// The same, with the interface's words if they may not.
    pub(crate) fn needs(&self, role: Role) -> Result<(), Box<Problem>> {
        match &self.0.visitor {
            Some(visitor) => visitor.needs(role),
            None => Err(problem("unauthorized", 401, "Sign in first", "This needs a token.")),
        }
    }
}

impl std::ops::Deref for Visit {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.0
    }
}

/// It is there for every page: [`crate::guard`] stands before them.
impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = http::StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, http::StatusCode> {
        parts.extensions.get::<Self>().cloned().ok_or(http::StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The destination in the path of a page, by its whole name: a tenant may leave its own name out.
pub(crate) struct Named(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = http::StatusCode;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, http::StatusCode> {
        let visit = Visit::from_request_parts(parts, state).await?;
        let Path(name) = Path::<String>::from_request_parts(parts, state).await.map_err(|wrong| wrong.status())?;
        Ok(Self(visit.whole_name(&name)))
    }
}

/// The moment by the system's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
