//! Tokens that are made over HTTP: listing, making and revoking them.

use super::caller::Caller;
use super::changes::{limit, query};
use super::{Answer, InPath, json};
use crate::Shared;
use crate::answer;
use crate::problem::{Kind, Problem};
use crate::wire::{TokenChoice, TokenJournalPage};
use axum::extract::{Request, State};
use http::{HeaderValue, StatusCode, Uri, header};
use laneway_domain::{Revision, Role, Roles, TokenName};
use laneway_ports::{NewToken, TokenAdmin, TokenListQuery};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListAsked {
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/tokens`.
pub(crate) async fn list(State(shared): State<Arc<Shared>>, uri: Uri) -> Answer {
    let asked: ListAsked = query(&uri)?;
    let after = asked.after.as_deref().map(|after| name(after, "after")).transpose()?;
    let list = admin(&shared)?.list(&TokenListQuery { after, limit: limit(asked.limit)? }).await;
    answer::ok(&list.map_err(|error| Problem::from_token_admin(&error))?)
}

/// `POST /v1/tokens`: a token, whose text is told this once.
pub(crate) async fn create(State(shared): State<Arc<Shared>>, caller: Caller, request: Request) -> Answer {
    let admin = admin(&shared)?;
    let TokenChoice { name: wanted, roles: words } = json(&shared, request).await?;
    let name = name(&wanted, "/name")?;
    let made = admin.create(caller.by(), NewToken { name, roles: roles(&words)? }).await;
    let mut response = answer::ok(&made.map_err(|error| Problem::from_token_admin(&error))?)?;
    *response.status_mut() = StatusCode::CREATED;
    // What stands between here and whoever asked must not keep the token.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `DELETE /v1/tokens/{name}`.
pub(crate) async fn revoke(State(shared): State<Arc<Shared>>, caller: Caller, InPath(named): InPath<String>) -> Answer {
    let name = name(&named, "name")?;
    let revoked = admin(&shared)?.revoke(caller.by(), &name).await;
    answer::ok(&revoked.map_err(|error| Problem::from_token_admin(&error))?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JournalAsked {
    before: Option<u64>,
    limit: Option<usize>,
}

/// `GET /v1/token-changes`.
pub(crate) async fn changes(State(shared): State<Arc<Shared>>, uri: Uri) -> Answer {
    let asked: JournalAsked = query(&uri)?;
    let limit = limit(asked.limit)?;
    let found = admin(&shared)?.changes(asked.before.map(Revision), limit).await;
    let items = found.map_err(|error| Problem::from_token_admin(&error))?;
    let more = items.len() == limit;
    let next = items.last().filter(|_| more).map(|line| line.revision.to_string());
    answer::ok(&TokenJournalPage { items, next, incomplete: Vec::new() })
}

fn admin(shared: &Shared) -> Result<&dyn TokenAdmin, Box<Problem>> {
    let what = "tokens cannot be made over this process";
    shared.api.token_admin.as_deref().ok_or_else(|| Problem::new(Kind::NoWorker, what))
}

fn name(text: &str, field: &str) -> Result<TokenName, Box<Problem>> {
    TokenName::new(text).map_err(|error| Problem::new(Kind::Invalid, error.to_string()).about(field))
}

/// The roles that the words mean. One that is none is named with the one that was probably meant.
fn roles(words: &[String]) -> Result<Roles, Box<Problem>> {
    let all = || Role::ALL.into_iter().map(Role::name);
    let mut roles = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let Some(role) = Role::ALL.into_iter().find(|role| role.name() == word) else {
            let near = all().min_by_key(|name| strsim::damerau_levenshtein(name, word));
            let near = near.filter(|name| strsim::damerau_levenshtein(name, word) <= 2);
            let meant = near.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default();
            let all: Vec<String> = all().map(|name| format!("{name:?}")).collect();
            let what = format!("{word:?} is none of {}{meant}", all.join(", "));
            return Err(Problem::new(Kind::Invalid, what).about(format!("/roles/{at}")));
        };
        roles.push(role);
    }
    Ok(Roles::of(roles))
}
