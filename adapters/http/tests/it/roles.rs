//! What each role opens, route by route.

use crate::{Answer, JSON, Server, Setup, post};
use axum::body::Body;
use http::Request;
use laneway_domain::TenantAct;
use laneway_http::{Role, Roles, Route, Token, routes};

/// Every route, and the role that it needs. A route that is not here makes the first test fail.
pub(crate) const NEEDS: [(&str, &str, Option<Role>); 49] = [
    ("POST", "/v1/events", Some(Role::Publish)),
    ("POST", "/v1/events/batch", Some(Role::Publish)),
    ("GET", "/v1/events", Some(Role::Read)),
    ("GET", "/v1/events/{id}", Some(Role::Read)),
    ("GET", "/v1/attempts", Some(Role::Read)),
    ("GET", "/v1/workers", Some(Role::Read)),
    ("GET", "/v1/store", Some(Role::Read)),
    ("GET", "/v1/status", Some(Role::Read)),
    ("GET", "/v1/dead-letters", Some(Role::Read)),
    ("GET", "/v1/dead-letters/{destination}/{partition}/{offset}", Some(Role::Read)),
    ("POST", "/v1/dead-letters/retry", Some(Role::Operate)),
    ("POST", "/v1/dead-letters/discard", Some(Role::Operate)),
    ("POST", "/v1/destinations/{name}/keys/retry", Some(Role::Operate)),
    ("POST", "/v1/destinations/{name}/keys/skip", Some(Role::Operate)),
    ("POST", "/v1/destinations/{name}/resume", Some(Role::Operate)),
    ("POST", "/v1/destinations/{name}/replay", Some(Role::Operate)),
    ("GET", "/v1/destinations/{name}/replays", Some(Role::Read)),
    ("GET", "/v1/destinations/{name}/replays/{id}", Some(Role::Read)),
    ("PUT", "/v1/destinations/{name}/replays/{id}", Some(Role::Operate)),
    ("DELETE", "/v1/destinations/{name}/replays/{id}", Some(Role::Operate)),
    ("POST", "/v1/destinations/{name}/keys/replay", Some(Role::Operate)),
    ("DELETE", "/v1/destinations/{name}/progress", Some(Role::Admin)),
    ("GET", "/v1/destinations", Some(Role::Read)),
    ("GET", "/v1/destinations/{name}", Some(Role::Read)),
    ("GET", "/v1/destinations/{name}/changes", Some(Role::Read)),
    ("PUT", "/v1/destinations/{name}", Some(Role::Admin)),
    ("PATCH", "/v1/destinations/{name}", Some(Role::Admin)),
    ("DELETE", "/v1/destinations/{name}", Some(Role::Admin)),
    ("POST", "/v1/destinations", Some(Role::Admin)),
    ("POST", "/v1/destinations/{name}/pause", Some(Role::Operate)),
    ("POST", "/v1/destinations/{name}/rotate-secret", Some(Role::Admin)),
    ("POST", "/v1/destinations/{name}/test", Some(Role::Operate)),
    ("GET", "/v1/tokens", Some(Role::Admin)),
    ("POST", "/v1/tokens", Some(Role::Admin)),
    ("GET", "/v1/token-changes", Some(Role::Admin)),
    ("DELETE", "/v1/tokens/{name}", Some(Role::Admin)),
    ("POST", "/v1/portal-links", Some(Role::Admin)),
    ("DELETE", "/v1/portal-links", Some(Role::Admin)),
    ("GET", "/v1/tenants", Some(Role::Read)),
    ("GET", "/v1/tenants/{tenant}", Some(Role::Read)),
    ("PUT", "/v1/tenants/{tenant}", Some(Role::Admin)),
    ("DELETE", "/v1/tenants/{tenant}", Some(Role::Admin)),
    ("GET", "/v1/drain", Some(Role::Read)),
    ("PUT", "/v1/drain", Some(Role::Admin)),
    ("DELETE", "/v1/drain", Some(Role::Admin)),
    ("GET", "/openapi.json", None),
    ("GET", "/metrics", Some(Role::Read)),
    ("GET", "/healthz", None),
    ("GET", "/readyz", None),
];

