//! Events: what a producer hands in, checked once at the door, and what the log keeps.

mod attribute;
mod trace_parent;

pub use attribute::AttributeValue;
pub use trace_parent::{SpanId, TraceId, TraceParent};

use crate::partition::{Offset, Partition};
use crate::tenant::Tenant;
use crate::time::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// The most bytes of an event's `id` or `type`, or of a content type. Long enough for a URN or a
/// reverse DNS name; both become header values at a webhook.
pub const MAX_NAME_BYTES: usize = 256;
/// The most bytes of a key, a source, or a subject (all may be URIs, and become header values).
pub const MAX_KEY_BYTES: usize = 1024;
/// The most attributes of one event; each becomes a header, and receivers commonly stop at 100.
pub const MAX_ATTRIBUTES: usize = 64;
/// Attributes that a Laneway on the way writes where it sends batches. They count neither towards
/// [`MAX_ATTRIBUTES`] nor towards [`MAX_EVENT_HEADER_BYTES`], so that what one Laneway has accepted another one takes.
pub const HOP_ATTRIBUTES: [&str; 5] =
    ["lanewayattempt", "lanewayredrive", "lanewayreplay", "lanewaysequence", "traceparent"];
/// The most bytes of the value of one of those: a trace context has 55.
pub const MAX_HOP_ATTRIBUTE_BYTES: usize = 64;
/// What the types of Laneway's own events begin with. Producers cannot send them, but for [`TEST_TYPE`].
pub const RESERVED_TYPES: &str = "laneway.";
/// The type of the event by which a destination is tested. A destination may be a Laneway itself, and is to take it like
/// any other.
pub const TEST_TYPE: &str = "laneway.test";
/// The source of Laneway's own events.
pub const OWN_SOURCE: &str = "urn:laneway";
/// The source that sinks write of an event whose producer named none, where one is required (CloudEvents 1.0).
pub const DEFAULT_SOURCE: &str = "/laneway";
/// The moment of acceptance, as sinks write it of an event whose producer said no time.
const DEFAULT_TIME: &str = "2026-11-23T12:30:24.758Z";
/// What media types begin with that mark a whole CloudEvent, so that no event's data can have one: a receiver of the
/// binary mode would take the data for the event (HTTP binding, section 3).
const CLOUD_EVENTS: &str = "application/cloudevents";
/// The most bytes of headers that an event may become at a webhook: its fields and attributes as name, value
/// (percent-encoded, three bytes for each byte outside printable ASCII) and four bytes between. Node.js takes
/// 16 KiB of headers and Laneway itself 64 KiB; this leaves 4 KiB for signatures, credentials and what else
/// a destination's requests carry.
pub const MAX_EVENT_HEADER_BYTES: usize = 12 * 1024;
/// The most bytes of an attribute's value.
pub const MAX_ATTRIBUTE_BYTES: usize = 4096;
/// The most bytes of an attribute's name.
pub const MAX_ATTRIBUTE_NAME_BYTES: usize = 64;
/// What an event's tenant is called as an attribute of CloudEvents.
pub const TENANT_ATTRIBUTE: &str = "lanewaytenant";
/// Names that CloudEvents 1.0 or Laneway gives a meaning of their own, so that no attribute may take them.
const RESERVED_ATTRIBUTES: [&str; 10] = [
    "id",
    "type",
    "source",
    "subject",
    "time",
    "specversion",
    "datacontenttype",
    "partitionkey",
    "data",
    TENANT_ATTRIBUTE,
];

/// What is wrong with an event: the field, and why it was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {reason}")]
pub struct InvalidEvent {
    /// The field's name as a producer writes it, for instance `attributes.tenant`.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

impl InvalidEvent {
    /// An error about `field`.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $field:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text`: not empty, within the bound, no control characters.
            ///
            /// # Errors
            /// Names the field and what is wrong with it.
            pub fn new(text: &str) -> Result<Self, InvalidEvent> {
                check_text($field, text, $max)?;
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidEvent;
            fn try_from(text: String) -> Result<Self, InvalidEvent> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().into()
            }
        }
    };
}

text!(
    /// What tells an event from all others; the same over retries and destinations.
    EventId, "id", MAX_NAME_BYTES
);
text!(
    /// What kind of thing happened, such as `order.paid`. Destinations choose by it.
    EventType, "type", MAX_NAME_BYTES
);
text!(
    /// An ordering key: events of one key are delivered in the order in which they were accepted.
    Key, "key", MAX_KEY_BYTES
);

