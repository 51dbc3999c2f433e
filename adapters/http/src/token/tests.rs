use super::*;
use crate::presented::digest_of;
use crate::shown::{Shown, authorize};
use http::{HeaderMap, header};

fn asked(value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, value.parse().unwrap());
    headers
}

#[test]
fn any_of_the_tokens_opens_and_nothing_else_does() {
    let tokens = Tokens::of(vec![Token::new("one").unwrap(), Token::new("two").unwrap()]).now();
    for good in ["Bearer one", "bearer two", "BEARER  two "] {
        assert!(authorize(&tokens, Shown::headers_only(&asked(good)), Some(Role::Admin)).is_ok(), "{good}");
    }
    for bad in ["Bearer", "Bearer ", "Bearer three", "Bearer on", "Bearer onee", "Basic one", "one"] {
        assert!(authorize(&tokens, Shown::headers_only(&asked(bad)), None).is_err(), "{bad}");
    }
    assert!(authorize(&tokens, Shown::headers_only(&HeaderMap::new()), None).is_err());
    assert!(authorize(&Tokens::default().now(), Shown::headers_only(&HeaderMap::new()), Some(Role::Admin)).is_ok());
}

#[test]
fn a_token_does_not_print_itself() {
    let token = Token::new("very-secret").unwrap();
    assert_eq!(format!("{token:?}"), "Token(…)");
    let named = token.named("shop", Roles::of([Role::Read, Role::Publish]));
    assert_eq!(format!("{named:?}"), "Token(shop: publish, read)");
}

#[test]
fn a_token_that_no_header_could_carry_is_none() {
    assert!(Token::new("").is_none());
    assert!(Token::new("a b").is_none());
    assert!(Token::new("a\n").is_none());
}

#[test]
fn only_loopback_may_be_listened_on_without_a_token() {
    let token = [Token::new("x").unwrap()];
    for (address, open) in [("127.0.0.1:1", true), ("[::1]:1", true), ("0.0.0.0:1", false), ("[::]:1", false)] {
        assert_eq!(check_listen(address.parse().unwrap(), &[]).is_ok(), open, "{address}");
        assert!(check_listen(address.parse().unwrap(), &token).is_ok());
    }
}

const MADE: &str = "lwt_a-token-that-was-made";

fn refusal(tokens: &Tokens, presented: &str, needs: Role) -> Option<&'static str> {
    let asked = asked(&format!("Bearer {presented}"));
    authorize(&tokens.now(), Shown::headers_only(&asked), Some(needs)).err().map(|problem| problem.kind.name())
}

fn set_made(tokens: &Tokens, name: &str, text: &str, roles: &[Role]) {
    let name = TokenName::new(name).unwrap();
    tokens.set_made([(&name, digest_of(text.as_bytes()), Roles::of(roles.iter().copied()))]);
}

#[tokio::test(start_paused = true)]
async fn a_made_token_opens_its_roles_as_long_as_it_is_confirmed() {
    let tokens = Tokens::of(vec![Token::new("of-the-file").unwrap()]);
    // Nobody follows them: there are none.
    assert_eq!(refusal(&tokens, MADE, Role::Read), Some("unauthorized"));
    tokens.follow();
    set_made(&tokens, "shop", MADE, &[Role::Read]);
    assert_eq!(refusal(&tokens, MADE, Role::Read), Some("tokens-unconfirmed"));
    let confirmed = Instant::now();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokens.confirm(confirmed, Timestamp::ZERO);
    assert_eq!(refusal(&tokens, MADE, Role::Read), None);
    assert_eq!(refusal(&tokens, MADE, Role::Admin), Some("forbidden"));
    assert_eq!(whose(&tokens.now(), Some(Presented::Bearer(MADE.as_bytes()))), "the token shop");
    for unknown in ["lwt_another", "lwt_", &MADE[4..], &format!("{MADE}x")] {
        assert_eq!(refusal(&tokens, unknown, Role::Read), Some("unauthorized"), "{unknown}");
    }
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(refusal(&tokens, MADE, Role::Read), None);
    tokio::time::advance(Duration::from_millis(1)).await;
    // It may be one that was made meanwhile, or was revoked: nobody knows.
    for made in [MADE, "lwt_another"] {
        assert_eq!(refusal(&tokens, made, Role::Read), Some("tokens-unconfirmed"), "{made}");
    }
    assert_eq!(refusal(&tokens, "of-the-file", Role::Admin), None);
    assert_eq!(refusal(&tokens, "another", Role::Admin), Some("unauthorized"));
    tokens.confirm(Instant::now(), Timestamp::ZERO);
    assert_eq!(refusal(&tokens, MADE, Role::Read), None);
    tokens.set_made([]);
    assert_eq!(refusal(&tokens, MADE, Role::Read), Some("unauthorized"));
}

