//! What another interface of the same server asks before it answers, by the same rules as this one: the console's pages.

use crate::door::{self, Asked};
use crate::hosts::Hosts;
use crate::presented::Presented;
use crate::token::{Known, has, opened, over, whose};
use crate::wire;
use http::request::Parts;
use laneway_domain::{LinkOver, Role, Roles, Tenant, Timestamp};

/// Whether a request is one that HTTP allows and, where there are no tokens, is meant for this machine and comes from
/// none of another's pages. The token, if one is needed, is [`Visitor::of`]'s business.
///
/// # Errors
/// Says what is wrong with it.
pub fn admit(parts: &Parts, hosts: &Hosts, tokens: &Known) -> Result<(), Box<wire::Problem>> {
    door::admit(&Asked::of(parts), hosts, tokens).map_err(|problem| Box::new(problem.body))
}

/// The mark of a request that the console makes within the process, so as to show a page. No request from outside has
/// it: it is no header. What a tenant's pages look up is counted by itself, so that none of them uses up what its
/// programs may.
#[derive(Clone, Copy, Debug)]
pub struct ForPage;

/// Somebody whom the server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    roles: Roles,
    tenant: Option<Tenant>,
    until: Option<Timestamp>,
    who: String,
}

impl Visitor {
    /// Who has this token now, or this link's secret; everyone where the server asks for none. No text is a
    /// certificate's.
    ///
    /// # Errors
    /// 401 if there is no such token (any more), 503 if that cannot be found out now.
    pub fn of(tokens: &Known, token: Option<&[u8]>) -> Result<Self, Box<wire::Problem>> {
        let token = token.map(Presented::Bearer);
        let access = opened(tokens, token).map_err(|problem| Box::new(problem.body))?;
        Ok(Self { roles: access.roles, tenant: access.tenant, until: access.until, who: whose(tokens, token) })
    }

    /// Whether a link is none any more, and why; `None` if it stands, or nobody has ever made it.
    ///
    /// # Errors
    /// 503 if that cannot be found out now.
    pub fn over(tokens: &Known, link: &[u8]) -> Result<Option<LinkOver>, Box<wire::Problem>> {
        over(tokens, Presented::Bearer(link)).map_err(|problem| Box::new(problem.body))
    }

    /// Whoever came by a link: until when it lasts. They may not make what would outlast it.
    #[must_use]
    pub const fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// What they may do.
    #[must_use]
    pub const fn roles(&self) -> Roles {
        self.roles
    }

    /// Whose things they may see and change: this tenant's only, or `None`, everybody's.
    #[must_use]
    pub const fn tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref()
    }

    /// Their name, for people: `the token shop`.
    #[must_use]
    pub fn who(&self) -> &str {
        &self.who
    }

    /// Whether they may do what needs `role`.
    ///
    /// # Errors
    /// 403, as the HTTP interface answers.
    pub fn needs(&self, role: Role) -> Result<(), Box<wire::Problem>> {
        has(self.roles, role).map_err(|problem| Box::new(problem.body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{Token, Tokens};

    #[test]
    fn no_text_passes_for_a_certificate() {
        let boss = Token::of_certificate("boss.internal").named("boss", Roles::ALL);
        let tokens = Tokens::of(vec![boss]).now();
        for text in ["\0certificate\0boss.internal", "boss.internal", "certificate boss.internal", "\0", "é"] {
            assert_eq!(Visitor::of(&tokens, Some(text.as_bytes())).unwrap_err().status, 401, "{text:?}");
            assert_eq!(Visitor::over(&tokens, text.as_bytes()).unwrap(), None);
        }
    }

    #[test]
    fn a_visitor_has_what_the_token_opens_and_nothing_once_it_is_gone() {
        let shop = || Token::new("shop-token-of-some-length").unwrap().named("shop", Roles::of([Role::Read]));
        let tokens = Tokens::of(vec![shop()]);
        let visitor = Visitor::of(&tokens.now(), Some(b"shop-token-of-some-length")).unwrap();
        assert_eq!((visitor.who(), visitor.roles()), ("the token shop", Roles::of([Role::Read])));
        assert!(visitor.needs(Role::Read).is_ok());
        assert_eq!(visitor.needs(Role::Admin).unwrap_err().status, 403);
        for other in [None, Some(&b""[..]), Some(b"shop-token-of-some-lengtH")] {
            assert_eq!(Visitor::of(&tokens.now(), other).unwrap_err().status, 401);
        }
        tokens.replace(vec![Token::new("another-token-of-some-length").unwrap()]);
        assert_eq!(Visitor::of(&tokens.now(), Some(b"shop-token-of-some-length")).unwrap_err().status, 401);
        tokens.replace(Vec::new());
        assert_eq!(Visitor::of(&tokens.now(), None).unwrap().roles(), Roles::ALL);
    }
}