impl EventType {
    /// Whether only Laneway itself makes events of this type.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.as_str().starts_with(RESERVED_TYPES) && self.as_str() != TEST_TYPE
    }
}

/// Checks a text that will be a header value at a webhook: not empty, at most `max` bytes, and
/// without control characters (a CR or LF would end the header).
///
/// # Errors
/// Names the field and what is wrong with it.
pub fn check_text(field: &str, text: &str, max: usize) -> Result<(), InvalidEvent> {
    if text.is_empty() {
        return Err(InvalidEvent::new(field, "is empty; leave it out or give it a value"));
    }
    if text.len() > max {
        return Err(InvalidEvent::new(field, format!("has {} bytes; at most {max} are allowed", text.len())));
    }
    // Nearly all are plain, and bytes are compared many at a time.
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Ok(());
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(InvalidEvent::new(field, format!("contains the control character U+{:04X}", u32::from(c)))),
        None => Ok(()),
    }
}

/// An event as its producer described it. Make one with [`Event::new`], set what else is known of
/// it, and let [`Event::check`] see that it is within all bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What tells it from all others.
    pub id: EventId,
    /// What kind of thing happened.
    pub event_type: EventType,
    /// Whose it is; `None`: no tenant's. Keys, ids and destinations of one tenant are not those of another.
    pub tenant: Option<Tenant>,
    /// What it is ordered with; `None` orders it with no other event.
    pub key: Option<Key>,
    /// Where it comes from (a URI reference in CloudEvents).
    pub source: Option<Box<str>>,
    /// What it is about, within the source.
    pub subject: Option<Box<str>>,
    /// When it happened, as its producer wrote it (RFC 3339); checked at the door, kept verbatim.
    pub time: Option<Box<str>>,
    /// The media type of `data`.
    pub content_type: Box<str>,
    /// Further facts to route by; names as in CloudEvents (`a`–`z`, `0`–`9`).
    pub attributes: BTreeMap<Box<str>, AttributeValue>,
    /// The trace of the request that brought it in.
    pub traceparent: Option<TraceParent>,
    /// The payload, byte for byte as it came in.
    pub data: Bytes,
}

impl Event {
    /// An event of which nothing else is known, with JSON as its data.
    #[must_use]
    pub fn new(id: EventId, event_type: EventType, data: Bytes) -> Self {
        Self {
            id,
            event_type,
            tenant: None,
            key: None,
            source: None,
            subject: None,
            time: None,
            content_type: "application/json".into(),
            attributes: BTreeMap::new(),
            traceparent: None,
            data,
        }
    }

    /// Checks what the types of the fields do not: source, subject, content type, attributes.
    /// (`time` needs a calendar, and is checked by whoever parsed it.)
    ///
    /// # Errors
    /// Names the first field that is wrong, and why.
    pub fn check(self) -> Result<Self, InvalidEvent> {
        if let Some(source) = &self.source {
            check_text("source", source, MAX_KEY_BYTES)?;
        }
        if let Some(subject) = &self.subject {
            check_text("subject", subject, MAX_KEY_BYTES)?;
        }
        check_text("content type", &self.content_type, MAX_NAME_BYTES)?;
        let begin = self.content_type.get(..CLOUD_EVENTS.len());
        if begin.is_some_and(|begin| begin.eq_ignore_ascii_case(CLOUD_EVENTS)) {
            let reason = format!(
                "begins with {CLOUD_EVENTS}, by which a receiver would take the data for the event itself; \
                 application/json can carry an event as data"
            );
            return Err(InvalidEvent::new("content type", reason));
        }
        let counted = self.attributes.keys().filter(|name| counts_as_attribute(name)).count();
        if counted > MAX_ATTRIBUTES {
            let reason = format!("has {counted} entries; at most {MAX_ATTRIBUTES} are allowed");
            return Err(InvalidEvent::new("attributes", reason));
        }
        for (name, value) in &self.attributes {
            check_attribute(name, &value.text())?;
        }
        self.check_headers()?;
        Ok(self)
    }