#[tokio::test]
async fn of_two_tokens_of_one_name_that_of_the_file_counts() {
    let shop = |text: &str| Token::new(text).unwrap().named("shop", Roles::of([Role::Publish]));
    let tokens = Tokens::of(vec![shop("of-the-file")]);
    set_made(&tokens, "shop", MADE, &[Role::Read]);
    assert_eq!(tokens.now().hidden(), [TokenName::new("shop").unwrap()].into());
    assert_eq!(refusal(&tokens, MADE, Role::Read), Some("unauthorized"));
    assert_eq!(refusal(&tokens, "of-the-file", Role::Publish), None);
    assert!(tokens.replace(vec![Token::new("of-the-file").unwrap()]));
    assert_eq!(tokens.now().hidden(), [].into());
    assert_eq!(refusal(&tokens, MADE, Role::Read), None);
}

#[tokio::test]
async fn a_server_whose_file_has_no_token_is_open_whatever_was_made() {
    let tokens = Tokens::default();
    tokens.follow();
    set_made(&tokens, "shop", MADE, &[Role::Read]);
    for presented in [MADE, "lwt_another", "anything"] {
        assert_eq!(refusal(&tokens, presented, Role::Admin), None);
    }
}

/// By the store's clock.
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn key() -> LinkKey {
    LinkKey::new(&[7; 32]).unwrap()
}

fn acme() -> Tenant {
    Tenant::new("acme").unwrap()
}

/// A link for an hour, which a token of that name and text makes.
fn link(maker: &str, text: &str, roles: &[Role]) -> String {
    let roles = Roles::of(roles.iter().copied());
    let link = Link { tenant: acme(), roles, made: NOW, expires: NOW.after(HOUR), maker: maker.into() };
    key().sign(&link, &digest_of(text.as_bytes())).unwrap()
}

/// Tokens of a file that makes links, and somebody who follows what the store has.
fn with_links(file: Vec<Token>) -> Tokens {
    let tokens = Tokens::of(file);
    tokens.set_links(Some((key(), Links::new("sealed", laneway_domain::Revision(1)))));
    tokens.follow();
    tokens.confirm(Instant::now(), NOW);
    tokens
}

fn boss() -> Token {
    Token::new("of-the-boss").unwrap().named("boss", Roles::of([Role::Admin]))
}

