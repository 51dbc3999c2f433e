//! Tenants: what each may, and their deletion.

use super::caller::Caller;
use super::changes::{limit, query};
use super::{Answer, InPath, json};
use crate::Shared;
use crate::answer;
use crate::problem::{Kind, Problem};
use axum::extract::{Request, State};
use http::Uri;
use laneway_domain::{Tenant, TenantLimits};
use laneway_ports::TenantAdmin;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListAsked {
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/tenants`.
pub(crate) async fn list(State(shared): State<Arc<Shared>>, uri: Uri) -> Answer {
    let asked: ListAsked = query(&uri)?;
    let after = asked.after.as_deref().map(|after| tenant(after, "after")).transpose()?;
    let list = admin(&shared)?.list(after.as_ref(), limit(asked.limit)?).await;
    answer::ok(&list.map_err(|error| Problem::from_tenant_admin(&error))?)
}

/// `GET /v1/tenants/{tenant}`. A tenant sees itself.
pub(crate) async fn show(State(shared): State<Arc<Shared>>, caller: Caller, InPath(named): InPath<String>) -> Answer {
    let tenant = tenant(&named, "tenant")?;
    if caller.tenant().is_some_and(|own| *own != tenant) {
        return Err(Problem::new(Kind::NotFound, format!("there is no tenant {tenant}")).about("tenant"));
    }
    let shown = admin(&shared)?.show(&tenant).await;
    answer::ok(&shown.map_err(|error| Problem::from_tenant_admin(&error))?)
}

/// `PUT /v1/tenants/{tenant}`: what it may, instead of what was set before.
pub(crate) async fn put(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath(named): InPath<String>,
    request: Request,
) -> Answer {
    let (admin, tenant) = (admin(&shared)?, tenant(&named, "tenant")?);
    let limits: TenantLimits = json(&shared, request).await?;
    let shown = admin.limit(caller.by(), &tenant, limits).await;
    answer::ok(&shown.map_err(|error| Problem::from_tenant_admin(&error))?)
}

/// `DELETE /v1/tenants/{tenant}`: with everything of it.
pub(crate) async fn delete(State(shared): State<Arc<Shared>>, caller: Caller, InPath(named): InPath<String>) -> Answer {
    let tenant = tenant(&named, "tenant")?;
    let deleted = admin(&shared)?.delete(caller.by(), &tenant).await;
    answer::ok(&deleted.map_err(|error| Problem::from_tenant_admin(&error))?)
}

fn admin(shared: &Shared) -> Result<&dyn TenantAdmin, Box<Problem>> {
    let what = "tenants cannot be changed over this process";
    shared.api.tenant_admin.as_deref().ok_or_else(|| Problem::new(Kind::NoWorker, what))
}

fn tenant(text: &str, field: &str) -> Result<Tenant, Box<Problem>> {
    Tenant::new(text).map_err(|error| Problem::new(Kind::Invalid, error.to_string()).about(field))
}
