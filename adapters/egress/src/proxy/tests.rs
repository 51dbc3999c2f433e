//! The proxy as a driver meets it, over real connections.

use super::*;
use crate::policy::EgressPolicy;
use crate::resolve::Resolve;
use async_trait::async_trait;
use std::net::IpAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Resolves each name to the next of its answers, and then to the last for ever.
struct Answers(Mutex<Vec<IpAddr>>);

#[async_trait]
impl Resolve for Answers {
    async fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let mut answers = self.0.lock().unwrap();
        let address = if answers.len() > 1 { answers.remove(0) } else { answers[0] };
        Ok(vec![SocketAddr::new(address, port)])
    }
}

async fn proxy(allow: &[&str], answers: &[&str]) -> GuardedProxy {
    let policy = EgressPolicy::allowing(allow.iter().map(|range| range.parse().unwrap()));
    let answers = answers.iter().map(|address| address.parse().unwrap()).collect();
    GuardedProxy::start(Guard::with_resolver(policy, Arc::new(Answers(Mutex::new(answers))))).await.unwrap()
}

/// A server that says `hello`, and then back what it hears.
async fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(b"hello").await.unwrap();
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    port
}

/// Greets with user and password; the proxy's answer to both.
async fn log_in(proxy: &GuardedProxy, user: &str, password: &str) -> (TcpStream, [u8; 2]) {
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(&[5, 2, 0, 2]).await.unwrap();
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await.unwrap();
    assert_eq!(chosen, [5, 2]);
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    stream.write_all(&[vec![1], text(user), text(password)].concat()).await.unwrap();
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await.unwrap();
    (stream, answer)
}

/// A connection to `host` by way of the proxy, or the number that it was refused with.
async fn connect(proxy: &GuardedProxy, command: u8, host: &[u8], port: u16) -> Result<TcpStream, u8> {
    let (user, password) = proxy.login();
    let (mut stream, answer) = log_in(proxy, user, password).await;
    assert_eq!(answer, [1, 0]);
    let request = [&[5, command, 0], host, &port.to_be_bytes()].concat();
    stream.write_all(&request).await.unwrap();
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!((answer[0], answer[2], answer[3]), (5, 0, 1));
    if answer[1] == 0 { Ok(stream) } else { Err(answer[1]) }
}