#[tokio::test(start_paused = true)]
async fn a_link_opens_what_it_says_of_its_tenant_until_it_expires() {
    let tokens = with_links(vec![boss()]);
    let link = link("boss", "of-the-boss", &[Role::Read]);
    let access = || authorize(&tokens.now(), Shown::headers_only(&asked(&format!("Bearer {link}"))), Some(Role::Read));
    let expected = Access { roles: Roles::of([Role::Read]), tenant: Some(acme()), until: Some(NOW.after(HOUR)) };
    assert_eq!(access().unwrap(), expected);
    assert_eq!(refusal(&tokens, &link, Role::Operate), Some("forbidden"));
    assert_eq!(whose(&tokens.now(), Some(Presented::Bearer(link.as_bytes()))), "a link of the token boss");
    // To the millisecond, by the store's clock, which goes on while nobody asks it.
    let later = HOUR - Duration::from_millis(1);
    tokio::time::advance(later).await;
    assert_eq!(refusal(&tokens, &link, Role::Read), Some("tokens-unconfirmed"));
    tokens.confirm(Instant::now(), NOW.after(later));
    assert_eq!(refusal(&tokens, &link, Role::Read), None);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(refusal(&tokens, &link, Role::Read), Some("unauthorized"));
    assert!(access().unwrap_err().body.detail.contains("has expired"));
    assert_eq!(over(&tokens.now(), Presented::Bearer(link.as_bytes())).unwrap(), Some(LinkOver::Expired));
    for other in ["lwp_", "lwp_a.b", &link[..link.len() - 1], "lwt_x"] {
        assert_eq!(over(&tokens.now(), Presented::Bearer(other.as_bytes())).unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_ends_with_the_token_that_made_it_and_with_its_right_to() {
    let tokens = with_links(vec![boss()]);
    let of_boss = link("boss", "of-the-boss", &[Role::Read]);
    assert_eq!(refusal(&tokens, &of_boss, Role::Read), None);
    // Another token of the name is another token; one without the role makes no links.
    for other in [
        vec![Token::new("another").unwrap().named("boss", Roles::ALL)],
        vec![boss().named("boss", Roles::of([Role::Read]))],
        vec![boss().named("boss", Roles::ALL).of_tenant(Tenant::new("other").unwrap())],
        vec![boss().named("chief", Roles::ALL)],
    ] {
        tokens.replace(other);
        assert_eq!(refusal(&tokens, &of_boss, Role::Read), Some("unauthorized"));
        assert_eq!(over(&tokens.now(), Presented::Bearer(of_boss.as_bytes())).unwrap(), Some(LinkOver::Ended));
    }
    tokens.replace(vec![Token::new("without-a-name").unwrap()]);
    assert_eq!(refusal(&tokens, &link("", "without-a-name", &[Role::Read]), Role::Read), None);
    assert_eq!(refusal(&tokens, &link("", "another", &[Role::Read]), Role::Read), Some("unauthorized"));
    // One that was made over HTTP, by the tenant itself: its links give what it has itself now.
    let of_acme = link("acme:app", MADE, &[Role::Read, Role::Operate]);
    assert_eq!(refusal(&tokens, &of_acme, Role::Read), Some("unauthorized"));
    set_made(&tokens, "acme:app", MADE, &[Role::Admin, Role::Read]);
    assert_eq!(refusal(&tokens, &of_acme, Role::Read), None);
    assert_eq!(refusal(&tokens, &of_acme, Role::Operate), Some("forbidden"));
    tokens.set_made([]);
    assert_eq!(refusal(&tokens, &of_acme, Role::Read), Some("unauthorized"));
}

#[tokio::test(start_paused = true)]
async fn links_of_a_tenant_end_together_and_with_their_key() {
    let tokens = with_links(vec![boss()]);
    let link = link("boss", "of-the-boss", &[Role::Read]);
    let mut book = laneway_domain::TokenBook::default();
    let stamp = |at| laneway_domain::Stamp { revision: laneway_domain::Revision(at), at: NOW, by: "x".into() };
    book.sign_links_with("sealed", &stamp(1));
    let set = |book: &laneway_domain::TokenBook| tokens.set_links(Some((key(), book.links().unwrap().clone())));
    book.end_links(&Tenant::new("other").unwrap(), &stamp(2));
    set(&book);
    assert_eq!(refusal(&tokens, &link, Role::Read), None);
    book.end_links(&acme(), &stamp(3));
    set(&book);
    assert_eq!(refusal(&tokens, &link, Role::Read), Some("unauthorized"));
    let fresh = Links::new("sealed", laneway_domain::Revision(1));
    tokens.set_links(Some((LinkKey::new(&[8; 32]).unwrap(), fresh)));
    assert_eq!(refusal(&tokens, &link, Role::Read), Some("unauthorized"));
    tokens.set_links(None);
    assert_eq!(refusal(&tokens, &link, Role::Read), Some("unauthorized"));
}
