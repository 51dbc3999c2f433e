//! Making and revoking tokens, for whoever shows that to people: a port that points inwards.

use crate::StoreError;
use async_trait::async_trait;
use laneway_domain::{Origin, Revision, Roles, Tenant, TenantRefusal, Timestamp, TokenDigest, TokenName, TokenRefusal};
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// A token that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Its name.
    pub name: TokenName,
    /// What it opens.
    pub roles: Roles,
    /// The most that the tenant may have whose it is, with this one; of an operator's, nothing.
    pub most: usize,
}

/// A link to the console that somebody wants for a tenant's people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLink {
    /// Whose things it opens.
    pub tenant: Tenant,
    /// What it opens of those.
    pub roles: Roles,
    /// How long it lasts, in the words of the configuration file (`1h`); `None`: as long as links do where nobody says.
    pub lasts: Option<String>,
    /// The name of the token that makes it; empty for one of `server.tokens`. With that token, the link ends.
    pub maker: Box<str>,
    /// By what that token is recognised.
    pub maker_digest: TokenDigest,
}

/// A link to the console that was made.
#[derive(Clone, PartialEq, Eq)]
pub struct MadeLink {
    /// What whoever opens it shows: a secret.
    pub token: String,
    /// From when on it opens nothing.
    pub expires: Timestamp,
}

impl fmt::Debug for MadeLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MadeLink(…, expires {})", self.expires)
    }
}

/// A token that was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeToken {
    /// Its name.
    pub name: TokenName,
    /// What it opens.
    pub roles: Roles,
    /// The change that made it.
    pub revision: Revision,
    /// Its text, which is told this once.
    pub token: String,
}

impl fmt::Debug for MadeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, roles, revision, .. } = self;
        write!(f, "MadeToken({name}: {roles}, revision {revision})")
    }
}

/// A token that was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedToken {
    /// Its name.
    pub name: TokenName,
    /// The change that revoked it.
    pub revision: Revision,
}

/// A token as it is shown. Neither its text nor its digest is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Its name; one of `server.tokens` has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<TokenName>,
    /// What it opens.
    pub roles: Roles,
    /// Where it can be changed: in the configuration `file`, or over the `api`.
    pub origin: Origin,
    /// When it was made (RFC 3339); missing for those of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it; missing for those of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// The change that made it; missing for those of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
}

/// Which tokens to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenListQuery {
    /// Those whose names come after this one.
    pub after: Option<TokenName>,
    /// At most so many with a name.
    pub limit: usize,
    /// Those of this tenant only; `None`: everybody's.
    pub tenant: Option<Tenant>,
}

/// A page of tokens, by name. Those without one are on the first page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenList {
    /// The tokens: of the answering process' configuration file, and of the HTTP interface.
    pub items: Vec<TokenRecord>,
    /// The value of `after` that asks for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What is missing here, and why; empty if nothing is.
    pub incomplete: Vec<String>,
}

/// That a token was made or revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenJournalLine {
    /// The change.
    pub revision: Revision,
    /// When (RFC 3339), by the store's clock.
    pub at: String,
    /// The token.
    pub name: TokenName,
    /// Who.
    pub by: String,
    /// What, in a few words.
    pub what: String,
}

/// Why something was not done.
#[derive(Debug, Error)]
pub enum TokenAdminError {
    /// The tokens that there are stand in the way.
    #[error(transparent)]
    Refused(#[from] TokenRefusal),
    /// The tenant cannot have any.
    #[error(transparent)]
    Tenant(#[from] TenantRefusal),
    /// The configuration file stands in the way.
    #[error("{0}")]
    OfFile(String),
    /// How long a link is to last is no such time, or too long.
    #[error("{0}")]
    Lasts(String),
    /// Links cannot be signed here.
    #[error("{0}")]
    Unsigned(String),
    /// Others change the tokens so often that this change found no gap.
    #[error("the tokens are changed by others all the time, and this change found no gap: try again")]
    Busy,
    /// The store has not done it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes, lists and revokes tokens, for whoever shows that to people.
#[async_trait]
pub trait TokenAdmin: Send + Sync {
    /// Makes a token for `by`, who is named in the journal. Its text is told here and never again.
    ///
    /// - Must refuse a name that is there: whoever asks again has not lost a token that works unnoticed.
    async fn create(&self, by: &str, wanted: NewToken) -> Result<MadeToken, TokenAdminError>;

    /// A page of them: those of the file, and those of the HTTP interface.
    async fn list(&self, query: &TokenListQuery) -> Result<TokenList, TokenAdminError>;

    /// Takes one of the HTTP interface away, for `by`. This process refuses it from now on, every other one within a
    /// second.
    async fn revoke(&self, by: &str, name: &TokenName) -> Result<RevokedToken, TokenAdminError>;

    /// What was made and revoked before the revision `before`, the latest first; of a tenant's tokens only, if one is
    /// named.
    async fn changes(
        &self,
        tenant: Option<&Tenant>,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<TokenJournalLine>, TokenAdminError>;

    /// Makes a link to the console for `by`. It is kept nowhere.
    async fn make_link(&self, by: &str, wanted: NewLink) -> Result<MadeLink, TokenAdminError>;

    /// Ends all links of a tenant that were made until now, for `by`: here from now on, in every other process within a
    /// second.
    async fn end_links(&self, by: &str, tenant: &Tenant) -> Result<(), TokenAdminError>;
}
