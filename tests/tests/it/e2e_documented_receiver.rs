//! A reader's first receiver: the program of docs/webhooks.md and the configuration of docs/start.md, as they stand
//! there, against the real binary and every legal shape of an event.

use crate::shapes::{self, Expected};
use laneway_tests::ports;
use laneway_tests::server::Installation;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The port that the pages name; another one is put in its place, and nothing else is changed.
const PORT: &str = "9000";
const PATIENCE: Duration = Duration::from_secs(60);

/// The first block of this language in a page that has `with` in it.
fn block(page: &str, language: &str, with: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let blocks = text.split("```").skip(1).step_by(2);
    let mut wanted = blocks.filter_map(|block| block.strip_prefix(language)).filter(|block| block.contains(with));
    wanted.next().unwrap_or_else(|| panic!("{page} has no {language} with {with}")).to_owned()
}

/// The page's receiver, which prints a line for each event.
struct Documented {
    process: Child,
    printed: std::path::PathBuf,
}

impl Documented {
    fn start(folder: &Path, address: SocketAddr) -> Self {
        let program = block("docs/webhooks.md", "python", PORT).replace(PORT, &address.port().to_string());
        let printed = folder.join("receiver.out");
        let out = std::fs::File::create(&printed).expect("it can be made");
        let mut command = Command::new("python3");
        command.args(["-c", &program]).env("BILLING_SECRET", SECRET).env("PYTHONUTF8", "1");
        let process = command.stdout(out).stderr(Stdio::inherit()).spawn().expect("the tests need python3");
        let mut started = Self { process, printed };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(started.process.try_wait().expect("it can be asked").is_none(), "the receiver ended by itself");
            assert!(Instant::now() < deadline, "the receiver does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        started
    }

    fn printed(&self) -> String {
        std::fs::read_to_string(&self.printed).expect("it prints UTF-8")
    }
}

impl Drop for Documented {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_receiver_takes_every_legal_shape_from_the_real_server() {
    let installation = Installation::bare();
    let address = ports::free();
    let config = block("docs/start.md", "toml", "[[destination]]").replace(PORT, &address.port().to_string());
    installation.write_config(&format!("[server]\nlisten = \"{}\"\n{config}", installation.address()));
    let receiver = Documented::start(installation.folder(), address);
    let server = installation.start_under(&[], &[("BILLING_SECRET", SECRET)]).await;
    let client = server.client();
    let mut events = Vec::new();
    for shape in shapes::all() {
        shape.send(&client).await;
        events.extend(shape.events);
    }
    let settled = client.settled("billing").await;
    assert_eq!((&settled["dead_letters"], &settled["blocked_keys"]), (&0.into(), &0.into()), "{settled:#}");
    let metrics = client.get("/metrics").await.expect("an answer").text();
    let ends = metrics.lines().filter(|line| line.starts_with("laneway_deliveries_total{destination=\"billing\""));
    let ends = ends.map(|line| line.rsplit_once(' ').expect("a name and a count"));
    let ends: Vec<_> = ends.filter(|(_, count)| *count != "0").collect();
    let delivered = ends.iter().all(|(name, _)| name.contains("outcome=\"delivered\""));
    assert!(delivered && ends.len() == 1, "each by its first attempt: {ends:?}");
    assert_eq!(ends[0].1, events.len().to_string());
    let printed = receiver.printed();
    for Expected { id, event_type, key, data } in &events {
        let (key, data) = (key.as_deref().unwrap_or("-"), String::from_utf8_lossy(data));
        let begins = format!("{event_type} {key} ");
        let rest = |at: usize| &printed[at + begins.len()..];
        let shown = printed.match_indices(&begins).filter(|(at, _)| {
            let (_, body) = rest(*at).split_once(' ').expect("an offset and the data");
            body.strip_prefix(&*data).is_some_and(|end| end.starts_with('\n'))
        });
        assert!(shown.count() > 0, "{id}: {begins}… with {} bytes is not printed", data.len());
    }
    server.stop();
}