/// Those that are for whoever runs the server, and for no tenant.
pub(crate) const FOR_OPERATORS: [(&str, &str); 10] = [
    ("GET", "/v1/workers"),
    ("GET", "/v1/store"),
    ("DELETE", "/v1/destinations/{name}/progress"),
    ("GET", "/v1/tenants"),
    ("PUT", "/v1/tenants/{tenant}"),
    ("DELETE", "/v1/tenants/{tenant}"),
    ("GET", "/v1/drain"),
    ("PUT", "/v1/drain"),
    ("DELETE", "/v1/drain"),
    ("GET", "/metrics"),
];

/// Those that make what could outlast a link, or tell of it: whoever came by one does not use them.
pub(crate) const NOT_BY_LINK: [(&str, &str); 6] = [
    ("GET", "/v1/tokens"),
    ("POST", "/v1/tokens"),
    ("GET", "/v1/token-changes"),
    ("DELETE", "/v1/tokens/{name}"),
    ("POST", "/v1/portal-links"),
    ("DELETE", "/v1/portal-links"),
];

/// What of a tenant's requests is counted, beside that whatever needs a role to change something is a change.
const COUNTED: [(&str, &str, TenantAct); 11] = [
    ("GET", "/v1/events", TenantAct::Search),
    ("GET", "/v1/events/{id}", TenantAct::Search),
    ("GET", "/v1/attempts", TenantAct::Search),
    ("GET", "/v1/status", TenantAct::Search),
    ("GET", "/v1/dead-letters", TenantAct::Search),
    ("GET", "/v1/destinations/{name}/replays", TenantAct::Search),
    ("GET", "/v1/destinations/{name}/replays/{id}", TenantAct::Search),
    ("POST", "/v1/destinations/{name}/replay", TenantAct::Replay),
    ("PUT", "/v1/destinations/{name}/replays/{id}", TenantAct::Replay),
    ("POST", "/v1/destinations/{name}/keys/replay", TenantAct::Replay),
    ("POST", "/v1/destinations/{name}/test", TenantAct::Test),
];

/// A server with a token for each role, which is `token-of-` and its name; and one for all of them.
fn server(setup: Setup) -> Server {
    let token = |role: Role| {
        let token = Token::new(&format!("token-of-{role}")).unwrap();
        token.named(role.name(), Roles::of([role]))
    };
    let tokens = Role::ALL.into_iter().map(token).chain(Token::new("token-of-all")).collect();
    Server::with(Setup { tokens, ..setup })
}

