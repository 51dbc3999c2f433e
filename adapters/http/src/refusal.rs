//! Why a body was not taken: what is wrong, and where.

use laneway_domain::{InvalidEvent, TENANT_ATTRIBUTE};

/// What reading a body gives.
pub(crate) type Read<T> = Result<T, Box<Refusal>>;

/// What is wrong with a body. Places are bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not what its media type says.
    Malformed {
        /// Where it stops being it.
        at: usize,
        /// What was expected and what was found.
        what: String,
    },
    /// It says something that cannot be taken.
    Field {
        /// Which part of it: a JSON pointer (RFC 6901), or a header's name.
        field: String,
        /// What is wrong with that, and what would be right.
        reason: String,
        /// Where that is, if it is somewhere.
        at: Option<usize>,
    },
    /// One event of a batch is too large.
    EventTooLarge {
        /// Its index.
        index: usize,
        /// Its length.
        bytes: usize,
    },
    /// The batch has too many events.
    TooManyEvents,
}

impl Refusal {
    pub(crate) fn malformed(at: usize, what: impl Into<String>) -> Box<Self> {
        Box::new(Self::Malformed { at, what: what.into() })
    }

    pub(crate) fn field(field: impl Into<String>, reason: impl Into<String>) -> Box<Self> {
        Box::new(Self::Field { field: field.into(), reason: reason.into(), at: None })
    }

    /// The same, with its place.
    pub(crate) fn at(mut self: Box<Self>, place: usize) -> Box<Self> {
        if let Self::Field { at, .. } = &mut *self {
            *at = Some(place);
        }
        self
    }

    /// The same, with its field (a JSON pointer) below `parent`.
    pub(crate) fn within(mut self: Box<Self>, parent: &str) -> Box<Self> {
        if let Self::Field { field, .. } = &mut *self
            && (field.is_empty() || field.starts_with('/'))
        {
            field.insert_str(0, parent);
        }
        self
    }
}

/// What a producer calls an event's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Laneway's own JSON.
    Laneway,
    /// CloudEvents JSON, single or batch.
    CloudEvents,
    /// CloudEvents headers.
    Headers,
}

impl Dialect {
    /// Where in the request `field` (a domain name such as `key` or `attributes.tenant`) stands.
    pub(crate) fn place(self, field: &str) -> String {
        let attribute = field.strip_prefix("attributes.");
        let name = match (self, field) {
            (Self::Laneway, _) => {
                return attribute.map_or_else(|| pointer(field), |name| format!("/attributes{}", pointer(name)));
            }
            (Self::CloudEvents, "content type") => "datacontenttype",
            (Self::Headers, "content type") => return "content-type".into(),
            (_, "key") => "partitionkey",
            (_, "tenant") => TENANT_ATTRIBUTE,
            _ => attribute.unwrap_or(field),
        };
        if self == Self::Headers { format!("ce-{name}") } else { pointer(name) }
    }

    /// A domain error about a field, in this dialect.
    #[cold]
    pub(crate) fn refuse(self, error: &InvalidEvent) -> Box<Refusal> {
        Refusal::field(self.place(&error.field), error.reason.as_str())
    }
}

/// The JSON pointer of a member of the outermost object.
pub(crate) fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_as_its_producer_wrote_it() {
        let places = |field| [Dialect::Laneway, Dialect::CloudEvents, Dialect::Headers].map(|d| d.place(field));
        assert_eq!(places("type"), ["/type", "/type", "ce-type"]);
        assert_eq!(places("key"), ["/key", "/partitionkey", "ce-partitionkey"]);
        assert_eq!(places("attributes.tenant"), ["/attributes/tenant", "/tenant", "ce-tenant"]);
        assert_eq!(places("content type")[1..], ["/datacontenttype", "content-type"]);
    }

    #[test]
    fn a_pointer_escapes_what_rfc_6901_says() {
        assert_eq!(pointer("a/b~c"), "/a~1b~0c");
    }

    #[test]
    fn an_event_of_a_batch_is_named_by_its_index() {
        let refusal = Refusal::field("/key", "x").within("/3");
        assert_eq!(*refusal, Refusal::Field { field: "/3/key".into(), reason: "x".into(), at: None });
        let header = Refusal::field("idempotency-key", "x").within("/3");
        assert_eq!(*header, *Refusal::field("idempotency-key", "x"));
    }
}
