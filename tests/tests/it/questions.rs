//! What the person on call asks at 3 a.m.: each question of `docs/questions.md` is set up, asked with the command that
//! the page shows, at a terminal of 80 columns in a zone of its own, and the answer is held against what happened.

mod delivery;
mod destinations;
mod fleet;
mod page;
mod pager;
mod replays;
mod shop;
mod upkeep;

use laneway_tests::client::Client;
use laneway_tests::faults::preload::Preload;
use laneway_tests::server::{Installation, Running, Settings, webhook};
use serde_json::{Value, json};
use shop::Shop;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How wide the terminal is at which is asked.
const COLUMNS: usize = 80;
/// How often it is looked whether something has come about, and how often at most.
const GLANCE: Duration = Duration::from_millis(20);
const GLANCES: usize = 3000;
/// After the first failure an event is tried again soon, and then not while a test runs.
const TWICE: &str = r#"retry = { initial = "300ms", factor = 1000, jitter = 0, limit = "10h" }"#;

/// By how many milliseconds Laneway's clock, which shows whole ones, may be behind that of a test.
const ROUNDED: u128 = 2;

/// Where the person on call sits: a zone that no machine of a test is in.
const ZONE: &str = "IST-5:30";
const OFFSET: &str = "+05:30";

/// Somebody at a terminal of a machine that Laneway runs on.
struct Desk {
    installation: Installation,
    zone: String,
}

impl Desk {
    fn at(installation: Installation) -> Self {
        Self { installation, zone: ZONE.to_owned() }
    }

    /// With destinations of a shop, whose tables have these further lines.
    fn with(shop: &Shop, destinations: &[(&str, &str)]) -> Self {
        Self::at(Installation::new(&Settings::destinations(&tables(shop, destinations))))
    }

    /// What a command says that succeeds.
    #[track_caller]
    fn ask(&self, command: &str) -> String {
        let (succeeded, said) = self.type_in(command);
        assert!(succeeded, "{command}\n{said}");
        said
    }

    /// What a command says, and whether it succeeded. Whatever it asks back is agreed to.
    #[track_caller]
    fn type_in(&self, command: &str) -> (bool, String) {
        let here = command.replace("localhost:8080", &self.installation.address().to_string());
        let output = self.installation.at_terminal(COLUMNS, &here, &[("TZ", &self.zone), ("NO_COLOR", "1")]);
        // The line ends where a question is answered; a bar that shows progress goes again.
        let said = String::from_utf8_lossy(&output.stdout).replace('\r', "").replace("[y/N] ", "[y/N]\n");
        let lines = said.split_inclusive('\n').map(|line| line.rsplit("\u{1b}[2K").next().unwrap_or(line));
        let said: String = lines.collect();
        if command.starts_with("laneway") && !command.contains("--json") {
            let wide: Vec<&str> = said.lines().filter(|line| line.chars().count() > COLUMNS).collect();
            assert!(wide.is_empty(), "{command}: lines of more than {COLUMNS} columns: {wide:#?}");
        }
        (output.status.success(), said)
    }

    /// Asks until the answer has this in it: history and progress are stored a moment after a delivery.
    #[track_caller]
    fn until(&self, command: &str, has: &str) -> String {
        let mut last = String::new();
        for _ in 0..200 {
            last = self.ask(command);
            if last.contains(has) {
                return last;
            }
            std::thread::sleep(GLANCE);
        }
        panic!("{command}: it never said {has:?}, but\n{last}");
    }
}

/// Tables of destinations of a shop.
fn tables(shop: &Shop, destinations: &[(&str, &str)]) -> Vec<String> {
    destinations.iter().map(|(name, lines)| webhook(name, shop.url(), lines)).collect()
}

/// All that was said, without blanks: lines are broken where the terminal ends.
fn unbroken(said: &str) -> String {
    said.split_whitespace().collect()
}

/// That it says all of this.
#[track_caller]
fn says(said: &str, all: &[&str]) {
    for what in all {
        assert!(unbroken(said).contains(&unbroken(what)), "it does not say {what:?}:\n{said}");
    }
}

/// The moment behind this word, as it is written in [`ZONE`].
#[track_caller]
fn moment_after(said: &str, word: &str) -> SystemTime {
    let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let rest = flat.split_once(word).unwrap_or_else(|| panic!("no {word:?} in\n{said}")).1.trim_start();
    let parts: Vec<&str> = rest.splitn(4, ' ').collect();
    assert!(parts.len() >= 3 && parts[2].starts_with(OFFSET), "no moment in {OFFSET} behind {word:?}: {rest}");
    let at: jiff::Timestamp = format!("{}T{}{OFFSET}", parts[0], parts[1]).parse().expect("a moment");
    at.into()
}

/// Milliseconds since the Unix epoch, as Laneway counts them.
fn millis(at: SystemTime) -> u128 {
    at.duration_since(UNIX_EPOCH).expect("it is later").as_millis()
}

async fn send(client: &Client, id: &str, event_type: &str, key: &str) {
    client.accepted(&json!({"id": id, "type": event_type, "key": key, "data": {"of": id}})).await;
}

/// Waits until `/v1/events/{id}` says this of the event at a destination.
async fn becomes(client: &Client, id: &str, destination: &str, state: &str) -> Value {
    let mut last = String::new();
    for _ in 0..GLANCES {
        let answer = client.get(&format!("/v1/events/{id}?destination={destination}")).await.expect("an answer");
        last = answer.text();
        if answer.status == 200 && answer.json()["items"][0]["destinations"][0]["state"] == state {
            return answer.json();
        }
        tokio::time::sleep(GLANCE).await;
    }
    panic!("{id} never became {state} at {destination}: {last}");
}

/// A server whose clock stands so far in the past that what it takes now is old.
async fn in_the_past(installation: &Installation, ago: Duration) -> Running {
    let preload = Preload::new(installation.folder(), "nothing-that-is-written");
    preload.move_clock(-i64::try_from(ago.as_secs()).expect("a short time"));
    installation.start_under(&[], &preload.variables()).await
}

/// A zone in which it is so late now, in seconds since midnight.
fn zone_where_it_is(seconds: i64) -> String {
    const DAY: i64 = 86_400;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs();
    let utc = i64::try_from(now).expect("a moment") % DAY;
    // How far local time is ahead, between -12 h and 12 h. POSIX counts the other way round.
    let ahead = (seconds - utc + DAY + DAY / 2).rem_euclid(DAY) - DAY / 2;
    let (sign, ahead) = if ahead < 0 { ('+', -ahead) } else { ('-', ahead) };
    format!("<here>{sign}{}:{:02}:{:02}", ahead / 3600, ahead / 60 % 60, ahead % 60)
}
