//! Makes, lists and revokes tokens, and knows those that there are.

use super::link_keys::LinkKeys;
use crate::registry::{Keyring, moment};
use crate::tenants::KnownTenants;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use laneway_domain::{
    Origin, Revision, Role, Stamp, Tenant, TenantRefusal, Timestamp, TokenBook, TokenName, TokenRefusal,
};
use laneway_http::{Known, TOKEN_PREFIX, Token, Tokens, digest_of};
use laneway_ports::{
    MadeLink, MadeToken, NewLink, NewToken, RevokedToken, StoreError, TokenAdmin, TokenAdminError, TokenJournalLine,
    TokenList, TokenListQuery, TokenRecord, TokenStore,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// Random bytes of a token: 256 bits, which nobody guesses, so that a fast hash of them can be kept.
const TOKEN_BYTES: usize = 32;
/// How often a change is tried that others were faster than, and a write whose answer was lost is made again. People
/// and scripts make tokens; so many at one moment there never are.
const TRIES: usize = 10;

/// The tokens that are made over the HTTP interface, as a process knows and changes them.
pub struct MadeTokens {
    store: Arc<dyn TokenStore>,
    /// What requests are checked by.
    pub(super) tokens: Tokens,
    /// What the store had when it was asked last. Whoever holds it is the only one of this process that asks, so that
    /// no older answer comes behind a newer one.
    known: Mutex<TokenBook>,
    pub(super) links: LinkKeys,
    /// Which tenants were deleted.
    tenants: Option<Arc<KnownTenants>>,
}

impl MadeTokens {
    /// Those of this store, for a process that checks its requests by `tokens`.
    #[must_use]
    pub fn new(store: Arc<dyn TokenStore>, tokens: Tokens) -> Self {
        let links = LinkKeys::new(Arc::new(Keyring::none()));
        Self { store, tokens, known: Mutex::default(), links, tenants: None }
    }

    /// The same, with keys to seal what links to the console are signed with. Without any nobody can make a link.
    #[must_use]
    pub fn sealing(self, keys: Arc<Keyring>) -> Self {
        Self { links: LinkKeys::new(keys), ..self }
    }

    /// The same, and nothing is made for tenants that were deleted.
    #[must_use]
    pub fn knowing(self, tenants: Arc<KnownTenants>) -> Self {
        Self { tenants: Some(tenants), ..self }
    }

    /// What would be made for a deleted tenant would open what the next one of that name has.
    pub(super) fn check_tenant(&self, tenant: Option<&Tenant>) -> Result<(), TokenAdminError> {
        let deleted = |of: &&Tenant| self.tenants.as_ref().is_some_and(|known| known.book().is_deleted(of));
        tenant.filter(deleted).map_or(Ok(()), |of| Err(TenantRefusal::Deleted(of.clone()).into()))
    }

    /// Asks the store once.
    ///
    /// # Errors
    /// If it does not answer, or what it has cannot be read.
    pub async fn look(&self) -> Result<(), StoreError> {
        self.look_with(&mut self.known.lock().await).await.map(drop)
    }

    /// Asks the store; returns its clock, in microseconds.
    async fn look_with(&self, known: &mut MutexGuard<'_, TokenBook>) -> Result<u64, StoreError> {
        // Counted from before it was asked: what changes after the answer was made is not in it.
        let asked = Instant::now();
        let seen = self.store.tokens(known.revision()).await?;
        let Some(book) = seen.book else {
            self.tokens.confirm(asked, moment_of(seen.clock));
            return Ok(seen.clock);
        };
        let by = "laneway, since the store had lost it";
        let whole = book.lacking(known, &stamp(book.revision().max(known.revision()), seen.clock, by));
        **known = whole.as_ref().unwrap_or(&book).clone();
        self.publish(known);
        self.tokens.confirm(asked, moment_of(seen.clock));
        if let Some(whole) = whole {
            // If somebody else is faster, the next look tells what is left to do.
            if self.store.write_tokens(book.revision(), &whole).await? {
                tracing::warn!(
                    revision = %whole.revision(),
                    "the store had lost tokens that were made or revoked over HTTP; they were written back"
                );
            }
        }
        Ok(seen.clock)
    }

    fn publish(&self, book: &TokenBook) {
        self.tokens.set_made(book.tokens().iter().map(|(name, token)| (name, token.digest, token.roles)));
        self.tokens.set_links(book.links().and_then(|links| Some((self.links.open(links)?, links.clone()))));
    }

    /// What is known now, and the store's clock.
    pub(super) async fn seen(&self) -> Result<(MutexGuard<'_, TokenBook>, u64), StoreError> {
        let mut known = self.known.lock().await;
        let clock = self.look_with(&mut known).await?;
        Ok((known, clock))
    }

    /// Makes one change of all tokens.
    pub(super) async fn change(
        &self,
        by: &str,
        edit: impl Fn(&mut TokenBook, &Stamp) -> Result<(), TokenAdminError> + Send + Sync,
    ) -> Result<Revision, TokenAdminError> {
        let mut known = self.known.lock().await;
        for _ in 0..TRIES {
            let clock = self.look_with(&mut known).await?;
            let stamp = stamp(known.revision(), clock, by);
            let mut changed = known.clone();
            edit(&mut changed, &stamp)?;
            if self.write(known.revision(), &changed).await? {
                *known = changed;
                self.publish(&known);
                return Ok(stamp.revision);
            }
        }
        Err(TokenAdminError::Busy)
    }

    async fn write(&self, last: Revision, book: &TokenBook) -> Result<bool, StoreError> {
        let mut written = self.store.write_tokens(last, book).await;
        for _ in 1..TRIES {
            let Err(StoreError::Unknown { .. }) = &written else { break };
            // The same again is right, whether it was written or not.
            written = self.store.write_tokens(last, book).await;
        }
        written
    }
}

fn stamp(last: Revision, clock: u64, by: &str) -> Stamp {
    Stamp { revision: last.next(clock), at: moment_of(clock), by: by.into() }
}

/// What a store's clock says.
pub(super) const fn moment_of(micros: u64) -> Timestamp {
    Timestamp::from_millis(micros / 1000)
}

/// A new token's text.
fn new_token() -> Result<String, StoreError> {
    let mut bytes = [0; TOKEN_BYTES];
    let none = |_| StoreError::retry_later("no token was made: the system gives no random numbers");
    SystemRandom::new().fill(&mut bytes).map_err(none)?;
    Ok(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// Why no token is made beside this file: without one of its own, its server asks nobody for a token.
pub(super) fn check_file(known: &Known, wanted: Option<&TokenName>) -> Result<(), TokenAdminError> {
    let file = known.of_file();
    if file.is_empty() {
        return Err(TokenAdminError::OfFile(
            "the configuration file of this server has no token, so that it asks nobody for one, and a token that is made \
             here would protect nothing. Add one with the role \"admin\" to the file ([[server.token]]), reload it \
             (SIGHUP), and make others then: that one always lets you in again"
                .to_owned(),
        ));
    }
    if let Some(wanted) = wanted
        && file.iter().any(|token| token.name() == Some(wanted.as_str()))
    {
        let what = format!("the configuration file has a token {wanted} already: choose another name");
        return Err(TokenAdminError::OfFile(what));
    }
    Ok(())
}

fn of_file(token: &Token) -> TokenRecord {
    // The file's reader has checked its names.
    let name = token.name().and_then(|name| TokenName::new(name).ok());
    TokenRecord { name, roles: token.roles(), origin: Origin::File, created: None, created_by: None, revision: None }
}

#[async_trait]
impl TokenAdmin for MadeTokens {
    async fn create(&self, by: &str, wanted: NewToken) -> Result<MadeToken, TokenAdminError> {
        let NewToken { name, roles, most } = wanted;
        let token = new_token()?;
        let digest = digest_of(token.as_bytes());
        let make = |book: &mut TokenBook, stamp: &Stamp| {
            self.check_tenant(name.tenant().as_ref())?;
            check_file(&self.tokens.now(), Some(&name))?;
            Ok(book.create_within(most, &name, (digest, roles), stamp)?)
        };
        let revision = self.change(by, make).await?;
        tracing::info!(token = %name, %roles, by, "a token was made over HTTP");
        Ok(MadeToken { name, roles, revision, token })
    }

    async fn list(&self, query: &TokenListQuery) -> Result<TokenList, TokenAdminError> {
        let mut book = self.known.lock().await;
        self.look_with(&mut book).await?;
        let known = self.tokens.now();
        let is_seen = |name: &TokenName| query.tenant.is_none() || name.is_of(query.tenant.as_ref());
        let all: Box<dyn Iterator<Item = _> + Send> = match &query.tenant {
            Some(tenant) => Box::new(book.of_tenant(tenant)),
            None => Box::new(book.tokens().iter()),
        };
        let made = all.map(|(name, token)| {
            let record = TokenRecord {
                name: Some(name.clone()),
                roles: token.roles,
                origin: Origin::Api,
                created: Some(moment(token.at)),
                created_by: Some(token.by.to_string()),
                revision: Some(token.made_at),
            };
            (name.clone(), record)
        });
        let mut named: BTreeMap<TokenName, TokenRecord> = made.collect();
        let (of_file, nameless): (Vec<_>, Vec<_>) =
            known.of_file().iter().map(of_file).partition(|record| record.name.is_some());
        // That of the file is the one that counts.
        let of_file = of_file.into_iter().filter_map(|record| Some((record.name.clone()?, record)));
        named.extend(of_file.filter(|(name, _)| is_seen(name)));
        let mut items = if query.after.is_none() && query.tenant.is_none() { nameless } else { Vec::new() };
        let mut rest = named.into_iter().filter(|(name, _)| query.after.as_ref().is_none_or(|after| name > after));
        items.extend(rest.by_ref().take(query.limit).map(|(_, record)| record));
        let last = items.last().and_then(|record| record.name.as_ref()).map(ToString::to_string);
        let next = if rest.next().is_some() { last } else { None };
        let hidden = |name: &TokenName| {
            format!("a token {name} was made over HTTP too; it opens nothing here, since the file has one of that name")
        };
        let incomplete = known.hidden().iter().filter(|name| is_seen(name)).map(hidden).collect();
        Ok(TokenList { items, next, incomplete })
    }

    async fn revoke(&self, by: &str, name: &TokenName) -> Result<RevokedToken, TokenAdminError> {
        let revoke = |book: &mut TokenBook, stamp: &Stamp| {
            let known = self.tokens.now();
            let file = known.of_file();
            // Where nobody is asked for a token, nobody is locked out.
            let is_admin = |token: &Token| token.tenant().is_none() && token.roles().has(Role::Admin);
            let keeps_an_admin = !file.is_empty() && !file.iter().any(is_admin);
            match book.revoke(name, keeps_an_admin, stamp) {
                Err(TokenRefusal::Unknown(_)) if file.iter().any(|token| token.name() == Some(name.as_str())) => {
                    Err(TokenAdminError::OfFile(format!(
                        "{name} is a token of the configuration file: take it out of [[server.token]] there, and reload \
                         the file (SIGHUP)"
                    )))
                }
                done => Ok(done?),
            }
        };
        let revision = self.change(by, revoke).await?;
        tracing::info!(token = %name, by, "a token was revoked over HTTP");
        Ok(RevokedToken { name: name.clone(), revision })
    }

    async fn changes(
        &self,
        tenant: Option<&Tenant>,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<TokenJournalLine>, TokenAdminError> {
        let mut book = self.known.lock().await;
        self.look_with(&mut book).await?;
        let line = |change: &laneway_domain::TokenChange| TokenJournalLine {
            revision: change.revision,
            at: moment(change.at),
            name: change.name.clone(),
            by: change.by.to_string(),
            what: change.what.to_string(),
        };
        let seen = book.changes(before).filter(|change| tenant.is_none() || change.name.is_of(tenant));
        Ok(seen.take(limit).map(line).collect())
    }

    async fn make_link(&self, by: &str, wanted: NewLink) -> Result<MadeLink, TokenAdminError> {
        self.link(by, wanted).await
    }

    async fn end_links(&self, by: &str, tenant: &Tenant) -> Result<(), TokenAdminError> {
        let (known, _) = self.seen().await?;
        // Where nobody has ever made one, nothing has to be written.
        if known.links().is_some() {
            drop(known);
            self.change(by, |book, stamp| {
                book.end_links(tenant, stamp);
                Ok(())
            })
            .await?;
        }
        tracing::info!(%tenant, by, "all links to the console were ended that the tenant had");
        Ok(())
    }
}
