//! The `OpenAPI` 3.1 document of the whole HTTP interface.
//!
//! Paths, methods and roles come from the table of routes, errors from the table of problems. What is said of each, and
//! the schemas, are in two files beside this one; tests hold them to the routes and to what goes over the wire.

use crate::operation::Route;
use crate::problem::Kind;
use crate::routes::routes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

const OPERATIONS: &str = include_str!("openapi/operations.json");
const SCHEMAS: &str = include_str!("openapi/schemas.json");

/// What is said of an operation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    id: String,
    tag: String,
    summary: String,
    #[serde(default)]
    description: Option<String>,
    /// Query parameters, each with its schema.
    #[serde(default)]
    query: BTreeMap<String, String>,
    #[serde(default)]
    headers: Vec<String>,
    /// Headers without which it is refused.
    #[serde(default)]
    needs: Vec<String>,
    /// Media types of the body, each with its schema.
    #[serde(default)]
    body: BTreeMap<String, String>,
    /// Whether the answer has an `ETag`.
    #[serde(default)]
    etag: bool,
    /// The media type of the answer; JSON if nothing is said.
    #[serde(default)]
    media: Option<String>,
    /// Statuses, each with the schema of its body.
    answers: BTreeMap<String, Option<String>>,
    /// The kinds of problems beside those that [`problems`] finds by itself.
    #[serde(default)]
    problems: Vec<String>,
    /// Requests that can be sent as they are; a test sends them.
    #[serde(default)]
    examples: BTreeMap<String, Example>,
}

/// A body that can be sent as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    /// The media type, if it is not JSON.
    #[serde(default)]
    media: Option<String>,
    value: Json,
    /// What it is answered.
    status: u16,
}

/// What happens before a request reaches what it is for, where that needs a role.
const AT_THE_DOOR: [Kind; 8] = [
    Kind::BadRequest,
    Kind::TransferCoding,
    Kind::WrongHost,
    Kind::ForeignPage,
    Kind::Unauthorized,
    Kind::Forbidden,
    Kind::TokensUnconfirmed,
    Kind::Overloaded,
];
/// What can be wrong with any body.
const OF_A_BODY: [Kind; 4] = [Kind::Malformed, Kind::BodyBroken, Kind::BodyTimeout, Kind::Invalid];
/// How a store fails.
const OF_THE_STORE: [Kind; 3] = [Kind::StoreRefused, Kind::StoreUnavailable, Kind::OutcomeUnknown];

