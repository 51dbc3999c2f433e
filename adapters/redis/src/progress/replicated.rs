//! Writes that must outlive the loss of the primary: leases, commits, and what operators change.

use crate::connect::Redis;
use crate::failure::Effect;
use crate::library::{CallError, Called, MAX_TRIES, slot};
use crate::options::RedisOptions;
use crate::store::Shared;
use bytes::Bytes;
use fred::interfaces::EventInterface;
use fred::types::config::Options;
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
    pub(crate) async fn connect(options: &RedisOptions) -> Result<Option<Self>, StoreError> {
        if options.replicas == 0 {
            return Ok(None);
        }
        // A call that followed its slot to another node would leave its WAIT behind.
        let redis = Redis::connect(options).await?.with(&Options { max_redirections: Some(0), ..Options::default() });
        Ok(Some(Self { redis, replicas: options.replicas, timeout: options.replica_timeout }))
    }

    async fn write(&self, function: &'static str, keys: &[String], args: &[Bytes]) -> Result<Value, CallError> {
        let at = slot(keys);
        for _ in 0..MAX_TRIES {
            let reconnects = self.redis.client().reconnect_rx();
            let call = self.redis.call_once(function, Effect::Writes, keys, args);
            // Polled in this order, and so sent in it.
            let (called, acknowledged) = tokio::join!(biased; call, self.wait(at.clone()));
            match called? {
                Called::Answered(value) => {
                    // WAIT speaks of its own connection: on a new one, nothing was written yet.
                    let same = reconnects.is_empty();
                    return self.enough(function, acknowledged, same).map(|()| value).map_err(CallError::Store);
                }
                again => self.redis.prepare_again(&again, at.clone()).await?,
            }
        }
        Err(CallError::Store(self.redis.never_took(function)))
    }

    /// How many replicas have what was written on this connection before.
    async fn wait(&self, at: ClusterHash) -> Result<u32, StoreError> {
        let longest = i64::try_from(self.timeout.as_millis()).unwrap_or(i64::MAX).max(1);
        let args = vec![i64::from(self.replicas).into(), longest.into()];
        let answer = self.redis.command("WAIT", at, args, Effect::Writes).await?;
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

impl Shared {
    /// Calls a function that changes something; resolves when as many replicas as the options ask
    /// for have it.
    pub(crate) async fn write(
        &self,
        function: &'static str,
        keys: &[String],
        args: Vec<Bytes>,
    ) -> Result<Value, CallError> {
        match &self.replicated {
            Some(replicated) => replicated.write(function, keys, &args).await,
            None => self.redis.call(function, Effect::Writes, keys, args).await,
        }
    }
}
