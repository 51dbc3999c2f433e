//! Whether a request was signed with one of our secrets, and lately.

use super::ID_HEADER;
use super::signature::{InvalidSecret, MAX_SECRETS, VerifyingKey};
use crate::time::Timestamp;
use std::fmt;
use std::time::Duration;
use thiserror::Error;

/// The header with the time of the attempt, in seconds since the Unix epoch.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header with the signatures, with spaces between.
pub const SIGNATURE_HEADER: &str = "webhook-signature";
/// How far the time of a request may be from now, in both directions: what the Standard Webhooks
/// libraries take.
pub const DEFAULT_TOLERANCE: Duration = Duration::from_secs(5 * 60);
/// The most signatures of one request that are looked at: twice what Laneway sends. Without a bound
/// a request could make us compute for as long as its header is.
pub const MAX_SIGNATURES: usize = 16;

/// Verifies signatures as Standard Webhooks says: `v1` (HMAC-SHA256) with `whsec_` secrets, `v1a`
/// (ed25519) with `whpk_` public keys. Several, so that a secret can be rotated: what one of them
/// signed is good.
#[derive(Clone)]
pub struct Verifier {
    keys: Vec<VerifyingKey>,
    tolerance: Duration,
}

/// Why a request is not to be believed. Says nothing that would help to forge one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotVerified {
    /// One of the three headers is not there.
    #[error("it has no header {0}")]
    Missing(&'static str),
    /// The id has a full stop, so that it would not be clear what was signed.
    #[error("its {ID_HEADER} has a full stop")]
    Id,
    /// The time is not a number of seconds.
    #[error("its {TIMESTAMP_HEADER} is not a number of seconds")]
    Timestamp,
    /// It was signed too long ago: perhaps somebody repeats what they overheard.
    #[error("its {TIMESTAMP_HEADER} is too old")]
    TooOld,
    /// It was signed too far in the future: one of the two clocks is wrong.
    #[error("its {TIMESTAMP_HEADER} is in the future; is the clock right?")]
    InTheFuture,
    /// None of the signatures is one of ours.
    #[error("none of its signatures is from a secret that is known here")]
    Signature,
}

impl Verifier {
    /// A verifier of what one of these secrets signed.
    ///
    /// # Errors
    /// Says which of them (from 1) is wrong and how, never its text.
    pub fn new<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Result<Self, InvalidSecret> {
        let read = |(index, secret): (usize, S)| {
            VerifyingKey::read(secret.as_ref()).map_err(|why| InvalidSecret::Wrong { number: index + 1, why })
        };
        let keys = secrets.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        match keys.len() {
            0 => Err(InvalidSecret::None),
            1..=MAX_SECRETS => Ok(Self { keys, tolerance: DEFAULT_TOLERANCE }),
            more => Err(InvalidSecret::TooMany(more)),
        }
    }

    /// The same with another tolerance than [`DEFAULT_TOLERANCE`].
    #[must_use]
    pub fn with_tolerance(self, tolerance: Duration) -> Self {
        Self { tolerance, ..self }
    }

    /// Whether this request is Laneway's, and of about `now`. `header` gives a header's value by
    /// its name in lower case, or nothing; `body` is every byte of the body as it came.
    ///
    /// # Errors
    /// Says why not. The answer to the request should be 401 or 403, without more.
    pub fn verify<'h>(
        &self,
        header: impl Fn(&str) -> Option<&'h str>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), NotVerified> {
        let required = |name| header(name).ok_or(NotVerified::Missing(name));
        let id = required(ID_HEADER)?;
        let timestamp = required(TIMESTAMP_HEADER)?;
        let signatures = required(SIGNATURE_HEADER)?;
        if id.contains('.') {
            return Err(NotVerified::Id);
        }
        self.check_time(timestamp, now)?;
        let message = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        let given = signatures.split(' ').filter(|signature| !signature.is_empty());
        let given: Vec<&str> = given.take(MAX_SIGNATURES).collect();
        if self.keys.iter().any(|key| key.signed(&message, &given)) { Ok(()) } else { Err(NotVerified::Signature) }
    }

    fn check_time(&self, timestamp: &str, now: Timestamp) -> Result<(), NotVerified> {
        let digits = timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let seconds: Option<u64> = timestamp.parse().ok().filter(|_| digits);
        let millis = seconds.and_then(|seconds| seconds.checked_mul(1000)).ok_or(NotVerified::Timestamp)?;
        let signed = Timestamp::from_millis(millis);
        // The header has whole seconds, cut off.
        let tolerance = self.tolerance.saturating_add(Duration::from_secs(1));
        if now.since(signed) >= tolerance {
            Err(NotVerified::TooOld)
        } else if signed.since(now) > self.tolerance {
            Err(NotVerified::InTheFuture)
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, tolerance } = self;
        f.debug_struct("Verifier").field("secrets", &keys.len()).field("tolerance", tolerance).finish()
    }
}
