//! The egress guard before MongoDB: whoever names a host (the URL, an SRV record, a replica set), only
//! what is permitted is connected to.

use crate::events::{deliver, event, retry_reason};
use crate::member::{self, Names};
use laneway_domain::{Cause, End};
use laneway_egress::corpus::*;
use laneway_egress::{Connections, EgressPolicy, Guard, parse_host};
use laneway_mongodb::{Mode, MongoConfig, MongoSink};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, UnixListener};

/// How long one attempt may look for a server: the driver tells of everything at once, and then waits.
const TIMEOUT: Duration = Duration::from_secs(4);

fn open(ranges: &[&str]) -> EgressPolicy {
    EgressPolicy::allowing(ranges.iter().map(|range| range.parse().unwrap()))
}

fn sink(url: &str, egress: &EgressPolicy) -> MongoSink {
    MongoSink::new(MongoConfig::parse(url, Mode::Insert, TIMEOUT, egress).unwrap()).unwrap()
}

/// Why an event could not be delivered there.
async fn reason(url: &str, egress: &EgressPolicy) -> String {
    let outcomes = deliver(&sink(url, egress), &[event("secret-event", "k", 1)]).await;
    retry_reason(&outcomes[0]).to_owned()
}

/// A listener that takes connections and says nothing; the addresses at which they came in.
fn victim(listener: TcpListener) -> Arc<Mutex<BTreeSet<IpAddr>>> {
    let reached = Arc::<Mutex<BTreeSet<IpAddr>>>::default();
    let note = Arc::clone(&reached);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            note.lock().unwrap().insert(stream.local_addr().unwrap().ip().to_canonical());
            kept.push(stream);
        }
    });
    reached
}

#[tokio::test]
async fn a_name_that_leads_to_a_forbidden_address_is_not_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let reached = victim(listener);
    let reason = reason(&format!("mongodb://localhost:{port}/d/c"), &EgressPolicy::default()).await;
    assert!(reason.contains("localhost resolves to an address that is not permitted"), "{reason}");
    assert!(reason.contains("a loopback address") && reason.contains("egress.allow = ["), "{reason}");
    assert!(reached.lock().unwrap().is_empty());
}

#[tokio::test]
async fn our_own_want_of_places_is_nobody_elses_doing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let policy = EgressPolicy { connections: Connections::at_most(1), ..open(&["127.0.0.0/8"]) };
    // Whoever has the place keeps it.
    let route = Guard::new(policy.clone()).route(parse_host("127.0.0.1").unwrap(), address.port());
    let taken = route.connect(tokio::time::Instant::now() + TIMEOUT).await.unwrap();
    let sink = sink(&format!("mongodb://{address}/d/c"), &policy);
    let outcomes = deliver(&sink, &[event("e", "k", 1)]).await;
    assert_eq!(outcomes[0].end(), End::Failed(Cause::Shortage), "{outcomes:?}");
    assert!(retry_reason(&outcomes[0]).contains("egress.connections"), "{outcomes:?}");
    drop(taken);
}

#[tokio::test]
async fn a_member_that_a_replica_set_names_is_not_connected_to_where_it_is_forbidden() {
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let reached = victim(listener);
    let names = ["127.0.0.2", "2130706434", "0x7f.2", "[::ffff:127.0.0.2]"].map(|host| format!("{host}:{port}"));
    let seed = member::start("127.0.0.1:0", Names(names.to_vec())).await;
    let url = format!("mongodb://{seed}/d/c");
    let closed = reason(&url, &open(&["127.0.0.1/32"])).await;
    assert!(closed.contains("127.0.0.2 may not be connected to: it is a loopback address"), "{closed}");
    assert!(reached.lock().unwrap().is_empty());
    // Where it is open, it is connected to: the test would see it.
    reason(&url, &open(&["127.0.0.0/8"])).await;
    assert!(!reached.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_unix_socket_that_a_replica_set_names_gets_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("victim.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let heard = Arc::<Mutex<Vec<u8>>>::default();
    let note = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let note = Arc::clone(&note);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    note.lock().unwrap().extend_from_slice(&buffer[..count]);
                }
            });
        }
    });
    let named = path.display().to_string().replace('/', "%2F");
    let seed = member::start("127.0.0.1:0", Names(vec![named])).await;
    let sink = sink(&format!("mongodb://{seed}/d/c"), &open(&["127.0.0.0/8"]));
    // The first attempt may end before the driver has told of the socket; the next one says it.
    let mut reasons = Vec::new();
    for _ in 0..2 {
        let outcomes = deliver(&sink, &[event("secret-event", "k", 1)]).await;
        reasons.push(retry_reason(&outcomes[0]).to_owned());
    }
    let told = |reason: &String| reason.contains("names the Unix socket") && reason.contains("victim.sock");
    assert!(reasons.iter().any(told), "{reasons:?}");
    let heard = heard.lock().unwrap().clone();
    assert!(!heard.windows(12).any(|part| part == b"secret-event"), "an event went to the socket");
}

