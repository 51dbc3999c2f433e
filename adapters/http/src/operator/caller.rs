//! Who asks, and whose things they may see and change.

use super::no_destination;
use crate::problem::{Kind, Problem};
use crate::shown::Shown;
use crate::token::{Access, Known, maker, whose};
use axum::extract::FromRequestParts;
use http::request::Parts;
use laneway_domain::{DestinationName, InvalidTokenName, LaneKey, Roles, Tenant, TokenDigest, TokenName, TokenRefusal};

/// Who sent a request. The guard before a route finds it out, and handlers read names of destinations through it: so that
/// none can forget whose destination somebody has named.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    by: String,
    access: Access,
    maker: (Box<str>, TokenDigest),
}

impl Caller {
    /// Whose request it is, whose token opens that.
    pub(crate) fn of(tokens: &Known, parts: &Parts, access: Access) -> Self {
        let presented = Shown::of(parts).presented(tokens);
        Self { by: whose(tokens, presented), access, maker: maker(tokens, presented) }
    }

    /// Their name, for people who read who changed something.
    pub(crate) fn by(&self) -> &str {
        &self.by
    }

    /// Who has done something, as they may be told it: how operators call their tokens is none of a tenant's business.
    pub(crate) fn told_of(&self, tokens: &Known, by: String) -> String {
        let Some(tenant) = self.tenant() else { return by };
        let (is_link, token) = by.strip_prefix("a link of ").map_or((false, &*by), |token| (true, token));
        let is_own = token.strip_prefix("the token ").is_some_and(|name| tokens.is_of_tenant(name, tenant));
        match (is_own, is_link) {
            (true, _) => by,
            (false, true) => "a link of the operator".to_owned(),
            (false, false) => "the operator".to_owned(),
        }
    }

    /// The tenant whose things are all that they see; `None`: an operator, who sees everybody's.
    pub(crate) fn tenant(&self) -> Option<&Tenant> {
        self.access.tenant.as_ref()
    }

    /// What they may do.
    pub(crate) fn roles(&self) -> Roles {
        self.access.roles
    }

    /// The name of their token, empty for one of `server.tokens`; and what it is recognised by.
    pub(crate) fn maker(&self) -> (Box<str>, TokenDigest) {
        self.maker.clone()
    }

    /// The name of a token that they mean by `text`. A tenant means one of its own, with its own name before it or not.
    ///
    /// # Errors
    /// If that can be no name, about `field`. Another's token is not there, as far as a tenant can tell.
    pub(crate) fn token(&self, text: &str, field: &str) -> Result<TokenName, Box<Problem>> {
        let wrong = |error: InvalidTokenName| Problem::new(Kind::Invalid, error.to_string()).about(field);
        let read = TokenName::new(text).map_err(wrong)?;
        match self.tenant() {
            None => Ok(read),
            Some(tenant) if read.is_of(Some(tenant)) => Ok(read),
            Some(_) if read.tenant().is_some() => {
                Err(Problem::from_token_admin(&TokenRefusal::Unknown(read).into()).about(field))
            }
            Some(tenant) => TokenName::of(tenant, read.as_str()).map_err(wrong),
        }
    }

    /// The destination that they mean by `name`. A tenant means one of its own, with its own name before it or not.
    ///
    /// # Errors
    /// If that can be no name. Another's destination is not there, as far as a tenant can tell.
    pub(crate) fn destination(&self, name: &str) -> Result<DestinationName, Box<Problem>> {
        let read = DestinationName::new(name)
            .map_err(|error| Problem::new(Kind::Invalid, error.to_string()).about("destination"))?;
        self.own(read)
    }

    /// The same of a name that can be one.
    pub(crate) fn own(&self, name: DestinationName) -> Result<DestinationName, Box<Problem>> {
        match self.tenant() {
            None => Ok(name),
            Some(tenant) if name.is_of(Some(tenant)) => Ok(name),
            Some(_) if name.tenant().is_some() => Err(no_destination(&name)),
            Some(tenant) => DestinationName::of(tenant, name.as_str())
                .map_err(|error| Problem::new(Kind::Invalid, error.to_string()).about("destination")),
        }
    }

    /// Whether they may see a destination.
    pub(crate) fn sees(&self, name: &DestinationName) -> bool {
        self.tenant().is_none() || name.is_of(self.tenant())
    }

    /// The key of a destination's lane that they mean by `text`: as the status lists it, or at a tenant's destination
    /// also without the tenant, as `key:<key>`.
    pub(crate) fn lane_key(&self, destination: &DestinationName, text: &str) -> Option<LaneKey> {
        let read = LaneKey::parse(text)?;
        Some(match (read, destination.tenant()) {
            (LaneKey::Key(key), Some(tenant)) => LaneKey::Tenant(tenant, key),
            (other, _) => other,
        })
    }
}

