//! How much room the files take.

use crate::files::log_path;
use crate::room::free;
use crate::store::SqliteStore;
use async_trait::async_trait;
use laneway_ports::{Extent, StoreExtent, StorePart};
use std::path::Path;

#[async_trait]
impl StoreExtent for SqliteStore {
    async fn extent(&self) -> Extent {
        let path = self.shared.path.clone();
        // The system may have to ask a disk for it.
        let looked = tokio::task::spawn_blocking(move || extent(&path)).await;
        let failed = |why: String| Extent { parts: Vec::new(), not_asked: vec![why] };
        looked.unwrap_or_else(|error| failed(format!("the files could not be looked at: {error}")))
    }
}

fn extent(database: &Path) -> Extent {
    let mut extent = Extent::default();
    // Nothing else bounds the database: it may grow as long as its disk has room.
    let room = free(database).map(|free| free.disk);
    for (path, room) in [(database, room), (&log_path(database), None)] {
        match std::fs::metadata(path) {
            Ok(file) => {
                let (name, bytes) = (path.display().to_string(), file.len());
                extent.parts.push(StorePart { name, bytes, most: room.map(|room| room.saturating_add(bytes)) });
            }
            Err(error) => extent.not_asked.push(format!("cannot look at {}: {error}", path.display())),
        }
    }
    extent
}
