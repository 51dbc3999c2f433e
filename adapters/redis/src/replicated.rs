//! Writes that must outlive the loss of the primary: leases, commits, and what operators change.

use crate::connect::{MAX_TRIES, Reconnects, Redis};
use crate::failure::Effect;
use crate::library::{CallError, Called, slot};
use crate::options::RedisOptions;
use bytes::Bytes;
use fred::types::{ClusterHash, Value};
use laneway_ports::StoreError;
use std::time::Duration;

/// A connection for such writes, each with a WAIT behind it.
///
/// It is one of its own: WAIT holds up what comes behind it on its connection, and a replica that
/// is away must hold up neither reads nor the renewal of leases.
pub(crate) struct Replicated {
    redis: Redis,
    replicas: u32,
    timeout: Duration,
}

impl Replicated {
    /// Nothing if no replicas have to acknowledge.
    pub(crate) async fn connect(redis: &Redis, options: &RedisOptions) -> Result<Option<Self>, StoreError> {
        if options.replicas == 0 {
            return Ok(None);
        }
        let redis = redis.another(options).await?;
        Ok(Some(Self { redis, replicas: options.replicas, timeout: options.replica_timeout }))
    }

    pub(crate) async fn write(
        &self,
        function: &'static str,
        keys: &[String],
        args: &[Bytes],
    ) -> Result<Value, CallError> {
        let at = slot(keys);
        for _ in 0..MAX_TRIES {
            // One connection for both: WAIT speaks of its own.
            let there = self.redis.held(&at).await?;
            let reconnects = Reconnects::of(&there);
            let call = there.call_once(function, Effect::Writes, keys, args);
            // Polled in this order, and so sent in it.
            let (called, acknowledged) = tokio::join!(biased; call, self.wait(&there, at.clone()));
            match called? {
                Called::Answered(value) => {
                    let same = !reconnects.were_some();
                    return self.enough(function, acknowledged, same).map(|()| value).map_err(CallError::Store);
                }
                again => there.prepare_again(&again, at.clone()).await?,
            }
        }
        Err(CallError::Store(self.redis.never_took(function)))
    }

    /// How many replicas have what was written on this connection before.
    async fn wait(&self, there: &Redis, at: ClusterHash) -> Result<u32, StoreError> {
        let longest = i64::try_from(self.timeout.as_millis()).unwrap_or(i64::MAX).max(1);
        let args = vec![i64::from(self.replicas).into(), longest.into()];
        let answer = there.command("WAIT", at, args, Effect::Writes).await?;
        Ok(answer.as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(0))
    }

    fn enough(
        &self,
        function: &str,
        acknowledged: Result<u32, StoreError>,
        same_connection: bool,
    ) -> Result<(), StoreError> {
        let why = match acknowledged {
            Ok(count) if count >= self.replicas && same_connection => return Ok(()),
            Ok(_) if !same_connection => "the connection was lost while its replicas were asked".to_owned(),
            Ok(count) => format!(
                "{count} of {} replicas have acknowledged it within {:?} (store.replicas)",
                self.replicas, self.timeout
            ),
            Err(error) => format!("it is not known how many replicas have it ({error})"),
        };
        Err(StoreError::unknown(format!(
            "Redis at {} has done {function}, but {why}, so that it might be lost with the primary",
            self.redis.place()
        )))
    }
}
