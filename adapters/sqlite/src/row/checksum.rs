//! The checksum of an event's row, and how it was made.

use laneway_domain::{Key, LoggedEvent, Offset, Partition};

/// Stands for the length of a field that is not there.
const ABSENT: u32 = u32::MAX;

/// How a row is to be read, and what its checksum covers. A row keeps the format that it was written in, so that a
/// new column never changes what is known of an old row: a later format says which columns it covers besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The fields as they were understood, attribute by attribute; all attributes are texts. Until schema 2.
    Fields,
    /// The columns as they are stored.
    Stored,
    /// The same of an event that has a tenant, which is covered too.
    Tenant,
}

impl Format {
    const ALL: [Self; 3] = [Self::Fields, Self::Stored, Self::Tenant];

    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Fields => 1,
            Self::Stored => 2,
            Self::Tenant => 3,
        }
    }

    pub(super) fn of(number: i64) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|format| format.number() == number)
            .ok_or_else(|| format!("its format is {number}, and this Laneway knows up to {}", Self::Tenant.number()))
    }
}

/// What [`Format::Stored`] and [`Format::Tenant`] cover.
pub(super) struct StoredColumns<'a> {
    pub(super) partition: Partition,
    pub(super) offset: Offset,
    pub(super) accepted_at: i64,
    /// The columns of texts, from `id` to `attributes`, and `traceparent`.
    pub(super) texts: [Option<&'a str>; 9],
    pub(super) data: &'a [u8],
    pub(super) tenant: Option<&'a str>,
}

impl StoredColumns<'_> {
    /// What such a row is written in: what has no tenant is as it was before there were any.
    pub(super) const fn format(&self) -> Format {
        if self.tenant.is_some() { Format::Tenant } else { Format::Stored }
    }
}

/// Room for what is summed up, used again for each row, so that none is allocated for it.
#[derive(Debug, Default)]
pub(super) struct Checked(Vec<u8>);

impl Checked {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: Option<&str>) {
        let length = text.map_or(ABSENT, |text| u32::try_from(text.len()).unwrap_or(ABSENT - 1));
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(text.unwrap_or_default().as_bytes());
    }

    fn with_data(&mut self, data: &[u8]) -> u32 {
        self.number(data.len() as u64);
        crc32c::crc32c_append(crc32c::crc32c(&self.0), data)
    }

    /// CRC32C over the format, the place and all columns, each with its length, so that no two rows read the same.
    pub(super) fn of_stored(&mut self, columns: &StoredColumns<'_>) -> u32 {
        self.0.clear();
        self.number(columns.format().number().unsigned_abs());
        self.number(u64::from(columns.partition.0));
        self.number(columns.offset.0);
        self.number(columns.accepted_at.cast_unsigned());
        columns.texts.iter().for_each(|text| self.text(*text));
        if columns.tenant.is_some() {
            self.text(columns.tenant);
        }
        self.with_data(columns.data)
    }

    /// The same over the place, the moment and all fields, as [`Format::Fields`] has it.
    pub(super) fn of_fields(&mut self, logged: &LoggedEvent) -> u32 {
        let event = &logged.event;
        self.0.clear();
        self.number(u64::from(logged.partition.0));
        self.number(logged.offset.0);
        self.number(logged.accepted_at.as_millis());
        self.text(Some(event.id.as_str()));
        self.text(Some(event.event_type.as_str()));
        self.text(event.key.as_ref().map(Key::as_str));
        self.text(event.source.as_deref());
        self.text(event.subject.as_deref());
        self.text(event.time.as_deref());
        self.text(Some(&event.content_type));
        self.number(event.attributes.len() as u64);
        for (name, value) in &event.attributes {
            self.text(Some(name));
            self.text(Some(&value.text()));
        }
        self.with_data(&event.data)
    }
}
