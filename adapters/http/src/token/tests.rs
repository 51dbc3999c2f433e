use super::*;

fn asked(value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, value.parse().unwrap());
    headers
}

#[test]
fn any_of_the_tokens_opens_and_nothing_else_does() {
    let tokens = Tokens::of(vec![Token::new("one").unwrap(), Token::new("two").unwrap()]).now();
    for good in ["Bearer one", "bearer two", "BEARER  two "] {
        assert!(authorize(&tokens, &asked(good), Some(Role::Admin)).is_ok(), "{good}");
    }
    for bad in ["Bearer", "Bearer ", "Bearer three", "Bearer on", "Bearer onee", "Basic one", "one"] {
        assert!(authorize(&tokens, &asked(bad), None).is_err(), "{bad}");
    }
    assert!(authorize(&tokens, &HeaderMap::new(), None).is_err());
    assert!(authorize(&Tokens::default().now(), &HeaderMap::new(), Some(Role::Admin)).is_ok());
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
    authorize(&tokens.now(), &asked, Some(needs)).err().map(|problem| problem.kind.name())
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
    tokens.confirm(confirmed);
    assert_eq!(refusal(&tokens, MADE, Role::Read), None);
    assert_eq!(refusal(&tokens, MADE, Role::Admin), Some("forbidden"));
    assert_eq!(who(&tokens.now(), &asked(&format!("Bearer {MADE}"))), "the token shop");
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
    tokens.confirm(Instant::now());
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
