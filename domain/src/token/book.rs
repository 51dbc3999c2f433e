//! All tokens that were made over the HTTP interface, as one state that changes as a whole.

use super::{Links, MAX_TOKENS, StoredToken, TokenChange, TokenDigest, TokenName};
use crate::revision::Revision;
use crate::role::{Role, Roles};
use crate::tenant::{TENANT_SEPARATOR, Tenant};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use thiserror::Error;

/// How many revoked tokens are remembered, the latest: a store that lost its last moments is told again of those.
pub const MAX_REVOKED_TOKENS: usize = 1_000;
/// How many changes are remembered for people, the latest.
pub const MAX_TOKEN_CHANGES: usize = 1_000;

/// The tokens that were made over the HTTP interface, those that were revoked lately, and who did it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenBook {
    revision: Revision,
    tokens: BTreeMap<TokenName, StoredToken>,
    /// With the change that revoked each.
    revoked: BTreeMap<TokenDigest, Revision>,
    /// Revocations up to this one are not remembered any more.
    forgotten: Revision,
    /// The earliest first.
    changes: VecDeque<TokenChange>,
    /// Of links to the console; `None` as long as nobody has made one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    links: Option<Links>,
}

/// Who makes a change, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The change: larger than every one before.
    pub revision: Revision,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// Who, for people.
    pub by: Box<str>,
}

/// Why a token was not made or revoked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenRefusal {
    /// There is one of that name.
    #[error(
        "there is a token {name} already, which {by} made. Its text is told only once: if you do not have it, revoke the \
         token and make another one"
    )]
    Exists {
        /// The name.
        name: TokenName,
        /// Who made it.
        by: Box<str>,
    },
    /// There are as many as there can be.
    #[error(
        "there are {MAX_TOKENS} tokens of the HTTP interface, and there cannot be more: revoke one that is not used"
    )]
    Full,
    /// The tenant has as many as it may have.
    #[error(
        "the tenant {tenant} has {most} tokens that were made over HTTP, which is as many as a tenant may have \
             (tenants.tokens): revoke one that is not used"
    )]
    TenantFull {
        /// Whose.
        tenant: Tenant,
        /// How many it may have.
        most: usize,
    },
    /// It would open nothing.
    #[error("the token would have no role, and would open nothing")]
    NoRole,
    /// There is none of that name.
    #[error("there is no token {0}")]
    Unknown(TokenName),
    /// Without it nobody could make another one.
    #[error(
        "{0} is the last token with the role \"admin\": without it nobody could change tokens or destinations over HTTP. \
         Make another one with that role first, or add one to the configuration file and reload it (SIGHUP)"
    )]
    LastAdmin(TokenName),
}

impl TokenBook {
    /// The last change; [`Revision::ORIGIN`] if there was none.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The tokens, by name.
    #[must_use]
    pub fn tokens(&self) -> &BTreeMap<TokenName, StoredToken> {
        &self.tokens
    }

    /// What was changed before `before`, the latest first.
    pub fn changes(&self, before: Option<Revision>) -> impl Iterator<Item = &TokenChange> {
        self.changes.iter().rev().filter(move |change| before.is_none_or(|before| change.revision < before))
    }

    /// What is kept of links to the console; `None` if none was made yet.
    #[must_use]
    pub const fn links(&self) -> Option<&Links> {
        self.links.as_ref()
    }

    /// The tokens of a tenant, by name.
    pub fn of_tenant(&self, tenant: &Tenant) -> impl Iterator<Item = (&TokenName, &StoredToken)> {
        // The names behind its own begin with the character that follows the separator.
        let (from, until) = (format!("{tenant}{TENANT_SEPARATOR}"), format!("{tenant};"));
        self.tokens.range::<str, _>((Bound::Included(&*from), Bound::Excluded(&*until)))
    }

