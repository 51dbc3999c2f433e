//! The traits between Laneway's core and the world. Each says what its implementations must and
//! must not do; with the feature `contract`, each comes with a suite of tests that they must pass.
//!
//! All errors answer the question that matters after one: did it happen? See [`StoreError`].

mod admin;
mod books;
mod dead_letters;
mod error;
mod event_log;
mod extent;
mod health;
mod history;
mod lookup;
mod operations;
mod progress_store;
mod registry;
mod sink;
mod spans;
mod store;
mod stores;
mod tenant_admin;
mod tenants;
mod token_admin;
mod tokens;
mod workers;

#[cfg(feature = "contract")]
pub mod contract;

pub use admin::{
    AdminError, Change, ChangeRequest, Changed, ChangesDone, Condition, DestinationAdmin, DestinationList,
    DestinationRecord, DestinationState, JournalLine, ListQuery, MAX_LIST, Mistake, PauseRecord, TakenOver, TestAnswer,
};
pub use books::{Book, MAX_TENANTS_BYTES, MAX_TOKENS_BYTES, decoded_book, encoded_book, stored_book};
pub use dead_letters::{DeadLetterCount, DeadLetterQuery, DeadLetters, MAX_DEAD_LETTER_PAGE, Selection};
pub use error::{CommitError, StoreError};
pub use event_log::{Appended, Bounds, Chunk, EventLog, LogRecord, accepted_since};
pub use extent::{Extent, StoreExtent, StorePart};
pub use health::StoreHealth;
pub use history::{
    HistoryBounds, HistoryPlace, HistoryRange, HistoryRecord, HistorySize, HistoryStore, MAX_HISTORY_PAGE,
    MAX_HISTORY_PAGE_BYTES, decoded_history, encoded_history,
};
pub use lookup::{
    AttemptCursor, AttemptPage, AttemptQuery, Became, EventAt, EventPage, EventQuery, EventSummary, EventWay,
    FindEvent, FoundAttempt, FoundEvents, FoundTenure, HeldHistory, KeptHistory, LogCursor, LookedBack, Lookup,
    LookupError, MAX_LOOKUP, StoreHolds, Tenures,
};
pub use operations::{
    BegunReplay, MAX_COUNTED, OperationError, Operations, Operator, ReplayCount, ReplayPoint, ReplayRequest,
    WorkerControl,
};
pub use progress_store::{Lease, MAX_TENURES, ProgressStore, Tenure, TenureEnd, WorkerId};
pub use registry::{
    ChangesPage, Drafted, EncodedWrite, JournalEntry, MAX_JOURNAL, MAX_JOURNAL_ENTRY_BYTES, MAX_RECORD_BYTES,
    MAX_REGISTRY_PAGE, MAX_REVISION, MAX_WRITE_BYTES, Registry, RegistryChanges, RegistryHead, RegistryPage,
    RegistryWrite, WriteDraft, check_names,
};
pub use sink::{Attempted, Delivery, DeliveryReport, Leave, Sink, TestReport, TestedAnswer, is_shortage};
pub use spans::{Span, SpanKind, SpanValue, Spans, unix_nanos};
pub use store::Store;
pub use stores::Stores;
pub use tenant_admin::{DeletedTenant, TenantAdmin, TenantAdminError, TenantDoor, TenantList, TenantShown, Unwelcome};
pub use tenants::{TenantStore, TenantsSeen};
pub use token_admin::{
    MadeLink, MadeToken, NewLink, NewToken, RevokedToken, TokenAdmin, TokenAdminError, TokenJournalLine, TokenList,
    TokenListQuery, TokenRecord,
};
pub use tokens::{TokenStore, TokensSeen};
pub use workers::{
    ANSWERS_KEPT, MAX_MESSAGE_BYTES, MAX_QUESTION_BYTES, MAX_REPORT_BYTES, MAX_WAITING_MESSAGES, MESSAGE_KEPT, Present,
    Register, Workers, check_answer, check_message, inbox_full,
};