/// The document: the same one for every process of this version.
///
/// # Panics
/// Never: a test reads the files that it is made from.
#[must_use]
pub fn openapi() -> Json {
    let said: BTreeMap<String, Said> = serde_json::from_str(OPERATIONS).unwrap_or_default();
    let mut paths: BTreeMap<&str, Map<String, Json>> = BTreeMap::new();
    for route in routes() {
        if let Some(said) = said.get(&format!("{} {}", route.method, route.path)) {
            let operation = operation(&route, said);
            paths.entry(route.path).or_default().insert(route.method.to_ascii_lowercase(), operation);
        }
    }
    let schemas: BTreeMap<String, Json> = serde_json::from_str(SCHEMAS).unwrap_or_default();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Laneway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Ordered event delivery. Every error is a problem document (RFC 9457); its type is one of \
                            those of the schema ProblemType. Where the server has tokens, an operation needs one with \
                            the role that x-laneway-role names. A tenant's token opens those that say \
                            x-laneway-tenants, for what is the tenant's; a link to the console those that say \
                            x-laneway-links.",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "http://127.0.0.1:8080" }],
        "paths": paths,
        "components": {
            "schemas": with_patch(with_problem_types(schemas)),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn with_problem_types(mut schemas: BTreeMap<String, Json>) -> BTreeMap<String, Json> {
    let named = |kind: Kind| format!("{}{}", crate::wire::PROBLEM_TYPES, kind.name());
    let told = |kind: Kind| {
        let (title, status) = kind.title_and_status();
        (kind.name().to_owned(), json!({ "title": title, "status": status.as_u16() }))
    };
    let all: Map<String, Json> = Kind::ALL.into_iter().map(told).collect();
    // No enumeration: a client must not fail at a kind that a later version has.
    let schema = json!({
        "type": "string",
        "pattern": format!("^{}[a-z-]+$", crate::wire::PROBLEM_TYPES),
        "description": "What kind of problem it is. More may come.",
        "examples": Kind::ALL.map(named),
        "x-laneway-problems": all,
    });
    schemas.insert("ProblemType".to_owned(), schema);
    if let Some(Json::Object(problem)) = schemas.get_mut("Problem")
        && let Some(Json::Object(properties)) = problem.get_mut("properties")
    {
        properties.insert("type".to_owned(), reference("ProblemType"));
    }
    schemas
}

/// What changes settings has the same ones (RFC 7396): none has to be there, and `null` removes one, at every depth.
fn with_patch(mut schemas: BTreeMap<String, Json>) -> BTreeMap<String, Json> {
    fn patch(schema: &Json) -> Json {
        let Json::Object(said) = schema else { return schema.clone() };
        let mut said = said.clone();
        said.remove("required");
        let or_null = |schema: &Json| json!({ "oneOf": [patch(schema), { "type": "null" }] });
        if let Some(Json::Object(properties)) = said.get_mut("properties") {
            properties.values_mut().for_each(|property| *property = or_null(property));
        }
        if let Some(others @ Json::Object(_)) = said.get_mut("additionalProperties") {
            *others = or_null(others);
        }
        said.into()
    }
    if let Some(settings) = schemas.get("DestinationSettings") {
        let mut patched = patch(settings);
        patched["description"] = "Settings that are to be different; null removes one.".into();
        schemas.insert("SettingsPatch".to_owned(), patched);
    }
    schemas
}

fn operation(route: &Route, said: &Said) -> Json {
    let mut operation = json!({
        "operationId": said.id,
        "tags": [said.tag],
        "summary": said.summary,
        "responses": responses(route, said),
    });
    let parameters = parameters(route, said);
    if let Json::Object(operation) = &mut operation {
        if let Some(description) = &said.description {
            operation.insert("description".to_owned(), description.as_str().into());
        }
        if !parameters.is_empty() {
            operation.insert("parameters".to_owned(), parameters.into());
        }
        if !said.body.is_empty() {
            let content: Map<String, Json> =
                said.body.iter().map(|(media, schema)| (media.clone(), content(media, schema, said))).collect();
            operation.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
        }
        if let Some(role) = route.role {
            // Without tokens nobody is asked for one.
            operation.insert("security".to_owned(), json!([{}, { "token": [] }]));
            operation.insert("x-laneway-role".to_owned(), role.name().into());
            operation.insert("x-laneway-tenants".to_owned(), route.tenants.into());
            operation.insert("x-laneway-links".to_owned(), route.links.into());
        }
    }
    operation
}

/// What a body of that media type is, with examples.
fn content(media: &str, schema: &str, said: &Said) -> Json {
    let mut content = json!({ "schema": reference(schema) });
    let of_this = |example: &Example| example.media.as_deref().unwrap_or("application/json") == media;
    let examples = said.examples.iter().filter(|(_, example)| of_this(example));
    let shown = |(name, example): (&String, &Example)| {
        (name.clone(), json!({ "value": example.value, "x-laneway-status": example.status }))
    };
    let examples: Map<String, Json> = examples.map(shown).collect();
    if !examples.is_empty() {
        content["examples"] = examples.into();
    }
    content
}

fn parameters(route: &Route, said: &Said) -> Vec<Json> {
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| {
        let schema = match name {
            "partition" => "Partition",
            "offset" => "Offset",
            "id" if route.path.contains("/replays/") => "ReplayId",
            "id" => "EventId",
            "tenant" => "Tenant",
            "name" if route.path.starts_with("/v1/tokens") => "TokenName",
            _ => "DestinationName",
        };
        json!({ "name": name, "in": "path", "required": true, "schema": reference(schema) })
    });
    let query = said
        .query
        .iter()
        .map(|(name, schema)| json!({ "name": name, "in": "query", "required": false, "schema": reference(schema) }));
    let header = |name: &String, required: bool| {
        let schema = match name.as_str() {
            "idempotency-key" => "RequestName",
            _ => "EntityTags",
        };
        json!({ "name": name, "in": "header", "required": required, "schema": reference(schema) })
    };
    let needs = said.needs.iter().map(|name| header(name, true));
    let headers = said.headers.iter().map(|name| header(name, false));
    in_path.chain(query).chain(needs).chain(headers).collect()
}

/// The kinds of problems that an operation can answer. (Another method is no operation: 405.)
fn problems(route: &Route, said: &Said) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    let named = |kind: &&Kind| said.problems.iter().any(|name| name == kind.name());
    kinds.extend(Kind::ALL.iter().filter(named));
    if said.problems.iter().any(|name| name == "store") {
        kinds.extend(OF_THE_STORE);
    }
    if route.role.is_some() {
        kinds.extend(AT_THE_DOOR);
    }
    if ["POST", "PUT", "PATCH"].contains(&route.method) {
        kinds.push(Kind::UnsupportedMedia);
    }
    if route.act.is_some() {
        kinds.push(Kind::TooOften);
    }
    if !said.body.is_empty() {
        kinds.extend(OF_A_BODY);
    }
    if route.path.contains('{') || !said.query.is_empty() {
        kinds.push(Kind::Invalid);
    }
    // Each once, in the order in which they are listed everywhere.
    Kind::ALL.into_iter().filter(|kind| kinds.contains(kind)).collect()
}

