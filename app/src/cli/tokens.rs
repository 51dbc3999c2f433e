//! `laneway tokens`: who may do what, without a change of the configuration file.

use super::args::TokensCommand;
use super::client::Client;
use super::table::{Align, Look, Table, rows_with_text};
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
    if !yes {
        check_revocable(client, name).await?;
    }
    output::confirm(&format!("Revoke {name}? Whoever uses it is refused from then on."), yes)?;
    let revoked: RevokedToken = client.delete(&format!("/v1/tokens/{name}")).await?;
    output::say(&format!("{} is revoked; every process refuses it within a second", revoked.name))
}

/// Fails where there is nothing to revoke, before anybody is asked whether it is to be. The server looks once more.
async fn check_revocable(client: &Client, name: &TokenName) -> Result<(), Failure> {
    let parts = |page: TokenList| (page.items, page.next, page.incomplete);
    let all = pages::all(client, "/v1/tokens", &[], parts).await?;
    let advice = "`laneway tokens list` shows those that there are";
    match all.iter().find(|record| record.name.as_ref() == Some(name)) {
        Some(record) if record.origin == Origin::File => {
            let what =
                format!("the token {name} is in the configuration file: take it out there, and send Laneway a SIGHUP");
            Err(Failure::new(what))
        }
        Some(_) => Ok(()),
        None => Err(Failure::new(format!("there is no token {name}")).advising(advice)),
    }
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
    if page.items.is_empty() {
        return output::say("no token was made over HTTP yet");
    }
    output::print(&journal(page, Look::plain()))
}

/// Who changed what: where the terminal is narrow, what they did stands below, whole.
fn journal(page: TokenJournalPage, look: Look) -> String {
    let columns = [("WHEN", Align::Left), ("TOKEN", Align::Left), ("WHO", Align::Text), ("WHAT", Align::Text)];
    let rows = page.items.into_iter().map(|line| vec![local(&line.at), line.name.to_string(), line.by, line.what]);
    rows_with_text(&columns, 2, rows.collect(), look)
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
    fn what_was_changed_is_not_cut() {
        let page = r#"{"items":[{"revision":7,"at":"2026-11-27T19:51:44Z","by":"boss","name":"acme:shop",
            "what":"made with the roles publish, read, operate, admin, for the tenant acme"}],"incomplete":[]}"#;
        let page: TokenJournalPage = serde_json::from_str(page).unwrap();
        let shown = journal(page, Look { width: Some(80), colour: false });
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        let said = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        let whole = "who: boss what: made with the roles publish, read, operate, admin, for the tenant acme";
        assert!(said.contains(whole), "{shown}");
    }

    #[test]
    fn a_row_is_short() {
        assert_eq!(in_short(Roles::ALL), "all");
        assert_eq!(in_short(Roles::of([Role::Publish, Role::Operate, Role::Admin])), "publish, operate, admin");
    }
}
