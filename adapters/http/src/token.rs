//! Bearer tokens (RFC 6750): who may hand events in, look, and operate the server.

use crate::problem::{Kind, Problem};
use crate::role::{Role, Roles};
use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq};

/// A token and what it opens. Only its digest is kept, so that it cannot be printed, and so that
/// comparing takes the same time whatever was presented.
#[derive(Clone)]
pub struct Token {
    name: Option<Box<str>>,
    digest: [u8; 32],
    roles: Roles,
}

impl Token {
    /// The token that reads `secret` and has every role; `None` if that is empty or could not be
    /// sent in a header (visible ASCII characters only).
    #[must_use]
    pub fn new(secret: &str) -> Option<Self> {
        let sendable = !secret.is_empty() && secret.bytes().all(|b| b.is_ascii_graphic());
        sendable.then(|| Self { name: None, digest: Sha256::digest(secret.as_bytes()).into(), roles: Roles::ALL })
    }

    /// The same token under a name, and with these roles only.
    #[must_use]
    pub fn named(self, name: &str, roles: Roles) -> Self {
        Self { name: Some(name.into()), roles, ..self }
    }

    /// The name that operators know it by, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What it opens.
    #[must_use]
    pub const fn roles(&self) -> Roles {
        self.roles
    }

    /// Whether both read the same secret: then only one of them can be meant.
    #[must_use]
    pub fn reads_like(&self, other: &Self) -> bool {
        self.digest.ct_eq(&other.digest).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "Token({name}: {})", self.roles),
            None => f.write_str("Token(…)"),
        }
    }
}

/// The tokens of a running server, which can be replaced.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Arc<RwLock<Arc<[Token]>>>);

impl Tokens {
    /// These tokens.
    #[must_use]
    pub fn of(tokens: Vec<Token>) -> Self {
        Self(Arc::new(RwLock::new(tokens.into())))
    }

    /// These tokens from now on. Whether any of them is another one than before.
    pub fn replace(&self, tokens: Vec<Token>) -> bool {
        let after: Arc<[Token]> = tokens.into();
        let before = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), after.clone());
        let same = |(a, b): (&Token, &Token)| a.reads_like(b) && a.name == b.name && a.roles == b.roles;
        before.len() != after.len() || !before.iter().zip(&*after).all(same)
    }

    /// Those that there are now.
    #[must_use]
    pub fn now(&self) -> Arc<[Token]> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl From<Vec<Token>> for Tokens {
    fn from(tokens: Vec<Token>) -> Self {
        Self::of(tokens)
    }
}

/// Whether the address may be listened on: without any token only a loopback address may.
///
/// # Errors
/// Names the address and what to do.
pub fn check_listen(address: SocketAddr, tokens: &[Token]) -> Result<(), String> {
    if !tokens.is_empty() || address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(format!(
        "{address} can be reached from other machines and no token is set, so that anyone there could send events: \
         set server.tokens, or listen on 127.0.0.1"
    ))
}

/// Whether the request's `Authorization` opens what needs the role `needs` (`None`: any known token
/// does). No token at all lets everyone in. Who is not known gets a 401, who lacks the role a 403.
pub(crate) fn authorize(tokens: &[Token], headers: &HeaderMap, needs: Option<Role>) -> Result<(), Box<Problem>> {
    if tokens.is_empty() {
        return Ok(());
    }
    let Some(presented) = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes())) else {
        let what = "this server wants a token: send the header `Authorization: Bearer <token>` with one of \
                    server.tokens or [[server.token]]";
        return Err(Problem::new(Kind::Unauthorized, what).challenged("Bearer realm=\"laneway\""));
    };
    let digest: [u8; 32] = Sha256::digest(presented).into();
    // All of them are compared, so that the time does not tell which one was nearly right.
    let (known, roles) = tokens.iter().fold((Choice::from(0), 0), |(known, roles), token| {
        let same = token.digest.ct_eq(&digest);
        (known | same, roles | u8::conditional_select(&0, &token.roles.bits(), same))
    });
    if !bool::from(known) {
        let what = "the token is not one of server.tokens or [[server.token]]";
        let challenge = "Bearer realm=\"laneway\", error=\"invalid_token\"";
        return Err(Problem::new(Kind::Unauthorized, what).challenged(challenge));
    }
    match needs {
        Some(role) if !Roles::from_bits(roles).has(role) => Err(lacking(role)),
        _ => Ok(()),
    }
}

/// Whose token the request has, for people who read who changed something.
pub(crate) fn who(tokens: &[Token], headers: &HeaderMap) -> String {
    if tokens.is_empty() {
        return "the interface without tokens".to_owned();
    }
    let presented = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes())).unwrap_or_default();
    let digest: [u8; 32] = Sha256::digest(presented).into();
    // It was let in already: which one it is is no secret to whoever has it.
    let same = tokens.iter().find(|token| bool::from(token.digest.ct_eq(&digest)));
    match same.and_then(Token::name) {
        Some(name) => format!("the token {name}"),
        None => "a token of server.tokens".to_owned(),
    }
}

/// RFC 6750, section 3.1: a known token that opens too little.
fn lacking(role: Role) -> Box<Problem> {
    let challenge = match role {
        Role::Publish => "Bearer realm=\"laneway\", error=\"insufficient_scope\", scope=\"publish\"",
        Role::Read => "Bearer realm=\"laneway\", error=\"insufficient_scope\", scope=\"read\"",
        Role::Operate => "Bearer realm=\"laneway\", error=\"insufficient_scope\", scope=\"operate\"",
        Role::Admin => "Bearer realm=\"laneway\", error=\"insufficient_scope\", scope=\"admin\"",
    };
    let what = format!("the token is known, but this needs one with the role \"{role}\"");
    Problem::new(Kind::Forbidden, what).challenged(challenge)
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        headers
    }

    #[test]
    fn any_of_the_tokens_opens_and_nothing_else_does() {
        let tokens = [Token::new("one").unwrap(), Token::new("two").unwrap()];
        for good in ["Bearer one", "bearer two", "BEARER  two "] {
            assert!(authorize(&tokens, &asked(good), Some(Role::Admin)).is_ok(), "{good}");
        }
        for bad in ["Bearer", "Bearer ", "Bearer three", "Bearer on", "Bearer onee", "Basic one", "one"] {
            assert!(authorize(&tokens, &asked(bad), None).is_err(), "{bad}");
        }
        assert!(authorize(&tokens, &HeaderMap::new(), None).is_err());
        assert!(authorize(&[], &HeaderMap::new(), Some(Role::Admin)).is_ok());
    }

    #[test]
    fn a_token_does_not_print_itself() {
        let token = Token::new("very-secret").unwrap();
        assert_eq!(format!("{token:?}"), "Token(…)");
        let named = token.named("shop", Roles::of([Role::Read, Role::Publish]));
        assert_eq!(format!("{named:?}"), "Token(shop: publish, read)");
    }

    #[test]
    fn a_token_that_no_header_could_carry_is_none() {
        assert!(Token::new("").is_none());
        assert!(Token::new("a b").is_none());
        assert!(Token::new("a\n").is_none());
    }

    #[test]
    fn only_loopback_may_be_listened_on_without_a_token() {
        let token = [Token::new("x").unwrap()];
        for (address, open) in [("127.0.0.1:1", true), ("[::1]:1", true), ("0.0.0.0:1", false), ("[::]:1", false)] {
            assert_eq!(check_listen(address.parse().unwrap(), &[]).is_ok(), open, "{address}");
            assert!(check_listen(address.parse().unwrap(), &token).is_ok());
        }
    }
}
