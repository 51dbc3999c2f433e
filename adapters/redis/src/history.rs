//! The history of attempts; `lua/history.lua` says what it is kept in.

use crate::failure::Effect;
use crate::progress::{answer, place};
use crate::store::RedisStore;
use async_trait::async_trait;
use bytes::Bytes;
use fred::types::Value;
use laneway_domain::{Partition, Timestamp};
use laneway_ports::{
    HistoryBounds, HistoryPlace, HistoryRange, HistoryRecord, HistorySize, HistoryStore, MAX_HISTORY_PAGE,
    MAX_HISTORY_PAGE_BYTES, StoreError, decoded_history,
};

/// The most records that one call removes: some tens of microseconds of Redis' time.
const TRIMMED_AT_ONCE: usize = 500;

fn parse_place(text: &str, at: Timestamp) -> Option<HistoryPlace> {
    let (epoch, number) = text.split_once('-')?;
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
    Some(HistoryPlace { at, epoch: hex(epoch)?, number: hex(number)? })
}

fn records(value: Value) -> Result<Vec<HistoryRecord>, StoreError> {
    let values = answer::list(value)?;
    let record = |triple: &[Value]| {
        let [at, place, told] = triple else { return Err(answer::unexpected(&Value::Array(triple.to_vec()))) };
        let (at, text) = (Timestamp::from_millis(answer::number(at)?), answer::text(place)?);
        let place = parse_place(&text, at).ok_or_else(|| answer::unexpected(place))?;
        let told = told.as_bytes().ok_or_else(|| answer::unexpected(told))?;
        Ok(HistoryRecord { place, told: decoded_history(told, place.number, at) })
    };
    values.chunks(3).map(record).collect()
}

impl RedisStore {
    fn history_keys(&self, partition: Partition) -> Result<[String; 2], StoreError> {
        self.partition(partition)?;
        Ok(self.shared.keys.history(partition))
    }
}

#[async_trait]
impl HistoryStore for RedisStore {
    async fn history(
        &self,
        partition: Partition,
        range: HistoryRange,
        most: usize,
    ) -> Result<Vec<HistoryRecord>, StoreError> {
        let keys = self.history_keys(partition)?;
        let named = |at: HistoryPlace| (at.at.as_millis().to_string(), place(at.epoch, at.number));
        let (order, (at, place)) = match range {
            HistoryRange::Latest => ("latest", ("+inf".to_owned(), String::new())),
            HistoryRange::Before(before) => ("latest", named(before)),
            HistoryRange::After(after) => ("earliest", named(after)),
        };
        let most = most.min(MAX_HISTORY_PAGE).to_string();
        let args = [order.to_owned(), at, place, most, MAX_HISTORY_PAGE_BYTES.to_string()].map(Bytes::from).to_vec();
        let page = self.shared.redis.call("laneway_history_page", Effect::Reads, &keys, args).await;
        records(page.map_err(StoreError::from)?)
    }

    async fn trim_history(
        &self,
        partition: Partition,
        bounds: HistoryBounds,
        most: usize,
    ) -> Result<usize, StoreError> {
        let keys = self.history_keys(partition)?;
        let mut removed = 0;
        while removed < most {
            let step = TRIMMED_AT_ONCE.min(most - removed);
            let args = [bounds.since.as_millis().to_string(), bounds.max_bytes.to_string(), step.to_string()];
            let args = args.map(Bytes::from).to_vec();
            // Nothing is lost if a failover takes it back: it goes again.
            let gone = self.shared.redis.call("laneway_history_trim", Effect::Writes, &keys, args).await;
            let gone = answer::number(&gone.map_err(StoreError::from)?)?;
            let gone = usize::try_from(gone).unwrap_or(usize::MAX);
            removed += gone;
            if gone < step {
                break;
            }
        }
        Ok(removed)
    }

    async fn history_size(&self, partition: Partition) -> Result<HistorySize, StoreError> {
        let keys = self.history_keys(partition)?;
        let size = self.shared.redis.call("laneway_history_size", Effect::Reads, &keys, Vec::new()).await;
        let [records, bytes] = answer::exactly(size.map_err(StoreError::from)?)?;
        Ok(HistorySize { records: answer::number(&records)?, bytes: answer::number(&bytes)? })
    }
}
