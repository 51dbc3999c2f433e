//! The key that links to the console are signed with, as this process knows it.

use crate::registry::Keyring;
use laneway_domain::Links;
use laneway_http::{LINK_KEY_BYTES, LinkKey};
use laneway_ports::{StoreError, TokenAdminError};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What the key belongs to, in what seals it: nothing that can be a destination's name.
const SEALED_FOR: &str = "links to the console";

/// Opens the key of links, and remembers it.
pub(super) struct LinkKeys {
    keys: Arc<Keyring>,
    /// The key that was opened last, or could not be, as it was sealed.
    last: Mutex<Option<(Box<str>, Option<LinkKey>)>>,
}

impl fmt::Debug for LinkKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKeys(…)")
    }
}

impl LinkKeys {
    pub(super) fn new(keys: Arc<Keyring>) -> Self {
        Self { keys, last: Mutex::default() }
    }

    /// The key; `None` if this process cannot open it. That is told in the log, once.
    pub(super) fn open(&self, links: &Links) -> Option<LinkKey> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((sealed, key)) = &*last
            && **sealed == *links.key()
        {
            return key.clone();
        }
        let opened = self.keys.open(SEALED_FOR, links.key());
        if let Err(why) = &opened {
            tracing::warn!(%why, "links to the console open nothing over this process: their key cannot be opened");
        }
        let key = opened.ok().and_then(|bytes| LinkKey::new(&bytes));
        *last = Some((links.key().into(), key.clone()));
        key
    }

    /// A new key, sealed.
    pub(super) fn make(&self) -> Result<String, TokenAdminError> {
        let mut bytes = [0; LINK_KEY_BYTES];
        let none = |_| StoreError::retry_later("no link was made: the system gives no random numbers");
        SystemRandom::new().fill(&mut bytes).map_err(none)?;
        self.keys.seal(SEALED_FOR, &bytes).map_err(|why| TokenAdminError::Unsigned(why.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_opened_by_whoever_can_open_the_secrets_of_destinations() {
        let ring = |of: u8| Arc::new(Keyring::of(&[[of; 32]]).unwrap());
        let keys = LinkKeys::new(ring(1));
        let links = Links::new(&keys.make().unwrap(), laneway_domain::Revision(1));
        assert!(keys.open(&links).is_some() && LinkKeys::new(ring(1)).open(&links).is_some());
        assert!(LinkKeys::new(ring(2)).open(&links).is_none());
        // What is sealed for something else is none.
        let other = Links::new(&ring(1).seal("billing", &[7; 32]).unwrap(), laneway_domain::Revision(1));
        assert!(keys.open(&other).is_none() && keys.open(&links).is_some());
        let none = LinkKeys::new(Arc::new(Keyring::none())).make().unwrap_err();
        assert!(none.to_string().contains("store.key"), "{none}");
    }
}
