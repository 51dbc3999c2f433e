//! Lists that a server gives page by page.

use super::client::Client;
use super::{Failure, output};
use serde::de::DeserializeOwned;

/// The most of one page; what the server gives at once.
const PAGE: usize = 1_000;

/// What a page has: its items, what asks for the next one, and what is missing on it.
pub(super) type Parts<T> = (Vec<T>, Option<String>, Vec<String>);

/// All items of the list at `path`, of those that `asked` chooses. What is missing is told.
pub(super) async fn all<P: DeserializeOwned, T>(
    client: &Client,
    path: &str,
    asked: &[(&str, &str)],
    parts: impl Fn(P) -> Parts<T>,
) -> Result<Vec<T>, Failure> {
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &PAGE.to_string());
        query.extend_pairs(asked);
        query.extend_pairs(after.as_ref().map(|after| ("after", after)));
        let (items, next, incomplete) = parts(client.get(&format!("{path}?{}", query.finish())).await?);
        all.extend(items);
        incomplete.iter().for_each(|what| output::note(&output::clean(what)));
        match next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}
