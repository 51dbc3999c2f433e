//! A process that ends, or stands still.

use crate::faults::site::Site;
use crate::faults::table::Row;
use rand::RngExt;
use std::time::Duration;

/// `kill -9` of the one process.
pub(super) async fn killed(times: usize) -> Row {
    let mut site = Site::new("", "").await;
    let mut server = site.start().await;
    let mut load = site.load();
    for _ in 0..times {
        site.a_while(&mut load).await;
        server.kill();
        server = site.start().await;
    }
    let sending = load.stop().await;
    site.finish("kill -9 of `laneway` (SQLite)", times, server, sending).await
}

/// SIGSTOP, and SIGCONT some time later: every fifth time beyond the lease of five seconds.
pub(super) async fn paused(times: usize) -> Row {
    let mut site = Site::new("", "").await;
    let server = site.start().await;
    let mut load = site.load();
    for n in 0..times {
        site.a_while(&mut load).await;
        let beyond_the_lease = n % 5 == 1;
        let millis = if beyond_the_lease { 6_000 } else { site.random.random_range(50..1_000) };
        server.signal("STOP");
        tokio::time::sleep(Duration::from_millis(millis)).await;
        server.signal("CONT");
    }
    load.more(100).await;
    let sending = load.stop().await;
    let mut row = site.finish("SIGSTOP and SIGCONT of `laneway` (SQLite)", times, server, sending).await;
    row.note = "stopped for up to 6 s, beyond the lease of 5 s".into();
    row
}
