use super::*;
use proptest::prelude::*;

fn name(name: &str) -> TokenName {
    TokenName::new(name).unwrap()
}

fn digest(number: u64) -> TokenDigest {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_le_bytes());
    TokenDigest(digest)
}

fn stamp(revision: u64) -> Stamp {
    Stamp { revision: Revision(revision), at: Timestamp::from_millis(revision), by: "the token boss".into() }
}

fn roles(roles: &[Role]) -> Roles {
    Roles::of(roles.iter().copied())
}

#[test]
fn a_token_is_there_from_its_making_to_its_revocation_and_both_are_told() {
    let mut book = TokenBook::default();
    book.create(&name("shop"), digest(1), roles(&[Role::Publish, Role::Read]), &stamp(7)).unwrap();
    assert_eq!(book.tokens()[&name("shop")].made_at, Revision(7));
    let again = book.create(&name("shop"), digest(2), Roles::ALL, &stamp(8)).unwrap_err();
    assert!(again.to_string().contains("there is a token shop already, which the token boss made"), "{again}");
    assert_eq!(book.create(&name("x"), digest(2), Roles::default(), &stamp(8)), Err(TokenRefusal::NoRole));
    book.revoke(&name("shop"), true, &stamp(9)).unwrap();
    assert_eq!(book.revoke(&name("shop"), true, &stamp(10)), Err(TokenRefusal::Unknown(name("shop"))));
    assert!(book.tokens().is_empty());
    assert_eq!(book.revision(), Revision(9));
    let told = |before| book.changes(before).map(|change| &*change.what).collect::<Vec<_>>();
    assert_eq!(told(None), ["revoked", "made, with the roles publish, read"]);
    assert_eq!(told(Some(Revision(9))), ["made, with the roles publish, read"]);
    // The name is free again.
    book.create(&name("shop"), digest(3), Roles::ALL, &stamp(11)).unwrap();
}

#[test]
fn the_last_admin_stays_where_somebody_has_to_be_one() {
    let mut book = TokenBook::default();
    for (n, of) in
        [("a", &[Role::Admin][..]), ("b", &[Role::Read, Role::Admin]), ("c", &[Role::Read])].iter().enumerate()
    {
        book.create(&name(of.0), digest(n as u64), roles(of.1), &stamp(n as u64 + 1)).unwrap();
    }
    book.revoke(&name("c"), true, &stamp(10)).unwrap();
    book.revoke(&name("a"), true, &stamp(11)).unwrap();
    let before = book.clone();
    assert_eq!(book.revoke(&name("b"), true, &stamp(12)), Err(TokenRefusal::LastAdmin(name("b"))));
    assert_eq!(book, before);
    book.revoke(&name("b"), false, &stamp(12)).unwrap();
}

#[test]
fn a_tenants_admin_is_none_of_the_operators() {
    let mut book = TokenBook::default();
    book.create(&name("boss"), digest(1), Roles::ALL, &stamp(1)).unwrap();
    book.create(&name("acme:boss"), digest(2), Roles::ALL, &stamp(2)).unwrap();
    assert_eq!(book.revoke(&name("boss"), true, &stamp(3)), Err(TokenRefusal::LastAdmin(name("boss"))));
    book.revoke(&name("acme:boss"), true, &stamp(3)).unwrap();
}

#[test]
fn a_tenant_has_as_many_tokens_as_it_may_have_and_sees_no_others() {
    let (acme, mut book) = (Tenant::new("acme").unwrap(), TokenBook::default());
    let all = ["acm:x", "acme", "acme-2:x", "acme:a", "acme:b", "acme;", "acmf:x"];
    for (n, of) in all.into_iter().filter(|name| !name.contains(';')).enumerate() {
        let made = book.create_within(2, &name(of), (digest(n as u64), Roles::ALL), &stamp(n as u64 + 1));
        assert_eq!(made, Ok(()), "{of}");
    }
    let own = |book: &TokenBook| book.of_tenant(&acme).map(|(name, _)| name.to_string()).collect::<Vec<_>>();
    assert_eq!(own(&book), ["acme:a", "acme:b"]);
    let before = book.clone();
    let more = book.create_within(2, &name("acme:c"), (digest(9), Roles::ALL), &stamp(9)).unwrap_err();
    assert!(more.to_string().starts_with("the tenant acme has 2 tokens"), "{more}");
    // What is there already is that, also where there is no room.
    let again = book.create_within(2, &name("acme:a"), (digest(9), Roles::ALL), &stamp(9));
    assert!(matches!(again, Err(TokenRefusal::Exists { .. })), "{again:?}");
    assert_eq!(book, before);
    // An operator's are not counted.
    book.create_within(0, &name("shop"), (digest(9), Roles::ALL), &stamp(9)).unwrap();
    book.revoke(&name("acme:a"), false, &stamp(10)).unwrap();
    book.create_within(2, &name("acme:c"), (digest(10), Roles::ALL), &stamp(11)).unwrap();
    assert_eq!(own(&book), ["acme:b", "acme:c"]);
}

