//! Valkey: what the ports promise is kept there, too.

use laneway_servers::redis::{RedisServer, RedisSettings, SERVER_VARIABLE};
use std::path::Path;
use std::process::Command;

/// A folder in memory, where there is one.
const MEMORY: &str = "/dev/shm";

/// The contract suites on a single server, in a process of their own, with Valkey as the server.
#[tokio::test]
async fn the_contract_suites_pass_on_valkey() {
    let valkey = match RedisSettings::valkey().await {
        Ok(settings) => RedisServer::start(settings).await.unwrap(),
        Err(why) => return laneway_servers::skipped("the contract suites on Valkey", &format!("no Valkey: {why}")),
    };
    let info = valkey.command(&["INFO", "server"]).await.unwrap();
    assert!(info.field("valkey_version").is_some(), "{}", info.text());
    let mut suites = Command::new(std::env::current_exe().unwrap());
    suites.env(SERVER_VARIABLE, valkey.program()).args(["single::", "rights::each_right", "--test-threads", "8"]);
    // Valkey gives back memory that it had taken for the functions while the 4 MiB come that this one counts.
    suites.args(["--skip", "the_parts_of_a_store_grow_with_its_events"]);
    // It waits for most of half a minute.
    suites.args(["--skip", "answers_are_not_kept_forever"]);
    // Nothing here asks whether a disk keeps what it was told to.
    if Path::new(MEMORY).is_dir() {
        suites.env("TMPDIR", MEMORY);
    }
    let output = suites.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{}", said.lines().last().unwrap_or_default());
    assert!(output.status.success() && said.contains("test result: ok"), "{said}");
}
