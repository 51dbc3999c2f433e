//! What an operation of the HTTP interface is.

use crate::Shared;
use crate::ingest::Intake;
use axum::routing::{MethodFilter, MethodRouter};
use laneway_domain::{Role, TenantAct};
use std::sync::Arc;

/// An operation of the HTTP interface, as others may know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its method. (What takes GET takes HEAD too.)
    pub method: &'static str,
    /// Its path; what changes stands in braces.
    pub path: &'static str,
    /// The role that a token must have; `None` if nobody is asked for a token.
    pub role: Option<Role>,
    /// Whether a tenant's token can use it, for what is the tenant's.
    pub tenants: bool,
    /// Whether a link to the console can use it. What it would make otherwise could outlast it.
    pub links: bool,
    /// What a tenant does with it that is bounded in how often.
    pub act: Option<TenantAct>,
}

/// One operation.
pub(crate) struct Operation {
    pub(crate) method: Verb,
    pub(crate) path: &'static str,
    /// What a token must have; `None`: nobody is asked for one, and pages of other names are answered too.
    pub(crate) role: Option<Role>,
    /// Whether it is for tenants too: then its handler sees to it that each gets only what is its own.
    pub(crate) tenants: bool,
    /// Whether it is for whoever came by a link.
    pub(crate) links: bool,
    /// What is counted where a tenant uses it.
    pub(crate) act: Option<TenantAct>,
    /// Whether its handler counts that, since it is more than one.
    pub(crate) counts_itself: bool,
    pub(crate) handler: Handler,
}

impl Operation {
    /// The same for whoever runs the server only.
    pub(crate) const fn for_operators(self) -> Self {
        Self { tenants: false, links: false, act: None, ..self }
    }

    /// The same, and not for whoever came by a link.
    pub(crate) const fn not_by_link(self) -> Self {
        Self { links: false, ..self }
    }

    /// The same, where a tenant does that with it.
    pub(crate) const fn is(self, act: TenantAct) -> Self {
        Self { act: Some(act), ..self }
    }

    /// The same, of which one request does many.
    pub(crate) const fn counts_itself(self) -> Self {
        Self { counts_itself: true, ..self }
    }
}

/// The methods that the interface uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    pub(crate) const fn filter(self) -> MethodFilter {
        match self {
            // HEAD comes with it.
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// Who does it.
pub(crate) enum Handler {
    /// A process that takes events in; it asks for the role by itself, since its metrics count those too who are
    /// turned away.
    Ingest(fn(MethodFilter) -> MethodRouter<Arc<Intake>>),
    /// Every process.
    Operator(fn(MethodFilter) -> MethodRouter<Arc<Shared>>),
}
