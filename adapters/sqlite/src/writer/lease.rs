//! Leases. The epoch is in the database, so that none is ever given out twice.

use crate::digest;
use crate::failure::Failed;
use crate::request::Tx;
use crate::row::moment;
use laneway_domain::{Partition, Timestamp};
use laneway_ports::{CommitError, Lease, MAX_TENURES, WorkerId};
use std::time::Duration;

/// [`laneway_ports::ProgressStore::claim`].
pub(crate) fn claim(tx: &Tx<'_>, p: Partition, worker: &WorkerId, ttl: Duration) -> Result<Option<Lease>, Failed> {
    let (epoch, holder, until) = tx
        .conn
        .prepare_cached("SELECT epoch, worker, leased_until FROM partition WHERE partition = ?1")?
        .query_row([p.0], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, i64>(2)?)))?;
    let now = moment(tx.now);
    if holder.as_ref().is_some_and(|holder| *holder != worker.0) && until > now {
        return Ok(None);
    }
    if let Some(holder) = holder {
        end_tenure(tx, p, epoch, &holder, until.min(now), until > now)?;
    }
    let epoch = epoch + 1;
    let begin = "INSERT INTO tenure (partition, epoch, worker, since) VALUES (?1, ?2, ?3, ?4)";
    tx.run(begin, (p.0, epoch, &worker.0, now))?;
    let forget = "DELETE FROM tenure WHERE partition = ?1 AND epoch NOT IN \
                  (SELECT epoch FROM tenure WHERE partition = ?1 ORDER BY epoch DESC LIMIT ?2)";
    tx.run(forget, (p.0, MAX_TENURES))?;
    tx.run(
        "UPDATE partition SET epoch = ?2, worker = ?3, leased_until = ?4 WHERE partition = ?1",
        (p.0, epoch, &worker.0, moment(tx.now.after(ttl))),
    )?;
    digest::begin(tx.conn, p)?;
    Ok(Some(Lease { partition: p, epoch, worker: worker.clone() }))
}

/// [`laneway_ports::ProgressStore::renew`].
pub(crate) fn renew(tx: &Tx<'_>, lease: &Lease, ttl: Duration) -> Result<(), Failed> {
    check(tx, lease)?;
    set(tx, lease, Some(&lease.worker), tx.now.after(ttl))
}

/// [`laneway_ports::ProgressStore::release`].
pub(crate) fn release(tx: &Tx<'_>, lease: &Lease) -> Result<(), Failed> {
    check(tx, lease)?;
    end_tenure(tx, lease.partition, lease.epoch, &lease.worker.0, moment(tx.now), true)?;
    set(tx, lease, None, Timestamp::ZERO)
}

/// A worker's time with a partition has ended.
fn end_tenure(
    tx: &Tx<'_>,
    p: Partition,
    epoch: u64,
    worker: &str,
    until: i64,
    handed_over: bool,
) -> Result<(), Failed> {
    // There is no row of a lease that was claimed before there were such rows.
    let sql = "INSERT INTO tenure (partition, epoch, worker, until, handed_over) VALUES (?1, ?2, ?3, ?4, ?5) \
               ON CONFLICT (partition, epoch) DO UPDATE SET until = excluded.until, handed_over = excluded.handed_over";
    tx.run(sql, (p.0, epoch, worker, until, handed_over))?;
    Ok(())
}

fn set(tx: &Tx<'_>, lease: &Lease, holder: Option<&WorkerId>, until: Timestamp) -> Result<(), Failed> {
    let sql = "UPDATE partition SET worker = ?2, leased_until = ?3 WHERE partition = ?1";
    tx.run(sql, (lease.partition.0, holder.map(|worker| &worker.0), moment(until)))?;
    Ok(())
}

/// Fenced, unless the lease is the partition's current one.
pub(super) fn check(tx: &Tx<'_>, lease: &Lease) -> Result<(), Failed> {
    let sql = "SELECT count(*) FROM partition WHERE partition = ?1 AND epoch = ?2 AND worker IS NOT NULL";
    let held: i64 = tx.conn.prepare_cached(sql)?.query_row((lease.partition.0, lease.epoch), |row| row.get(0))?;
    if held == 1 {
        return Ok(());
    }
    Err(Failed::Told(CommitError::Fenced { partition: lease.partition, epoch: lease.epoch }))
}