#[test]
fn links_end_for_one_tenant_and_a_store_that_lost_that_is_told_again() {
    let (acme, mut book) = (Tenant::new("acme").unwrap(), TokenBook::default());
    assert!(!book.end_links(&acme, &stamp(1)), "nobody has made one");
    assert_eq!(book, TokenBook::default());
    let lost = book.clone();
    book.sign_links_with("sealed", &stamp(2));
    assert_eq!((book.revision(), book.links().unwrap().key()), (Revision(2), "sealed"));
    let made = book.clone();
    assert!(book.end_links(&acme, &stamp(3)));
    let ended = |book: &TokenBook| book.links().unwrap().ended_until(&acme);
    assert_eq!((ended(&made), ended(&book)), (Timestamp::ZERO, Timestamp::from_millis(3)));
    for store in [lost, made] {
        let whole = store.lacking(&book, &stamp(4)).unwrap();
        assert_eq!((whole.links(), whole.revision()), (book.links(), Revision(4)));
        assert_eq!(whole.lacking(&book, &stamp(5)), None);
    }
    // After a restore no key comes back that a backup had.
    let known = book.clone();
    assert_eq!(book.revoke_all(&stamp(6)), 0);
    assert_eq!((book.links(), book.lacking(&known, &stamp(7))), (None, None));
    book.check().unwrap();
}

#[test]
fn all_tokens_can_be_revoked_at_once() {
    let mut book = TokenBook::default();
    assert_eq!(book.revoke_all(&stamp(1)), 0);
    assert_eq!(book, TokenBook::default(), "nothing was there to revoke");
    book.create(&name("a"), digest(1), Roles::ALL, &stamp(1)).unwrap();
    book.create(&name("b"), digest(2), Roles::ALL, &stamp(2)).unwrap();
    let before = book.clone();
    assert_eq!(book.revoke_all(&stamp(3)), 2);
    assert!(book.tokens().is_empty());
    assert_eq!(book.changes(None).map(|change| change.name.as_str()).take(2).collect::<Vec<_>>(), ["b", "a"]);
    // Whoever knew of them brings none of them back.
    assert_eq!(book.lacking(&before, &stamp(4)), None);
}

#[test]
fn everything_is_bounded_and_what_was_forgotten_is_told() {
    let mut at = MAX_TOKENS as u64;
    let mut book = TokenBook { revision: Revision(at), ..TokenBook::default() };
    // Made one after the other, each would be checked with all before it.
    for n in 0..at {
        let Stamp { revision: made_at, at, by } = stamp(n + 1);
        let token = StoredToken { digest: digest(n), roles: Roles::ALL, made_at, at, by };
        book.tokens.insert(name(&format!("t{n}")), token);
    }
    assert_eq!(book.create(&name("more"), digest(1_000_000), Roles::ALL, &stamp(at + 1)), Err(TokenRefusal::Full));
    let mut known = TokenBook::default();
    known.create(&name("lost"), digest(1_000_000), Roles::ALL, &stamp(1)).unwrap();
    assert_eq!(book.lacking(&known, &stamp(at + 1)), None, "there is no room for what is lost");
    book.tokens.retain(|name, _| ["t0", "t1"].contains(&name.as_str()));
    for n in 0..MAX_REVOKED_TOKENS as u64 + 3 {
        let (made, gone) = (at + 1, at + 2);
        at += 2;
        book.revoke(&name("t0"), false, &stamp(made)).unwrap();
        book.create(&name("t0"), digest(100_000 + n), Roles::ALL, &stamp(gone)).unwrap();
    }
    assert_eq!((book.tokens.len(), book.revoked.len(), book.changes.len()), (2, MAX_REVOKED_TOKENS, MAX_TOKEN_CHANGES));
    // The third revocation is the last one that is forgotten; each took two revisions.
    assert_eq!(book.forgotten, Revision(MAX_TOKENS as u64 + 5));
    assert_eq!(book.changes(None).next().unwrap().revision, Revision(at));
}

