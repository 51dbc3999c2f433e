//! Laneway's decisions, without I/O: which event goes to which destination, when, in what order,
//! how often, and what is settled. No clock, no randomness, no async: time and seeds come in as
//! arguments, so that every decision can be tested, replayed and reused.
//!
//! The words are those of the README's glossary. Start with `Dispatcher`.

mod age;
mod balancer;
mod breaker;
mod bucket;
mod by_tenant;
mod deleted_tenants;
mod destination;
mod dispatcher;
mod end;
mod event;
mod event_state;
mod filter;
mod gate;
mod history;
mod io;
mod key_map;
mod lag;
mod lane;
mod lane_key;
mod operational;
mod outcome;
mod partition;
mod progress;
mod quota;
mod random;
#[cfg(feature = "receiver")]
pub mod receiver;
mod recent;
mod registered;
mod replay;
mod retry;
mod revision;
mod role;
mod settings;
mod shares;
mod status;
mod tenant;
mod tenant_book;
mod tenant_rates;
mod time;
mod timers;
mod token;
mod watermark;
mod way;

pub use age::{Age, Ages, Oldest};
pub use balancer::{Balancer, CLAIM_EVERY, Presence, Step};
pub use breaker::{Breaker, BreakerPolicy, BreakerState, Effect, MIN_FAILING_KEYS};
pub use bucket::{Allowance, TokenBucket};
pub use deleted_tenants::DeletedTenants;
pub use destination::{
    BatchPolicy, DEFAULT_MAX_IN_FLIGHT, Destination, DestinationName, InvalidName, MAX_DESTINATION_NAME_BYTES,
    OnGiveUp, Ordering, Rate, StartFrom,
};
pub use dispatcher::{Dispatcher, Survey};
pub use end::{Again, Cause, Doing, End, MAX_FREE_RESENDS, Meaning, REST_OF_ANSWER, SHORTAGE_PAUSE};
pub use event::{
    AttributeValue, DEFAULT_SOURCE, Event, EventId, EventType, HOP_ATTRIBUTES, InvalidEvent, Key, LoggedEvent,
    MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTE_NAME_BYTES, MAX_ATTRIBUTES, MAX_EVENT_HEADER_BYTES, MAX_HOP_ATTRIBUTE_BYTES,
    MAX_KEY_BYTES, MAX_NAME_BYTES, NewEvent, OWN_SOURCE, RESERVED_TYPES, SpanId, TENANT_ATTRIBUTE, TEST_TYPE, TraceId,
    TraceParent, check_attribute, check_text, counts_as_attribute, remembered_as,
};
pub use event_state::{EventState, HowSettled, StateOf};
pub use filter::{Filter, FilterIndex, Filters, FormerFilter, InvalidPattern, MAX_PATTERN_BYTES, TypePattern};
pub use history::{Answer, Answered, Ended, Fate, History, MAX_TOLD, MAX_TOLD_BYTES, Met, Told};
pub use io::{AttemptId, Attempted, CommandId, DestinationChanges, Input, Notice, Output, ReadId};
pub use lag::Lags;
pub use lane_key::LaneKey;
pub use operational::{
    ChangedDestination, EventFacts, Facts, Lost, MAX_WAITING_OPERATIONAL, Operational, OperationalEvent,
    OperationalSettings, TOLD_AGAIN_WITHIN,
};
pub use outcome::Outcome;
pub use partition::{MAX_PARTITIONS, Offset, Partition};
pub use progress::{
    Behind, Commit, DeadLetter, Expiry, GivenUp, LaneChange, LaneProgress, PartitionProgress, Pause, Position,
    Quarantined, Redrive, Redriven, ReplayChange, ReplayMark, ReplayProgress,
};
pub use quota::{Quota, Quotas, TenantLimits};
pub use recent::RECENTLY;
pub use registered::{Edit, OperatorPause, Origin, Refused, Registered, Standing};
pub use replay::{
    InvalidReplayId, MAX_REPLAY_CHOICES, MAX_REPLAY_ID_BYTES, MAX_REPLAYS, ReplayId, ReplayOrder, ReplayPart,
    ReplaySpec, ReplayState, ReplayStatus, Selection,
};
pub use retry::{
    Backoff, Failure, InvalidPolicy, MAX_HISTORY, MAX_REASON_BYTES, NextAttempt, RetryPolicy, RetryState, Verdict,
};
pub use revision::{Cut, Cuts, Revision};
pub use role::{Role, Roles};
pub use settings::Settings;
pub use status::{
    BlockedKey, BreakerStatus, Command, DestinationStatus, KeyAt, MAX_LISTED_KEYS, Need, PAUSED_BY_OPERATOR,
    PAUSED_IN_CONFIGURATION, PausedBy, PendingIs, ProcessStatus, StatusReport, Urgency, WorkerStatus,
};
pub use tenant::{InvalidTenant, MAX_TENANT_BYTES, TENANT_SEPARATOR, Tenant};
pub use tenant_book::{MAX_TENANT_RECORDS, TenantBook, TenantRecord, TenantRefusal};
pub use tenant_rates::{TenantAct, TenantBuckets, TenantRates};
pub use time::{MAX_CLOCK_SKEW, Timestamp};
pub use token::{
    DEFAULT_LINK_LASTS, InvalidTokenName, Link, LinkOver, Links, MAX_ENDED_LINKS, MAX_LINK_LASTS, MAX_REVOKED_TOKENS,
    MAX_TOKEN_CHANGES, MAX_TOKEN_NAME_BYTES, MAX_TOKENS, Stamp, StoredToken, TokenBook, TokenChange, TokenDigest,
    TokenName, TokenRefusal,
};
pub use watermark::Watermark;