/// All hosts of the corpus that are no public address, as a replica set may name them.
fn forbidden(port: u16) -> Vec<String> {
    let address = |text: &str| match text.parse().unwrap() {
        IpAddr::V6(v6) => format!("[{v6}]:{port}"),
        IpAddr::V4(v4) => format!("{v4}:{port}"),
    };
    let spelled = |url: &str| {
        let authority = url.strip_prefix("http://")?.split(['/', '?', '#', '\\']).next()?;
        let host = authority.rsplit('@').next()?;
        let end = host.rfind(':').filter(|colon| !host[*colon..].contains(']')).unwrap_or(host.len());
        Some(format!("{}:{port}", &host[..end])).filter(|_| end > 0)
    };
    words(BLOCKED_ADDRESSES).map(address).chain(words(BLOCKED_URLS).filter_map(spelled)).collect()
}

async fn no_member_of_the_corpus() {
    let listener = TcpListener::bind("[::]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let reached = victim(listener);
    let names = forbidden(port);
    assert!(names.len() >= 200, "{}", names.len());
    // A public address, so that nothing has to be opened for it.
    let seed = member::start("93.184.216.34:0", Names(names)).await;
    let url = format!("mongodb://{seed}/d/c");
    let closed = reason(&url, &EgressPolicy::default()).await;
    assert!(closed.contains("egress.allow"), "{closed}");
    assert_eq!(*reached.lock().unwrap(), BTreeSet::new());
    // With everything open they are connected to: the test would see it.
    reason(&url, &open(&["0.0.0.0/0", "::/0"])).await;
    let all = reached.lock().unwrap().len();
    assert!(all >= 80, "only {all} addresses were connected to where all are open");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_of_the_corpus_is_connected_to_whatever_a_replica_set_names() {
    if network::is_here("egress::no_address_of_the_corpus_is_connected_to_whatever_a_replica_set_names") {
        no_member_of_the_corpus().await;
    }
}

async fn srv() {
    let records = member::start_dns(&[("a.db.example", [169, 254, 169, 254]), ("b.db.example", [127, 0, 0, 1])]).await;
    let metadata = TcpListener::bind("169.254.169.254:0").await.unwrap();
    let port = metadata.local_addr().unwrap().port();
    let reached = victim(metadata);
    let seed: SocketAddr = member::start(&format!("127.0.0.1:{port}"), Names(Vec::new())).await;
    records.serve("cluster.db.example", &[("a.db.example", port), ("b.db.example", seed.port())], "replicaSet=rs0");
    // An SRV URL means TLS, if it does not say otherwise.
    let url = "mongodb+srv://cluster.db.example/d/c?tls=false";
    let closed = reason(url, &open(&["127.0.0.0/8"])).await;
    assert!(closed.contains("a.db.example resolves to an address that is not permitted: 169.254.169.254"), "{closed}");
    assert!(closed.contains("the cloud metadata address"), "{closed}");
    assert!(reached.lock().unwrap().is_empty());
    reason(url, &open(&["127.0.0.0/8", "169.254.0.0/16"])).await;
    assert!(!reached.lock().unwrap().is_empty());
    // What a TXT record says of the replica set is heeded: this one has another name.
    records.serve("cluster.db.example", &[("b.db.example", seed.port())], "replicaSet=other");
    let other = reason(url, &open(&["127.0.0.0/8"])).await;
    assert!(other.contains("no MongoDB server can be used"), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_of_srv_records_are_checked_too() {
    if network::is_here("egress::the_hosts_of_srv_records_are_checked_too") {
        srv().await;
    }
}
