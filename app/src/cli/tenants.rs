//! `laneway tenants`: what each customer may, and the end of one.

use super::args::TenantsCommand;
use super::client::Client;
use super::table::{Align, Look, Table};
use super::when::local;
use super::{Failure, output, pages};
use laneway_domain::{Tenant, TenantLimits};
use laneway_http::wire::{DeletedTenant, TenantList, TenantShown, TokenList};
use serde::Serialize;

/// Lists, limits and deletes tenants.
pub(super) async fn run(client: &Client, command: TenantsCommand) -> Result<(), Failure> {
    match command {
        TenantsCommand::List { json } => list(client, json).await,
        TenantsCommand::Show { tenant, json } => {
            let shown: TenantShown = client.get(&format!("/v1/tenants/{tenant}")).await?;
            show(&shown, json)
        }
        TenantsCommand::Limit { tenant, events_per_second, bytes_per_second, event_bytes, destinations } => {
            let limits = TenantLimits { events_per_second, bytes_per_second, event_bytes, destinations };
            let shown: TenantShown = client.put(&format!("/v1/tenants/{tenant}"), &limits).await?;
            show(&shown, false)
        }
        TenantsCommand::Delete { tenant, yes } => delete(client, &tenant, yes).await,
    }
}

async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let parts = |page: TenantList| (page.items, page.next, page.incomplete);
    let all = pages::all(client, "/v1/tenants", &[], parts).await?;
    if json {
        return all.iter().try_for_each(|shown| output::line(&text(shown)?));
    }
    let mut table = Table::new(&[
        ("TENANT", Align::Left),
        ("EVENTS/S", Align::Right),
        ("BYTES/S", Align::Right),
        ("LARGEST", Align::Right),
        ("DESTINATIONS", Align::Right),
        ("", Align::Left),
    ]);
    for shown in all {
        let TenantLimits { events_per_second, bytes_per_second, event_bytes, destinations } = shown.limits;
        let state = if shown.deleted { "deleted" } else { "" };
        table.row([
            shown.tenant.to_string(),
            said(events_per_second),
            said(bytes_per_second),
            said(event_bytes),
            said(destinations),
            state.to_owned(),
        ]);
    }
    if table.is_empty() {
        return output::say("no tenant has destinations or limits of its own");
    }
    output::print(&table.fitted(Look::plain()))
}

fn show(shown: &TenantShown, json: bool) -> Result<(), Failure> {
    if json {
        return output::line(&text(shown)?);
    }
    let TenantLimits { events_per_second, bytes_per_second, event_bytes, destinations } = shown.limits;
    output::say(&format!("tenant        {}{}", shown.tenant, if shown.deleted { " (deleted)" } else { "" }))?;
    output::say(&format!("events/s      {}", said(events_per_second)))?;
    output::say(&format!("bytes/s       {}", said(bytes_per_second)))?;
    output::say(&format!("event bytes   {}", said(event_bytes)))?;
    let has = shown.destinations.map_or_else(String::new, |count| format!("{count} of "));
    output::say(&format!("destinations  {has}{}", said(destinations)))?;
    match (&shown.changed, &shown.changed_by) {
        (Some(at), Some(by)) => output::say(&format!("changed       {} by {}", local(at), output::clean(by))),
        _ => Ok(()),
    }
}

async fn delete(client: &Client, tenant: &Tenant, yes: bool) -> Result<(), Failure> {
    if !yes {
        check_deletable(client, tenant).await?;
    }
    let question = format!("Delete the tenant {tenant}, with its destinations, its tokens and all that waits for it?");
    output::confirm(&question, yes)?;
    let DeletedTenant { destinations, tokens, dead_letters, .. } =
        client.delete(&format!("/v1/tenants/{tenant}")).await?;
    output::say(&format!(
        "{tenant} is deleted: {destinations} destinations, {tokens} tokens, and {dead_letters} dead letters of others' \
         destinations"
    ))?;
    output::say("its events are delivered and shown to nobody; they leave the log as all do (store.retain)")
}

/// Fails where there is nothing to delete, before anybody is asked whether it is to go. The server looks once more, and
/// then for tokens too.
async fn check_deletable(client: &Client, tenant: &Tenant) -> Result<(), Failure> {
    let Some(shown) = client.look::<TenantShown>(&format!("/v1/tenants/{tenant}")).await? else { return Ok(()) };
    if shown.changed.is_some() || shown.destinations.is_some_and(|count| count > 0) {
        return Ok(());
    }
    let parts = |page: TokenList| (page.items, page.next, page.incomplete);
    let tokens = pages::all(client, "/v1/tokens", &[], parts).await?;
    if tokens.iter().filter_map(|token| token.name.as_ref()).any(|name| name.tenant().as_ref() == Some(tenant)) {
        return Ok(());
    }
    let advice = format!("if events of it are to go all the same, make it known first: laneway tenants limit {tenant}");
    Err(Failure::new(format!("nothing is known of a tenant {tenant}, and nothing belongs to it")).advising(advice))
}

/// A limit, in a table.
fn said(limit: Option<impl ToString>) -> String {
    limit.map_or_else(|| "any".to_owned(), |limit| limit.to_string())
}

fn text(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|e| Failure::new(format!("the answer cannot be written: {e}")))
}
