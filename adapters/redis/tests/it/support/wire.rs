//! A connection to Redis that can be cut at a chosen command, or fall silent.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// Redis gets the command, and answers; that does not come back.
    Lost,
    /// Redis does not get the command.
    NeverAsked,
}

/// Stands before a server, and passes everything on.
pub struct Wire {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// The next connection that sends this is cut.
    cut: Mutex<Option<(&'static str, Answers)>>,
    was_cut: Notify,
    /// How many connections there ever were, and how many of the first of them are silent.
    made: watch::Sender<u64>,
    silent: AtomicU64,
    /// Whether new connections are passed on; else they are taken and wait.
    open: watch::Sender<bool>,
}

impl Wire {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            cut: Mutex::default(),
            was_cut: Notify::default(),
            made: watch::Sender::new(0),
            silent: AtomicU64::default(),
            open: watch::Sender::new(true),
        });
        let for_connections = shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(admit(client, server, for_connections.clone()));
            }
        });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Cuts the connection that sends `text` next, once.
    pub fn cut_at(&self, text: &'static str, answers: Answers) {
        *self.shared.cut.lock().unwrap() = Some((text, answers));
    }

    /// From now on nothing comes through on the connections that there are. They stay open, and new ones work.
    pub fn fall_silent(&self) {
        self.shared.silent.store(*self.shared.made.borrow(), Ordering::SeqCst);
    }

    /// From now on new connections are taken and hear nothing, until [`Self::let_in`].
    pub fn keep_out(&self) {
        self.shared.open.send_replace(false);
    }

    /// New connections, and those that wait, are passed on.
    pub fn let_in(&self) {
        self.shared.open.send_replace(true);
    }

    /// Resolves with the next connection that is made.
    pub async fn next_connection(&self) {
        let mut made = self.shared.made.subscribe();
        made.changed().await.unwrap();
    }

    /// Resolves when it was cut.
    pub async fn was_cut(&self) {
        self.shared.was_cut.notified().await;
    }
}

async fn admit(client: TcpStream, server: SocketAddr, shared: Arc<Shared>) {
    let admitted = shared.open.subscribe().wait_for(|open| *open).await.is_ok();
    if admitted && let Ok(server) = TcpStream::connect(server).await {
        pass(client, server, shared).await;
    }
}

async fn pass(client: TcpStream, server: TcpStream, shared: Arc<Shared>) {
    let mut number = 0;
    shared.made.send_modify(|made| number = std::mem::replace(made, *made + 1));
    let is_silent = || number < shared.silent.load(Ordering::SeqCst);
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut sent, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = from_client.read(&mut sent) => {
                let Ok(read @ 1..) = read else { return };
                if is_silent() {
                    continue;
                }
                let cut = shared.cut_by(&sent[..read]);
                if cut != Some(Answers::NeverAsked) && to_server.write_all(&sent[..read]).await.is_err() {
                    return;
                }
                if let Some(answers) = cut {
                    if answers == Answers::Lost {
                        // The answer says that the command was done; nobody else gets to see it.
                        assert!(from_server.read(&mut answered).await.unwrap() > 0);
                    }
                    shared.was_cut.notify_one();
                    return;
                }
            }
            read = from_server.read(&mut answered) => {
                let Ok(read @ 1..) = read else { return };
                if is_silent() {
                    continue;
                }
                if to_client.write_all(&answered[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}

impl Shared {
    /// How to cut the connection that sends this, if it is the one.
    fn cut_by(&self, sent: &[u8]) -> Option<Answers> {
        let mut cut = self.cut.lock().unwrap();
        let (text, _) = (*cut)?;
        if !sent.windows(text.len()).any(|window| window == text.as_bytes()) {
            return None;
        }
        cut.take().map(|(_, answers)| answers)
    }
}
