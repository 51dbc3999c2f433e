//! What a request shows of who sends it: its token, or the certificate of its client.

use crate::presented::Presented;
use crate::problem::Problem;
use crate::token::{Access, Known, Token, has, opened};
use http::request::Parts;
use http::{Extensions, HeaderMap, header};
use laneway_domain::Role;
use laneway_tls::Names;
use std::sync::Arc;

/// What a request shows of who sends it. A token is what counts, if there is one.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    headers: &'a HeaderMap,
    /// Where the names of a client's certificate are, if it has shown one.
    extensions: Option<&'a Extensions>,
}

impl<'a> Shown<'a> {
    pub(crate) fn of(parts: &'a Parts) -> Self {
        Self { headers: &parts.headers, extensions: Some(&parts.extensions) }
    }

    #[cfg(test)]
    pub(crate) const fn headers_only(headers: &'a HeaderMap) -> Self {
        Self { headers, extensions: None }
    }

    /// The token that is presented: of the names of a certificate that which opens something, or else the first.
    pub(crate) fn presented(&self, tokens: &Known) -> Option<Presented<'a>> {
        if let Some(value) = self.headers.get(header::AUTHORIZATION) {
            return bearer(value.as_bytes()).map(Presented::Bearer);
        }
        let names = || Some(self.extensions?.get::<Arc<Names>>()?.iter().map(Presented::Certificate));
        let is_known = |name: &Presented<'_>| {
            let digest = name.digest();
            let reads = |token: &Token| bool::from(token.reads(name.is_certificate(), &digest));
            tokens.of_file().iter().any(reads)
        };
        names()?.find(is_known).or_else(|| names()?.next())
    }

    /// What it opens.
    pub(crate) fn opens(&self, tokens: &Known) -> Result<Access, Box<Problem>> {
        opened(tokens, self.presented(tokens))
    }
}

/// Whether what the request shows (its `Authorization`, or its client's certificate) opens what needs the role `needs`
/// (`None`: any known token does), and whose things. No token in the file lets everyone in. Who is not known gets a
/// 401, who lacks the role a 403, and who has a token of the HTTP interface that nobody can confirm a 503.
pub(crate) fn authorize(tokens: &Known, shown: Shown<'_>, needs: Option<Role>) -> Result<Access, Box<Problem>> {
    let access = shown.opens(tokens)?;
    needs.map_or(Ok(()), |role| has(access.roles, role))?;
    Ok(access)
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{Token, Tokens};
    use laneway_domain::Roles;
    use laneway_tls::Authority;

    #[test]
    fn a_certificate_is_somebody_and_a_token_counts_before_it() {
        let token = Token::new("a-token-of-some-length").unwrap().named("ops", Roles::ALL);
        let shop = Token::of_certificate("Shop.Internal").named("shop", Roles::of([Role::Publish]));
        let tokens = Tokens::of(vec![token, shop]).now();
        let authority = Authority::new();
        let parts = |hosts: &[&str], authorization: Option<&str>| {
            let mut request = http::Request::builder().uri("/v1/events");
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            parts.extensions.insert(Arc::new(authority.names(hosts)));
            parts
        };
        let roles = |hosts: &[&str], authorization| {
            Shown::of(&parts(hosts, authorization)).opens(&tokens).map(|access| access.roles).ok()
        };
        assert_eq!(roles(&["shop.internal"], None), Some(Roles::of([Role::Publish])));
        assert_eq!(roles(&["a.example", "shop.internal"], None), Some(Roles::of([Role::Publish])));
        assert_eq!(roles(&["other.internal"], None), None);
        assert_eq!(roles(&[], None), None);
        assert_eq!(roles(&["shop.internal"], Some("Bearer a-token-of-some-length")), Some(Roles::ALL));
        // A wrong token is not made good by a certificate, and no text of a header is one.
        assert_eq!(roles(&["shop.internal"], Some("Bearer wrong")), None);
        assert_eq!(roles(&[], Some("Bearer certificate shop.internal")), None);
        let refused = Shown::of(&parts(&["other.internal"], None)).opens(&tokens).unwrap_err();
        assert!(refused.body.detail.contains("other.internal"), "{refused:?}");
    }
}