fn name(name: &str) -> Vec<u8> {
    [&[3, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat()
}

fn address(address: &str) -> Vec<u8> {
    match address.parse().unwrap() {
        IpAddr::V4(v4) => [&[1], v4.octets().as_slice()].concat(),
        IpAddr::V6(v6) => [&[4], v6.octets().as_slice()].concat(),
    }
}

#[tokio::test]
async fn what_is_permitted_is_connected_to_and_carried_both_ways() {
    let port = server().await;
    let proxy = proxy(&["127.0.0.0/8"], &["127.0.0.1"]).await;
    for host in [name("db.example"), name("127.1"), name("0x7f000001"), address("127.0.0.1")] {
        let mut stream = connect(&proxy, 1, &host, port).await.unwrap();
        let sent = vec![7; 1 << 20];
        let (mut from, mut to) = stream.split();
        let mut heard = vec![0; 5 + sent.len()];
        let (wrote, read) = tokio::join!(to.write_all(&sent), from.read_exact(&mut heard));
        wrote.and(read).unwrap();
        assert!(heard.starts_with(b"hello") && heard[5..] == sent);
    }
    assert!(proxy.troubles().is_empty());
}

#[tokio::test]
async fn no_spelling_and_no_way_of_naming_it_opens_a_forbidden_address() {
    let port = server().await;
    let proxy = proxy(&[], &["127.0.0.1"]).await;
    let named = ["db.example", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "::1", "::ffff:127.0.0.1"];
    for text in named {
        assert_eq!(connect(&proxy, 1, &name(text), port).await.err(), Some(2), "{text}");
    }
    for text in ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1"] {
        assert_eq!(connect(&proxy, 1, &address(text), port).await.err(), Some(2), "{text}");
    }
    let troubles: Vec<String> = proxy.troubles().iter().map(ToString::to_string).collect();
    assert!(troubles.iter().all(|trouble| trouble.contains("egress.allow")), "{troubles:?}");
    assert!(troubles.iter().any(|trouble| trouble.starts_with("db.example resolves to an address")), "{troubles:?}");
}

#[tokio::test]
async fn a_name_is_checked_again_at_each_connection() {
    let port = server().await;
    let proxy = proxy(&["127.0.0.0/8"], &["127.0.0.1", "10.0.0.1", "127.0.0.1"]).await;
    assert!(connect(&proxy, 1, &name("db.example"), port).await.is_ok());
    assert_eq!(connect(&proxy, 1, &name("db.example"), port).await.err(), Some(2));
    assert_eq!(proxy.troubles().len(), 1);
    assert!(connect(&proxy, 1, &name("db.example"), port).await.is_ok());
    assert!(proxy.troubles().is_empty(), "what is mended is no trouble any more");
}

#[tokio::test]
async fn what_is_no_request_to_connect_to_a_host_is_refused() {
    let port = server().await;
    let proxy = proxy(&["127.0.0.0/8"], &["127.0.0.1"]).await;
    for (command, host, refusal) in [
        (2, name("db.example"), 7),
        (3, address("127.0.0.1"), 7),
        (1, name("fe80::1%eth0"), 8),
        (1, name("256.0.0.1"), 8),
        (1, name(""), 8),
        (1, [&[3, 1], b"\xff".as_slice()].concat(), 8),
    ] {
        assert_eq!(connect(&proxy, command, &host, port).await.err(), Some(refusal), "{command} {host:?}");
    }
}

#[tokio::test]
async fn who_does_not_know_the_login_is_not_let_through() {
    let proxy = proxy(&["127.0.0.0/8"], &["127.0.0.1"]).await;
    let (user, password) = proxy.login();
    for (user, password) in [("", ""), (user, ""), (user, "wrong"), ("wrong", password), (password, user)] {
        let (mut stream, answer) = log_in(&proxy, user, password).await;
        assert_eq!(answer, [1, 1]);
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0, "the connection is closed");
    }
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(&[5, 1, 0]).await.unwrap();
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [5, 0xff]);
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_said_to_be_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let proxy = proxy(&["127.0.0.0/8"], &["127.0.0.1"]).await;
    assert_eq!(connect(&proxy, 1, &name("db.example"), port).await.err(), Some(5));
    let trouble = proxy.troubles()[0].to_string();
    assert!(trouble.contains(&format!("could not connect to 127.0.0.1:{port}")), "{trouble}");
}

#[tokio::test]
async fn whoever_waits_for_a_place_is_said_to_do_so() {
    let port = server().await;
    let policy = EgressPolicy {
        connections: crate::Connections::at_most(1),
        ..EgressPolicy::allowing(["127.0.0.0/8".parse().unwrap()])
    };
    let taken = policy.connections.place(Instant::now()).await.unwrap();
    let proxy = GuardedProxy::start(Guard::new(policy)).await.unwrap();
    let waits = async { connect(&proxy, 1, &address("127.0.0.1"), port).await };
    let said = async {
        while proxy.troubles().is_empty() {
            tokio::task::yield_now().await;
        }
        let trouble = Arc::clone(&proxy.troubles()[0]);
        assert!(trouble.is_shortage(|_| false), "{trouble}");
        // It has its place, and nobody waits any more.
        drop(taken);
    };
    let (connected, ()) = tokio::join!(waits, said);
    assert!(connected.is_ok() && proxy.troubles().is_empty());
}

#[tokio::test]
async fn the_end_of_one_side_is_the_end_of_the_other_and_the_last_words_arrive() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let proxy = proxy(&["127.0.0.0/8"], &["127.0.0.1"]).await;
    let mut stream = connect(&proxy, 1, &name("db.example"), port).await.unwrap();
    let (mut accepted, _) = listener.accept().await.unwrap();
    accepted.write_all(b"bye").await.unwrap();
    drop(accepted);
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"bye");

    let stream = connect(&proxy, 1, &name("db.example"), port).await.unwrap();
    let (mut accepted, _) = listener.accept().await.unwrap();
    drop(stream);
    assert_eq!(accepted.read(&mut [0]).await.unwrap_or(0), 0);

    let stream = connect(&proxy, 1, &name("db.example"), port).await.unwrap();
    let (mut accepted, _) = listener.accept().await.unwrap();
    drop(proxy);
    assert_eq!(accepted.read(&mut [0]).await.unwrap_or(0), 0, "the proxy's end is the connections' end");
    drop(stream);
}