    /// Checks that a receiver can be expected to take the headers that the event becomes.
    fn check_headers(&self) -> Result<(), InvalidEvent> {
        let of_field = |name: &str, value: &str| ("ce-".len() + name.len() + header_bytes(value) + 4, name.to_owned());
        let fields = [
            Some(of_field("id", self.id.as_str())),
            Some(of_field("type", self.event_type.as_str())),
            self.tenant.as_ref().map(|tenant| of_field(TENANT_ATTRIBUTE, tenant.as_str())),
            self.key.as_ref().map(|key| of_field("key", key.as_str())),
            // These two are written in any case.
            Some(of_field("source", self.source.as_deref().unwrap_or(DEFAULT_SOURCE))),
            Some(of_field("time", self.time.as_deref().unwrap_or(DEFAULT_TIME))),
            self.subject.as_deref().map(|subject| of_field("subject", subject)),
        ];
        let counted = self.attributes.iter().filter(|(name, _)| counts_as_attribute(name));
        let attributes = counted.map(|(name, value)| {
            let (bytes, name) = of_field(name, &value.text());
            (bytes, format!("attributes.{name}"))
        });
        let all: Vec<(usize, String)> = fields.into_iter().flatten().chain(attributes).collect();
        let total: usize = all.iter().map(|(bytes, _)| bytes).sum();
        if total <= MAX_EVENT_HEADER_BYTES {
            return Ok(());
        }
        let (bytes, field) = all.into_iter().max().unwrap_or_default();
        let reason = format!(
            "becomes {bytes} bytes of headers at a receiver (percent-encoded), and the event's headers together \
             {total}; at most {MAX_EVENT_HEADER_BYTES} are allowed; large values belong into the data"
        );
        Err(InvalidEvent::new(field, reason))
    }

    /// Whether it is one of Laneway's own, which tells an operator what has become of a destination. One that a producer
    /// sent before these types were reserved has another source.
    #[must_use]
    pub fn is_operational(&self) -> bool {
        self.event_type.is_reserved() && self.source.as_deref() == Some(OWN_SOURCE)
    }

    /// What the event's partition is chosen by: its key or, without one, its id (so that an id
    /// sent again meets the same partition's memory of ids). Tenants share partitions: one that has many keys is to
    /// use all of them.
    #[must_use]
    pub fn ordered_by(&self) -> &str {
        self.key.as_ref().map_or(self.id.as_str(), Key::as_str)
    }

    /// About how many bytes the event takes in memory; what all byte bounds count.
    #[must_use]
    pub fn weight(&self) -> usize {
        const FIXED: usize = 256;
        let attributes: usize = self.attributes.iter().map(|(n, v)| n.len() + v.max_bytes() + 64).sum();
        FIXED + self.data.len() + attributes
    }
}

/// Whether an attribute of this name counts towards [`MAX_ATTRIBUTES`].
#[must_use]
pub fn counts_as_attribute(name: &str) -> bool {
    !HOP_ATTRIBUTES.contains(&name)
}

/// How many bytes a text has as a CloudEvents header value (HTTP binding, section 3.1.3.2).
fn header_bytes(text: &str) -> usize {
    text.bytes().map(|byte| if matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'%') { 1 } else { 3 }).sum()
}

/// Checks one attribute's name and value.
///
/// # Errors
/// Names the attribute and what is wrong with it.
pub fn check_attribute(name: &str, value: &str) -> Result<(), InvalidEvent> {
    let field = format!("attributes.{}", name.escape_default());
    let fits = (1..=MAX_ATTRIBUTE_NAME_BYTES).contains(&name.len());
    if !fits || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        let reason = format!(
            "has a name that is not 1 to {MAX_ATTRIBUTE_NAME_BYTES} of a-z and 0-9 (CloudEvents 1.0, section 3.1)"
        );
        return Err(InvalidEvent::new(field, reason));
    }
    if RESERVED_ATTRIBUTES.contains(&name) {
        return Err(InvalidEvent::new(field, "has a reserved name; use the event's own field"));
    }
    let most = if counts_as_attribute(name) { MAX_ATTRIBUTE_BYTES } else { MAX_HOP_ATTRIBUTE_BYTES };
    if value.is_empty() { Ok(()) } else { check_text(&field, value, most) }
}

/// An event on its way into the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// The event.
    pub event: Event,
    /// Whether the producer gave the id. Only such ids are remembered to recognise duplicates:
    /// an id that Laneway made cannot come again.
    pub id_given: bool,
}

impl NewEvent {
    /// What a partition remembers to recognise the event when it comes again: its id, behind its
    /// source if it has one, because ids are unique only within a source (CloudEvents 1.0, section
    /// 3.1.1), and behind its tenant if it has one. `None` if the id was not given.
    ///
    /// A line break joins them: none of them can contain one, so that no two are remembered as the same. A tenant's has
    /// two, with nothing between if there is no source.
    #[must_use]
    pub fn remembered_as(&self) -> Option<Cow<'_, str>> {
        let id = self.event.id.as_str();
        self.id_given.then(|| remembered_as(self.event.tenant.as_ref(), self.event.source.as_deref(), id))
    }
}