/// Whose keys are meant at a destination: those of its tenant or, at an operator's, of whom somebody says.
///
/// # Errors
/// If somebody says another tenant than the destination's: its events never come there, and are none of its business.
pub(crate) fn keys_of(destination: &DestinationName, said: Option<Tenant>) -> Result<Option<Tenant>, Box<Problem>> {
    match (destination.tenant(), said) {
        (Some(own), Some(said)) if own != said => {
            let what =
                format!("the tenant is {:?}, and {destination} gets events of its own tenant only", said.as_str());
            Err(Problem::new(Kind::Conflict, what).about("/tenant"))
        }
        (own, said) => Ok(own.or(said)),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Box<Problem>;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Box<Problem>> {
        // Each route that has a role has a guard, which puts it there.
        let missing = || Problem::new(Kind::Unauthorized, "it is not known who asks");
        parts.extensions.get::<Self>().cloned().ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{Token, Tokens};
    use laneway_domain::Key;

    #[test]
    fn at_a_tenants_destination_nobody_chooses_keys_of_another() {
        let tenant = |name: &str| Some(Tenant::new(name).unwrap());
        let name = |text: &str| DestinationName::new(text).unwrap();
        assert_eq!(keys_of(&name("acme:x"), None).unwrap(), tenant("acme"));
        assert_eq!(keys_of(&name("acme:x"), tenant("acme")).unwrap(), tenant("acme"));
        assert_eq!(keys_of(&name("x"), tenant("b")).unwrap(), tenant("b"));
        assert_eq!(keys_of(&name("x"), None).unwrap(), None);
        assert_eq!(keys_of(&name("acme:x"), tenant("b")).unwrap_err().status().as_u16(), 409);
    }

    fn caller(tenant: Option<&str>) -> Caller {
        let tenant = tenant.map(|tenant| Tenant::new(tenant).unwrap());
        let access = Access { roles: Roles::ALL, tenant, until: None };
        Caller { by: "the token x".into(), access, maker: ("x".into(), TokenDigest([0; 32])) }
    }

    #[test]
    fn a_tenant_is_not_told_how_operators_call_their_tokens() {
        let token = |name: &str| Token::new(&format!("secret-of-{name}")).unwrap().named(name, Roles::ALL);
        let shop = token("shop").of_tenant(Tenant::new("acme").unwrap());
        let tokens = Tokens::of(vec![token("boss"), shop]).now();
        let told = |by: &str| caller(Some("acme")).told_of(&tokens, by.to_owned());
        for own in
            ["the token shop", "the token acme:till", "a link of the token shop", "a link of the token acme:till"]
        {
            assert_eq!(told(own), own);
        }
        for other in
            ["the token boss", "the token gone", "the token b:x", "a token of server.tokens", "laneway, since x"]
        {
            assert_eq!(told(other), "the operator", "{other}");
            assert_eq!(caller(None).told_of(&tokens, other.to_owned()), other);
        }
        for other in ["a link of the token boss", "a link of a token of server.tokens"] {
            assert_eq!(told(other), "a link of the operator", "{other}");
        }
    }

    #[test]
    fn a_tenant_means_its_own_tokens() {
        let (acme, operator) = (caller(Some("acme")), caller(None));
        let meant = |caller: &Caller, text| match caller.token(text, "name") {
            Ok(name) => Ok(name.to_string()),
            Err(problem) => Err(problem.status().as_u16()),
        };
        for (said, of_acme) in
            [("shop", Ok("acme:shop")), ("acme:shop", Ok("acme:shop")), ("b:x", Err(404)), ("Shop", Err(422))]
        {
            assert_eq!(meant(&acme, said), of_acme.map(str::to_owned), "{said}");
            assert_eq!(meant(&operator, said), if said == "Shop" { Err(422) } else { Ok(said.to_owned()) });
        }
    }

    #[test]
    fn a_tenant_means_its_own_destinations_and_sees_no_others() {
        let (acme, operator) = (caller(Some("acme")), caller(None));
        let name = |text: &str| DestinationName::new(text).unwrap();
        for (said, of_acme) in
            [("billing", Some("acme:billing")), ("acme:billing", Some("acme:billing")), ("b:x", None)]
        {
            assert_eq!(operator.destination(said).unwrap(), name(said));
            match (acme.destination(said), of_acme) {
                (Ok(meant), Some(own)) => assert_eq!(meant, name(own)),
                (Err(problem), None) => assert_eq!((problem.kind, problem.status().as_u16()), (Kind::NotFound, 404)),
                (other, _) => panic!("{said}: {other:?}"),
            }
        }
        assert!(acme.destination("Billing").is_err() && operator.destination("Billing").is_err());
        for (destination, seen) in [("acme:billing", true), ("b:billing", false), ("acme", false), ("acme2:b", false)] {
            assert_eq!((acme.sees(&name(destination)), operator.sees(&name(destination))), (seen, true));
        }
        let key = Key::new("k").unwrap();
        let (own, tenants) = (LaneKey::Key(key.clone()), LaneKey::Tenant(Tenant::new("acme").unwrap(), key));
        assert_eq!(operator.lane_key(&name("billing"), "key:k"), Some(own));
        assert_eq!(operator.lane_key(&name("acme:billing"), "key:k"), Some(tenants.clone()));
        assert_eq!(acme.lane_key(&name("acme:billing"), "tenant:acme:k"), Some(tenants));
        assert_eq!(acme.lane_key(&name("acme:billing"), "all"), Some(LaneKey::All));
    }
}
