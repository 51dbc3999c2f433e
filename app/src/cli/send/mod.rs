//! `laneway send`: a file of events into a running server, in its order, each stored once.
//!
//! One batch is on its way at a time, so that events keep the order of the file whatever has to be
//! repeated; meanwhile the next ones are read. Every event has an id, so that repeating a batch of
//! which nobody knows whether it was stored is safe.

mod lines;
mod pieces;
mod progress;
mod verdict;

use super::args::SendArgs;
use super::client::Client;
use super::{EXIT_REFUSED, Failure, output};
use lines::{Group, Line};
use progress::{Progress, Tally};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use verdict::{Verdict, judge};

/// The first wait after a request that failed without a Retry-After; it doubles…
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// … up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long the first connection is tried for: a server that is just starting is there within it, and
/// one that was never started will not come however long it is waited for.
const FIRST_CONTACT: Duration = Duration::from_secs(3);

/// Sends the file, and says in the end what became of its events.
pub(super) async fn run(client: &Client, args: &SendArgs) -> Result<(), Failure> {
    let (input, bytes) = open(&args.file)?;
    let run = args.run.clone().unwrap_or_else(|| format!("send-{:032x}", rand::random::<u128>()));
    let mut sender = Sender::new(client, Progress::new(bytes), args.retry_for);
    let mut groups = lines::read(input, run.clone(), args.batch as usize);
    let sent = tokio::select! {
        sent = sender.all(&mut groups) => sent,
        _ = output::told_to_end() => Err(Failure::new("interrupted")),
    };
    sender.progress.finish();
    let tally = sender.tally;
    if let Err(failure) = sent {
        if !sender.contacted {
            // Nothing was sent, so that there is nothing to go on with.
            return Err(failure);
        }
        let file = args.file.display();
        let advice = format!(
            "{}; to send the rest and nothing twice: laneway send {file} --run {run}",
            failure.advice.clone().unwrap_or_else(|| "not all was sent".to_owned())
        );
        output::note(&tally.describe());
        return Err(failure.advising(advice));
    }
    output::line(&tally.describe())?;
    if tally.refused == 0 {
        return Ok(());
    }
    output::note(&mending(&args.file, &run, sender.noun));
    Err(Failure::silent(EXIT_REFUSED))
}

/// How to send what was refused, and nothing twice: an id that was made consists of the run and a number.
fn mending(file: &Path, run: &str, noun: &str) -> String {
    let file = if file == Path::new("-") { "-".to_owned() } else { file.display().to_string() };
    format!(
        "Mend what was refused where it stands, so that every {noun} keeps its number, and send all of it again; what \
         is stored is recognised:\n  laneway send {file} --run {run}"
    )
}

type Input = Box<dyn Read + Send>;

fn open(path: &Path) -> Result<(Input, Option<u64>), Failure> {
    if path == Path::new("-") {
        return Ok((Box::new(std::io::stdin()), None));
    }
    let unreadable = |e| Failure::new(format!("{} cannot be read: {e}", path.display()));
    let file = File::open(path).map_err(unreadable)?;
    let facts = file.metadata().map_err(unreadable)?;
    Ok((Box::new(file), facts.is_file().then_some(facts.len())))
}

struct Sender<'c> {
    client: &'c Client,
    progress: Progress,
    tally: Tally,
    retry_for: Duration,
    /// Whether a request may have reached the server.
    contacted: bool,
    /// The next wait without a Retry-After, and since when nothing has worked.
    wait: Duration,
    failing_since: Option<Instant>,
    /// What the numbers of events count.
    noun: &'static str,
}

impl<'c> Sender<'c> {
    fn new(client: &'c Client, progress: Progress, retry_for: Duration) -> Self {
        let tally = Tally::default();
        Self {
            client,
            progress,
            tally,
            retry_for,
            contacted: false,
            wait: FIRST_WAIT,
            failing_since: None,
            noun: "line",
        }
    }

