//! The port's contract, over a writer that does as a script says.

use super::*;
use laneway_ports::contract::sink::{Answer, SinkSubject};
use std::sync::Mutex;

/// Takes, refuses or holds a write by the first event of the script that it contains.
#[derive(Clone)]
struct ScriptedWriter {
    script: BTreeMap<EventId, Answer>,
    taken: Arc<Mutex<String>>,
    hangs: bool,
}

impl ScriptedWriter {
    fn answer(&self, text: &str) -> Answer {
        let asked = |id: &EventId| text.contains(&format!(" id={id} "));
        self.script.iter().find(|(id, _)| asked(id)).map_or(Answer::Take, |(_, answer)| *answer)
    }
}

impl AsyncWrite for ScriptedWriter {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let text = std::str::from_utf8(bytes).unwrap();
        let answer = self.answer(text);
        self.hangs = answer == Answer::Hang;
        match answer {
            Answer::Take => self.taken.lock().unwrap().push_str(text),
            Answer::Fail => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Answer::Hang => {}
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.hangs { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Scripted {
    sink: ConsoleSink,
    taken: Arc<Mutex<String>>,
}

#[async_trait]
impl SinkSubject for Scripted {
    type Sink = ConsoleSink;
    const ONE_EXCHANGE: bool = true;

    async fn create(script: BTreeMap<EventId, Answer>) -> Self {
        let taken: Arc<Mutex<String>> = Arc::default();
        let writer = ScriptedWriter { script, taken: Arc::clone(&taken), hangs: false };
        Self { sink: ConsoleSink::to(name(), writer), taken }
    }

    fn sink(&self) -> &ConsoleSink {
        &self.sink
    }

    async fn taken(&self) -> Vec<Event> {
        let text = self.taken.lock().unwrap();
        let lines = text.lines().filter_map(|line| line.split_once(" id="));
        lines
            .map(|(_, rest)| {
                let (id, data) = (rest.split_once(' ').unwrap().0, rest.split_once(" attempt=1 ").unwrap().1);
                Event { id: EventId::new(id).unwrap(), data: Bytes::from(data.to_owned()), ..event() }
            })
            .collect()
    }
}

laneway_ports::sink_contract!(Scripted, #[tokio::test(start_paused = true)]);
