use crate::{MAX_REVISION, MAX_TOKENS_BYTES, decoded_book, encoded_book};
use laneway_domain::{
    Links, MAX_ENDED_LINKS, MAX_REVOKED_TOKENS, MAX_TOKEN_CHANGES, MAX_TOKENS, Revision, Roles, Stamp, Timestamp,
    TokenBook, TokenDigest, TokenName,
};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

fn book(tokens: u64) -> TokenBook {
    let mut book = TokenBook::default();
    for n in 1..=tokens {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&n.to_le_bytes());
        let by = format!("the token {}", "b".repeat(64)).into();
        let stamp = Stamp { revision: Revision(MAX_REVISION.0 - 10_000 + n), at: Timestamp::from_millis(n), by };
        let name = TokenName::new(&format!("{n:064}")).unwrap();
        book.create(&name, TokenDigest(digest), Roles::ALL, &stamp).unwrap();
    }
    book
}

#[test]
fn what_was_written_is_read_and_the_format_is_this_one() {
    let one = book(1);
    let text = encoded_book(Revision::ORIGIN, &one).unwrap();
    assert_eq!(decoded_book::<TokenBook>(&text).unwrap(), one);
    // What another release reads, byte by byte.
    let json = concat!(
        r#"{"revision":9007199254730993,"tokens":{"0000000000000000000000000000000000000000000000000000000000000001":"#,
        r#"{"digest":"0100000000000000000000000000000000000000000000000000000000000000","#,
        r#""roles":["publish","read","operate","admin"],"made_at":9007199254730993,"at":1,"by":"the token "#,
        r#"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}},"revoked":{},"forgotten":0,"#,
        r#""changes":[{"revision":9007199254730993,"at":1,"#,
        r#""name":"0000000000000000000000000000000000000000000000000000000000000001","by":"the token "#,
        r#"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","#,
        r#""what":"made, with the roles publish, read, operate, admin"}]}"#,
    );
    assert_eq!(text.splitn(3, ' ').nth(2).unwrap(), json);
    assert_eq!(text.split(' ').nth(1).unwrap().len(), 16);
}

/// With everything at its bound. Made one after the other, each change would be checked with all before it.
fn largest() -> TokenBook {
    let (last, longest) = (MAX_REVISION.0, "z".repeat(64));
    let digest = |of: &str, n: usize| format!("{of}{n:062x}");
    let by = format!("the token {longest}:{longest}");
    let name = |n: usize| format!("{n:064}:{longest}");
    let what = format!("made, with the roles {}", Roles::ALL);
    let tokens: serde_json::Map<String, Value> = (0..MAX_TOKENS)
        .map(|n| {
            (name(n), json!({"digest": digest("aa", n), "roles": Roles::ALL, "made_at": last, "at": last, "by": by}))
        })
        .collect();
    let revoked: serde_json::Map<String, Value> =
        (0..MAX_REVOKED_TOKENS).map(|n| (digest("bb", n), last.into())).collect();
    let changes: Vec<Value> = (0..MAX_TOKEN_CHANGES)
        .map(|n| json!({"revision": last, "at": last, "name": name(n), "by": by, "what": what}))
        .collect();
    let ended: serde_json::Map<String, Value> =
        (0..MAX_ENDED_LINKS).map(|n| (format!("{n:064}"), last.into())).collect();
    let links = json!({"key": "k".repeat(200), "made_at": last, "ended": ended, "all_ended": last});
    let book = json!({"revision": last, "tokens": tokens, "revoked": revoked, "forgotten": last, "changes": changes,
        "links": links});
    serde_json::from_value(book).unwrap()
}

