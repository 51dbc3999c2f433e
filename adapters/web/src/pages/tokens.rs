//! `GET /console/tokens`: who may do what; tokens are made and revoked here, and each change says whose it was.

use super::attempts::when;
use super::destination::actions::told as came;
use crate::data;
use crate::failed::Answer;
use crate::form::{Form, Posted};
use crate::interface::problem;
use crate::links;
use crate::page::{incomplete, page, page_with, proof, told};
use crate::show;
use crate::site::Site;
use crate::visit::Visit;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::{Method, StatusCode};
use laneway_domain::{Origin, Role};
use laneway_http::wire::{MadeToken, Problem, RevokedToken, TokenChoice, TokenJournalPage, TokenList, TokenRecord};
use maud::{Markup, html};
use std::sync::Arc;

/// Tokens of a page.
const LIMIT: &str = "100";
/// Changes of a page.
const CHANGES: &str = "20";

/// What each role opens, in a line.
const fn opens(role: Role) -> &'static str {
    match role {
        Role::Publish => "sends events",
        Role::Read => "sees status, destinations, events and dead letters with their data",
        Role::Operate => "pauses, resumes, retries, skips, discards and replays",
        Role::Admin => "changes destinations, and makes and revokes tokens",
    }
}

/// `GET /console/tokens`.
pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit, RawQuery(query): RawQuery) -> Answer {
    let asked = Form::of_query(query.as_deref().unwrap_or_default());
    whole(&site, &visit, &asked, &Form::default(), None).await
}

/// `POST /console/tokens`: the only page that shows the token which it makes.
pub(crate) async fn make(State(site): State<Arc<Site>>, visit: Visit, Posted(sent): Posted) -> Answer {
    let roles = sent.all("role").map(str::to_owned).collect();
    let choice = TokenChoice { name: sent.get("name").trim().to_owned(), roles };
    let made: MadeToken = match site.interface(&visit).send(Method::POST, "/v1/tokens", &[], &choice).await {
        Ok(made) => made,
        // It is the form's fault, and can be mended there.
        Err(problem) if (400..500).contains(&problem.status) && problem.status != 401 && problem.status != 403 => {
            return whole(&site, &visit, &Form::default(), &sent, Some(&problem)).await;
        }
        Err(problem) => return Err(problem.into()),
    };
    let content = html! {
        p { "Give it to whoever is to use it now: it is not shown again. If it is lost, revoke it and make another one." }
        pre.secret tabindex="0" { code { (made.token) } }
        p { "Its roles: " (made.roles.to_string()) ". Every process that shares the store takes it within a second." }
        p { a.button.plain href=(links::TOKENS) { "Back to the tokens" } }
    };
    Ok(page(&visit, &format!("The token {}", made.name), &content))
}

/// `GET /console/tokens/{name}/revoke`: who is refused by it.
pub(crate) async fn ask_revoke(State(site): State<Arc<Site>>, visit: Visit, Path(name): Path<String>) -> Answer {
    let record = one(&site, &visit, &name).await?;
    let content = html! {
        p {
            "Whoever uses the token " b { (name) } " is refused from then on, by every process that shares the store "
            "within a second. It opens: " (record.roles.to_string()) "."
            @if let Some(by) = &record.created_by { " It was made by " (data::visible(by)) @if let Some(at) = &record.created { ", " (when(&visit, at)) } "." }
        }
        p { "That is one token. Events that it has sent stay, and are delivered. A token of the same name that is made later is another one." }
        @if is_own(&visit, &record) { div.note.warning { p { "It is the one that you are signed in with: you are signed out by it." } } }
        form method="post" action=(links::revoke(&name)) {
            (proof(&visit))
            div.actions { button.danger type="submit" { "Revoke 1 token" } a.button.plain href=(links::TOKENS) { "Cancel" } }
        }
    };
    Ok(page(&visit, &format!("Revoke the token {name}?"), &content))
}

/// `POST /console/tokens/{name}/revoke`.
pub(crate) async fn revoke(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(name): Path<String>,
    Posted(_): Posted,
) -> Answer {
    let path = format!("/v1/tokens/{}", links::part(&name));
    let done: Result<RevokedToken, Box<Problem>> = site.interface(&visit).send(Method::DELETE, &path, &[], &()).await;
    let said = done.map(|revoked| format!("The token {} is revoked.", revoked.name));
    Ok(came(&site, &visit, said, links::TOKENS))
}

/// The token of that name, if it can be revoked here.
async fn one(site: &Site, visit: &Visit, name: &str) -> Result<TokenRecord, Box<Problem>> {
    let (interface, mut after) = (site.interface(visit), String::new());
    loop {
        let page: TokenList = interface.get(&links::with("/v1/tokens", &[("after", &after), ("limit", LIMIT)])).await?;
        let is_it = |record: &TokenRecord| record.name.as_ref().is_some_and(|it| it.as_str() == name);
        let (shown, _) = show::beginning(name, 100);
        return match (page.items.into_iter().find(is_it), page.next) {
            (Some(record), _) if record.origin == Origin::Api => Ok(record),
            (Some(_), _) => {
                let what = format!("The token {shown} is in the configuration file, and can be removed only there.");
                Err(problem("conflict", 409, "It is in the configuration file", &what))
            }
            (None, Some(next)) => {
                after = next;
                continue;
            }
            (None, None) => {
                Err(problem("not-found", 404, "There is no such token", &format!("No token has the name {shown}.")))
            }
        };
    }
}

