//! From a body to the events in it.

use crate::cloudevents;
use crate::draft::Draft;
use crate::json::{Scanner, Shape};
use crate::laneway_json;
use crate::limits::Limits;
use crate::media::Media;
use crate::refusal::{Dialect, Read, Refusal};
use crate::request_name;
use bytes::Bytes;
use http::HeaderMap;
use laneway_domain::{EventId, NewEvent, Tenant, TraceParent};

/// The header with the trace that the request belongs to.
const TRACEPARENT: &str = "traceparent";
/// About how many bytes an event of a batch has: what room is made for in the beginning.
const COMMON_EVENT_BYTES: usize = 512;

/// Reads the events of one request.
pub(crate) struct Reader<'a> {
    body: &'a Bytes,
    headers: &'a HeaderMap,
    limits: &'a Limits,
    /// Whose producer sent them, if a tenant's.
    producer: Option<&'a Tenant>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        body: &'a Bytes,
        headers: &'a HeaderMap,
        limits: &'a Limits,
        producer: Option<&'a Tenant>,
    ) -> Self {
        Self { body, headers, limits, producer }
    }

    /// All events, in the order of the body. All or none: one that is wrong refuses them all.
    pub(crate) fn read(&self, media: Media) -> Read<Vec<NewEvent>> {
        let mut events = self.events(media)?;
        if let Some(trace) = traceparent(self.headers) {
            events.iter_mut().for_each(|new| new.event.traceparent = Some(trace));
        }
        Ok(events)
    }

    fn events(&self, media: Media) -> Read<Vec<NewEvent>> {
        // What cannot be one is refused also where no event needs it: its sender relies on it.
        self.stand_in(None)?;
        if media == Media::Binary {
            let draft = cloudevents::read_binary(self.headers, self.body, self.limits.json_depth)?;
            return Ok(vec![self.finish(draft, Dialect::Headers, None)?]);
        }
        let text = str::from_utf8(self.body).map_err(|error| {
            let at = error.valid_up_to();
            let found = self.body.get(at).copied().unwrap_or_default();
            Refusal::malformed(at, format!("expected UTF-8 but found the byte 0x{found:02X}"))
        })?;
        match media {
            Media::Lines => self.lines(text),
            Media::Events => self.array(text, Dialect::Laneway),
            Media::CloudEvents => self.array(text, Dialect::CloudEvents),
            Media::CloudEvent => self.single(text, Dialect::CloudEvents),
            Media::Event | Media::Binary => self.single(text, Dialect::Laneway),
        }
    }

    fn single(&self, text: &'a str, dialect: Dialect) -> Read<Vec<NewEvent>> {
        let mut scanner = Scanner::new(text, 0, self.limits.json_depth);
        let draft = self.draft(&mut scanner, dialect)?;
        scanner.end()?;
        Ok(vec![self.finish(draft, dialect, None)?])
    }

    fn array(&self, text: &'a str, dialect: Dialect) -> Read<Vec<NewEvent>> {
        let mut scanner = Scanner::new(text, 0, self.limits.json_depth);
        let shape = scanner.shape()?;
        if shape != Shape::Array {
            let reason = format!("is {shape}; a batch is an array of events, and a single event goes to /v1/events");
            return Err(Refusal::field("", reason).at(scanner.at()));
        }
        let mut events = self.room(text);
        scanner.array(|scanner, index| {
            let start = scanner.at();
            events.push(self.element(scanner, dialect, start, index)?);
            Ok(())
        })?;
        scanner.end()?;
        Ok(events)
    }

    fn lines(&self, text: &'a str) -> Read<Vec<NewEvent>> {
        let mut events = self.room(text);
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let end = start + line.len();
            if !line.trim_ascii().is_empty() {
                let mut scanner = Scanner::new(&text[..end], start, self.limits.json_depth);
                events.push(self.element(&mut scanner, Dialect::Laneway, start, events.len())?);
                scanner.end()?;
            }
            start = end;
        }
        Ok(events)
    }

    fn element(&self, scanner: &mut Scanner<'a>, dialect: Dialect, start: usize, index: usize) -> Read<NewEvent> {
        if index == self.limits.batch_events {
            return Err(Box::new(Refusal::TooManyEvents));
        }
        let event = self.draft(scanner, dialect).and_then(|draft| {
            // A CloudEvent may take more as JSON than its data has: base64, escapes, names. Its data is what counts,
            // so that a batch can carry whatever a single request can; the batch as a whole is bounded too.
            let bytes = if dialect == Dialect::Laneway { scanner.at() - start } else { draft.data.len() };
            if bytes > self.limits.event_bytes {
                return Err(Box::new(Refusal::EventTooLarge { index, bytes }));
            }
            self.finish(draft, dialect, Some(index))
        });
        event.map_err(|refusal| refusal.within(&format!("/{index}")))
    }

    fn draft(&self, scanner: &mut Scanner<'a>, dialect: Dialect) -> Read<Draft<'a>> {
        match dialect {
            Dialect::Laneway => laneway_json::read(scanner, self.body),
            Dialect::CloudEvents | Dialect::Headers => cloudevents::read(scanner, self.body, self.limits.json_depth),
        }
    }

    fn finish(&self, draft: Draft<'_>, dialect: Dialect, index: Option<usize>) -> Read<NewEvent> {
        let stand_in = if draft.id.is_none() { self.stand_in(index)? } else { None };
        draft.finish(dialect, stand_in, self.producer)
    }

    /// The id that `Idempotency-Key` gives an event without one; in a batch, each its own.
    fn stand_in(&self, index: Option<usize>) -> Read<Option<EventId>> {
        let refuse = |reason: &str| Refusal::field(request_name::HEADER, reason);
        let Some(name) = request_name::of(self.headers).map_err(|reason| refuse(&reason))? else { return Ok(None) };
        let id = match index {
            Some(index) => EventId::new(&format!("{name}-{index}")),
            None => EventId::new(name),
        };
        id.map(Some).map_err(|error| refuse(&error.reason))
    }

    fn room(&self, text: &str) -> Vec<NewEvent> {
        Vec::with_capacity((text.len() / COMMON_EVENT_BYTES + 1).min(self.limits.batch_events))
    }
}

/// The trace of the request. One that is not as it should be, or is there twice, is as good as none (W3C Trace
/// Context, section 3.2.2.3): an event is not refused for it.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    TraceParent::parse(value.to_str().ok()?.trim())
}