#[test]
fn as_many_as_there_can_be_have_room() {
    let all = largest();
    assert_eq!(all.tokens().len(), MAX_TOKENS);
    let text = encoded_book(Revision::ORIGIN, &all).unwrap();
    assert!(text.starts_with("2 ") && text.len() < MAX_TOKENS_BYTES, "{}", text.len());
    assert!(text.len() > MAX_TOKENS_BYTES / 2, "the bound is larger than it needs to be: {}", text.len());
    assert_eq!(decoded_book::<TokenBook>(&text).unwrap(), all);
}

#[test]
fn what_is_kept_of_links_is_another_format() {
    let mut with_links = book(1);
    let stamp = Stamp { revision: MAX_REVISION, at: Timestamp::from_millis(7), by: "x".into() };
    with_links.sign_links_with("sealed", &stamp);
    with_links.end_links(&laneway_domain::Tenant::new("acme").unwrap(), &stamp);
    let text = encoded_book(Revision::ORIGIN, &with_links).unwrap();
    assert_eq!(decoded_book::<TokenBook>(&text).unwrap(), with_links);
    assert_eq!(with_links.links().map(Links::key), Some("sealed"));
    // What another release reads, byte by byte.
    let of_links =
        concat!(r#","links":{"key":"sealed","made_at":9007199254740992,"#, r#""ended":{"acme":7},"all_ended":0}}"#);
    assert!(text.starts_with("2 ") && text.ends_with(of_links), "{text}");
    // Without them it is the first one again, which earlier releases read.
    with_links.revoke_all(&Stamp { revision: MAX_REVISION, ..stamp });
    assert!(encoded_book(Revision::ORIGIN, &with_links).unwrap().starts_with("1 "));
}

#[test]
fn what_cannot_be_is_refused() {
    let one = book(1);
    for (last, said) in [(one.revision(), "not larger"), (MAX_REVISION, "not larger")] {
        let error = encoded_book(last, &one).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let mut beyond = one;
    let stamp = Stamp { revision: Revision(MAX_REVISION.0 + 1), at: Timestamp::ZERO, by: "x".into() };
    beyond.create(&TokenName::new("x").unwrap(), TokenDigest([9; 32]), Roles::ALL, &stamp).unwrap();
    let error = encoded_book(Revision::ORIGIN, &beyond).unwrap_err().to_string();
    assert!(error.contains("beyond"), "{error}");
}

#[test]
fn whatever_is_not_what_was_written_is_told() {
    let text = encoded_book(Revision::ORIGIN, &book(2)).unwrap();
    let json = text.splitn(3, ' ').nth(2).unwrap();
    let with_checksum = |json: &str| format!("1 {:016x} {json}", xxh3_64(json.as_bytes()));
    let cases = [
        (String::new(), "no format"),
        ("x".to_owned(), "no format"),
        ("1".to_owned(), "break off"),
        ("1 00".to_owned(), "break off"),
        (text.replacen('1', "3", 1), "format 3, and this Laneway reads 1 and 2"),
        (text.replacen('1', "2", 1), "say that they have format 2"),
        (text.replace("publish", "operate"), "checksum"),
        (text[..text.len() - 1].to_owned(), "checksum"),
        (with_checksum("{}"), "missing field"),
        (with_checksum(&json.replace("\"roles\":[", "\"tenant\":\"acme\",\"roles\":[")), "unknown field `tenant`"),
        (
            with_checksum(&json.replace("\"roles\":[\"publish\",\"read\",\"operate\",\"admin\"]", "\"roles\":[]")),
            "no role",
        ),
    ];
    for (text, said) in cases {
        let what = decoded_book::<TokenBook>(&text).unwrap_err();
        assert!(what.contains(said), "{text}: {what}");
    }
    for text in ["1 ", "1  ", "  ", "\u{0}", "1 é é", "99999999999999999999 0 {}"] {
        assert!(decoded_book::<TokenBook>(text).is_err(), "{text:?}");
    }
    // One byte anywhere.
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let spoiled = String::from_utf8(bytes).unwrap();
        assert!(decoded_book::<TokenBook>(&spoiled).is_err(), "{at}");
    }
}