#[test]
fn what_a_store_has_lost_is_told_again_and_a_revoked_token_does_not_come_back() {
    let mut book = TokenBook::default();
    for (n, of) in ["kept", "revoked", "replaced"].into_iter().enumerate() {
        book.create(&name(of), digest(n as u64), Roles::ALL, &stamp(n as u64 + 1)).unwrap();
    }
    let mut store = book.clone();
    let mut known = book;
    known.revoke(&name("revoked"), false, &stamp(10)).unwrap();
    known.create(&name("lost"), digest(10), Roles::ALL, &stamp(11)).unwrap();
    known.create(&name("twice"), digest(11), Roles::ALL, &stamp(12)).unwrap();
    // Somebody goes on with what the store has after its failover.
    store.create(&name("twice"), digest(20), Roles::ALL, &stamp(20)).unwrap();
    store.revoke(&name("replaced"), false, &stamp(21)).unwrap();
    let whole = store.lacking(&known, &stamp(30)).unwrap();
    assert_eq!(whole.tokens.keys().map(TokenName::as_str).collect::<Vec<_>>(), ["kept", "lost", "twice"]);
    assert_eq!(whole.tokens[&name("twice")].digest, digest(20));
    assert_eq!(whole.revision(), Revision(30));
    let told: Vec<u64> = whole.changes(None).map(|change| change.revision.0).collect();
    assert_eq!(told, [21, 20, 12, 11, 10, 3, 2, 1]);
    assert_eq!(whole.lacking(&known, &stamp(31)), None);
}

#[test]
fn whoever_knows_too_little_to_tell_a_loss_from_a_revocation_adds_nothing() {
    let mut store = TokenBook::default();
    store.create(&name("a"), digest(0), Roles::ALL, &stamp(1)).unwrap();
    let known = store.clone();
    for n in 1..=MAX_REVOKED_TOKENS as u64 + 1 {
        store.revoke(&name("a"), false, &stamp(2 * n)).unwrap();
        store.create(&name("a"), digest(n), Roles::ALL, &stamp(2 * n + 1)).unwrap();
    }
    store.revoke(&name("a"), false, &stamp(9_999)).unwrap();
    assert!(store.forgotten > known.revision);
    assert_eq!(store.lacking(&known, &stamp(10_000)), None);
}

#[test]
fn whoever_knows_of_the_last_revocation_that_is_forgotten_can_tell_a_loss_from_a_revocation() {
    let mut known = TokenBook::default();
    known.create(&name("lost"), digest(1), Roles::ALL, &stamp(3)).unwrap();
    known.create(&name("revoked"), digest(2), Roles::ALL, &stamp(4)).unwrap();
    known.revoke(&name("revoked"), false, &stamp(5)).unwrap();
    let store = TokenBook { revision: Revision(9), forgotten: Revision(5), ..TokenBook::default() };
    let whole = store.lacking(&known, &stamp(10)).expect("a token is lost");
    assert!(whole.tokens.keys().eq([&name("lost")]), "{whole:?}");
    assert!(whole.revoked.is_empty(), "what is forgotten stays so");
}

#[test]
fn a_key_of_links_comes_back_only_if_it_was_made_after_the_last_one_was_taken_away() {
    let mut store = TokenBook::default();
    store.sign_links_with("sealed", &stamp(5));
    store.revoke_all(&stamp(6));
    for (made, comes_back) in [(5, false), (6, false), (7, true)] {
        let mut known = TokenBook::default();
        known.sign_links_with("sealed", &stamp(made));
        known.create(&name("lost"), digest(1), Roles::ALL, &stamp(8)).unwrap();
        let whole = store.lacking(&known, &stamp(9)).expect("a token is lost");
        assert_eq!((whole.tokens.len(), whole.links().is_some()), (1, comes_back), "{made}");
    }
}

