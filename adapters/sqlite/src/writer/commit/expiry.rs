//! What of a destination has expired, and from when on its waiting counts.

use crate::failure::Failed;
use crate::request::Tx;
use crate::row::{moment, signed};
use laneway_domain::{DestinationName, LaneChange, Partition};

/// Writes down what the change says of it. To be called when the lane's own row is there.
pub(super) fn change(tx: &Tx<'_>, p: Partition, name: &DestinationName, change: &LaneChange) -> Result<(), Failed> {
    if let Some(expiry) = change.expiry {
        let sql = "INSERT INTO expiry (partition, destination, born, expired, again_below, again_since) \
                   SELECT partition, destination, born, ?3, ?4, ?5 FROM lane WHERE partition = ?1 AND destination = ?2 \
                   ON CONFLICT (partition, destination) DO UPDATE SET born = excluded.born, expired = excluded.expired, \
                   again_below = excluded.again_below, again_since = excluded.again_since";
        let again = (signed(expiry.again_below.0)?, moment(expiry.again_since));
        tx.run(sql, (p.0, name.as_str(), signed(expiry.expired)?, again.0, again.1))?;
    } else if let Some(born) = change.born {
        // It goes on as another one: so does what is known of it.
        let sql = "UPDATE expiry SET born = ?3 WHERE partition = ?1 AND destination = ?2";
        tx.run(sql, (p.0, name.as_str(), signed(born.0)?))?;
    }
    Ok(())
}
