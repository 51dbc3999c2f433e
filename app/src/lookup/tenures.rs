//! Who worked on what.

use super::AT_ONCE;
use futures_util::{StreamExt, stream};
use laneway_domain::{Partition, Timestamp};
use laneway_ports::{FoundTenure, Stores, Tenures};

/// Which worker had which partition between two moments. What cannot be asked is named: a node of a Cluster may be away
/// just when somebody wants to know.
pub(super) async fn tenures(stores: &Stores, from: Option<Timestamp>, to: Option<Timestamp>) -> Tenures {
    let asked = (0..stores.log.partitions()).map(Partition);
    let ask = |partition| async move { (partition, stores.progress.tenures(partition).await) };
    let mut answers = stream::iter(asked).map(ask).buffered(AT_ONCE);
    let mut found = Tenures::default();
    while let Some((partition, answer)) = answers.next().await {
        match answer {
            Ok(all) => {
                let meant = all.into_iter().filter(|tenure| tenure.overlaps(from, to));
                found.tenures.extend(meant.map(|tenure| FoundTenure { partition, tenure }));
            }
            Err(error) => found.incomplete.push(format!("who had partition {partition}: {error}")),
        }
    }
    found
}