    /// Adds a token, if the tenant whose it is has fewer than `most` then.
    ///
    /// # Errors
    /// [`TokenRefusal`]; nothing has changed then.
    pub fn create_within(
        &mut self,
        most: usize,
        name: &TokenName,
        (digest, roles): (TokenDigest, Roles),
        stamp: &Stamp,
    ) -> Result<(), TokenRefusal> {
        if let Some(tenant) = name.tenant().filter(|_| !self.tokens.contains_key(name))
            && self.of_tenant(&tenant).count() >= most
        {
            return Err(TokenRefusal::TenantFull { tenant, most });
        }
        self.create(name, digest, roles, stamp)
    }

    /// Adds a token.
    ///
    /// # Errors
    /// [`TokenRefusal`]; nothing has changed then.
    pub fn create(
        &mut self,
        name: &TokenName,
        digest: TokenDigest,
        roles: Roles,
        stamp: &Stamp,
    ) -> Result<(), TokenRefusal> {
        if let Some(there) = self.tokens.get(name) {
            return Err(TokenRefusal::Exists { name: name.clone(), by: there.by.clone() });
        }
        if self.tokens.len() >= MAX_TOKENS {
            return Err(TokenRefusal::Full);
        }
        if roles.count() == 0 {
            return Err(TokenRefusal::NoRole);
        }
        let Stamp { revision, at, by } = stamp.clone();
        self.tokens.insert(name.clone(), StoredToken { digest, roles, made_at: revision, at, by });
        self.note(name, format!("made, with the roles {roles}"), stamp);
        self.check_self();
        Ok(())
    }

    /// Takes a token away. With `keeps_an_admin`, not an operator's last one with [`Role::Admin`].
    ///
    /// # Errors
    /// [`TokenRefusal`]; nothing has changed then.
    pub fn revoke(&mut self, name: &TokenName, keeps_an_admin: bool, stamp: &Stamp) -> Result<(), TokenRefusal> {
        // A tenant's lets nobody in to what is the operator's.
        let is_admin = |name: &TokenName, token: &StoredToken| name.is_of(None) && token.roles.has(Role::Admin);
        let token = self.tokens.get(name).ok_or_else(|| TokenRefusal::Unknown(name.clone()))?;
        let has_another = self.tokens.iter().any(|(other, token)| other != name && is_admin(other, token));
        if keeps_an_admin && is_admin(name, token) && !has_another {
            return Err(TokenRefusal::LastAdmin(name.clone()));
        }
        self.revoked.insert(token.digest, stamp.revision);
        self.tokens.remove(name);
        self.note(name, "revoked".to_owned(), stamp);
        self.check_self();
        Ok(())
    }

    /// Links are signed with `key` from now on, which is sealed. Those that were signed with another one have ended.
    pub fn sign_links_with(&mut self, key: &str, stamp: &Stamp) {
        self.links = Some(Links::new(key, stamp.revision));
        self.revision = stamp.revision;
        self.check_self();
    }

    /// Ends all links of a tenant that were made until now. `false`: nobody has ever made a link, and nothing changes.
    pub fn end_links(&mut self, tenant: &Tenant, stamp: &Stamp) -> bool {
        let Some(links) = &mut self.links else { return false };
        links.end(tenant, stamp.at);
        self.revision = stamp.revision;
        self.check_self();
        true
    }

    /// Takes all tokens away, and returns how many. Whatever opens what is asked for from then on is in a file.
    /// No link opens anything either.
    pub fn revoke_all(&mut self, stamp: &Stamp) -> usize {
        let tokens = std::mem::take(&mut self.tokens);
        if self.links.take().is_some() {
            // Whoever knew the key does not bring it back.
            (self.revision, self.forgotten) = (stamp.revision, stamp.revision);
        }
        for (name, token) in &tokens {
            self.revoked.insert(token.digest, stamp.revision);
            self.note(name, "revoked".to_owned(), stamp);
        }
        self.check_self();
        tokens.len()
    }

    fn note(&mut self, name: &TokenName, what: String, stamp: &Stamp) {
        let Stamp { revision, at, by } = stamp.clone();
        self.revision = revision;
        self.changes.push_back(TokenChange { revision, at, name: name.clone(), by, what: what.into() });
        self.let_go();
    }

