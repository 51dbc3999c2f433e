//! Delivering only what replicas have.
//!
//! What no replica has can be lost with the primary, and comes again under another number if its
//! producer, which was told nothing, sends it again: whoever had got it would get it twice, as two
//! events. So a read waits until as many replicas have its events as acknowledging one takes.

use super::loss::read_of_before;
use super::partition::PartitionLog;
use crate::library::{CallError, Refusal};
use crate::shared::Shared;
use bytes::Bytes;
use laneway_domain::Offset;
use laneway_ports::{Chunk, LogRecord, StoreError};

impl Shared {
    /// Resolves when as many replicas as the options ask for have what was read.
    pub(crate) async fn see_replicated(&self, log: &PartitionLog, chunk: &Chunk) -> Result<(), StoreError> {
        let Some(last) = chunk.records.last().map(LogRecord::offset) else { return Ok(()) };
        if self.options.replicas == 0 {
            return Ok(());
        }
        let (life, replicated, witness) = {
            let memory = log.memory();
            (memory.life(), memory.replicated(), memory.witness())
        };
        if last < replicated {
            return Ok(());
        }
        // The furthest that was read is no nearer than this chunk's last; if it is, it is of another life.
        let Some((at, check)) = witness.filter(|(at, _)| *at >= last) else {
            return Err(read_of_before(log));
        };
        self.mark(log, at, check).await?;
        log.memory().note_replicated(at.next(), life);
        Ok(())
    }

    /// Writes something behind the entry at `at`, and waits for the replicas to have that.
    async fn mark(&self, log: &PartitionLog, at: Offset, check: u32) -> Result<(), StoreError> {
        let keys = [self.keys.log(log.partition), self.keys.mark(log.partition)];
        let at = self.keys.numbers().stored(at);
        let arguments = [at.0, u64::from(check)].map(|number| Bytes::from(number.to_string()));
        match self.write("laneway_mark", &keys, arguments.into()).await {
            Ok(_) => Ok(()),
            Err(CallError::Refused(Refusal::Generation(_))) => {
                self.check_log(log).await?;
                Err(read_of_before(log))
            }
            // Whatever became of the mark: nothing was read.
            Err(CallError::Store(StoreError::Unknown { what } | StoreError::RetryLater { what, .. })) => {
                Err(StoreError::retry_later(what))
            }
            Err(error) => Err(error.into()),
        }
    }
}