    async fn all(&mut self, groups: &mut tokio::sync::mpsc::Receiver<std::io::Result<Group>>) -> Result<(), Failure> {
        while let Some(group) = groups.recv().await {
            let group = group.map_err(|e| Failure::new(format!("the input cannot be read on: {e}")))?;
            self.noun = group.noun;
            for (number, why) in &group.refused {
                self.refuse(*number, why);
            }
            // A request has events of one kind.
            for of_a_kind in group.lines.chunk_by(|a, b| a.is_cloud_event == b.is_cloud_event) {
                self.settle(of_a_kind.to_vec()).await?;
            }
            self.progress.advance(group.read, &self.tally);
        }
        Ok(())
    }

    /// Sends until every line is stored or refused. The front of the queue always goes first.
    async fn settle(&mut self, lines: Vec<Line>) -> Result<(), Failure> {
        let mut queue = VecDeque::from([lines]);
        while let Some(mut lines) = queue.pop_front() {
            if lines.is_empty() {
                continue;
            }
            match self.attempt(&lines).await {
                Verdict::Stored { duplicates } => self.stored(lines.len() as u64, duplicates),
                Verdict::Again { again, duplicates, after, why } => {
                    let stored = (lines.len() - again.len()) as u64;
                    if stored > 0 {
                        self.stored(stored, duplicates);
                    }
                    queue.push_front(again);
                    self.rest(after, &why).await?;
                }
                Verdict::Refused { index, why } => {
                    let line = lines.remove(index);
                    self.refuse(line.number, &why);
                    queue.push_front(lines);
                }
                Verdict::Split => {
                    let later = lines.split_off(lines.len().div_ceil(2));
                    queue.push_front(later);
                    queue.push_front(lines);
                }
                Verdict::Fatal(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// One request. What does not reach the server is as good as a 503: it is tried again.
    async fn attempt(&mut self, lines: &[Line]) -> Verdict {
        let answered = if lines.iter().any(|line| line.is_cloud_event) {
            self.client.send_cloud_events(array(lines)).await
        } else {
            self.client.send_events(body(lines)).await
        };
        self.contacted |= answered.as_ref().map_or_else(|none| none.sent, |_| true);
        match answered {
            Ok(answer) => judge(self.client, &answer, lines),
            Err(none) => Verdict::Again { again: lines.to_vec(), duplicates: 0, after: None, why: none.why },
        }
    }

    fn stored(&mut self, count: u64, duplicates: u64) {
        self.tally.accepted += count - duplicates;
        self.tally.duplicates += duplicates;
        self.failing_since = None;
        self.wait = FIRST_WAIT;
    }

    fn refuse(&mut self, number: u64, why: &str) {
        self.tally.refused += 1;
        self.progress.note(&format!("{} {number}: {why}", self.noun));
    }

    /// Waits before the next request, unless nothing has worked for too long.
    async fn rest(&mut self, after: Option<Duration>, why: &str) -> Result<(), Failure> {
        let now = Instant::now();
        if self.failing_since.is_none() {
            self.progress.note(&format!("waiting for {}: {why}", self.client.base()));
        }
        let since = *self.failing_since.get_or_insert(now);
        let wait = after.unwrap_or(self.wait);
        if !self.contacted && now + wait > since + self.retry_for.min(FIRST_CONTACT) {
            return Err(self.client.unreachable(why));
        }
        if now + wait > since + self.retry_for {
            let seconds = self.retry_for.as_secs();
            return Err(Failure::new(format!(
                "nothing could be sent to {} for {seconds} s: {why}",
                self.client.base()
            ))
            .advising("see whether the server runs and its store has room"));
        }
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

fn body(lines: &[Line]) -> bytes::Bytes {
    let mut body = Vec::with_capacity(lines.iter().map(|line| line.json.len() + 1).sum());
    for line in lines {
        body.extend_from_slice(&line.json);
        body.push(b'\n');
    }
    body.into()
}

/// As an array with an event a line: its lines count like those of [`body`].
fn array(lines: &[Line]) -> bytes::Bytes {
    let mut body = b"[".to_vec();
    for (index, line) in lines.iter().enumerate() {
        body.extend_from_slice(if index == 0 { b"" } else { b",\n" });
        body.extend_from_slice(&line.json);
    }
    body.push(b']');
    body.into()
}

#[cfg(test)]
mod tests;
