//! `laneway tokens`: who may do what, without a change of the configuration file.

use super::args::TokensCommand;
use super::client::Client;
use super::table::{Align, Look, Table};
use super::when::{local, local_second};
use super::{Failure, output, pages};
use laneway_domain::{Origin, Roles, Tenant, TokenName};
use laneway_http::wire::{
    LinkAsked, LinkMade, LinksEnded, MadeToken, RevokedToken, TokenChoice, TokenJournalPage, TokenList, TokenRecord,
};
use serde::Serialize;

/// Makes, lists and revokes tokens.
pub(super) async fn run(client: &Client, command: TokensCommand) -> Result<(), Failure> {
    match command {
        TokensCommand::Create { name, roles } => create(client, &name, roles).await,
        TokensCommand::List { json } => list(client, json).await,
        TokensCommand::Revoke { name, yes } => revoke(client, &name, yes).await,
        TokensCommand::Link { tenant, lasts, roles, json } => {
            let roles = Some(roles).filter(|roles| !roles.is_empty());
            link(client, &LinkAsked { tenant: Some(tenant), roles, lasts }, json).await
        }
        TokensCommand::EndLinks { tenant, yes } => end_links(client, &tenant, yes).await,
        TokensCommand::Changes { limit, json } => changes(client, limit, json).await,
    }
}

async fn create(client: &Client, name: &TokenName, roles: Vec<String>) -> Result<(), Failure> {
    let choice = TokenChoice { name: name.to_string(), roles };
    let made: MadeToken = client.post("/v1/tokens", &choice).await?;
    // The token alone, so that it can be piped to where it is to be kept.
    output::note(&format!("{} can {}; its token is told this once:", made.name, made.roles));
    output::line(&made.token)
}

async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let parts = |page: TokenList| (page.items, page.next, page.incomplete);
    let all = pages::all(client, "/v1/tokens", &[], parts).await?;
    if json {
        return all.iter().try_for_each(|record| output::line(&text(record)?));
    }
    let mut table = Table::new(&[
        ("TOKEN", Align::Left),
        ("ROLES", Align::Left),
        ("FROM", Align::Left),
        ("CREATED", Align::Left),
        ("CREATED BY", Align::Text),
    ]);
    for record in all {
        let TokenRecord { name, roles, origin, created, created_by, .. } = record;
        let name = name.map_or_else(|| "(server.tokens)".to_owned(), |name| name.to_string());
        let origin = if origin == Origin::File { "file" } else { "api" };
        let (created, by) = (created.as_deref().map(local_second), created_by.unwrap_or_default());
        table.row([name, in_short(roles), origin.to_owned(), created.unwrap_or_default(), output::clean(&by)]);
    }
    if table.is_empty() {
        return output::say("there is no token: this server asks nobody for one");
    }
    output::print(&table.fitted(Look::plain()))
}

async fn revoke(client: &Client, name: &TokenName, yes: bool) -> Result<(), Failure> {
    output::confirm(&format!("Revoke {name}? Whoever uses it is refused from then on."), yes)?;
    let revoked: RevokedToken = client.delete(&format!("/v1/tokens/{name}")).await?;
    output::say(&format!("{} is revoked; every process refuses it within a second", revoked.name))
}

async fn link(client: &Client, asked: &LinkAsked, json: bool) -> Result<(), Failure> {
    let made: LinkMade = client.post("/v1/portal-links", asked).await?;
    if json {
        return output::line(&text(&made)?);
    }
    // The link alone, so that it can be piped to where it is sent from.
    let until = local(&made.expires);
    output::note(&format!("Whoever opens it can {} at {}, until {until}:", made.roles, made.tenant));
    output::line(&made.url)
}

async fn end_links(client: &Client, tenant: &Tenant, yes: bool) -> Result<(), Failure> {
    let question = format!("End all links of {tenant}? Whoever was signed in by one is no longer.");
    output::confirm(&question, yes)?;
    let ended: LinksEnded = client.delete(&format!("/v1/portal-links?tenant={tenant}")).await?;
    output::say(&format!(
        "all links of {} have ended that were made until now, in every process within a second",
        ended.tenant
    ))
}

async fn changes(client: &Client, limit: u32, json: bool) -> Result<(), Failure> {
    let page: TokenJournalPage = client.get(&format!("/v1/token-changes?limit={limit}")).await?;
    if json {
        return page.items.iter().try_for_each(|line| output::line(&text(line)?));
    }
    let mut table =
        Table::new(&[("WHEN", Align::Left), ("TOKEN", Align::Left), ("WHO", Align::Text), ("WHAT", Align::Text)]);
    for line in page.items {
        table.row([local(&line.at), line.name.to_string(), output::clean(&line.by), output::clean(&line.what)]);
    }
    if table.is_empty() {
        output::say("no token was made over HTTP yet")
    } else {
        output::print(&table.fitted(Look::plain()))
    }
}

/// Roles in a table of 80 columns.
fn in_short(roles: Roles) -> String {
    if roles == Roles::ALL { "all".to_owned() } else { roles.to_string() }
}

fn text(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|e| Failure::new(format!("the answer cannot be written: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::Role;

    #[test]
    fn a_row_is_short() {
        assert_eq!(in_short(Roles::ALL), "all");
        assert_eq!(in_short(Roles::of([Role::Publish, Role::Operate, Role::Admin])), "publish, operate, admin");
    }
}
