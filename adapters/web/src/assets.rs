//! The console's style, script and sign: part of the binary, and kept by browsers until they change.

use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

const STYLE: &str = include_str!("../assets/console.css");
const SCRIPT: &str = include_str!("../assets/console.js");
const SIGN: &str = include_str!("../assets/laneway.svg");

/// A file.
struct Asset {
    name: &'static str,
    media: &'static str,
    text: &'static str,
}

const ALL: [Asset; 3] = [
    Asset { name: "console.js", media: "text/javascript; charset=utf-8", text: SCRIPT },
    Asset { name: "console.css", media: "text/css; charset=utf-8", text: STYLE },
    Asset { name: "laneway.svg", media: "image/svg+xml", text: SIGN },
];

/// What changes when any of them does.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let digest = ALL.iter().fold(Sha256::new(), |digest, asset| digest.chain_update(asset.text));
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
});

/// Where a file is.
pub(crate) fn path(name: &str) -> String {
    format!("/console/assets/{}/{name}", *VERSION)
}

/// `GET /console/assets/{version}/{name}`.
pub(crate) async fn get(Path((version, name)): Path<(String, String)>) -> Response {
    let found = ALL.iter().find(|asset| asset.name == name);
    let Some(asset) = found.filter(|_| version == *VERSION) else {
        return (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/plain")], "there is no such file")
            .into_response();
    };
    let headers = [(header::CONTENT_TYPE, asset.media), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, asset.text).into_response()
}
