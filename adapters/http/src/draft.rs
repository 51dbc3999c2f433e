//! An event as its producer wrote it, on the way to one that the log can take.

use crate::refusal::{Dialect, Read, Refusal};
use bytes::Bytes;
use laneway_domain::{
    AttributeValue, Event, EventId, EventType, InvalidEvent, Key, NewEvent, RESERVED_TYPES, Tenant, TraceParent,
    check_attribute,
};
use std::borrow::Cow;
use std::collections::BTreeMap;
use uuid::Uuid;

/// The media type of an event that says nothing of it, in JSON.
pub(crate) const JSON: &str = "application/json";

/// What is wrong with a field that was there before.
pub(crate) const TWICE: &str = "is there twice";

/// What was read of an event.
#[derive(Default)]
pub(crate) struct Draft<'a> {
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) event_type: Option<Cow<'a, str>>,
    pub(crate) tenant: Option<Cow<'a, str>>,
    pub(crate) key: Option<Cow<'a, str>>,
    pub(crate) source: Option<Cow<'a, str>>,
    pub(crate) subject: Option<Cow<'a, str>>,
    pub(crate) time: Option<Cow<'a, str>>,
    pub(crate) content_type: Option<Cow<'a, str>>,
    pub(crate) attributes: BTreeMap<Box<str>, AttributeValue>,
    pub(crate) data: Bytes,
}

impl Draft<'_> {
    /// Checks everything. Without an id of its own the event gets `stand_in`, which its producer
    /// gave too, or else a new one (UUID version 7). If its producer is a tenant's, it is that tenant's.
    pub(crate) fn finish(
        self,
        dialect: Dialect,
        stand_in: Option<EventId>,
        producer: Option<&Tenant>,
    ) -> Read<NewEvent> {
        let refuse = |error: InvalidEvent| dialect.refuse(&error);
        let (id, id_given) = match (self.id, stand_in) {
            (Some(id), _) => (EventId::new(&id).map_err(refuse)?, true),
            (None, Some(id)) => (id, true),
            (None, None) => (new_id().map_err(refuse)?, false),
        };
        let Some(event_type) = self.event_type else {
            return Err(Refusal::field(dialect.place("type"), "is missing; it says what kind of thing happened"));
        };
        let event_type = EventType::new(&event_type).map_err(refuse)?;
        if event_type.is_reserved() {
            let reason = format!(
                "is {:?}, and only Laneway itself sends events whose type begins with {RESERVED_TYPES:?}: choose another",
                event_type.as_str()
            );
            return Err(Refusal::field(dialect.place("type"), reason));
        }
        let tenant = tenant(self.tenant.as_deref(), producer)
            .map_err(|reason| Refusal::field(dialect.place("tenant"), reason))?;
        if let Some(time) = &self.time {
            check_time(time).map_err(|reason| Refusal::field(dialect.place("time"), reason))?;
        }
        let event = Event {
            id,
            event_type,
            tenant,
            key: self.key.map(|key| Key::new(&key)).transpose().map_err(refuse)?,
            source: self.source.map(Into::into),
            subject: self.subject.map(Into::into),
            time: self.time.map(Into::into),
            content_type: self.content_type.map_or_else(|| JSON.into(), Into::into),
            // That of the request, if it has one, goes before: whoever reads the request sets it.
            traceparent: traceparent(&self.attributes),
            attributes: self.attributes,
            data: self.data,
        };
        Ok(NewEvent { event: event.check().map_err(refuse)?, id_given })
    }

    /// Adds an attribute, `field` being where it stands.
    pub(crate) fn attribute(&mut self, name: &str, value: AttributeValue, field: impl Fn() -> String) -> Read<()> {
        self.insert(name, value).map_err(|reason| Refusal::field(field(), reason))
    }

    /// Adds an attribute; fails with what is wrong with its name.
    pub(crate) fn insert(&mut self, name: &str, value: AttributeValue) -> Result<(), String> {
        // The rest is checked with the event; but its error could not name a name like this.
        if !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            check_attribute(name, "").map_err(|error| error.reason)?;
        }
        if self.attributes.insert(name.into(), value).is_some() { Err(TWICE.into()) } else { Ok(()) }
    }
}

