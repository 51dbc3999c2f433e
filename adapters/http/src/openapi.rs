//! The `OpenAPI` 3.1 document of the whole HTTP interface.
//!
//! Paths, methods and roles come from the table of routes, errors from the table of problems. What is said of each, and
//! the schemas, are in two files beside this one; tests hold them to the routes and to what goes over the wire.

use crate::problem::Kind;
use crate::routes::{Route, routes};
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
    /// Media types of the body, each with its schema.
    #[serde(default)]
    body: BTreeMap<String, String>,
    /// Whether the body may be left out.
    #[serde(default)]
    optional: bool,
    /// Whether the answer has an `ETag`.
    #[serde(default)]
    etag: bool,
    /// The media type of the answer; JSON if nothing is said.
    #[serde(default)]
    media: Option<String>,
    /// Statuses, each with the schema of its body.
    answers: BTreeMap<String, Option<String>>,
}

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
                            the role that x-laneway-role names.",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "http://127.0.0.1:8080" }],
        "paths": paths,
        "components": {
            "schemas": with_problem_types(schemas),
            "responses": { "Problem": problem_response() },
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn with_problem_types(mut schemas: BTreeMap<String, Json>) -> BTreeMap<String, Json> {
    let facts = |kind: Kind| {
        let (title, status) = kind.title_and_status();
        let name = format!("{}{}", crate::wire::PROBLEM_TYPES, kind.name());
        json!({ "const": name, "title": title, "description": format!("{}: {title}", status.as_u16()) })
    };
    let all: Vec<Json> = Kind::ALL.into_iter().map(facts).collect();
    schemas.insert("ProblemType".to_owned(), json!({ "oneOf": all }));
    if let Some(Json::Object(problem)) = schemas.get_mut("Problem")
        && let Some(Json::Object(properties)) = problem.get_mut("properties")
    {
        properties.insert("type".to_owned(), reference("ProblemType"));
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
            let content: Map<String, Json> = said
                .body
                .iter()
                .map(|(media, schema)| (media.clone(), json!({ "schema": reference(schema) })))
                .collect();
            operation.insert("requestBody".to_owned(), json!({ "required": !said.optional, "content": content }));
        }
        if let Some(role) = route.role {
            // Without tokens nobody is asked for one.
            operation.insert("security".to_owned(), json!([{}, { "token": [] }]));
            operation.insert("x-laneway-role".to_owned(), role.name().into());
        }
    }
    operation
}

fn parameters(route: &Route, said: &Said) -> Vec<Json> {
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| {
        let schema = match name {
            "partition" => "Partition",
            "offset" => "Offset",
            "name" if route.path.starts_with("/v1/tokens") => "TokenName",
            _ => "DestinationName",
        };
        json!({ "name": name, "in": "path", "required": true, "schema": reference(schema) })
    });
    let query = said
        .query
        .iter()
        .map(|(name, schema)| json!({ "name": name, "in": "query", "required": false, "schema": reference(schema) }));
    let headers = said
        .headers
        .iter()
        .map(|name| json!({ "name": name, "in": "header", "required": false, "schema": { "type": "string" } }));
    in_path.chain(query).chain(headers).collect()
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
            response["headers"] =
                json!({ "ETag": { "schema": { "type": "string" }, "description": "The revision, in quotes." } });
        }
        all.insert(status.clone(), response);
    }
    if route.role.is_some() {
        for status in ["401", "403"] {
            all.insert(status.to_owned(), json!({ "$ref": "#/components/responses/Problem" }));
        }
    }
    all.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Problem" }));
    all.into()
}

fn problem_response() -> Json {
    json!({
        "description": "What happened, and what to do.",
        "content": { "application/problem+json": { "schema": reference("Problem") } },
    })
}

fn reference(schema: &str) -> Json {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

#[cfg(test)]
mod tests;
