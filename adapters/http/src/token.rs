//! Bearer tokens (RFC 6750): who may hand events in, look, and operate the server.

use crate::link::{LINK_PREFIX, LinkKey, Opened, Signed};
use crate::presented::{Presented, is_sendable};
use crate::problem::{Kind, Problem};
use laneway_domain::{Link, LinkOver, Links, Role, Roles, Tenant, Timestamp, TokenDigest, TokenName};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq};
use tokio::time::Instant;

/// A token and what it opens. Only its digest is kept, so that it cannot be printed, and so that
/// comparing takes the same time whatever was presented.
#[derive(Clone)]
pub struct Token {
    name: Option<Box<str>>,
    /// Whether it is somebody's who shows a certificate of that name, and nobody's who sends a text.
    is_certificate: bool,
    digest: TokenDigest,
    roles: Roles,
    tenant: Option<Tenant>,
}

impl Token {
    /// The token that reads `secret` and has every role; `None` if that is empty or could not be
    /// sent in a header (visible ASCII characters only).
    #[must_use]
    pub fn new(secret: &str) -> Option<Self> {
        is_sendable(secret.as_bytes()).then(|| Self::shown_as(Presented::Bearer(secret.as_bytes())))
    }

    /// Whoever has a client certificate of this name, which TLS has verified: with every role.
    #[must_use]
    pub fn of_certificate(name: &str) -> Self {
        Self::shown_as(Presented::Certificate(&laneway_tls::plain_name(name)))
    }

    fn shown_as(presented: Presented<'_>) -> Self {
        let (is_certificate, digest) = (presented.is_certificate(), presented.digest());
        Self { name: None, is_certificate, digest, roles: Roles::ALL, tenant: None }
    }

    /// The same token under a name, and with these roles only.
    #[must_use]
    pub fn named(self, name: &str, roles: Roles) -> Self {
        Self { name: Some(name.into()), roles, ..self }
    }

    /// The same token for what is this tenant's only.
    #[must_use]
    pub fn of_tenant(self, tenant: Tenant) -> Self {
        Self { tenant: Some(tenant), ..self }
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

    /// Whose it is: it opens only what is this tenant's. `None`: it opens everybody's.
    #[must_use]
    pub const fn tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref()
    }

    /// Whether it is the one that is recognised by this, of what is shown in that way.
    pub(crate) fn reads(&self, is_certificate: bool, digest: &TokenDigest) -> Choice {
        let same_kind = Choice::from(u8::from(self.is_certificate == is_certificate));
        same_kind & self.digest.0.ct_eq(&digest.0)
    }