/// Asks as a command would, with a body that every route understands as far as its role decides.
async fn ask(server: &Server, method: &str, path: &str, token: Option<&str>) -> Answer {
    let path = path.replace("{destination}", "d").replace("{partition}", "0").replace("{offset}", "0");
    let path = path.replace("{name}", "d").replace("{tenant}", "d");
    let body = if path.starts_with("/v1/events") { r#"{"type":"a"}"# } else { "{}" };
    let mut request = match method {
        "POST" => post(&path, JSON, body),
        "PUT" | "PATCH" => {
            Request::builder().method(method).uri(path).header("content-type", JSON).body(body.into()).unwrap()
        }
        method => Request::builder().method(method).uri(path).body(Body::empty()).unwrap(),
    };
    if let Some(token) = token {
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    server.send(request).await
}

#[test]
fn the_table_names_every_route_and_its_role() {
    let route = |(method, path, role)| {
        let tenants = !FOR_OPERATORS.contains(&(method, path));
        let links = tenants && !NOT_BY_LINK.contains(&(method, path));
        let counted = COUNTED.iter().find(|(of, at, _)| (*of, *at) == (method, path)).map(|(.., act)| *act);
        let changes = matches!(role, Some(Role::Operate | Role::Admin)) && method != "GET";
        let act = counted.or(changes.then_some(TenantAct::Change)).filter(|_| tenants);
        Route { method, path, role, tenants, links, act }
    };
    let named: Vec<Route> = NEEDS.map(route).to_vec();
    assert_eq!(routes().collect::<Vec<_>>(), named);
}

#[tokio::test]
async fn every_route_opens_to_its_role_and_to_no_other() {
    for setup in [Setup::default(), Setup { no_ingest: true, ..Setup::default() }] {
        let takes_in = !setup.no_ingest;
        let server = server(setup);
        for (method, path, needs) in NEEDS.into_iter().filter(|(_, path, _)| takes_in || !path.contains("events")) {
            for role in Role::ALL {
                let answer = ask(&server, method, path, Some(&format!("token-of-{role}"))).await;
                let Some(needs) = needs.filter(|needs| *needs != role) else {
                    assert!(!matches!(answer.status.as_u16(), 401 | 403), "{method} {path} as {role}: {answer:?}");
                    continue;
                };
                let problem = answer.problem(403, "forbidden");
                assert!(problem.detail.contains(needs.name()), "{method} {path} as {role}: {problem:?}");
                let challenge = format!("Bearer realm=\"laneway\", error=\"insufficient_scope\", scope=\"{needs}\"");
                assert_eq!(answer.headers["www-authenticate"], challenge, "{method} {path} as {role}");
            }
            let all = ask(&server, method, path, Some("token-of-all")).await;
            assert!(!matches!(all.status.as_u16(), 401 | 403), "{method} {path}: {all:?}");
            for nobody in [None, Some("token-of-nobody")] {
                let answer = ask(&server, method, path, nobody).await;
                match needs {
                    Some(_) => drop(answer.problem(401, "unauthorized")),
                    None => assert_eq!(answer.status, 200, "{path}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_token_that_publishes_sees_and_changes_nothing_at_an_ingest() {
    let server = server(Setup { no_worker: true, ..Setup::default() });
    assert_eq!(ask(&server, "POST", "/v1/events", Some("token-of-publish")).await.status, 202);
    for (method, path, needs) in NEEDS {
        if needs.is_some_and(|needs| needs != Role::Publish) {
            ask(&server, method, path, Some("token-of-publish")).await.problem(403, "forbidden");
        }
    }
    for (method, path) in [("HEAD", "/v1/status"), ("HEAD", "/v1/dead-letters"), ("HEAD", "/metrics")] {
        assert_eq!(ask(&server, method, path, Some("token-of-publish")).await.status, 403, "{method} {path}");
    }
    assert!(server.worker.told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn who_may_not_changes_nothing() {
    let server = server(Setup::default());
    for (method, path, needs) in NEEDS {
        for role in Role::ALL.into_iter().filter(|role| needs.is_some_and(|needs| needs != *role)) {
            ask(&server, method, path, Some(&format!("token-of-{role}"))).await;
        }
    }
    assert!(server.worker.told.lock().unwrap().is_empty());
    assert!(server.stored().await.is_empty());
}

#[tokio::test]
async fn what_is_nowhere_needs_a_token_but_no_role() {
    let server = server(Setup::default());
    for role in Role::ALL {
        ask(&server, "GET", "/nothing", Some(&format!("token-of-{role}"))).await.problem(404, "not-found");
    }
    ask(&server, "GET", "/nothing", None).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn the_other_name_of_many_changes_needs_the_same_role() {
    let server = server(Setup::default());
    for role in Role::ALL {
        let answer = ask(&server, "POST", "/v1/destinations/batch", Some(&format!("token-of-{role}"))).await;
        assert_eq!(answer.status == 403, role != Role::Admin, "{role}: {answer:?}");
    }
    assert_eq!(ask(&server, "POST", "/v1/destinations/batch", None).await.status, 401);
    // Nothing else is posted to a destination.
    assert_eq!(ask(&server, "POST", "/v1/destinations/batches", Some("token-of-all")).await.status, 405);
}
