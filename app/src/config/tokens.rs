//! `server.tokens` and `[[server.token]]`: who may do what.

use super::problem::{Origin, nearest};
use super::reader::Section;
use super::tree::Table;
use super::{Secret, Source, secret};
use laneway_domain::{Tenant, TokenName};
use laneway_http::{Role, Roles, Token};

/// The fewest characters of a token. Shorter ones can be guessed over the network.
pub const MIN_TOKEN_CHARACTERS: usize = 16;

/// All tokens of `[server]`: those with every role first.
///
/// `knows_clients`: clients can be known by their certificates.
pub(super) fn read(section: &mut Section<'_, '_>, knows_clients: bool) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (n, secret) in section.list::<Secret>("tokens").iter().enumerate() {
        match token(secret) {
            Ok(token) => tokens.push(token),
            Err(what) => section.problem_in("tokens", n, what),
        }
    }
    for (index, (origin, table)) in section.tables("token").into_iter().enumerate() {
        let token = named(open(section, index, origin, table), &tokens, knows_clients);
        tokens.extend(token);
    }
    tokens
}

/// One of the server's tokens that a command can use, if there is one that this process can read: of those the one
/// with most roles. With it, what somebody has to know who uses it: that it shows only what is a tenant's, where an
/// operator's token stands there too and cannot be read.
pub(super) fn of_this_machine(section: &mut Section<'_, '_>, source: &dyn Source) -> Option<(Secret, Option<String>)> {
    let mut unreadable = Vec::new();
    for written in section.list::<String>("tokens") {
        match secret::resolve(&written, source) {
            Ok(token) => return Some((token, None)),
            Err(why) => unreadable.push(format!("one of server.tokens cannot be used here: {why}")),
        }
    }
    let mut readable = Vec::new();
    for (index, (origin, table)) in section.tables("token").into_iter().enumerate() {
        let mut section = open(section, index, origin, table);
        let Some(written) = section.get::<String>("token") else { continue };
        let text = |key| section.peek_text(key).map(str::to_owned);
        let (tenant, name) = (text("tenant"), text("name").unwrap_or_default());
        let roles: Vec<String> = section.list("roles");
        match secret::resolve(&written, source) {
            // One of a tenant opens little, whatever its roles are.
            Ok(token) => readable.push(((tenant.is_none(), roles.len()), (token, name, tenant))),
            Err(why) if tenant.is_none() => {
                unreadable.push(format!("the token {name} cannot be used here: {why}"));
            }
            Err(_) => {}
        }
    }
    // Of equals the first.
    let best = readable.into_iter().reduce(|best, next| if next.0 > best.0 { next } else { best });
    let (_, (token, name, tenant)) = best?;
    let note = tenant.map(|tenant| {
        let whose = format!("as the token {name}: only what belongs to the tenant {tenant} is shown and can be done");
        [whose].into_iter().chain(unreadable).collect::<Vec<_>>().join("; ")
    });
    Some((token, note))
}

fn open<'f, 's>(server: &Section<'f, 's>, index: usize, origin: Origin, table: Table) -> Section<'f, 's> {
    Section::new(server.findings, server.place.child("token").child(index.to_string()), origin, table)
}

/// Reads one `[[server.token]]` to its end whatever is wrong with it, so that all mistakes are found.
fn named(mut section: Section<'_, '_>, others: &[Token], knows_clients: bool) -> Option<Token> {
    let tenant = read_tenant(&mut section);
    let name = read_name(&mut section, tenant.as_ref(), others);
    let roles = read_roles(&mut section);
    let read = section.get::<Secret>("token");
    let certificate = read_certificate(&mut section, knows_clients);
    if !section.has("token") && !section.has("certificate") {
        section.missing("token", "is missing; write for instance token = \"env:SHOP_TOKEN\"");
    }
    let token = read.and_then(|secret| match token(&secret) {
        Ok(token) => Some(token),
        Err(what) => {
            section.problem("token", what);
            None
        }
    });
    let token = token.or(certificate);
    if let Some(token) = &token
        && others.iter().any(|other| other.reads_like(token))
    {
        let key = if section.has("certificate") { "certificate" } else { "token" };
        section.problem(key, "is the same as another token, so that it is not clear what it opens; make a new one");
    }
    section.finish();
    let (name, roles) = (name?, roles?);
    let named = token?.named(name.as_str(), roles);
    Some(match name.tenant() {
        Some(tenant) => named.of_tenant(tenant),
        // One whose tenant was wrong must not be taken for an operator's; the mistake is told.
        None => named,
    })
}

/// Whoever has a certificate of a name, in place of a token.
fn read_certificate(section: &mut Section<'_, '_>, knows_clients: bool) -> Option<Token> {
    let name: String = section.get("certificate")?;
    let problem = if section.has("token") {
        "is one way to be known and token another; make a table for each"
    } else if name.is_empty() {
        "is empty; write a name in the client's certificate, for instance \"shop.internal\""
    } else if !knows_clients {
        "has no effect without server.tls.client_ca, whose signature such certificates have"
    } else {
        return Some(Token::of_certificate(&name));
    };
    section.problem("certificate", problem);
    None
}

/// Whose the token is, if a tenant's.
fn read_tenant(section: &mut Section<'_, '_>) -> Option<Tenant> {
    let said: String = section.get("tenant")?;
    Tenant::new(&said).map_err(|error| section.problem("tenant", error.to_string())).ok()
}

/// The token's name, with its tenant's before it.
fn read_name(section: &mut Section<'_, '_>, tenant: Option<&Tenant>, others: &[Token]) -> Option<TokenName> {
    let Some(name) = section.get::<String>("name") else {
        if !section.has("name") {
            section.missing("name", "is missing; say whose token it is, for instance \"shop\"");
        }
        return None;
    };
    let read = match tenant {
        Some(tenant) => TokenName::of(tenant, &name),
        None => TokenName::new(&name),
    };
    let problem = match read {
        Err(error) => error.to_string(),
        Ok(read) if others.iter().any(|other| other.name() == Some(read.as_str())) => {
            format!("another token is named {:?} already; choose another name", read.as_str())
        }
        Ok(read) => return Some(read),
    };
    section.problem("name", problem);
    None
}

fn read_roles(section: &mut Section<'_, '_>) -> Option<Roles> {
    let words: Vec<String> = section.list("roles");
    let known = || Role::ALL.iter().map(|role| role.name());
    let mut roles = Vec::new();
    for word in &words {
        if let Some(role) = Role::ALL.into_iter().find(|role| role.name() == word) {
            roles.push(role);
            continue;
        }
        let all: Vec<String> = known().map(|name| format!("{name:?}")).collect();
        let meant = nearest(word, known()).map(|meant| format!("; did you mean {meant:?}?")).unwrap_or_default();
        section.problem("roles", format!("{word:?} is none of {}{meant}", all.join(", ")));
    }
    if words.is_empty() && !section.has_mistakes("roles") {
        let what =
            "name no role, so that the token would open nothing; use \"publish\", \"read\", \"operate\", \"admin\"";
        if section.has("roles") { section.problem("roles", what) } else { section.missing("roles", what) }
    }
    (!roles.is_empty()).then(|| Roles::of(roles))
}

fn token(secret: &Secret) -> Result<Token, String> {
    let text = secret.expose();
    if text.len() < MIN_TOKEN_CHARACTERS {
        return Err(format!("is shorter than {MIN_TOKEN_CHARACTERS} characters; make one with: openssl rand -hex 32"));
    }
    let unsendable = "has characters that an Authorization header cannot carry; use visible ASCII";
    Token::new(text).ok_or_else(|| unsendable.to_owned())
}