    /// Whether both read the same secret: then only one of them can be meant.
    #[must_use]
    pub fn reads_like(&self, other: &Self) -> bool {
        self.reads(other.is_certificate, &other.digest).into()
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

/// How every token begins that is made over the HTTP interface: people and scanners for leaked secrets recognise it.
pub const TOKEN_PREFIX: &str = "lwt_";

/// How long tokens of the HTTP interface are taken without anybody having confirmed that they still stand. A revoked
/// one opens something for at most so long, where the store cannot be asked.
pub const CONFIRMED_FOR: Duration = Duration::from_secs(5);

/// A token that was made over the HTTP interface.
#[derive(Clone, Debug)]
struct Made {
    name: TokenName,
    roles: Roles,
}

/// All tokens at a moment.
#[derive(Clone, Debug)]
pub struct Known {
    file: Arc<[Token]>,
    /// Those that are made over the HTTP interface.
    ///
    /// They are looked up by the digest of what was presented. How long that takes tells nothing of a token: nobody can
    /// choose the digest of a text.
    made: Arc<HashMap<TokenDigest, Made>>,
    /// Their digests, by name.
    digests: Arc<HashMap<TokenName, TokenDigest>>,
    /// How links are read; `None` if there can be none here.
    links: Option<Arc<Signed>>,
    confirmed: Arc<Confirmed>,
}

/// When it was last confirmed that the tokens of the HTTP interface stand.
#[derive(Debug)]
struct Confirmed {
    began: Instant,
    /// Milliseconds after `began`; [`Confirmed::NEVER`], or [`Confirmed::NOBODY_ASKS`].
    at: AtomicU64,
    /// What the store's clock said when this process began, as far as the last look tells. By that clock links expire, so
    /// that they do in all processes at the same moment, whatever their own clocks say.
    clock_at_beginning: AtomicU64,
}

impl Confirmed {
    /// Nobody has confirmed them yet.
    const NEVER: u64 = u64::MAX - 1;
    /// There can be none: nobody follows them.
    const NOBODY_ASKS: u64 = u64::MAX;

    /// Whether they may be taken now.
    fn stands(&self) -> bool {
        match self.at.load(Ordering::Relaxed) {
            Self::NOBODY_ASKS => true,
            Self::NEVER => false,
            at => self.began.elapsed() <= Duration::from_millis(at) + CONFIRMED_FOR,
        }
    }

    /// The store's clock.
    fn clock(&self) -> Timestamp {
        Timestamp::from_millis(self.clock_at_beginning.load(Ordering::Relaxed)).after(self.began.elapsed())
    }
}

/// A link that was made here, and whether it still stands.
type FoundLink = (Link, Result<(), LinkOver>);

impl Known {
    /// Those of the configuration file.
    #[must_use]
    pub fn of_file(&self) -> &[Token] {
        &self.file
    }

    /// How many tokens of the HTTP interface there are.
    #[must_use]
    pub fn count_made(&self) -> usize {
        self.made.len()
    }

    /// Whether everyone is let in: the file has no token.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.file.is_empty()
    }

    /// Whether there are tokens, and none of them may change destinations and tokens: only the file can help then.
    #[must_use]
    pub fn lacks_an_admin(&self) -> bool {
        let of_operators = self.made.values().filter(|made| made.name.tenant().is_none());
        let made = of_operators.filter(|made| !self.hides(&made.name)).map(|made| made.roles);
        let of_operators = self.file.iter().filter(|token| token.tenant.is_none());
        let roles = of_operators.map(Token::roles).chain(made);
        !self.is_open() && !roles.into_iter().any(|roles| roles.has(Role::Admin))
    }

    /// Whether the file has a token of that name. Then one of the HTTP interface does not count: what the file says of
    /// a name is what its reader sees.
    fn hides(&self, name: &TokenName) -> bool {
        self.file.iter().any(|token| token.name() == Some(name.as_str()))
    }

    /// The tokens of the HTTP interface that do not count, since the file has one of the name.
    #[must_use]
    pub fn hidden(&self) -> BTreeSet<TokenName> {
        self.made.values().map(|made| &made.name).filter(|name| self.hides(name)).cloned().collect()
    }

    /// Whether a token of that name is this tenant's; of one that is gone, its name says so.
    pub(crate) fn is_of_tenant(&self, name: &str, tenant: &Tenant) -> bool {
        match self.file.iter().find(|token| token.name() == Some(name)) {
            Some(token) => token.tenant() == Some(tenant),
            None => TokenName::new(name).is_ok_and(|name| name.is_of(Some(tenant))),
        }
    }

    /// The token of the HTTP interface that reads `presented`, if there is one.
    fn made(&self, presented: Presented<'_>, digest: &TokenDigest) -> Result<Option<&Made>, Box<Problem>> {
        if !presented.text().is_some_and(|text| text.starts_with(TOKEN_PREFIX.as_bytes())) {
            return Ok(None);
        }
        self.confirmed()?;
        Ok(self.made.get(digest).filter(|made| !self.hides(&made.name)))
    }

    /// Whether what is known of the HTTP interface's tokens and links can be taken for what there is.
    fn confirmed(&self) -> Result<(), Box<Problem>> {
        if self.confirmed.stands() {
            return Ok(());
        }
        let seconds = CONFIRMED_FOR.as_secs();
        let what = format!(
            "for {seconds} s this process could not ask the store whether tokens that were made over HTTP still stand, so \
             that it takes none of them now; tokens of its configuration file work"
        );
        Err(Problem::new(Kind::TokensUnconfirmed, what).retry_after(Duration::from_secs(1)))
    }

    /// The link whose secret is `presented`, if one was ever made, and whether it stands.
    fn link(&self, presented: Presented<'_>) -> Result<Option<FoundLink>, Box<Problem>> {
        let Some(presented) = presented.text().filter(|text| text.starts_with(LINK_PREFIX.as_bytes())) else {
            return Ok(None);
        };
        self.confirmed()?;
        let Some(signed) = self.links.as_deref() else { return Ok(None) };
        let Some(opened) = signed.open(presented) else { return Ok(None) };
        let stands = opened.link.stands(signed.kept.ended_until(&opened.link.tenant), self.confirmed.clock());
        let stands = stands.and_then(|()| self.allowed_by_maker(signed, &opened).ok_or(LinkOver::Ended));
        let roles = *stands.as_ref().unwrap_or(&opened.link.roles);
        Ok(Some((Link { roles, ..opened.link }, stands.map(drop))))
    }

    /// What a link opens of what it says, as long as the token stands that made it and may make links. A tenant's token
    /// gives nobody more than it has itself now.
    fn allowed_by_maker(&self, signed: &Signed, opened: &Opened) -> Option<Roles> {
        let name = Some(&*opened.link.maker).filter(|name| !name.is_empty());
        let of_file = self.file.iter().filter(|token| token.name() == name);
        let mut of_file = of_file.map(|token| (token.digest, token.roles, token.tenant.clone()));
        let made = || {
            let digest = self.digests.get(name?)?;
            let made = self.made.get(digest).filter(|made| !self.hides(&made.name))?;
            Some((*digest, made.roles, made.name.tenant()))
        };
        let is_maker = |(digest, ..): &(TokenDigest, Roles, Option<Tenant>)| signed.is_made_by(opened, digest);
        let (_, roles, tenant) = of_file.find(is_maker).or_else(|| made().filter(is_maker))?;
        match tenant {
            _ if !roles.has(Role::Admin) => None,
            None => Some(opened.link.roles),
            Some(tenant) if tenant == opened.link.tenant => Some(opened.link.roles.and(roles)),
            Some(_) => None,
        }
    }
}

/// The tokens of a running server, which change: those of its configuration file, and those that are made over the HTTP
/// interface. Whether tokens are asked for at all, the file decides.
#[derive(Clone, Debug)]
pub struct Tokens(Arc<RwLock<Arc<Known>>>);

impl Default for Tokens {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl Tokens {
    /// These tokens of a file, and nobody who follows others.
    #[must_use]
    pub fn of(tokens: Vec<Token>) -> Self {
        let (at, clock_at_beginning) = (AtomicU64::new(Confirmed::NOBODY_ASKS), AtomicU64::new(0));
        let confirmed = Arc::new(Confirmed { began: Instant::now(), at, clock_at_beginning });
        let (made, digests) = (Arc::default(), Arc::default());
        let known = Known { file: tokens.into(), made, digests, links: None, confirmed };
        Self(Arc::new(RwLock::new(Arc::new(known))))
    }

