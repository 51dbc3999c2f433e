//! Links to the console: making them, and the key that they are signed with.
//!
//! The key is made with the first link, and kept in the store, sealed as the secrets of destinations are: so every
//! process reads links that another one made, and whoever has a copy of the store makes none.

use super::service::{MadeTokens, check_file, moment_of};
use crate::config::parse_duration;
use laneway_domain::{DEFAULT_LINK_LASTS, Link, MAX_LINK_LASTS, Stamp, TokenBook};
use laneway_ports::{MadeLink, NewLink, TokenAdminError};
use std::time::Duration;

/// The shortest that a link lasts: shorter, and nobody could open it.
const SHORTEST: Duration = Duration::from_secs(1);

/// How long a link is to last.
fn lasting(said: Option<&str>) -> Result<Duration, TokenAdminError> {
    let Some(said) = said else { return Ok(DEFAULT_LINK_LASTS) };
    let lasts = parse_duration(said).map_err(TokenAdminError::Lasts)?;
    if (SHORTEST..=MAX_LINK_LASTS).contains(&lasts) {
        return Ok(lasts);
    }
    let hours = MAX_LINK_LASTS.as_secs() / 3600;
    Err(TokenAdminError::Lasts(format!("{said} is not between 1s and {hours}h, which is what a link can last")))
}

impl MadeTokens {
    /// Makes a link. But for the first one of a store nothing is written.
    pub(super) async fn link(&self, by: &str, wanted: NewLink) -> Result<MadeLink, TokenAdminError> {
        let NewLink { tenant, roles, lasts, maker, maker_digest } = wanted;
        let lasts = lasting(lasts.as_deref())?;
        self.check_tenant(Some(&tenant))?;
        check_file(&self.tokens.now(), None)?;
        let (mut known, mut clock) = self.seen().await?;
        let is_there = |book: &TokenBook| book.links().and_then(|links| self.links.open(links)).is_some();
        if !is_there(&known) {
            drop(known);
            let sealed = self.links.make()?;
            let sign = |book: &mut TokenBook, stamp: &Stamp| {
                // Another process may have been faster.
                if !is_there(book) {
                    book.sign_links_with(&sealed, stamp);
                }
                Ok(())
            };
            self.change(by, sign).await?;
            tracing::info!(by, "a key was made that links to the console are signed with");
            (known, clock) = self.seen().await?;
        }
        let kept = known.links().ok_or(TokenAdminError::Busy)?;
        let key = self.links.open(kept).ok_or(TokenAdminError::Busy)?;
        let made = kept.made_from(&tenant, moment_of(clock));
        let link = Link { tenant, roles, made, expires: made.after(lasts), maker };
        let token = key.sign(&link, &maker_digest).ok_or(TokenAdminError::Busy)?;
        let Link { tenant, expires, .. } = link;
        tracing::info!(%tenant, %roles, by, ?lasts, "a link to the console was made");
        Ok(MadeLink { token, expires })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_lasts_for_an_hour_or_for_what_is_said_within_a_day() {
        let read = |said| lasting(said).map_err(|error| error.to_string());
        assert_eq!(read(None), Ok(DEFAULT_LINK_LASTS));
        assert_eq!((read(Some("1s")), read(Some("24h"))), (Ok(SHORTEST), Ok(MAX_LINK_LASTS)));
        for (bad, why) in [("0s", "between 1s and 24h"), ("25h", "between 1s and 24h"), ("soon", "soon"), ("", "")] {
            assert!(read(Some(bad)).is_err_and(|what| what.contains(why)), "{bad}");
        }
    }
}
