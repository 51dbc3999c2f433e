mod contract;

use super::*;
use bytes::Bytes;
use laneway_domain::{Event, EventId, EventType, Key, LoggedEvent, Offset, Partition};
use laneway_ports::{Attempted, Leave};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

fn event() -> Event {
    Event {
        key: Some(Key::new("order-7").unwrap()),
        ..Event::new(
            EventId::new("evt_1").unwrap(),
            EventType::new("order.paid").unwrap(),
            Bytes::from_static(b"{\"total\":12.5}"),
        )
    }
}

fn attempted(event: Event) -> Attempted {
    let accepted_at = laneway_domain::Timestamp::from_millis(1);
    let logged = LoggedEvent { partition: Partition(3), offset: Offset(41), accepted_at, event };
    Attempted { event: Arc::new(logged), attempt: 2, redrive: false, replay: None, fresh: false }
}

fn name() -> DestinationName {
    DestinationName::new("console").unwrap()
}

fn line_of(event: Event) -> String {
    line_of_attempt(&attempted(event))
}

fn line_of_attempt(attempted: &Attempted) -> String {
    let mut out = String::new();
    line::append(&mut out, "2026-01-02T03:04:05.678Z".parse().unwrap(), &name(), attempted);
    out
}

fn with_data(data: &[u8]) -> String {
    line_of(Event { data: Bytes::copy_from_slice(data), ..event() })
}

#[test]
fn a_line_says_what_was_delivered() {
    let expected = "2026-01-02T03:04:05.678Z console order.paid id=evt_1 key=order-7 3/41 attempt=2 {\"total\":12.5}\n";
    assert_eq!(line_of(event()), expected);
    assert!(line_of(Event { key: None, ..event() }).contains(" id=evt_1 3/41 "));
    assert!(with_data(b"").ends_with(" <no data>\n"));
    let redriven = Attempted { redrive: true, ..attempted(event()) };
    assert!(line_of_attempt(&redriven).contains(" 3/41 attempt=2 redrive {"));
}

#[test]
fn a_payload_can_neither_forge_a_line_nor_reach_the_terminal() {
    let line = with_data("a\r\nb\x1b]0;x\x07 \u{9b}31m \u{202e}c\u{2028}".as_bytes());
    assert!(line.ends_with(" a\\r\\nb\\u{1b}]0;x\\u{7} \\u{9b}31m \\u{202e}c\\u{2028}\n"), "{line}");
}

#[test]
fn a_key_cannot_pose_as_other_fields() {
    let line = line_of(Event { key: Some(Key::new("a\" 9/9 attempt=1").unwrap()), ..event() });
    assert!(line.contains(" key=\"a\\\" 9/9 attempt=1\" 3/41 attempt=2 "), "{line}");
}

#[test]
fn long_data_is_cut_and_what_is_no_text_is_counted() {
    let line = with_data("é".repeat(201).as_bytes());
    assert_eq!(line.chars().filter(|&c| c == 'é').count(), 200);
    assert!(line.ends_with("… (402 bytes)\n"), "{line}");
    assert!(with_data("é".repeat(200).as_bytes()).ends_with("é\n"));
    assert!(with_data(b"\xff\xd8\xff").ends_with(" <3 bytes of application/json>\n"));
}

proptest! {
    #[test]
    fn whatever_an_event_holds_it_is_one_printable_line(
        data: Vec<u8>, text in "\\PC{0,9}[\\x00-\\x7f]{0,300}\\PC{0,9}", key in "[^\\p{Cc}]{1,50}",
    ) {
        for data in [data, text.into_bytes()] {
            let event = Event { data: data.into(), key: Some(Key::new(&key).unwrap()), ..event() };
            let line = line_of(event);
            let (body, end) = line.split_at(line.len() - 1);
            prop_assert_eq!(end, "\n");
            prop_assert!(!body.contains(char::is_control));
        }
    }
}

/// A writer that records its writes, and can be told to fail, to stop, or to lose its flush.
#[derive(Clone, Default)]
struct Recorder {
    writes: Arc<std::sync::Mutex<Vec<Vec<u8>>>>,
    mode: Arc<std::sync::Mutex<Mode>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Works,
    FailsToWrite,
    FailsToFlush,
    NeverFlushes,
}

impl Recorder {
    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap()
    }

    fn writes(&self) -> Vec<String> {
        self.writes.lock().unwrap().iter().map(|write| String::from_utf8(write.clone()).unwrap()).collect()
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.mode() == Mode::FailsToWrite {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.writes.lock().unwrap().push(bytes.to_vec());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.mode() {
            Mode::FailsToFlush => Poll::Ready(Err(io::ErrorKind::StorageFull.into())),
            Mode::NeverFlushes => Poll::Pending,
            Mode::Works | Mode::FailsToWrite => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A lease that the test holds.
#[derive(Debug)]
struct Held(AtomicBool);

#[async_trait]
impl Leave for Held {
    fn holds(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    async fn ended(&self) {
        unreachable!("nothing is broken off here")
    }
}

#[tokio::test]
async fn what_has_waited_for_the_lines_before_it_until_the_lease_was_over_is_not_written() {
    let recorder = Recorder::default();
    recorder.set(Mode::NeverFlushes);
    let sink = Arc::new(ConsoleSink::to(name(), recorder.clone()));
    let begin = |delivery: Delivery| {
        let sink = Arc::clone(&sink);
        tokio::spawn(async move { sink.deliver(&delivery).await.outcomes })
    };
    let before = begin(Delivery::of(vec![attempted(event())]));
    while recorder.writes().is_empty() {
        tokio::task::yield_now().await;
    }
    let lease = Arc::new(Held(AtomicBool::new(true)));
    let waiting = begin(Delivery::of(vec![attempted(event())]).with_leave(lease.clone()));
    tokio::task::yield_now().await;
    lease.0.store(false, Ordering::Relaxed);
    recorder.set(Mode::Works);
    before.abort();
    assert_eq!(waiting.await.unwrap(), [Outcome::NotTried]);
    assert_eq!(recorder.writes().len(), 1);
}

async fn deliver(sink: &ConsoleSink, count: usize) -> Vec<&'static str> {
    let outcomes = sink.deliver(&Delivery::of(vec![attempted(event()); count])).await.outcomes;
    outcomes.iter().map(Outcome::label).collect()
}

#[tokio::test]
async fn a_delivery_is_one_write_with_a_line_per_event() {
    let recorder = Recorder::default();
    let sink = ConsoleSink::to(name(), recorder.clone());
    assert_eq!(deliver(&sink, 3).await, ["delivered"; 3]);
    let writes = recorder.writes();
    assert_eq!(writes.len(), 1);
    assert_eq!(writes[0].lines().count(), 3);
}

#[tokio::test]
async fn what_is_not_written_and_flushed_is_not_delivered() {
    let recorder = Recorder::default();
    let sink = ConsoleSink::to(name(), recorder.clone());
    for mode in [Mode::FailsToWrite, Mode::FailsToFlush] {
        recorder.set(mode);
        assert_eq!(deliver(&sink, 2).await, ["retry"; 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_sleeps_costs_a_timeout_and_no_line() {
    let recorder = Recorder::default();
    let sink = ConsoleSink::to(name(), recorder.clone());
    recorder.set(Mode::NeverFlushes);
    assert_eq!(deliver(&sink, 1).await, ["retry"]);
    recorder.set(Mode::Works);
    assert_eq!(deliver(&sink, 1).await, ["delivered"]);
    // Part of the first line may have been lost: the second begins on a line of its own.
    assert!(recorder.writes()[1].starts_with("\n20"), "{:?}", recorder.writes());
}