    /// These are the file's from now on. Whether any of them is another one than before.
    pub fn replace(&self, tokens: Vec<Token>) -> bool {
        let before = self.change(|known| known.file = tokens.into()).file.clone();
        let after = self.now().file.clone();
        let same = |(a, b): (&Token, &Token)| {
            a.reads_like(b) && (&a.name, a.roles, &a.tenant) == (&b.name, b.roles, &b.tenant)
        };
        before.len() != after.len() || !before.iter().zip(&*after).all(same)
    }

    /// Somebody follows the tokens of the HTTP interface from now on: none of them counts before it is confirmed.
    pub fn follow(&self) {
        self.now().confirmed.at.store(Confirmed::NEVER, Ordering::Relaxed);
    }

    /// These are the tokens of the HTTP interface from now on.
    pub fn set_made<'a>(&self, tokens: impl IntoIterator<Item = (&'a TokenName, TokenDigest, Roles)>) {
        let (mut made, mut digests) = (HashMap::new(), HashMap::new());
        for (name, digest, roles) in tokens {
            made.insert(digest, Made { name: name.clone(), roles });
            digests.insert(name.clone(), digest);
        }
        let (made, digests) = (Arc::new(made), Arc::new(digests));
        self.change(|known| (known.made, known.digests) = (made, digests));
    }

    /// Links are signed so from now on, and these were ended; `None`: there are none.
    pub fn set_links(&self, links: Option<(LinkKey, Links)>) {
        let links = links.map(|(key, kept)| Arc::new(Signed { key, kept }));
        self.change(|known| known.links = links);
    }

    /// At that moment (or later) the tokens and links of the HTTP interface were those that were said, and the store's
    /// clock said `clock`.
    pub fn confirm(&self, at: Instant, clock: Timestamp) {
        let confirmed = &self.now().confirmed;
        let since = at.saturating_duration_since(confirmed.began);
        confirmed.at.store(u64::try_from(since.as_millis()).unwrap_or(0), Ordering::Relaxed);
        confirmed.clock_at_beginning.store(clock.before(since).as_millis(), Ordering::Relaxed);
    }

    /// Whether tokens of the HTTP interface are taken now.
    #[must_use]
    pub fn are_confirmed(&self) -> bool {
        self.now().confirmed.stands()
    }