/// Whose an event is that says it is the tenant `said`'s, from a producer of this tenant. Whoever is no tenant's may send
/// any tenant's events.
fn tenant(said: Option<&str>, producer: Option<&Tenant>) -> Result<Option<Tenant>, String> {
    match (said.map(Tenant::new).transpose(), producer) {
        (Err(error), _) => Err(format!("is wrong: {error}")),
        (Ok(Some(said)), Some(own)) if said != *own => Err(format!(
            "is {:?}, and the token sends events of the tenant {own} only: leave the tenant out",
            said.as_str()
        )),
        (Ok(said), own) => Ok(said.or_else(|| own.cloned())),
    }
}

/// The trace that an event brings along (CloudEvents, extension "Distributed Tracing"). One that is not as it should be
/// is an attribute like any other.
fn traceparent(attributes: &BTreeMap<Box<str>, AttributeValue>) -> Option<TraceParent> {
    TraceParent::parse(&attributes.get("traceparent")?.text())
}

fn new_id() -> Result<EventId, InvalidEvent> {
    EventId::new(Uuid::now_v7().hyphenated().encode_lower(&mut Uuid::encode_buffer()))
}

/// Checks that `time` is a moment as RFC 3339 writes it: `jiff` knows the calendar, but takes
/// more ways of writing than that.
fn check_time(time: &str) -> Result<(), String> {
    const SHAPE: &[u8; 19] = b"0000-00-00T00:00:00";
    let not = |why: &str| format!("is not a date-time of RFC 3339, such as 2026-01-31T12:00:00Z: {why}");
    let fits = |(b, shape): (&u8, &u8)| match shape {
        b'0' => b.is_ascii_digit(),
        b'T' => matches!(b, b'T' | b't'),
        other => b == other,
    };
    let Some((whole, rest)) = time.as_bytes().split_at_checked(SHAPE.len()) else {
        return Err(not("it is too short"));
    };
    if !whole.iter().zip(SHAPE).all(fits) {
        return Err(not("it must begin with a date, `T` and a time"));
    }
    let fraction = rest.strip_prefix(b".").map_or(0, |rest| 1 + rest.iter().take_while(|b| b.is_ascii_digit()).count());
    let offset = match &rest[fraction..] {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()),
        _ => false,
    };
    if !offset {
        return Err(not("it must end with `Z` or an offset such as `+01:00`"));
    }
    time.parse::<jiff::Timestamp>().map(|_| ()).map_err(|error| not(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rfc_3339_is_a_time() {
        for good in [
            "2026-01-31T12:00:00Z",
            "2026-01-31t12:00:00.123456789z",
            "2024-02-29T23:59:60+05:30",
            "1985-04-12T23:20:50.52Z",
            "2026-01-31T12:00:00-00:00",
        ] {
            assert_eq!(check_time(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "yesterday",
            "2026-01-31",
            "2026-01-31 12:00:00Z",
            "2026-01-31T12:00:00",
            "2026-01-31T12:00Z",
            "2026-02-30T12:00:00Z",
            "2026-01-31T25:00:00Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00+0100",
            "2026-01-31T12:00:00Z[UTC]",
            "20260131T120000Z",
        ] {
            assert!(check_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_event_is_its_producers_tenants_or_whose_it_says() {
        let own = Tenant::new("acme").unwrap();
        let of = |said: Option<&'static str>, producer| {
            let draft = Draft { event_type: Some("a".into()), tenant: said.map(Into::into), ..Draft::default() };
            draft.finish(Dialect::Laneway, None, producer).map(|new| new.event.tenant)
        };
        assert_eq!(of(None, None).unwrap(), None);
        assert_eq!(of(Some("acme"), None).unwrap(), Some(own.clone()));
        assert_eq!(of(None, Some(&own)).unwrap(), Some(own.clone()));
        assert_eq!(of(Some("acme"), Some(&own)).unwrap(), Some(own.clone()));
        for (said, producer) in
            [(Some("other"), Some(&own)), (Some("A"), None), (Some(""), None), (Some("A"), Some(&own))]
        {
            assert!(matches!(*of(said, producer).unwrap_err(), Refusal::Field { field, .. } if field == "/tenant"));
        }
    }

    #[test]
    fn an_event_without_an_id_gets_one_that_is_not_the_producers() {
        let draft = || Draft { event_type: Some("a".into()), ..Draft::default() };
        let made = draft().finish(Dialect::Laneway, None, None).unwrap();
        assert!(!made.id_given);
        assert_eq!(Uuid::parse_str(made.event.id.as_str()).unwrap().get_version_num(), 7);
        let stood_in = draft().finish(Dialect::Laneway, Some(EventId::new("k").unwrap()), None).unwrap();
        assert!(stood_in.id_given && stood_in.event.id.as_str() == "k");
    }
}
