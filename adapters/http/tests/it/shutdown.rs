//! Letting go of connections.

use crate::Setup;
use crate::limits::{PATIENCE, answer, event, rest, start};
use laneway_http::{Ended, Limits};
use laneway_memory::{Call, Fault, Faults};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

/// A disk that takes its time, and says when a write has come.
struct Slow {
    takes: Duration,
    asked: Arc<Notify>,
}

impl Faults for Slow {
    fn fault(&self, call: Call) -> Option<Fault> {
        if matches!(call, Call::Append { .. }) {
            self.asked.notify_one();
        }
        None
    }

    fn sync_delay(&self) -> Duration {
        self.takes
    }
}

#[tokio::test]
async fn what_is_under_way_is_finished_and_nothing_more_is_accepted() {
    let asked = Arc::new(Notify::new());
    let slow = Slow { takes: Duration::from_millis(200), asked: asked.clone() };
    let running = start(Setup { faults: Some(Arc::new(slow)), ..Setup::default() }).await;
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    let mut busy = TcpStream::connect(running.address).await.unwrap();
    busy.write_all(event().as_bytes()).await.unwrap();
    asked.notified().await;
    running.stop.send(()).unwrap();
    assert_eq!(rest(&mut idle).await, "");
    assert!(TcpStream::connect(running.address).await.is_err());
    let answered = answer(&mut busy).await;
    assert!(answered.starts_with("HTTP/1.1 202 ") && answered.contains("connection: close"), "{answered}");
    let ended = timeout(PATIENCE, running.ended).await.unwrap().unwrap();
    assert_eq!(ended, Ended { cut_off: 0 });
    assert_eq!(running.server.stored().await.len(), 1);
}

#[tokio::test]
async fn what_does_not_finish_within_the_grace_is_cut_off_and_counted() {
    let asked = Arc::new(Notify::new());
    let slow = Slow { takes: Duration::from_secs(3600), asked: asked.clone() };
    let limits = Limits { grace: Duration::from_millis(50), ..Limits::default() };
    let running = start(Setup { faults: Some(Arc::new(slow)), limits, ..Setup::default() }).await;
    let mut busy = TcpStream::connect(running.address).await.unwrap();
    busy.write_all(event().as_bytes()).await.unwrap();
    asked.notified().await;
    running.stop.send(()).unwrap();
    let ended = timeout(PATIENCE, running.ended).await.unwrap().unwrap();
    assert_eq!(ended, Ended { cut_off: 1 });
}
