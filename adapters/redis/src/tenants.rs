//! What is known of tenants beside what they own.

use crate::books::Seen;
use crate::store::RedisStore;
use async_trait::async_trait;
use laneway_domain::{Revision, TenantBook};
use laneway_ports::{StoreError, TenantStore, TenantsSeen};

#[async_trait]
impl TenantStore for RedisStore {
    async fn tenants(&self, known: Revision) -> Result<TenantsSeen, StoreError> {
        let Seen { revision, clock, book } = self.book(&self.shared.keys.tenants(), known).await?;
        Ok(TenantsSeen { revision, clock, book })
    }

    async fn write_tenants(&self, last: Revision, book: &TenantBook) -> Result<bool, StoreError> {
        self.write_book(self.shared.keys.tenants(), last, book).await
    }
}
