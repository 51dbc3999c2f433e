//! Deliveries as HTTP POST requests: CloudEvents 1.0 (binary mode, or JSON batches), signed as
//! Standard Webhooks says, to addresses that the operator permits.
//!
//! One [`WebhookSink`] belongs to one destination and has its own connections. What a receiver sees:
//!
//! | header | value |
//! | --- | --- |
//! | `content-type` | the event's; the body is its data, byte for byte |
//! | `webhook-id` | the event's id, the same at every attempt; `.` and what a header cannot carry are percent-encoded |
//! | `webhook-timestamp` | seconds since the Unix epoch, of this attempt |
//! | `webhook-signature` | `v1,…` for every `whsec_` secret, `v1a,…` for every `whsk_` key, with spaces between |
//! | `ce-specversion`, `ce-id`, `ce-type`, `ce-source`, `ce-subject`, `ce-time`, `ce-partitionkey`, `ce-<attribute>` | CloudEvents 1.0, HTTP binding, binary mode; values percent-encoded as its section 3.1.3.2 says |
//! | `laneway-sequence` | `<partition>-<offset>`, the offset in 20 digits; rising per key, as text and as a number |
//! | `laneway-attempt` | which attempt this is, from 1 |
//! | `laneway-redrive` | `true` of a dead letter that is attempted once more, and of what a replay delivers; otherwise absent |
//! | `laneway-replay` | of what a replay delivers: a number that rises per key from one replay to the next; otherwise absent |
//!
//! A receiver that drops duplicates by their sequence must not do so with `laneway-redrive: true`:
//! that event comes with its old sequence, after later events of its key. What a replay delivers is a duplicate if
//! (`laneway-replay`, sequence) is not larger than the last such pair of its key.
//!
//! `ce-source` is `/laneway` where the producer named none (CloudEvents wants one), and `ce-time` is
//! when the event was accepted where the producer gave no time.
//!
//! With [`WebhookConfig::batch`] the body is a CloudEvents JSON batch instead
//! (`application/cloudevents-batch+json`). Every event in it carries the above as members, its
//! sequence and attempt as `lanewaysequence` and `lanewayattempt`, `lanewayredrive` (`true`) and `lanewayreplay` where
//! that applies, and its data as `data` (JSON byte for byte, text and XML as a string) or `data_base64`. `webhook-id` is then `batch_` and a hash of the events' ids in
//! their order, the same whenever the same events are sent together, and the answer is for all.

mod answer;
mod batch;
mod client;
mod cloudevents;
mod config;
mod connect;
mod encode;
mod exchange;
mod frames;
mod hand_over;
mod http1;
mod limits;
mod pool;
mod redact;
mod request;
mod secret;
mod sequence;
mod signature;
mod sink;
mod tls;
mod wire;

pub use config::{Credentials, HttpVersion, TlsOptions, WebhookConfig, WebhookConfigError};
pub use laneway_egress::{Blocked, Dial, EgressPolicy, Resolve, SystemResolver, Tcp};
pub use secret::Secret;
pub use sequence::{SEQUENCE_HEADER, sequence_text};
pub use signature::MAX_SECRETS;
pub use sink::WebhookSink;
