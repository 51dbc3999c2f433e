//! What each trouble does.

use super::{GLANCE, PATIENCE, PICKY, Piece, certificate_of};
use crate::hostile::Authority;
use crate::soak::site::secret;
use crate::soak::trouble::Trouble;
use rand::RngExt;
use serde_json::json;
use std::time::Instant;

/// What a disk is full of: space, a quota, or the size of a file.
const FULL: [i32; 3] = [libc::ENOSPC, libc::EDQUOT, libc::EFBIG];

impl Piece {
    pub(super) async fn happen(&mut self, trouble: Trouble) -> Result<(), String> {
        match trouble {
            Trouble::Deployment => self.deploy().await,
            Trouble::Kill => self.kill().await,
            Trouble::Failover => self.fail_over().await,
            Trouble::Certificate => self.renew_certificate().await,
            Trouble::Secret => self.rotate_secret().await,
            Trouble::FullDisk => self.fill_disk().await,
            Trouble::Restore => self.restore().await,
            Trouble::DeadLetters => self.retry_dead_letters().await,
        }
    }

    /// Every process is replaced by another one, while the others go on.
    async fn deploy(&mut self) -> Result<(), String> {
        for place in 0..self.site.places.len() {
            self.site.stop(place);
            self.site.start(place).await;
        }
        Ok(())
    }

    async fn kill(&mut self) -> Result<(), String> {
        let place = self.random.random_range(0..self.site.places.len());
        self.site.kill(place);
        self.site.start(place).await;
        Ok(())
    }

    async fn fail_over(&mut self) -> Result<(), String> {
        self.state.progress.primary = self.site.fail_over().await?;
        // A piece that is killed from here on must not go on with the server that has lost its data.
        self.save()
    }

    /// For a while both authorities are trusted, so that no delivery fails.
    async fn renew_certificate(&mut self) -> Result<(), String> {
        let next = Authority::new();
        self.site.destinations.trust(&[&self.authority, &next]);
        self.site.reload().await?;
        self.receivers[0].show(&certificate_of(&next));
        let shown = tokio::time::timeout(PATIENCE, self.receivers[0].shown()).await;
        shown.map_err(|_| "nothing came over the new certificate".to_owned())?;
        self.site.destinations.trust(&[&next]);
        self.authority = next;
        self.site.reload().await
    }

    /// For a while requests are signed with both secrets. When nothing is under way any more that was signed with the
    /// old one only, the receivers take it no more.
    async fn rotate_secret(&mut self) -> Result<(), String> {
        let new = secret();
        let both = [[new.clone()].as_slice(), &self.site.destinations.secrets].concat();
        self.receivers.iter().for_each(|receiver| receiver.trust(&both));
        self.site.destinations.secrets = both;
        self.site.reload().await?;
        self.balance().await?;
        self.receivers.iter().for_each(|receiver| receiver.trust(std::slice::from_ref(&new)));
        self.go();
        self.more(super::EVENTS_AFTER).await?;
        self.site.destinations.secrets = vec![new];
        self.site.reload().await
    }

    async fn fill_disk(&mut self) -> Result<(), String> {
        let preload = self.site.preload.as_ref().ok_or("the store is on no disk")?;
        let failed = preload.failed();
        preload.fail_writes(FULL[self.random.random_range(0..FULL.len())]);
        preload.until_failed(failed).await;
        let refused = tokio::time::timeout(PATIENCE, self.traffic.refused()).await;
        preload.fail_writes(0);
        refused.map_err(|_| "no producer noticed".to_owned())
    }

    /// What comes after a backup is lost by a restore. So nothing comes: producers pause before, and go on after it.
    async fn restore(&mut self) -> Result<(), String> {
        self.balance().await?;
        self.site.back_up()?;
        self.site.stop_all();
        self.site.restore().await?;
        self.state.progress.restored = self.site.number;
        self.save()?;
        self.site.start_all().await;
        self.go();
        Ok(())
    }

    async fn retry_dead_letters(&mut self) -> Result<(), String> {
        self.balance().await?;
        self.asked("retry").await?;
        if !self.book.no_dead_letters(PICKY).await {
            return Err("dead letters were retried, and have not all come".to_owned());
        }
        self.go();
        Ok(())
    }

    /// Has something done to all dead letters.
    async fn asked(&self, what: &str) -> Result<(), String> {
        let client = self.site.places[0].client();
        let selection = json!({"destination": PICKY}).to_string();
        let answer = client.post(&format!("/v1/dead-letters/{what}"), selection).await?;
        if answer.status == 200 { Ok(()) } else { Err(format!("{what}: {} {}", answer.status, answer.text())) }
    }

    /// A piece that was killed has left events and dead letters that are in no ledger. The events are delivered, and
    /// the dead letters discarded.
    pub(super) async fn settle_what_was_left(&mut self) -> Result<(), String> {
        self.receivers.iter().for_each(|receiver| receiver.set_calm(true));
        self.at_rest().await;
        self.asked("discard").await?;
        let deadline = Instant::now() + PATIENCE;
        while self.reported().await.get(PICKY).is_none_or(|reported| reported.dead > 0) {
            if Instant::now() > deadline {
                return Err("the dead letters of the piece that was killed are not discarded".to_owned());
            }
            tokio::time::sleep(GLANCE).await;
        }
        self.receivers.iter().for_each(|receiver| receiver.set_calm(false));
        Ok(())
    }
}
