//! What a reload changes, what it refuses, and what it says of the rest.

use super::*;
use laneway_memory::{Disk, MemoryStore, Settings};
use std::sync::Arc;

/// Without a key in the file, one would be made beside the database.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn config(text: &str) -> Config {
    Config::from_toml(&format!("store.key = '{KEY}'\n{text}")).unwrap_or_else(|error| panic!("{error}"))
}

/// A store in memory.
fn stores() -> Stores {
    Stores::of(Arc::new(MemoryStore::open(Disk::new(1), Settings::default())))
}

/// A process that runs: what `read` says is read at each reload.
fn running<'a>(role: Role, started: &Config, stores: &Stores, read: ReadAgain<'a>) -> Reloading<'a> {
    Reloading {
        read,
        started: started.clone(),
        config: started.clone(),
        known: Known::of(started).unwrap(),
        stores: stores.clone(),
        tokens: Tokens::of(started.server.tokens.clone()),
        limits: CurrentLimits::from(started.server.limits.clone()),
        tenants: TenantsNow::of(&started.tenants),
        certificates: Certificates::of(started).unwrap(),
        role,
    }
}

#[tokio::test]
async fn what_would_open_an_address_that_is_listened_on_is_refused() {
    const TOKENS: &str = "server.tokens = ['a-token-of-16-characters']";
    let loopback = config("");
    for (setting, roles) in [
        ("server.listen", &[Role::Both, Role::Ingest][..]),
        ("server.operator_listen", &[Role::Both, Role::Ingest]),
        ("worker.listen", &[Role::Worker]),
    ] {
        let started = config(&format!("{setting} = '0.0.0.0:9'\n{TOKENS}"));
        for role in [Role::Both, Role::Ingest, Role::Worker] {
            let read = || Ok(loopback.clone());
            let mut process = running(role, &started, &stores(), &read);
            let told = process.try_to().await;
            let still = !process.tokens.now().is_open();
            if roles.contains(&role) {
                let why = told.unwrap_err();
                assert!(why.contains("0.0.0.0:9 can be reached from other machines"), "{role:?}: {why}");
                assert!(still, "{role:?} is open at {setting}");
            } else {
                assert_eq!((told, still), (Ok(()), false), "{role:?} does not listen on {setting}");
            }
        }
    }
}
