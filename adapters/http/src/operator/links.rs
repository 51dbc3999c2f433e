//! Links that sign a tenant's people in to the console for a while: making them, and ending all of a tenant.

use super::caller::Caller;
use super::changes::query;
use super::tokens::{admin, given, roles};
use super::{Answer, json};
use crate::Shared;
use crate::answer;
use crate::problem::{Kind, Problem};
use crate::wire::{LinkAsked, LinkMade, LinksEnded};
use axum::extract::{Request, State};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use laneway_domain::{Role, Roles, Tenant, Timestamp};
use laneway_ports::NewLink;
use serde::Deserialize;
use std::sync::Arc;

/// Where a link leads. Its secret stands behind `#`, which a browser sends to nobody: it comes into no log, and no page
/// that is opened from there is told of it.
pub(crate) const ENTRANCE: &str = "/console/enter";

/// What a link opens where nobody says: whatever somebody does with destinations. Events come from programs.
const USUAL: [Role; 3] = [Role::Read, Role::Operate, Role::Admin];

/// `POST /v1/portal-links`: a link, which is told this once.
pub(crate) async fn make(State(shared): State<Arc<Shared>>, caller: Caller, request: Request) -> Answer {
    let admin = admin(&shared)?;
    let address = address(request.headers(), request.uri());
    let LinkAsked { tenant, roles: words, lasts } = json(&shared, request).await?;
    let tenant = whose(&caller, tenant)?;
    let roles = match words {
        Some(words) => given(&caller, roles(&words)?)?,
        None if caller.tenant().is_none() => Roles::of(USUAL),
        None => Roles::of(USUAL).and(caller.roles()),
    };
    if roles.count() == 0 {
        return Err(Problem::new(Kind::Invalid, "the link would have no role, and would open nothing").about("/roles"));
    }
    let (maker, maker_digest) = caller.maker();
    let wanted = NewLink { tenant: tenant.clone(), roles, lasts, maker, maker_digest };
    let made = admin.make_link(caller.by(), wanted).await;
    let made = made.map_err(|error| Problem::from_token_admin(&error))?;
    let url = format!("{address}{ENTRANCE}#{}", made.token);
    let mut response = answer::ok(&LinkMade { url, tenant, roles, expires: written(made.expires) })?;
    *response.status_mut() = StatusCode::CREATED;
    // What stands between here and whoever asked must not keep the link.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndAsked {
    tenant: Option<Tenant>,
}

/// `DELETE /v1/portal-links`: all links of a tenant that were made until now.
pub(crate) async fn end(State(shared): State<Arc<Shared>>, caller: Caller, uri: Uri) -> Answer {
    let EndAsked { tenant } = query(&uri)?;
    let tenant = whose(&caller, tenant).map_err(|problem| problem.about("tenant"))?;
    let ended = admin(&shared)?.end_links(caller.by(), &tenant).await;
    ended.map_err(|error| Problem::from_token_admin(&error))?;
    answer::ok(&LinksEnded { tenant, ended: true })
}

/// The tenant that is meant: a tenant means itself.
fn whose(caller: &Caller, said: Option<Tenant>) -> Result<Tenant, Box<Problem>> {
    let wrong = |what: String| Problem::new(Kind::Invalid, what).about("/tenant");
    match (caller.tenant(), said) {
        (None, Some(said)) => Ok(said),
        (None, None) => Err(wrong("say the tenant whose things the link is to open".to_owned())),
        (Some(own), Some(said)) if *own != said => {
            Err(wrong(format!("the token is the tenant {own}'s, and for it only")))
        }
        (Some(own), _) => Ok(own.clone()),
    }
}

/// By which address whoever asks has reached the server. They are known, and the link is for them to pass on.
fn address(headers: &HeaderMap, uri: &Uri) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let protocol = text("x-forwarded-proto").and_then(|said| said.split(',').next()).unwrap_or_default().trim();
    let scheme = if protocol.eq_ignore_ascii_case("https") { "https" } else { "http" };
    let host = text("host").or_else(|| uri.authority().map(http::uri::Authority::as_str));
    host.map(|host| format!("{scheme}://{host}")).unwrap_or_default()
}

/// A moment as RFC 3339 writes it.
fn written(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_where_whoever_asked_has_reached_the_server() {
        type Case = (&'static [(&'static str, &'static str)], &'static str, &'static str);
        let cases: [Case; 5] = [
            (&[("host", "laneway.example")], "/v1/portal-links", "http://laneway.example"),
            (&[("host", "h:8080"), ("x-forwarded-proto", "HTTPS")], "/v1/portal-links", "https://h:8080"),
            (&[("host", "h"), ("x-forwarded-proto", "http, https")], "/v1/portal-links", "http://h"),
            (&[], "http://h2.example/v1/portal-links", "http://h2.example"),
            (&[], "/v1/portal-links", ""),
        ];
        for (headers, uri, expected) in cases {
            let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
            assert_eq!(address(&HeaderMap::from_iter(headers), &uri.parse().unwrap()), expected, "{uri}");
        }
        assert_eq!(written(Timestamp::from_millis(1_700_000_000_500)), "2023-11-14T22:13:20.5Z");
    }
}
