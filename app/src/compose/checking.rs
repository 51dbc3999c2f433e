//! What `laneway check` looks at: whatever would keep a process from starting, without starting it.

use super::certificates::Certificates;
use super::destinations::Known;
use super::stores::{self, Checked};
use super::{sinks, spans};
use crate::config::Config;

/// Checks what a start needs of a configuration, and the store. Makes no store, and says what is there. Reads all of
/// it.
///
/// # Errors
/// Says what would keep a process from starting, or why the store cannot be checked.
pub async fn check(config: &Config) -> Result<Checked, String> {
    sinks::check(config)?;
    spans::check(&config.telemetry)?;
    Certificates::check(config)?;
    let known = Known::of(config)?;
    stores::check(&config.store, &known.reader).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Written;
    use crate::registry::{KEY_BYTES, Keyring, Stored};
    use laneway_domain::{DestinationName, Filters, Origin, Registered, Standing};
    use laneway_ports::{Registry as _, RegistryWrite};
    use laneway_sqlite::{Options, SqliteStore};
    use serde_json::json;
    use std::path::Path;

    /// Hexadecimal digits of the key.
    fn key(byte: u8) -> String {
        format!("{byte:02x}").repeat(KEY_BYTES)
    }

    /// Registers a destination with a secret that this key has sealed.
    async fn register(path: &Path, byte: u8) {
        let keys = Keyring::of(&[[byte; KEY_BYTES]]).unwrap();
        let map = |json: serde_json::Value| json.as_object().unwrap().clone();
        let shown = map(json!({"url": "https://h.example/", "bearer": "…"}));
        let written = Written { shown, hidden: map(json!({"bearer": "hunter2"})) };
        let settings = Stored::sealed("billing", written, Vec::new(), &keys).unwrap().text();
        let store = SqliteStore::open(Options::new(path, 2)).unwrap();
        let head = store.head().await.unwrap();
        let revision = head.next();
        let record = Registered {
            name: DestinationName::new("billing").unwrap(),
            born: revision,
            revision,
            origin: Origin::Api,
            standing: Standing::Present,
            paused: None,
            settings,
            filters: Filters::default(),
            target_since: revision,
            is_first: true,
            takes_over: false,
        };
        let write = RegistryWrite { last: head.last, revision, records: vec![record], journal: Vec::new() };
        assert!(store.write(&write).await.unwrap());
    }

    #[tokio::test]
    async fn what_would_keep_a_process_from_starting_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("laneway.db");
        let config = |store: &str, rest: &str| {
            let text = format!("[store]\nurl = 'sqlite:{}'\npartitions = 2\n{store}\n{rest}", path.display());
            Config::from_toml(&text).unwrap()
        };
        let found = check(&config("", "")).await.unwrap().found.unwrap();
        assert!(found.contains("will be made, with 2 partitions") && !path.exists(), "{found}");
        register(&path, 7).await;
        let found = check(&config(&format!("key = '{}'", key(7)), "")).await.unwrap().found.unwrap();
        assert!(found.contains("all sound"), "{found}");
        let other = config(&format!("key = '{}'", key(8)), "");
        let wrong = check(&other).await.unwrap().found.unwrap_err();
        assert!(wrong.starts_with("destination billing: its secrets are sealed with the key "), "{wrong}");
        std::fs::write(folder.path().join("laneway.db.key"), "no key").unwrap();
        let wrong = check(&config("", "")).await.map(|_| ()).unwrap_err();
        assert!(wrong.contains("laneway.db.key"), "{wrong}");
    }
}
