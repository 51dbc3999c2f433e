//! A receiver's half (feature `receiver`): is this delivery Laneway's, and is it new?
//!
//! Without I/O, like everything here: headers, body and time come in as arguments, and what has to
//! be remembered is one number per key (three, once it was replayed), which the receiver stores where its effects are.
//!
//! 1. [`Verifier`] says whether a request was signed with one of our secrets, and lately.
//! 2. [`Arrival`] reads whose event it is and where it stands: key and [`Sequence`].
//! 3. [`LastSeen`] says whether its effect is still to be had. Whoever stores it
//!    **in the same transaction** as the effect has each effect exactly once, whatever is
//!    delivered again: a crash between the two cannot happen, and a crash after both leaves a
//!    number that drops the repetition.
//!
//! That works because Laneway starts a key's next event only when the one before is settled: what
//! comes with a number that is not above the last one was there before. Its limits:
//!
//! - **Events without a key**, and those of a destination with `ordering = "none"`, have no order,
//!   so that no number speaks for others. Give each its own: its id in place of the key, for as
//!   long as it may be delivered again. [`Arrival::remembered_as`] does so where there is no key.
//! - **Dead letters that an operator retries** (`laneway-redrive: true`) come after later events of
//!   their key, with their old number. One number cannot say whether they were taken then, so they
//!   are new unless theirs is the last number itself. An effect that must not happen twice even
//!   then has to be unique by the event's id.
//! - **A replay** has every effect once more: that is what it is for. What it repeats after a crash has none, because its
//!   number says that it is the same replay. One exception: where a worker dies in the moment in which a replay makes way
//!   for a more urgent one of the same keys, what was delivered since its last commit may have its effect again.
//! - **A new store** numbers from the beginning. Whoever replaces it replaces the receivers'
//!   numbers too, or all is dropped as old. Two Laneways need two tables of numbers.
//! - **The signature is over id, time and body** (Standard Webhooks), and over no other header.
//!   Sequence and key of a single event are protected by TLS only; in a batch they are in the body.
//!
//! `adapters/webhook/examples/receiver.rs` is a whole receiver.

mod arrival;
mod last_seen;
mod sequence;
mod signature;
mod verifier;

pub use arrival::{
    ATTEMPT_HEADER, Arrival, CloudEventMembers, ID_HEADER, KEY_HEADER, REDRIVE_HEADER, REPLAY_HEADER, SEQUENCE_HEADER,
    SOURCE_HEADER, TENANT_HEADER, Unreadable,
};
pub use last_seen::{LastReplayed, LastSeen, LastSeenByKey, Occasion};
pub use sequence::{InvalidSequence, Sequence};
pub use signature::{InvalidSecret, MAX_SECRETS};
pub use verifier::{DEFAULT_TOLERANCE, MAX_SIGNATURES, NotVerified, SIGNATURE_HEADER, TIMESTAMP_HEADER, Verifier};

#[cfg(test)]
mod tests;
