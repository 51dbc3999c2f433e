//! One receiver for each way to misbehave.

use laneway_tests::hostile::{Authority, Certificate, Hostile, Manner};
use std::time::Duration;

/// A hostile destination.
pub(crate) struct Enemy {
    /// The destination's name.
    pub(crate) name: &'static str,
    /// Where it is.
    pub(crate) url: String,
    /// What its last errors have to contain one of.
    pub(crate) says: &'static [&'static str],
    /// The receiver, if there is one.
    pub(crate) receiver: Option<Hostile>,
    /// Whether each connection has to be given up at the deadline, because the receiver never would.
    pub(crate) hangs_up: bool,
}

const LATE: &[&str] = &["no answer within 1.5s"];
const CUT: &[&str] = &["before an answer came"];

/// An answer without a body and with the connection kept.
fn answer(status: u16, more: &str) -> String {
    format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n{more}\r\n")
}

fn floods(first: &str, again: &str, pause: u64) -> Manner {
    Manner::Floods { first: first.into(), again: again.as_bytes().into(), pause: Duration::from_millis(pause) }
}

fn statuses(range: impl IntoIterator<Item = u16>) -> Manner {
    Manner::Answers(range.into_iter().filter(|status| *status != 410).map(|status| answer(status, "")).collect())
}

/// Name, manner, what the error has to say, and whether we have to hang up.
fn plain(trap: &Hostile) -> Vec<(&'static str, Manner, &'static [&'static str], bool)> {
    let location = format!("location: http://{}/\r\n", trap.address());
    let redirects = (300..=308).map(|status| answer(status, &location)).collect();
    let header = "x-filler: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(50);
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n".repeat(50);
    let chunk = format!("1000\r\n{}\r\n", "z".repeat(0x1000));
    let block = "z".repeat(0x4000);
    vec![
        ("interim-storm", floods("", &interim, 0), &["interim answers"], true),
        ("interim-drip", floods("", "HTTP/1.1 100 Continue\r\n\r\n", 100), LATE, true),
        ("redirects", Manner::Answers(redirects), &["redirects are never followed"], false),
        ("client-errors", statuses(400..=499), &["the receiver answered 4"], false),
        ("server-errors", statuses(500..=599), &["the receiver answered 5"], false),
        ("odd-statuses", statuses([600, 799, 999]), &["the receiver answered"], false),
        ("dripped-headers", floods("HTTP/1.1 500 No\r\nx: ", "y", 1000), &["500"], true),
        ("endless-headers", floods("HTTP/1.1 500 No\r\n", &header, 0), &["500"], true),
        ("endless-body", floods("HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n", &chunk, 0), &["500"], true),
        ("dripped-body", floods("HTTP/1.1 500 No\r\ncontent-length: 999\r\n\r\n", "z", 1000), &["500"], true),
        ("gigabyte-body", floods("HTTP/1.1 500 No\r\ncontent-length: 1000000000\r\n\r\n", &block, 0), &["500"], true),
        ("stalled-body", floods("HTTP/1.1 500 No\r\ncontent-length: 99\r\n\r\nhalf", "", 0), &["half"], true),
        (
            "reset-in-body",
            Manner::Resets(b"HTTP/1.1 503 No\r\ncontent-length: 99\r\n\r\nhalf".into()),
            &["503", "before an answer came"],
            false,
        ),
        ("reset-at-once", Manner::Resets(Vec::new()), CUT, false),
        ("closed-unanswered", Manner::Closes, CUT, false),
        ("garbage", floods("SSH-2.0-OpenSSH_9.6\r\n", "\u{1}\u{2}\u{ff}", 10), CUT, true),
        ("silent", Manner::Silent, LATE, true),
    ]
}

/// All of them; a receiver that redirects point to and nobody may come to; and the authority (PEM)
/// that the TLS destinations trust.
pub(crate) async fn enemies() -> (Vec<Enemy>, Hostile, String) {
    let trap = Hostile::start(Manner::Silent).await;
    let mut enemies = Vec::new();
    for (name, manner, says, hangs_up) in plain(&trap) {
        let receiver = Hostile::start(manner).await;
        let url = format!("http://{}/", receiver.address());
        enemies.push(Enemy { name, url, says, receiver: Some(receiver), hangs_up });
    }
    let authority = Authority::new();
    let certificates: [(_, _, &[&str]); 4] = [
        ("tls-expired", authority.certificate("127.0.0.1", 2021), &["xpired"]),
        ("tls-other-name", authority.certificate("other.example", 2999), &["is for other.example, not for 127.0.0.1"]),
        ("tls-self-signed", Certificate::self_signed("127.0.0.1"), &["an authority that is not trusted here"]),
        ("tls-stranger", Authority::new().certificate("127.0.0.1", 2999), &["an authority that is not trusted here"]),
    ];
    for (name, certificate, says) in certificates {
        let receiver = Hostile::with_tls(Manner::Answers(vec![answer(200, "")]), &certificate).await;
        let url = format!("https://{}/", receiver.address());
        enemies.push(Enemy { name, url, says, receiver: Some(receiver), hangs_up: true });
    }
    let silent = Hostile::start(Manner::Silent).await;
    let url = format!("https://{}/", silent.address());
    let says = &["the TLS handshake with 127.0.0.1 does not end"];
    enemies.push(Enemy { name: "tls-silent", url, says, receiver: Some(silent), hangs_up: true });
    let nowhere = "http://no-such-name.invalid/".to_owned();
    let says = &["could not be looked up", "still looking up"];
    enemies.push(Enemy { name: "no-such-name", url: nowhere, says, receiver: None, hangs_up: false });
    (enemies, trap, authority.pem())
}
