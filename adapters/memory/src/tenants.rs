//! What is known of tenants, as the value that they are.

use crate::books::replace;
use crate::disk::Durable;
use crate::{Call, MemoryStore};
use async_trait::async_trait;
use laneway_domain::{Revision, TenantBook};
use laneway_ports::{StoreError, TenantStore, TenantsSeen, encoded_book};

#[async_trait]
impl TenantStore for MemoryStore {
    async fn tenants(&self, known: Revision) -> Result<TenantsSeen, StoreError> {
        self.begin(Call::Tenants)?;
        let clock = self.disk().now().as_millis() * 1000;
        Ok(self.disk().look(|durable| {
            let revision = durable.tenants.revision();
            TenantsSeen { revision, clock, book: (revision != known).then(|| durable.tenants.clone()) }
        }))
    }

    async fn write_tenants(&self, last: Revision, book: &TenantBook) -> Result<bool, StoreError> {
        encoded_book(last, book)?;
        let book = book.clone();
        let write = move |durable: &mut Durable, _| replace(&mut durable.tenants, last, book);
        self.write_one(Call::Tenants, write).await
    }
}
