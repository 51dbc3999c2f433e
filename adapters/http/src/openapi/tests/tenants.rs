//! The fields of what is said of tenants.

use super::fields::{Said, answers, bodies};
use crate::wire::{DeletedTenant, TenantList, TenantShown};
use laneway_domain::{Key, LaneKey, Offset, Revision, Tenant, TenantLimits};
use std::num::{NonZeroU32, NonZeroU64};

#[test]
fn what_is_said_of_tenants() {
    let (tenant, revision) = (Tenant::new("acme").unwrap(), Revision(7));
    let limits = TenantLimits {
        events_per_second: NonZeroU32::new(5),
        bytes_per_second: NonZeroU64::new(6),
        event_bytes: NonZeroU32::new(7),
        destinations: Some(8),
    };
    bodies("TenantLimits", &limits);
    let full = TenantShown {
        tenant: tenant.clone(),
        own_limits: limits,
        limits,
        deleted: true,
        destinations: Some(3),
        changed: Some("2026-11-27T10:00:00Z".to_owned()),
        changed_by: Some("the token boss".to_owned()),
        revision: Some(revision),
    };
    let least = TenantShown { destinations: None, changed: None, changed_by: None, revision: None, ..full.clone() };
    answers("TenantShown", &full, &least);
    let list = TenantList { items: vec![full], next: Some("acme".to_owned()), incomplete: vec!["x".to_owned()] };
    answers("TenantList", &list, &TenantList::default());
    let deleted = DeletedTenant { tenant, revision, destinations: 1, tokens: 2, dead_letters: 3 };
    answers("DeletedTenant", &deleted, &deleted);
}

#[test]
fn every_form_of_what_events_are_ordered_by_is_known() {
    let (key, tenant) = (Key::new("order-7: é").unwrap(), Tenant::new("60_-bl_6").unwrap());
    let all =
        [LaneKey::of(None, &key), LaneKey::of(Some(&tenant), &key), LaneKey::Event(Offset(u64::MAX / 2)), LaneKey::All];
    for form in all {
        Said::of("LaneKey").takes(&serde_json::Value::from(form.to_string()));
    }
}