    /// Forgets what is beyond the bounds, the earliest first.
    fn let_go(&mut self) {
        let beyond = self.changes.len().saturating_sub(MAX_TOKEN_CHANGES);
        self.changes.drain(..beyond);
        while self.revoked.len() > MAX_REVOKED_TOKENS
            && let Some((digest, revision)) = self.revoked.iter().min_by_key(|(_, revision)| **revision)
        {
            let (digest, revision) = (*digest, *revision);
            self.forgotten = self.forgotten.max(revision);
            self.revoked.remove(&digest);
        }
    }

    /// What `self`, which a store has, lacks of what was `known` before; `None` if nothing. A failover may have lost
    /// the last changes, and a token that somebody revoked must not come back.
    ///
    /// Where a name was made twice, the token of the store stands. Whoever knows of nothing but what the store may have
    /// forgotten can tell no loss from a revocation, and adds nothing.
    #[must_use]
    pub fn lacking(&self, known: &Self, stamp: &Stamp) -> Option<Self> {
        if known.revision < self.forgotten {
            return None;
        }
        let mut whole = self.clone();
        for (digest, revision) in &known.revoked {
            if *revision > self.forgotten && !self.revoked.contains_key(digest) {
                whole.revoked.insert(*digest, *revision);
                whole.tokens.retain(|_, token| token.digest != *digest);
            }
        }
        let digests: BTreeSet<_> = self.tokens.values().map(|token| token.digest).collect();
        for (name, token) in &known.tokens {
            let is_lost = !digests.contains(&token.digest) && !whole.revoked.contains_key(&token.digest);
            if is_lost && !whole.tokens.contains_key(name) && whole.tokens.len() < MAX_TOKENS {
                whole.tokens.insert(name.clone(), token.clone());
            }
        }
        whole.links = match (&self.links, &known.links) {
            (Some(own), Some(known)) => Some(own.with(known)),
            (None, Some(known)) if known.made_at() > self.forgotten => Some(known.clone()),
            (own, _) => own.clone(),
        };
        if whole == *self {
            return None;
        }
        let place = |change: &TokenChange| (change.revision, change.name.clone());
        let mut changes: BTreeMap<_, _> = known.changes.iter().map(|change| (place(change), change.clone())).collect();
        changes.extend(self.changes.iter().map(|change| (place(change), change.clone())));
        whole.changes = changes.into_values().collect();
        whole.revision = stamp.revision;
        whole.let_go();
        whole.check_self();
        Some(whole)
    }

    /// Whether it is one that the methods here could have made: for what comes from a store.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let bounds = [
            ("tokens", self.tokens.len(), MAX_TOKENS),
            ("revoked tokens", self.revoked.len(), MAX_REVOKED_TOKENS),
            ("changes", self.changes.len(), MAX_TOKEN_CHANGES),
        ];
        if let Some((what, count, most)) = bounds.into_iter().find(|(_, count, most)| count > most) {
            return Err(format!("it has {count} {what}, and there cannot be more than {most}"));
        }
        let mut digests = BTreeSet::new();
        for (name, token) in &self.tokens {
            if !digests.insert(token.digest) || self.revoked.contains_key(&token.digest) {
                return Err(format!("the digest of the token {name} is there twice, or is that of a revoked one"));
            }
            if token.roles.count() == 0 {
                return Err(format!("the token {name} has no role"));
            }
        }
        self.links.as_ref().map_or(Ok(()), Links::check)?;
        let made = self.tokens.values().map(|token| token.made_at).chain(self.links.as_ref().map(Links::made_at));
        let all = made.chain(self.revoked.values().copied()).chain(self.changes.iter().map(|change| change.revision));
        match all.chain([self.forgotten]).max() {
            Some(last) if last > self.revision => {
                Err(format!("it has a change with revision {last}, and says that the last one is {}", self.revision))
            }
            _ => Ok(()),
        }
    }

    fn check_self(&self) {
        if let Err(what) = self.check() {
            panic!("the book of tokens is wrong: {what}");
        }
    }
}

#[cfg(test)]
mod tests;
