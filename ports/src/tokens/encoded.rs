//! Tokens as text: a format's number, a checksum, and JSON.

use crate::{MAX_REVISION, StoreError};
use laneway_domain::{Revision, TokenBook};
use xxhash_rust::xxh3::xxh3_64;

/// The most bytes of all tokens as text: twice what 1,000 tokens, as many revoked ones and as many changes take.
pub const MAX_TOKENS_BYTES: usize = 2 << 20;

/// The format that this code writes and reads. One that says more of a token, such as whose events it is for, is
/// another format: a process that does not know it must not take the token for one without.
const FORMAT: &str = "1";

/// Checks what is to follow `last`, and writes it as text: the format, the XXH3-64 of the JSON in hexadecimal digits,
/// and the JSON, with a space between.
///
/// # Errors
/// [`StoreError::Refused`]: more than [`MAX_TOKENS_BYTES`], a revision that is not larger than `last` or is beyond
/// [`MAX_REVISION`], or a book that [`TokenBook::check`] finds wrong.
pub fn encoded_tokens(last: Revision, book: &TokenBook) -> Result<String, StoreError> {
    let revision = book.revision();
    if revision <= last {
        let what = format!("revision {revision} of the tokens is not larger than {last}, which it is to follow");
        return Err(StoreError::refused(what));
    }
    if revision > MAX_REVISION {
        return Err(StoreError::refused(format!(
            "revision {revision} of the tokens is beyond {MAX_REVISION}, the last one: is the clock right?"
        )));
    }
    book.check().map_err(|what| StoreError::refused(format!("the tokens cannot be stored: {what}")))?;
    let json = serde_json::to_string(book)
        .map_err(|error| StoreError::refused(format!("the tokens cannot be written: {error}")))?;
    if json.len() > MAX_TOKENS_BYTES {
        let bytes = json.len();
        return Err(StoreError::refused(format!(
            "the tokens have {bytes} bytes together; at most {MAX_TOKENS_BYTES} are kept: revoke some"
        )));
    }
    Ok(format!("{FORMAT} {:016x} {json}", xxh3_64(json.as_bytes())))
}

/// Reads what [`encoded_tokens`] wrote.
///
/// # Errors
/// Says what is wrong: another format, another checksum, or JSON that means no tokens.
pub fn decoded_tokens(text: &str) -> Result<TokenBook, String> {
    let mut parts = text.splitn(3, ' ');
    let (format, check, json) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    if format != FORMAT {
        return Err(match format.parse::<u32>() {
            Ok(newer) => {
                format!("they have format {newer}, and this Laneway reads {FORMAT}: run the release that wrote them")
            }
            Err(_) => "they begin with no format".to_owned(),
        });
    }
    let (Some(check), Some(json)) = (check, json) else { return Err("they break off".to_owned()) };
    if check != format!("{:016x}", xxh3_64(json.as_bytes())) {
        return Err("the checksum over them is another".to_owned());
    }
    let book: TokenBook = serde_json::from_str(json).map_err(|error| error.to_string())?;
    book.check()?;
    Ok(book)
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::{MAX_TOKENS, Roles, Stamp, Timestamp, TokenDigest, TokenName};

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
        let text = encoded_tokens(Revision::ORIGIN, &one).unwrap();
        assert_eq!(decoded_tokens(&text).unwrap(), one);
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

    #[test]
    fn as_many_as_there_can_be_have_room() {
        let mut all = book(MAX_TOKENS as u64);
        let names: Vec<TokenName> = all.tokens().keys().cloned().collect();
        // Each is replaced, so that there are as many revoked ones, and more changes than are kept.
        for (n, name) in (0_u64..).zip(&names) {
            let mut digest = [1; 32];
            digest[..8].copy_from_slice(&n.to_le_bytes());
            let by: Box<str> = format!("the token {}", "b".repeat(64)).into();
            let stamp = |of| Stamp {
                revision: Revision(MAX_REVISION.0 - of),
                at: Timestamp::from_millis(u64::MAX >> 12),
                by: by.clone(),
            };
            all.revoke(name, false, &stamp(4_000 - 2 * n)).unwrap();
            all.create(name, TokenDigest(digest), Roles::ALL, &stamp(3_999 - 2 * n)).unwrap();
        }
        let text = encoded_tokens(Revision::ORIGIN, &all).unwrap();
        assert!(text.len() < MAX_TOKENS_BYTES / 2, "{}", text.len());
        assert_eq!(decoded_tokens(&text).unwrap(), all);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let one = book(1);
        for (last, said) in [(one.revision(), "not larger"), (MAX_REVISION, "not larger")] {
            let error = encoded_tokens(last, &one).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let mut beyond = one;
        let stamp = Stamp { revision: Revision(MAX_REVISION.0 + 1), at: Timestamp::ZERO, by: "x".into() };
        beyond.create(&TokenName::new("x").unwrap(), TokenDigest([9; 32]), Roles::ALL, &stamp).unwrap();
        let error = encoded_tokens(Revision::ORIGIN, &beyond).unwrap_err().to_string();
        assert!(error.contains("beyond"), "{error}");
    }

    #[test]
    fn whatever_is_not_what_was_written_is_told() {
        let text = encoded_tokens(Revision::ORIGIN, &book(2)).unwrap();
        let json = text.splitn(3, ' ').nth(2).unwrap();
        let with_checksum = |json: &str| format!("1 {:016x} {json}", xxh3_64(json.as_bytes()));
        let cases = [
            (String::new(), "no format"),
            ("x".to_owned(), "no format"),
            ("1".to_owned(), "break off"),
            ("1 00".to_owned(), "break off"),
            (text.replacen('1', "2", 1), "format 2, and this Laneway reads 1"),
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
            let what = decoded_tokens(&text).unwrap_err();
            assert!(what.contains(said), "{text}: {what}");
        }
        for text in ["1 ", "1  ", "  ", "\u{0}", "1 é é", "99999999999999999999 0 {}"] {
            assert!(decoded_tokens(text).is_err(), "{text:?}");
        }
        // One byte anywhere.
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let spoiled = String::from_utf8(bytes).unwrap();
            assert!(decoded_tokens(&spoiled).is_err(), "{at}");
        }
    }
}