#[test]
#[should_panic(expected = "revision 2, and says that the last one is 1")]
fn a_change_with_an_earlier_revision_than_the_last_one_is_a_broken_invariant() {
    let mut book = TokenBook::default();
    book.create(&name("a"), digest(1), Roles::ALL, &stamp(2)).unwrap();
    book.create(&name("b"), digest(2), Roles::ALL, &stamp(1)).unwrap();
}

#[test]
fn a_book_that_no_change_could_have_made_is_found() {
    let mut book = TokenBook::default();
    book.create(&name("a"), digest(1), Roles::ALL, &stamp(5)).unwrap();
    book.create(&name("b"), digest(2), Roles::ALL, &stamp(6)).unwrap();
    book.check().unwrap();
    type Spoil = fn(&mut TokenBook);
    let spoils: [(Spoil, &str); 8] = [
        (|book| book.links = Some(Links::new("k", Revision(8))), "revision 8"),
        (|book| book.links = Some(Links::new("", Revision(1))), "key of links is empty"),
        (|book| book.revision = Revision(5), "revision 6"),
        (|book| book.tokens.get_mut(&name("a")).unwrap().digest = digest(2), "twice"),
        (|book| assert!(book.revoked.insert(digest(1), Revision(5)).is_none()), "twice"),
        (|book| book.tokens.get_mut(&name("b")).unwrap().roles = Roles::default(), "b has no role"),
        (|book| book.forgotten = Revision(7), "revision 7"),
        (
            |book| {
                let change = book.changes[0].clone();
                book.changes.extend(std::iter::repeat_n(change, MAX_TOKEN_CHANGES));
            },
            "1002 changes",
        ),
    ];
    for (spoil, said) in spoils {
        let mut spoiled = book.clone();
        spoil(&mut spoiled);
        let what = spoiled.check().unwrap_err();
        assert!(what.contains(said), "{what}");
    }
}

/// A change that somebody tries: a name out of few, and whether it is to be made.
fn changes() -> impl Strategy<Value = Vec<(u8, bool)>> {
    proptest::collection::vec((0..6_u8, any::<bool>()), 0..20)
}

/// Tries all of them, each under a revision and with a digest of its own.
fn tried(book: &mut TokenBook, changes: &[(u8, bool)], from: u64) {
    for (n, (of, makes)) in (from..).zip(changes) {
        let name = name(&format!("t{of}"));
        // What is refused has changed nothing.
        let before = book.clone();
        let done = match makes {
            true => book.create(&name, digest(n), Roles::ALL, &stamp(n)),
            false => book.revoke(&name, false, &stamp(n)),
        };
        assert!(done.is_ok() || *book == before);
    }
}

proptest! {
    #[test]
    fn whatever_a_failover_loses_nothing_revoked_comes_back_and_nothing_made_is_lost(
        common in changes(), lost in changes(), since in changes(),
    ) {
        let mut book = TokenBook::default();
        tried(&mut book, &common, 1);
        let (mut known, mut store) = (book.clone(), book);
        tried(&mut known, &lost, 100);
        tried(&mut store, &since, 200);
        let whole = store.lacking(&known, &stamp(300)).unwrap_or_else(|| store.clone());
        prop_assert_eq!(whole.check(), Ok(()));
        let digests = |book: &TokenBook| book.tokens.values().map(|token| token.digest).collect::<BTreeSet<_>>();
        let revoked = |digest: &TokenDigest| known.revoked.contains_key(digest) || store.revoked.contains_key(digest);
        for digest in digests(&whole) {
            prop_assert!(!revoked(&digest));
        }
        for digest in digests(&store) {
            prop_assert_eq!(digests(&whole).contains(&digest), !revoked(&digest));
        }
        for (name, token) in &known.tokens {
            if !revoked(&token.digest) {
                // It is there, or its name was taken meanwhile.
                prop_assert!(whole.tokens.contains_key(name));
            }
        }
        // It is told once.
        prop_assert_eq!(whole.lacking(&known, &stamp(301)), None);
        prop_assert_eq!(whole.lacking(&store, &stamp(301)), None);
        let written = serde_json::to_string(&whole).unwrap();
        prop_assert_eq!(serde_json::from_str::<TokenBook>(&written).unwrap(), whole);
    }
}
