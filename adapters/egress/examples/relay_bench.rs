//! What the proxy costs a driver: round trips over a direct connection, and through a [`GuardedProxy`], as a
//! MongoDB driver makes them (a request of some bytes, a short answer; no `TCP_NODELAY` on the way to the
//! proxy, which the driver's SOCKS client does not set), in the same process, taking turns.
//!
//! ```sh
//! cargo run --release -p laneway-egress --example relay_bench [round trips per turn]
//! ```
#![allow(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]

use laneway_egress::{EgressPolicy, Guard, GuardedProxy};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Requests of one small event, of a batch of a hundred, and of a batch as large as commands get.
const SIZES: [usize; 3] = [500, 50_000, 8 << 20];
const ANSWER: [u8; 64] = [0; 64];
const TURNS: usize = 7;

#[tokio::main]
async fn main() {
    let trips: usize = std::env::args().nth(1).map_or(500, |text| text.parse().unwrap());
    let port = server().await;
    let guard = Guard::new(EgressPolicy::allowing(["127.0.0.0/8".parse().unwrap()]));
    let proxy = GuardedProxy::start(guard).await.unwrap();
    for size in SIZES {
        // So that each size takes about as long.
        let trips = (trips * SIZES[0] / size).max(trips / 25).max(1);
        let mut direct = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        direct.set_nodelay(true).unwrap();
        let mut proxied = through(&proxy, port).await;
        let mut times: [Vec<Duration>; 2] = Default::default();
        for turn in 0..=TURNS {
            for (times, stream) in times.iter_mut().zip([&mut direct, &mut proxied]) {
                let took = measure(stream, size, trips).await;
                // The first turn warms up.
                if turn > 0 {
                    times.push(took);
                }
            }
        }
        let [direct, proxied] = times.map(|mut times| {
            times.sort();
            times[TURNS / 2]
        });
        println!("{size} bytes: {direct:?} direct, {proxied:?} through the proxy (median of {TURNS} turns of {trips})");
    }
}

/// The time of one round trip.
async fn measure(stream: &mut TcpStream, size: usize, trips: usize) -> Duration {
    let mut request = vec![7; size];
    request[..8].copy_from_slice(&(size as u64).to_le_bytes());
    let begun = Instant::now();
    for _ in 0..trips {
        stream.write_all(&request).await.unwrap();
        stream.read_exact(&mut [0; ANSWER.len()]).await.unwrap();
    }
    begun.elapsed() / u32::try_from(trips).unwrap()
}

/// Reads requests, whose first eight bytes are their length, and answers each.
async fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let mut rest = Vec::new();
                while let Ok(size) = stream.read_u64_le().await {
                    rest.resize(usize::try_from(size).unwrap() - 8, 0);
                    stream.read_exact(&mut rest).await.unwrap();
                    stream.write_all(&ANSWER).await.unwrap();
                }
            });
        }
    });
    port
}

/// A connection to the server by way of the proxy.
async fn through(proxy: &GuardedProxy, port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let (user, password) = proxy.login();
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let login = [vec![1], text(user), text(password)].concat();
    let request = [&[5, 1, 0, 1, 127, 0, 0, 1], port.to_be_bytes().as_slice()].concat();
    for (said, answer) in [(vec![5, 1, 2], 2), (login, 2), (request, 10)] {
        stream.write_all(&said).await.unwrap();
        let mut heard = vec![0; answer];
        stream.read_exact(&mut heard).await.unwrap();
    }
    stream
}
