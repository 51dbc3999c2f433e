//! What is known of tenants beside what they own, as a store keeps it.

use crate::StoreError;
use async_trait::async_trait;
use laneway_domain::{Revision, TenantBook};

/// What a look at the tenants has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantsSeen {
    /// The revision of the last change; [`Revision::ORIGIN`] if there was none.
    pub revision: Revision,
    /// The store's clock, in microseconds since the Unix epoch.
    pub clock: u64,
    /// All of it, if `revision` is not the one that whoever asked knows.
    pub book: Option<TenantBook>,
}

/// What all processes on a store know of tenants: their limits, and which were deleted. It changes seldom, so that a store
/// keeps it as one value, which is replaced as a whole by whoever has seen the last one. What a change makes of it is
/// [`TenantBook`]'s affair.
///
/// A failover may lose the last changes, so that [`TenantsSeen::revision`] goes back: whoever has seen them writes them
/// again ([`TenantBook::lacking`]).
#[async_trait]
pub trait TenantStore: Send + Sync {
    /// What is known, if its revision is not `known`; of a new store nothing, and [`Revision::ORIGIN`].
    ///
    /// - Must be cheap where nothing has changed: every process asks several times a second.
    /// - Must see what any process has been told to be written.
    /// - Must not give out what is not what was written: that is [`StoreError::Refused`], which says what to do.
    async fn tenants(&self, known: Revision) -> Result<TenantsSeen, StoreError>;

    /// Replaces it durably, and in one atomic step. `false`, with nothing written: the last revision is not `last` any more;
    /// whoever wants the change looks again.
    ///
    /// - Must refuse what [`crate::encoded_book`] refuses, and a revision that is not larger than `last`.
    /// - After [`StoreError::Unknown`] the same may be written again: if it was written, and nothing after it, the answer is
    ///   `true`. Another that got the same revision is not the same.
    /// - Must work on a store that is full: a tenant that is deleted is what makes room.
    async fn write_tenants(&self, last: Revision, book: &TenantBook) -> Result<bool, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MAX_REVISION, decoded_book, encoded_book};
    use laneway_domain::{MAX_TENANT_RECORDS, Stamp, Tenant, TenantLimits, Timestamp};
    use std::num::{NonZeroU32, NonZeroU64};

    fn stamp(revision: Revision) -> Stamp {
        Stamp {
            revision,
            at: Timestamp::from_millis(u64::MAX >> 12),
            by: format!("the token {}", "b".repeat(64)).into(),
        }
    }

    fn limits() -> TenantLimits {
        TenantLimits {
            events_per_second: Some(NonZeroU32::MAX),
            bytes_per_second: Some(NonZeroU64::MAX),
            event_bytes: Some(NonZeroU32::MAX),
            destinations: Some(u32::MAX),
        }
    }

    #[test]
    fn what_was_written_is_read_and_the_format_is_this_one() {
        let (mut book, tenant) = (TenantBook::default(), |name: &str| Tenant::new(name).unwrap());
        let at = |revision| Stamp { revision: Revision(revision), at: Timestamp::from_millis(7), by: "boss".into() };
        let some = TenantLimits { events_per_second: NonZeroU32::new(5), ..TenantLimits::default() };
        book.limit(&tenant("acme"), some, &at(1)).unwrap();
        book.delete(&tenant("b"), &at(2)).unwrap();
        let text = encoded_book(Revision(1), &book).unwrap();
        assert_eq!(decoded_book::<TenantBook>(&text).unwrap(), book);
        // What another release reads, byte by byte.
        let json = concat!(
            r#"{"revision":2,"tenants":{"acme":{"limits":{"events_per_second":5},"revision":1,"at":7,"by":"boss"},"#,
            r#""b":{"deleted":true,"revision":2,"at":7,"by":"boss"}},"forgotten":0}"#,
        );
        assert_eq!(text.splitn(3, ' ').nth(2).unwrap(), json);
        for (wrong, why) in [
            (text.replace("acme", "acmf"), "checksum"),
            (text.replacen('1', "2", 1), "format 2"),
            ("".into(), "begin with no format"),
            ("1 ".into(), "break off"),
        ] {
            assert!(decoded_book::<TenantBook>(&wrong).unwrap_err().contains(why), "{wrong}");
        }
        assert!(encoded_book(Revision(2), &book).is_err(), "it is to follow");
    }

    #[test]
    fn as_many_as_there_can_be_have_room() {
        let mut json = String::from(r#"{"revision":9007199254740992,"forgotten":0,"tenants":{"#);
        let Stamp { at, by, .. } = stamp(MAX_REVISION);
        let record = laneway_domain::TenantRecord { limits: limits(), deleted: false, revision: MAX_REVISION, at, by };
        let record = serde_json::to_string(&record).unwrap();
        for n in 0..MAX_TENANT_RECORDS {
            json += &format!("{}\"{n:064}\":{record}", if n == 0 { "" } else { "," });
        }
        let book: TenantBook = serde_json::from_str(&(json + "}}")).unwrap();
        assert_eq!(book.tenants().len(), MAX_TENANT_RECORDS);
        let text = encoded_book(Revision(1), &book).unwrap();
        assert_eq!(decoded_book::<TenantBook>(&text).unwrap(), book);
    }
}
