//! Opening a store: what can be seen to be wrong with the options, and what the store was made with.

use crate::connect::Redis;
use crate::failure::Effect;
use crate::keys::Keys;
use crate::library::{CallError, slot};
use crate::numbers::Numbers;
use crate::options::{MAX_KEY_PREFIX_BYTES, RedisOptions};
use crate::progress::unreadable;
use bytes::Bytes;
use laneway_domain::MAX_PARTITIONS;
use laneway_ports::StoreError;

/// The shape of what is stored in a new store. Whoever raises this writes the first release that reads it into the field
/// `needs` of the store's key.
const SCHEMA: u32 = 1;
/// The same of a store that was restored: its offsets are called otherwise outside ([`Numbers`]), so that a release that
/// does not know that must refuse it. A Laneway refuses a store of any other schema.
pub(crate) const SCHEMA_RESTORED: u32 = 2;
/// The first release that reads [`SCHEMA_RESTORED`].
pub(crate) const RESTORED_SINCE: &str = "0.1.0";

/// What a store was made with, as its key says: fields and values, those that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    partitions: String,
    schema: String,
    needs: String,
    numbers: String,
}

impl Made {
    /// As `laneway_attend` takes them.
    pub(crate) fn arguments(&self) -> [Bytes; 4] {
        [&self.partitions, &self.schema, &self.needs, &self.numbers].map(|value| Bytes::from(value.clone()))
    }
}

/// Refuses what can be seen to be wrong without asking anyone.
pub(crate) fn check_options(options: &RedisOptions) -> Result<(), StoreError> {
    let refuse = |what: String| Err(StoreError::refused(what));
    if !(1..=MAX_PARTITIONS).contains(&options.partitions) {
        return refuse(format!("store.partitions = {} must be from 1 to {MAX_PARTITIONS}", options.partitions));
    }
    let prefix = &options.key_prefix;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if prefix.is_empty() || prefix.len() > MAX_KEY_PREFIX_BYTES || !prefix.chars().all(plain) {
        return refuse(format!(
            "store.key_prefix = {prefix:?} must be 1 to {MAX_KEY_PREFIX_BYTES} of A-Z, a-z, 0-9 and -_.: \
             (braces would change the slots of a Cluster)"
        ));
    }
    if options.duplicate_window.as_millis() == 0 {
        return refuse("the duplicate window must be at least one millisecond".into());
    }
    Ok(())
}

/// Whether there is a store.
pub(crate) async fn is_there(redis: &Redis, keys: &Keys) -> Result<bool, StoreError> {
    let store = [keys.store()];
    let asked = redis.command("EXISTS", slot(&store), vec![store[0].as_str().into()], Effect::Reads).await?;
    let wrong = |error| StoreError::refused(format!("{} answered EXISTS with something else: {error}", redis.place()));
    asked.convert::<i64>().map(|count| count > 0).map_err(wrong)
}

/// Makes the store if it is not there, and refuses one that was made otherwise, or that is a part of a backup. Returns what
/// its offsets are called outside, and all that it was made with: what a process puts back if that gets lost.
pub(crate) async fn open(redis: &Redis, keys: &Keys, partitions: u32) -> Result<(Numbers, Made), StoreError> {
    let arguments = vec![Bytes::from(partitions.to_string()), Bytes::from(SCHEMA.to_string())];
    let answered = redis.call("laneway_open", Effect::Reads, &[keys.store()], arguments).await;
    let made: Vec<Option<String>> = answered
        .map_err(|error| match error {
            CallError::Refused(why) => {
                StoreError::refused(format!("the store at {} cannot be used: {why}", redis.place()))
            }
            CallError::Store(error) => error,
        })?
        .convert()
        .map_err(|error| StoreError::refused(format!("the key {} is no store's: {error}", keys.store())))?;
    let text = |at: usize| made.get(at).and_then(Option::as_deref);
    let number = |at: usize| text(at).and_then(|text| text.parse::<u32>().ok());
    let (had, schema) = (number(0), number(1));
    if !schema.is_some_and(|schema| [SCHEMA, SCHEMA_RESTORED].contains(&schema)) {
        // Whoever raises the schema says which release can read it; this one cannot know.
        let needs =
            text(2).map_or_else(|| "a newer Laneway".to_owned(), |release| format!("Laneway {release} or later"));
        return Err(StoreError::refused(format!(
            "the store at {} was written by a newer release of Laneway (schema {}; this one, {}, reads up to {SCHEMA_RESTORED}): it \
             needs {needs}",
            redis.place(),
            text(1).unwrap_or("unknown"),
            env!("CARGO_PKG_VERSION"),
        )));
    }
    if had != Some(partitions) {
        return Err(StoreError::refused(format!(
            "the store at {} was made with {} partitions, and store.partitions = {partitions}: the number cannot be \
             changed, because keys would move to other partitions and lose their order; set it back, or use a new \
             store (another store.key_prefix)",
            redis.place(),
            had.unwrap_or_default()
        )));
    }
    let value = |at: usize| text(at).unwrap_or_default().to_owned();
    let made = Made { partitions: value(0), schema: value(1), needs: value(2), numbers: value(3) };
    let numbers = made.numbers.parse().map_err(|why| unreadable(&keys.store(), "the field numbers", why))?;
    Ok((numbers, made))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_cannot_be_are_refused_by_name() {
        let with = |change: fn(&mut RedisOptions)| {
            let mut options = RedisOptions::new("redis://h", 8);
            change(&mut options);
            check_options(&options).unwrap_err().to_string()
        };
        assert!(with(|o| o.partitions = 0).contains("store.partitions"));
        assert!(with(|o| o.key_prefix = "a{b}".into()).contains("store.key_prefix"));
        assert!(check_options(&RedisOptions::new("redis://h", 8)).is_ok());
    }
}