/// What a partition remembers of an event with this tenant, source and id that its producer gave. To receivers, an event
/// whose producer named no source has [`DEFAULT_SOURCE`], so that here the two are one as well.
#[must_use]
pub fn remembered_as<'a>(tenant: Option<&Tenant>, source: Option<&str>, id: &'a str) -> Cow<'a, str> {
    match (tenant, source.filter(|source| *source != DEFAULT_SOURCE)) {
        (Some(tenant), source) => Cow::Owned(format!("{tenant}\n{}\n{id}", source.unwrap_or_default())),
        (None, Some(source)) => Cow::Owned(format!("{source}\n{id}")),
        (None, None) => Cow::Borrowed(id),
    }
}

/// An event that the log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEvent {
    /// The partition it is in.
    pub partition: Partition,
    /// Its position there.
    pub offset: Offset,
    /// When the store accepted it.
    pub accepted_at: Timestamp,
    /// The event.
    pub event: Event,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event::new(EventId::new("evt_1").unwrap(), EventType::new("order.paid").unwrap(), Bytes::from_static(b"{}"))
    }

    #[test]
    fn a_line_break_is_refused_wherever_a_header_would_carry_it() {
        assert_eq!(EventId::new("a\r\nb").unwrap_err().field, "id");
        assert_eq!(Key::new("a\nb").unwrap_err().field, "key");
        let with = Event { source: Some("x\ry".into()), ..event() };
        assert_eq!(with.check().unwrap_err().field, "source");
        let with = Event { attributes: [("tenant".into(), "a\nb".into())].into(), ..event() };
        assert_eq!(with.check().unwrap_err().field, "attributes.tenant");
    }

    #[test]
    fn bounds_are_inclusive() {
        assert!(EventId::new(&"x".repeat(MAX_NAME_BYTES)).is_ok());
        assert!(EventId::new(&"x".repeat(MAX_NAME_BYTES + 1)).is_err());
        assert!(EventId::new("").is_err());
    }

    #[test]
    fn what_becomes_more_headers_than_a_receiver_takes_is_refused_by_name_and_size() {
        let with = |attributes: &[(&str, usize)], letter: &str| {
            let attributes = attributes.iter().map(|(name, count)| ((*name).into(), letter.repeat(*count).into()));
            Event { attributes: attributes.collect(), ..event() }.check()
        };
        assert!(with(&[("a", 4000), ("b", 4000), ("c", 4000)], "x").is_ok());
        let refused = with(&[("a", 4000), ("b", 4001), ("c", 4000), ("d", 1000)], "x").unwrap_err();
        assert_eq!(refused.field, "attributes.b");
        // Six bytes for each of them, and eight for the name and what stands between.
        let refused = with(&[("a", 2000), ("b", 2000)], "\u{fc}").unwrap_err();
        assert!(refused.reason.contains("becomes 12008 bytes"), "{refused}");
        assert!(with(&[("a", 2000)], "\u{fc}").is_ok());
        // All fields at their longest fit, whatever they are made of.
        let (long, short) = ("\u{fc}".repeat(MAX_KEY_BYTES / 2), "\u{fc}".repeat(MAX_NAME_BYTES / 2));
        let longest = Event {
            id: EventId::new(&short).unwrap(),
            event_type: EventType::new(&short).unwrap(),
            key: Some(Key::new(&long).unwrap()),
            source: Some(long.clone().into()),
            subject: Some(long.into()),
            ..event()
        };
        assert!(longest.check().is_ok());
    }

    #[test]
    fn what_a_laneway_adds_to_a_batch_does_not_keep_the_next_one_from_taking_it() {
        let names = (0..MAX_ATTRIBUTES).map(|n| format!("a{n}")).chain(HOP_ATTRIBUTES.map(str::to_owned));
        let mut full = Event { attributes: names.map(|name| (name.into(), "1".into())).collect(), ..event() };
        assert!(full.clone().check().is_ok());
        full.attributes.insert("more".into(), "1".into());
        assert_eq!(full.check().unwrap_err().reason, "has 65 entries; at most 64 are allowed");
    }

    #[test]
    fn what_a_laneway_adds_to_an_event_at_the_bound_does_not_make_it_too_large_for_the_next_one() {
        let with = |letters: usize| {
            let values = [4000, 4000, letters].map(|letters| "x".repeat(letters).into());
            let attributes = ["a", "b", "c"].map(Box::from).into_iter().zip(values).collect();
            Event { attributes, ..event() }
        };
        let most = (0..=4096).take_while(|letters| with(*letters).check().is_ok()).last().unwrap();
        let mut full = with(most);
        full.source = Some(DEFAULT_SOURCE.into());
        full.time = Some("9999-12-31T23:59:59.999Z".into());
        full.attributes.extend(HOP_ATTRIBUTES.map(|name| (name.into(), "1".repeat(MAX_HOP_ATTRIBUTE_BYTES).into())));
        assert!(full.clone().check().is_ok());
        full.attributes.insert("lanewaysequence".into(), "1".repeat(MAX_HOP_ATTRIBUTE_BYTES + 1).into());
        assert_eq!(full.check().unwrap_err().field, "attributes.lanewaysequence");
    }

    #[test]
    fn data_that_a_receiver_would_take_for_the_event_is_refused() {
        for content_type in ["application/cloudevents+json", "Application/CloudEvents-batch+json; charset=utf-8"] {
            let refused = Event { content_type: content_type.into(), ..event() }.check().unwrap_err();
            assert!(refused.field == "content type" && refused.reason.contains("take the data for"), "{refused}");
        }
        assert!(Event { content_type: "application/cloud".into(), ..event() }.check().is_ok());
    }

    #[test]
    fn attribute_names_follow_cloudevents() {
        assert!(check_attribute("tenant2", "x").is_ok());
        for name in ["", "Tenant", "ten-ant", "type", &"x".repeat(65)] {
            assert!(check_attribute(name, "x").is_err(), "{name}");
        }
    }

    #[test]
    fn an_event_without_a_key_is_placed_by_its_id() {
        assert_eq!(event().ordered_by(), "evt_1");
        assert_eq!(Event { key: Some(Key::new("k").unwrap()), ..event() }.ordered_by(), "k");
    }

    #[test]
    fn a_given_id_is_remembered_with_its_tenant() {
        let tenants = [None, Some(Tenant::new("a").unwrap()), Some(Tenant::new("b").unwrap())];
        let sources = [None, Some("a"), Some("b")];
        let remembered: std::collections::BTreeSet<String> = tenants
            .iter()
            .flat_map(|tenant| sources.map(|source| remembered_as(tenant.as_ref(), source, "id").into_owned()))
            .collect();
        assert_eq!(remembered.len(), 9, "{remembered:?}");
        let event = Event { tenant: tenants[1].clone(), source: Some("s".into()), ..event() };
        let id = event.id.clone();
        assert_eq!(NewEvent { event, id_given: true }.remembered_as().unwrap(), format!("a\ns\n{id}"));
    }

    #[test]
    fn a_given_id_is_remembered_with_its_source() {
        let new = |source: Option<&str>, id_given| {
            let event = Event { source: source.map(Into::into), ..event() };
            NewEvent { event: event.check().unwrap(), id_given }
        };
        assert_eq!(new(None, false).remembered_as(), None);
        assert_eq!(new(Some("/shop"), false).remembered_as(), None);
        assert_eq!(new(None, true).remembered_as().unwrap(), "evt_1");
        assert_eq!(new(Some("/shop"), true).remembered_as().unwrap(), "/shop\nevt_1");
        // What receivers see of an event without a source.
        assert_eq!(new(Some(DEFAULT_SOURCE), true).remembered_as(), new(None, true).remembered_as());
        let tenant = Tenant::new("a").unwrap();
        let of = |source| remembered_as(Some(&tenant), source, "id").into_owned();
        assert_eq!(of(Some(DEFAULT_SOURCE)), of(None));
    }

    #[test]
    fn an_event_weighs_what_it_holds() {
        let bare = Event { data: Bytes::new(), ..event() }.weight();
        assert!(bare > 0);
        assert_eq!(event().weight(), bare + 2);
        let of = |n: &str, v: &str| Event { attributes: [(n.into(), v.into())].into(), ..event() }.weight();
        let one = of("a", "b");
        assert!(one > event().weight() + 2, "what a map needs comes on top");
        assert_eq!((of("abc", "b"), of("a", "bcd"), of("abc", "bcd")), (one + 2, one + 2, one + 4));
        let two = Event { attributes: [("a".into(), "b".into()), ("c".into(), "d".into())].into(), ..event() };
        assert_eq!(two.weight() - one, one - event().weight());
    }
}