/// Whether it is the one that the visitor is signed in with.
fn is_own(visit: &Visit, record: &TokenRecord) -> bool {
    let who = visit.visitor.as_ref().map(laneway_http::Visitor::who);
    visit.token.is_some() && record.name.as_ref().is_some_and(|name| who == Some(&*format!("the token {name}")))
}

/// The whole page; with what was wrong with a form that was sent.
async fn whole(site: &Site, visit: &Visit, asked: &Form, filled: &Form, wrong: Option<&Problem>) -> Answer {
    let interface = site.interface(visit);
    let tokens: TokenList =
        interface.get(&links::with("/v1/tokens", &[("after", asked.get("after")), ("limit", LIMIT)])).await?;
    let changes: TokenJournalPage = interface
        .get(&links::with("/v1/token-changes", &[("before", asked.get("before")), ("limit", CHANGES)]))
        .await?;
    let content = html! {
        (incomplete(&tokens.incomplete))
        (listed(visit, &tokens))
        @if visit.token.is_some() { (form(visit, filled, wrong)) }
        (journal(visit, &changes))
    };
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok::<Response, _>(page_with(status, visit, "Tokens", &content))
}

fn listed(visit: &Visit, tokens: &TokenList) -> Markup {
    if tokens.items.is_empty() {
        return html! {
            p.empty { "There is no token: this server asks nobody for one." }
            p {
                "A token that is made here would protect nothing yet. Add one with the role " code { "admin" } " to the configuration file ("
                code { "[[server.token]]" } "), and reload it (" code { "SIGHUP" } "). Then others can be made and revoked here."
            }
        };
    }
    html! {
        div.scroll tabindex="0" role="group" aria-label="Tokens" {
            table.cards {
                thead { tr {
                    th scope="col" { "Token" } th scope="col" { "Roles" } th scope="col" { "From" }
                    th scope="col" { "Made" } th scope="col" { "By" } th scope="col" { span.hidden { "What can be done" } }
                } }
                tbody { @for record in &tokens.items { (row(visit, record)) } }
            }
        }
        @if let Some(next) = &tokens.next {
            nav.pages aria-label="Pages of tokens" { a rel="next" href=(links::with(links::TOKENS, &[("after", next)])) { "More tokens" } }
        }
    }
}

fn row(visit: &Visit, record: &TokenRecord) -> Markup {
    let name = record.name.as_ref().map_or("(server.tokens)", |name| name.as_str());
    html! {
        tr {
            th scope="row" { span.mono { (name) } @if is_own(visit, record) { " " span.badge.quiet { "yours" } } }
            td data-name="Roles" { (record.roles.to_string()) }
            td data-name="From" { (match record.origin { Origin::File => "the file", Origin::Api => "the interface" }) }
            td data-name="Made" { @match &record.created { Some(at) => (when(visit, at)), None => "–" } }
            td data-name="By" { (record.created_by.as_deref().map_or("–".to_owned(), data::visible)) }
            td {
                @if record.origin == Origin::Api {
                    a.button.plain href=(links::revoke(name)) aria-label=(format!("Revoke…: the token {name}")) { "Revoke…" }
                }
            }
        }
    }
}

fn form(visit: &Visit, filled: &Form, wrong: Option<&Problem>) -> Markup {
    html! {
        section aria-labelledby="make" {
            h2 #make { "Make a token" }
            @if let Some(problem) = wrong { (told(problem)) }
            form.sheet method="post" action=(links::TOKENS) {
                (proof(visit))
                div.narrow {
                    label for="name" { "Name" }
                    input #name name="name" value=(filled.get("name")) required maxlength="64" autocomplete="off" spellcheck="false" aria-describedby="name-help";
                }
                p.small #name-help { "lower case letters, digits, -, _ and .: whoever changes something with it is called so" }
                fieldset {
                    legend { "Roles" }
                    @for role in Role::ALL.into_iter().filter(|role| visit.tenant().is_none() || visit.may(*role)) {
                        label.choice {
                            input type="checkbox" name="role" value=(role.name()) checked[filled.all("role").any(|it| it == role.name())];
                            " " b { (role.name()) } " " (opens(role))
                        }
                    }
                }
                div.actions { button type="submit" { "Make 1 token" } }
            }
        }
    }
}

fn journal(visit: &Visit, changes: &TokenJournalPage) -> Markup {
    html! {
        section aria-labelledby="changes" {
            h2 #changes { "Who changed what" }
            (incomplete(&changes.incomplete))
            @if changes.items.is_empty() { p.empty { "No token was made or revoked over the interface." } } @else {
                div.scroll tabindex="0" role="group" aria-label="Changes of tokens" {
                    table.cards {
                        thead { tr { th scope="col" { "When" } th scope="col" { "Token" } th scope="col" { "Who" } th scope="col" { "What" } } }
                        tbody { @for line in &changes.items {
                            tr {
                                td data-name="When" { (when(visit, &line.at)) }
                                td.mono data-name="Token" { (line.name.as_str()) }
                                td data-name="Who" { (data::visible(&line.by)) }
                                td data-name="What" { (data::visible(&line.what)) }
                            }
                        } }
                    }
                }
            }
            @if let Some(next) = &changes.next {
                nav.pages aria-label="Pages of changes" { a rel="next" href=(links::with(links::TOKENS, &[("before", next)])) { "Earlier changes" } }
            }
        }
    }
}
