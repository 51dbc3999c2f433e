//! A value that all processes of a store share and replace as a whole, as text: a format's number, a checksum, and JSON.

use crate::{MAX_REVISION, StoreError};
use laneway_domain::{Revision, TenantBook, TokenBook};
use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

/// Such a value, and how it is written. One that says more is another format: a process that does not know it must not take
/// the value for one without.
pub trait Book: Clone + Default + PartialEq + Serialize + DeserializeOwned {
    /// What it has, for people: `tokens`.
    const WHAT: &'static str;
    /// What to do where there are too many of them.
    const TOO_MANY: &'static str;
    /// The formats that this code writes and reads.
    const FORMATS: &'static [&'static str];
    /// The most bytes of it as JSON.
    const MAX_BYTES: usize;

    /// Which of the formats this one is written in.
    fn format(&self) -> &'static str;

    /// The last change.
    fn revision(&self) -> Revision;

    /// Whether it can be one.
    ///
    /// # Errors
    /// Says what is wrong.
    fn check(&self) -> Result<(), String>;
}

/// Checks what is to follow `last`, and writes it as text: the format, the XXH3-64 of the JSON in hexadecimal digits, and the
/// JSON, with a space between.
///
/// # Errors
/// [`StoreError::Refused`]: more than [`Book::MAX_BYTES`], a revision that is not larger than `last` or is beyond
/// [`MAX_REVISION`], or one that [`Book::check`] finds wrong.
pub fn encoded_book<B: Book>(last: Revision, book: &B) -> Result<String, StoreError> {
    let (what, revision) = (B::WHAT, book.revision());
    if revision <= last {
        let why = format!("revision {revision} of the {what} is not larger than {last}, which it is to follow");
        return Err(StoreError::refused(why));
    }
    if revision > MAX_REVISION {
        let why =
            format!("revision {revision} of the {what} is beyond {MAX_REVISION}, the last one: is the clock right?");
        return Err(StoreError::refused(why));
    }
    book.check().map_err(|why| StoreError::refused(format!("the {what} cannot be stored: {why}")))?;
    let json = serde_json::to_string(book)
        .map_err(|error| StoreError::refused(format!("the {what} cannot be written: {error}")))?;
    if json.len() > B::MAX_BYTES {
        let (bytes, most, advice) = (json.len(), B::MAX_BYTES, B::TOO_MANY);
        let why = format!("the {what} have {bytes} bytes together; at most {most} are kept: {advice}");
        return Err(StoreError::refused(why));
    }
    Ok(format!("{} {:016x} {json}", book.format(), xxh3_64(json.as_bytes())))
}

/// Reads what [`encoded_book`] wrote; a text without anything is that of before the first change.
///
/// # Errors
/// Says what is wrong: another format, another checksum, or JSON that means no such value.
pub fn decoded_book<B: Book>(text: &str) -> Result<B, String> {
    let mut parts = text.splitn(3, ' ');
    let (format, check, json) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    if !B::FORMATS.contains(&format) {
        return Err(match format.parse::<u32>() {
            Ok(newer) => {
                let reads = B::FORMATS.join(" and ");
                format!("they have format {newer}, and this Laneway reads {reads}: run the release that wrote them")
            }
            Err(_) => "they begin with no format".to_owned(),
        });
    }
    let (Some(check), Some(json)) = (check, json) else { return Err("they break off".to_owned()) };
    if check != format!("{:016x}", xxh3_64(json.as_bytes())) {
        return Err("the checksum over them is another".to_owned());
    }
    let book: B = serde_json::from_str(json).map_err(|error| error.to_string())?;
    book.check()?;
    if format != book.format() {
        return Err(format!("they say that they have format {format}, and what they have is another one"));
    }
    Ok(book)
}

/// What a store has: the text, and beside it the revision that it is to have. Before the first change the text is empty.
///
/// # Errors
/// As [`decoded_book`]; and if the two differ.
pub fn stored_book<B: Book>(text: &str, revision: Revision) -> Result<B, String> {
    let book = if text.is_empty() { B::default() } else { decoded_book(text)? };
    match book.revision() {
        of if of == revision => Ok(book),
        of => Err(format!("they have revision {of}, and beside them stands {revision}")),
    }
}

/// The most bytes of all tokens as text: more than 20,000 tokens with the longest names take, with 1,000 revoked ones and
/// as many changes, and 20,000 tenants whose links were ended (some 14 MB).
pub const MAX_TOKENS_BYTES: usize = 16 << 20;
/// The most bytes of what is known of tenants, as text: more than 20,000 records with all limits and the longest names take.
pub const MAX_TENANTS_BYTES: usize = 16 << 20;

/// The format of tokens alone.
const TOKENS: &str = "1";
/// The format of tokens and what is kept of links to the console. A process that does not know those would lose them
/// with its next change, so that it must not read the tokens either.
const WITH_LINKS: &str = "2";

impl Book for TokenBook {
    const WHAT: &'static str = "tokens";
    const TOO_MANY: &'static str = "revoke some";
    const FORMATS: &'static [&'static str] = &[TOKENS, WITH_LINKS];
    const MAX_BYTES: usize = MAX_TOKENS_BYTES;

    fn format(&self) -> &'static str {
        if self.links().is_some() { WITH_LINKS } else { TOKENS }
    }

    fn revision(&self) -> Revision {
        Self::revision(self)
    }

    fn check(&self) -> Result<(), String> {
        Self::check(self)
    }
}

impl Book for TenantBook {
    const WHAT: &'static str = "tenants";
    const TOO_MANY: &'static str = "set limits for all of them instead of one by one";
    const FORMATS: &'static [&'static str] = &["1"];
    const MAX_BYTES: usize = MAX_TENANTS_BYTES;

    fn format(&self) -> &'static str {
        "1"
    }

    fn revision(&self) -> Revision {
        Self::revision(self)
    }

    fn check(&self) -> Result<(), String> {
        Self::check(self)
    }
}