fn responses(route: &Route, said: &Said) -> Json {
    let media = said.media.as_deref().unwrap_or("application/json");
    let mut all = Map::new();
    for (status, schema) in &said.answers {
        let known = status.parse().ok().and_then(|status| StatusCode::from_u16(status).ok());
        let reason = known.and_then(|status| status.canonical_reason()).unwrap_or_default();
        let mut response = json!({ "description": reason });
        if let Some(schema) = schema {
            response["content"] = json!({ media: { "schema": reference(schema) } });
        }
        if said.etag {
            response["headers"] = json!({
                "ETag": { "required": true, "schema": { "type": "string" }, "description": "The revision, in quotes." }
            });
        }
        all.insert(status.clone(), response);
    }
    let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    for kind in problems(route, said) {
        for status in kind.statuses() {
            by_status.entry(status.as_u16()).or_default().push(kind);
        }
    }
    all.extend(by_status.into_iter().map(|(status, kinds)| (status.to_string(), problem_response(status, &kinds))));
    all.into()
}

/// An answer that says what went wrong. Which kinds it can be is told to machines too.
fn problem_response(status: u16, kinds: &[Kind]) -> Json {
    let said: Vec<String> =
        kinds.iter().map(|kind| format!("{}: {}.", kind.name(), kind.title_and_status().0)).collect();
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    let mut response = json!({
        "description": said.join(" "),
        "x-laneway-problems": names,
        "content": { "application/problem+json": { "schema": reference("Problem") } },
    });
    let header = match StatusCode::from_u16(status) {
        Ok(StatusCode::UNAUTHORIZED) => Some(("WWW-Authenticate", true, json!({ "type": "string" }))),
        Ok(StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) => {
            Some(("Retry-After", false, json!({ "type": "integer", "minimum": 1 })))
        }
        _ => None,
    };
    if let Some((name, required, schema)) = header {
        response["headers"] = json!({ name: { "required": required, "schema": schema } });
    }
    response
}

fn reference(schema: &str) -> Json {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

#[cfg(test)]
mod tests;
