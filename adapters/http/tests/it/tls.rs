//! Connections over TLS.

use crate::{Server, Setup};
use laneway_http::{Limits, serve_with};
use laneway_tls::{Authority, Clients, CurrentServer, Identity, ServerTls, Trust, client_config};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

const ASK: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let mut answer = Vec::new();
    stream.write_all(ASK.as_bytes()).await.unwrap();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

struct Served {
    address: SocketAddr,
    authority: Authority,
    tls: CurrentServer,
}

async fn served(limits: Limits) -> Served {
    let authority = Authority::new();
    let (chain, key) = authority.certificate(&["localhost"]);
    let tls = CurrentServer::from(ServerTls::new(&chain, &key, Clients::Unknown).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::with(Setup { limits: limits.clone(), ..Setup::default() });
    tokio::spawn(serve_with(listener, server.router, limits, Some(tls.clone()), std::future::pending()));
    Served { address, authority, tls }
}

impl Served {
    async fn connect(&self, authority: &Authority) -> std::io::Result<impl AsyncRead + AsyncWrite + Unpin + use<>> {
        let identity: Option<&Identity> = None;
        let config = client_config(&Trust::only(&authority.pem()).unwrap(), identity);
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

#[tokio::test]
async fn tls_is_spoken_and_whoever_speaks_plain_http_is_told() {
    let served = served(Limits::default()).await;
    let over_tls = answer(served.connect(&served.authority).await.unwrap()).await;
    assert!(over_tls.starts_with("HTTP/1.1 200 "), "{over_tls}");
    let plain = answer(TcpStream::connect(served.address).await.unwrap()).await;
    assert!(plain.starts_with("HTTP/1.1 400 ") && plain.contains("write https://"), "{plain}");
}

#[tokio::test]
async fn whoever_does_not_shake_hands_keeps_nobody_else_and_has_to_go() {
    let served = served(Limits { header_timeout: Duration::from_millis(200), ..Limits::default() }).await;
    let mut silent = TcpStream::connect(served.address).await.unwrap();
    // The beginning of a handshake, and no more.
    let mut half = TcpStream::connect(served.address).await.unwrap();
    half.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
    let over_tls = answer(served.connect(&served.authority).await.unwrap()).await;
    assert!(over_tls.starts_with("HTTP/1.1 200 "), "{over_tls}");
    let mut rest = Vec::new();
    assert_eq!(silent.read_to_end(&mut rest).await.unwrap(), 0);
    assert_eq!(half.read_to_end(&mut rest).await.unwrap(), 0);
}

#[tokio::test]
async fn a_certificate_is_replaced_and_connections_that_stand_go_on() {
    let served = served(Limits::default()).await;
    let before = served.connect(&served.authority).await.unwrap();
    let next = Authority::new();
    let (chain, key) = next.certificate(&["localhost"]);
    served.tls.replace(ServerTls::new(&chain, &key, Clients::Unknown).unwrap());
    assert!(served.connect(&served.authority).await.is_err());
    for stream in [before, served.connect(&next).await.unwrap()] {
        let said = answer(stream).await;
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    }
}
