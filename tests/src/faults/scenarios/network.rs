//! A bad network between Laneway and a receiver.

use crate::faults::load::Load;
use crate::faults::proxy::{Proxy, Weather};
use crate::faults::site::Site;
use crate::faults::table::Row;
use crate::receiver::{Behaviour, Receiver};
use rand::RngExt;
use std::time::Duration;

async fn behind_a_proxy() -> (Site, Proxy) {
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let proxy = Proxy::before(receiver.address()).await;
    let url = format!("http://{}/hook", proxy.address());
    (Site::behind(receiver, &url, "", "timeout = \"1s\""), proxy)
}

/// Every connection is closed, whatever is under way on it.
pub(super) async fn receiver_cut(times: usize) -> Row {
    let (mut site, proxy) = behind_a_proxy().await;
    let server = site.start().await;
    let mut load = site.load();
    for n in 0..times {
        site.a_while(&mut load).await;
        proxy.cut();
        if n % 5 == 0 {
            proxy.be(Weather { refusing: true, ..Weather::default() });
            tokio::time::sleep(Duration::from_millis(site.random.random_range(0..300))).await;
            proxy.be(Weather::default());
        }
    }
    load.more(100).await;
    let sending = load.stop().await;
    let mut row = site.finish("connections to the receiver cut", times, server, sending).await;
    row.note = format!("every fifth time refused for up to 0.3 s; {} connections", proxy.connections());
    row
}

async fn worse(times: usize, fault: &str, weather: impl Fn(u64) -> Weather, note: &str) -> Row {
    let (mut site, proxy) = behind_a_proxy().await;
    let server = site.start().await;
    let mut load: Load = site.load();
    for _ in 0..times {
        site.a_while(&mut load).await;
        proxy.be(weather(site.random.random_range(20..400)));
        tokio::time::sleep(Duration::from_millis(site.random.random_range(200..1_500))).await;
        proxy.be(Weather::default());
        load.more(50).await;
    }
    let sending = load.stop().await;
    let mut row = site.finish(fault, times, server, sending).await;
    row.note = note.into();
    row
}

/// Everything takes longer, for a while.
pub(super) async fn receiver_slow(times: usize) -> Row {
    let slow = |millis| Weather { latency: Duration::from_millis(millis), ..Weather::default() };
    worse(times, "latency to the receiver", slow, "20 to 400 ms more each way, for up to 1.5 s").await
}

/// Connections stay open, and nothing comes through.
pub(super) async fn receiver_half_open(times: usize) -> Row {
    let silent = |_| Weather { half_open: true, ..Weather::default() };
    worse(times, "half-open connections to the receiver", silent, "silent for up to 1.5 s; timeout 1 s").await
}