    /// Those that there are now.
    #[must_use]
    pub fn now(&self) -> Arc<Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes them, and returns what there was before.
    fn change(&self, change: impl FnOnce(&mut Known)) -> Arc<Known> {
        let mut place = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut known = Known::clone(&place);
        change(&mut known);
        std::mem::replace(&mut *place, Arc::new(known))
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

/// What a token opens, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) roles: Roles,
    /// Only what is this tenant's; `None`: everybody's.
    pub(crate) tenant: Option<Tenant>,
    /// Of a link: until when.
    pub(crate) until: Option<Timestamp>,
}

impl Access {
    /// Whether it is a link's: then nothing may be made that opens something after the link has ended.
    pub(crate) const fn is_by_link(&self) -> bool {
        self.until.is_some()
    }
}

/// What the token `presented` opens. No token in the file opens everything to everyone.
pub(crate) fn opened(tokens: &Known, presented: Option<Presented<'_>>) -> Result<Access, Box<Problem>> {
    if tokens.is_open() {
        return Ok(Access { roles: Roles::ALL, tenant: None, until: None });
    }
    let Some(presented) = presented else {
        let what = "this server wants a token: send the header `Authorization: Bearer <token>` with one of \
                    server.tokens or [[server.token]], or one that `laneway tokens create` has made";
        return Err(Problem::new(Kind::Unauthorized, what).challenged("Bearer realm=\"laneway\""));
    };
    let (is_certificate, digest) = (presented.is_certificate(), presented.digest());
    // All of them are compared, so that the time does not tell which one was nearly right.
    let (known, place) = tokens.file.iter().zip(0_u64..).fold((Choice::from(0), 0), |(known, place), (token, at)| {
        let same = token.reads(is_certificate, &digest);
        (known | same, u64::conditional_select(&place, &at, same))
    });
    let place = usize::try_from(place).unwrap_or(usize::MAX);
    if let Some(token) = tokens.file.get(place).filter(|_| known.into()) {
        return Ok(Access { roles: token.roles, tenant: token.tenant.clone(), until: None });
    }
    if let Some(made) = tokens.made(presented, &digest)? {
        return Ok(Access { roles: made.roles, tenant: made.name.tenant(), until: None });
    }
    if let Presented::Certificate(name) = presented {
        let what = format!("the client's certificate names {name:?}, and no [[server.token]] has that certificate");
        return Err(Problem::new(Kind::Unauthorized, what).challenged("Bearer realm=\"laneway\""));
    }
    let what = match tokens.link(presented)? {
        Some((Link { roles, tenant, expires, .. }, Ok(()))) => {
            return Ok(Access { roles, tenant: Some(tenant), until: Some(expires) });
        }
        Some((_, Err(LinkOver::Expired))) => "the link has expired: ask whoever sent it for another one",
        Some((_, Err(LinkOver::Ended))) => "the link was ended: ask whoever sent it for another one",
        None => {
            "the token is not one of server.tokens or [[server.token]], and none that was made over HTTP and stands"
        }
    };
    let challenge = "Bearer realm=\"laneway\", error=\"invalid_token\"";
    Err(Problem::new(Kind::Unauthorized, what).challenged(challenge))
}

/// Whether what somebody has is enough for what needs `role`.
pub(crate) fn has(roles: Roles, role: Role) -> Result<(), Box<Problem>> {
    if roles.has(role) { Ok(()) } else { Err(lacking(role)) }
}

/// Why a link opens nothing any more; `None` if it does, or there never was one.
pub(crate) fn over(tokens: &Known, presented: Presented<'_>) -> Result<Option<LinkOver>, Box<Problem>> {
    Ok(tokens.link(presented)?.and_then(|(_, stands)| stands.err()))
}

/// Whose token it is, for people. It was let in already.
pub(crate) fn whose(tokens: &Known, presented: Option<Presented<'_>>) -> String {
    if tokens.is_open() {
        return "the interface without tokens".to_owned();
    }
    let of_the_file = || "a token of server.tokens".to_owned();
    let Some(presented) = presented else { return of_the_file() };
    match name_of(tokens, presented, &presented.digest()) {
        Some(name) => format!("the token {name}"),
        None => match tokens.link(presented) {
            Ok(Some((link, _))) if link.maker.is_empty() => "a link of a token of server.tokens".to_owned(),
            Ok(Some((link, _))) => format!("a link of the token {}", link.maker),
            _ => of_the_file(),
        },
    }
}

/// The name of the token that reads `presented`, if it has one. Which one it is is no secret to whoever has it.
fn name_of<'a>(tokens: &'a Known, presented: Presented<'_>, digest: &TokenDigest) -> Option<&'a str> {
    let same = |token: &&Token| bool::from(token.reads(presented.is_certificate(), digest));
    let made = || tokens.made.get(digest).filter(|_| presented.text().is_some()).map(|made| made.name.as_str());
    tokens.file.iter().find(same).and_then(Token::name).or_else(made)
}

/// The name of the token, which is empty for one of `server.tokens`, and what it is recognised by.
pub(crate) fn maker(tokens: &Known, presented: Option<Presented<'_>>) -> (Box<str>, TokenDigest) {
    let presented = presented.unwrap_or(Presented::Bearer(b""));
    let digest = presented.digest();
    (name_of(tokens, presented, &digest).unwrap_or_default().into(), digest)
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

#[cfg(test)]
mod tests;
