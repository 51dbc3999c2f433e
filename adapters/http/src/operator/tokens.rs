//! Tokens that are made over HTTP: listing, making and revoking them.

use super::caller::Caller;
use super::changes::{limit, query};
use super::{Answer, InPath, json};
use crate::Shared;
use crate::answer;
use crate::problem::{Kind, Problem};
use crate::wire::{TokenChoice, TokenJournalLine, TokenJournalPage};
use axum::extract::{Request, State};
use http::{HeaderValue, StatusCode, Uri, header};
use laneway_domain::{Revision, Role, Roles};
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
pub(crate) async fn list(State(shared): State<Arc<Shared>>, caller: Caller, uri: Uri) -> Answer {
    let asked: ListAsked = query(&uri)?;
    let after = asked.after.as_deref().map(|after| caller.token(after, "after")).transpose()?;
    let query = TokenListQuery { after, limit: limit(asked.limit)?, tenant: caller.tenant().cloned() };
    let list = admin(&shared)?.list(&query).await;
    let mut list = list.map_err(|error| Problem::from_token_admin(&error))?;
    let tokens = shared.api.tokens.now();
    for token in &mut list.items {
        token.created_by = token.created_by.take().map(|by| caller.told_of(&tokens, by));
    }
    answer::ok(&list)
}

/// `POST /v1/tokens`: a token, whose text is told this once.
pub(crate) async fn create(State(shared): State<Arc<Shared>>, caller: Caller, request: Request) -> Answer {
    let admin = admin(&shared)?;
    let TokenChoice { name: wanted, roles: words } = json(&shared, request).await?;
    let name = caller.token(&wanted, "/name")?;
    let roles = given(&caller, roles(&words)?)?;
    let most = shared.api.tenants.now().tokens;
    let made = admin.create(caller.by(), NewToken { name, roles, most }).await;
    let mut response = answer::ok(&made.map_err(|error| Problem::from_token_admin(&error))?)?;
    *response.status_mut() = StatusCode::CREATED;
    // What stands between here and whoever asked must not keep the token.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `DELETE /v1/tokens/{name}`.
pub(crate) async fn revoke(State(shared): State<Arc<Shared>>, caller: Caller, InPath(named): InPath<String>) -> Answer {
    let name = caller.token(&named, "name")?;
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
pub(crate) async fn changes(State(shared): State<Arc<Shared>>, caller: Caller, uri: Uri) -> Answer {
    let asked: JournalAsked = query(&uri)?;
    let limit = limit(asked.limit)?;
    let found = admin(&shared)?.changes(caller.tenant(), asked.before.map(Revision), limit).await;
    let tokens = shared.api.tokens.now();
    let told = |line: TokenJournalLine| TokenJournalLine { by: caller.told_of(&tokens, line.by), ..line };
    let items: Vec<_> = found.map_err(|error| Problem::from_token_admin(&error))?.into_iter().map(told).collect();
    let more = items.len() == limit;
    let next = items.last().filter(|_| more).map(|line| line.revision.to_string());
    answer::ok(&TokenJournalPage { items, next, incomplete: Vec::new() })
}

pub(super) fn admin(shared: &Shared) -> Result<&dyn TokenAdmin, Box<Problem>> {
    let what = "tokens cannot be made over this process";
    shared.api.token_admin.as_deref().ok_or_else(|| Problem::new(Kind::NoWorker, what))
}

/// The roles, if whoever asks may give them to somebody: an operator may give any, and a tenant those that it has.
pub(super) fn given(caller: &Caller, roles: Roles) -> Result<Roles, Box<Problem>> {
    match roles.beyond(caller.roles()).filter(|_| caller.tenant().is_some()) {
        None => Ok(roles),
        Some(beyond) => {
            let what = format!("the token has not the role \"{beyond}\" itself, so that it gives it to nobody");
            Err(Problem::new(Kind::Forbidden, what).about("/roles"))
        }
    }
}

/// The roles that the words mean. One that is none is named with the one that was probably meant.
pub(super) fn roles(words: &[String]) -> Result<Roles, Box<Problem>> {
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
