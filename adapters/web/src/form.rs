//! Forms that were sent: bounded, and only such as this server has made for this browser.

use crate::csrf;
use crate::failed::Failed;
use crate::held::Share;
use crate::interface::problem;
use crate::site::Site;
use crate::visit::Visit;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::BytesMut;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use laneway_http::wire::Problem;
use std::sync::Arc;
use tokio::time::timeout;

/// The most bytes of a form; those with the data of an event have a bound of their own.
const MOST_BYTES: usize = 256 * 1024;
/// The most bytes of a form of somebody who is not known: one that signs in, with room to spare.
const MOST_OF_STRANGERS: usize = 16 * 1024;
/// The most fields of a form: a page of rows that are chosen, with room to spare.
const MOST_FIELDS: usize = 2_000;

/// How many bytes of a form a byte of what it holds takes at most: `%0A`.
const ESCAPED: usize = 3;

/// The fields of a form, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// One with these fields.
    pub(crate) const fn new(fields: Vec<(String, String)>) -> Self {
        Self(fields)
    }

    /// The same with one more.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Whether there is a field of that name, be it empty.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// All fields of that name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The first field of that name; empty if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// What stands in a query.
    pub(crate) fn of_query(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().take(MOST_FIELDS).collect())
    }

    fn read(bytes: &[u8]) -> Result<Self, Box<Problem>> {
        let fields: Vec<_> = form_urlencoded::parse(bytes).into_owned().take(MOST_FIELDS + 1).collect();
        if fields.len() > MOST_FIELDS {
            let what = format!("The form has more than {MOST_FIELDS} fields.");
            return Err(problem("body-too-large", 413, "The form is too large", &what));
        }
        Ok(Self(fields))
    }
}

/// A form that may be acted upon.
pub(crate) struct Posted(pub(crate) Form);

impl FromRequest<Arc<Site>> for Posted {
    type Rejection = Failed;

    async fn from_request(request: Request, site: &Arc<Site>) -> Result<Self, Failed> {
        Ok(Self(received(site, request, MOST_BYTES).await?))
    }
}

/// The same with the data of an event in it, which is bounded as the interface bounds it.
pub(crate) struct PostedEvent(pub(crate) Form);

impl FromRequest<Arc<Site>> for PostedEvent {
    type Rejection = Failed;

    async fn from_request(request: Request, site: &Arc<Site>) -> Result<Self, Failed> {
        // What is beyond the event's own bound is for the interface to refuse, with its words.
        let most = site.api.limits.now().event_bytes.saturating_mul(ESCAPED).saturating_add(MOST_BYTES);
        Ok(Self(received(site, request, most).await?))
    }
}

async fn received(site: &Site, request: Request, most: usize) -> Result<Form, Box<Problem>> {
    let (parts, body) = request.into_parts();
    let visit = parts.extensions.get::<Visit>().ok_or_else(|| problem("console", 500, "Nobody is known", ""))?;
    if visit.is_of_another_site {
        return Err(foreign("The browser says that another site's page has sent this."));
    }
    if !is_form(&parts.headers) {
        let what = "The console takes what its own forms send. Programs use the interface: /openapi.json describes it.";
        return Err(problem("unsupported-media-type", 415, "This is not a form", what));
    }
    let limits = site.api.limits.now();
    let (mut share, most) = match &visit.visitor {
        Some(_) => (site.held.of_known(limits.buffered_bytes), most),
        None => (site.held.of_stranger(), most.min(MOST_OF_STRANGERS)),
    };
    let late = |_| problem("body-timeout", 408, "The form took too long", "It did not come in completely in time.");
    let bytes = timeout(limits.body_timeout, collected(body, most, &mut share)).await.map_err(late)??;
    let form = Form::read(&bytes)?;
    // A new browser has no page of ours yet.
    if visit.is_new || !site.forms.is_ours(&visit.cookie, form.get(csrf::FIELD)) {
        return Err(foreign(
            "The form was not made for this browser, or Laneway was restarted since. Nothing was done. Load the page \
             again, and repeat what you did.",
        ));
    }
    Ok(form)
}

/// All of a form, as far as there is room for it.
async fn collected(body: Body, most: usize, share: &mut Share<'_>) -> Result<BytesMut, Box<Problem>> {
    let (mut body, mut all) = (Limited::new(body, most), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|error| unreceived(&*error, most))?.into_data() else { continue };
        share.grow(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

fn is_form(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = given.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn foreign(what: &str) -> Box<Problem> {
    problem("foreign-page", 403, "This form cannot be used", what)
}

fn unreceived(error: &(dyn std::error::Error + 'static), most: usize) -> Box<Problem> {
    if error.is::<LengthLimitError>() {
        let what = format!("At most {} are taken.", crate::show::size(most as u64));
        return problem("body-too-large", 413, "The form is too large", &what);
    }
    problem("body-broken", 400, "The form could not be received", &error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_too_many_are_refused() {
        let form = Form::read(b"a=1&b=%3Cscript%3E+x&a=2&c").unwrap();
        assert_eq!((form.get("a"), form.get("b"), form.get("c"), form.get("d")), ("1", "<script> x", "", ""));
        assert_eq!(Form::read("a=1&".repeat(MOST_FIELDS).as_bytes()).unwrap().0.len(), MOST_FIELDS);
        assert_eq!(Form::read("a=1&".repeat(MOST_FIELDS + 1).as_bytes()).unwrap_err().status, 413);
        // What is no UTF-8 is shown as such.
        assert_eq!(Form::read(b"a=%ff").unwrap().get("a"), "\u{fffd}");
    }

    #[test]
    fn only_forms_are_forms() {
        let of = |value: &str| HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]);
        assert!(is_form(&of("application/x-www-form-urlencoded; charset=UTF-8")));
        for other in ["application/json", "multipart/form-data", "text/plain", ""] {
            assert!(!is_form(&of(other)), "{other}");
        }
        assert!(!is_form(&HeaderMap::new()));
    }
}
