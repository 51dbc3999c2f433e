//! The server's answer to a write command.

use crate::failure::DUPLICATE_KEY;
use crate::redact::Redactor;
use mongodb::bson::{Bson, Document};

/// What a server says of one command with several documents (`insert` or `update`).
#[derive(Debug)]
pub(crate) struct Reply {
    /// How many documents were written.
    pub(crate) written: u64,
    /// Those that were not, by their place in the command.
    pub(crate) errors: Vec<WriteError>,
    /// Why the write concern was not met, if it was not. Then nothing of the command is sure.
    pub(crate) unconfirmed: Option<String>,
}

/// Why one document was not written.
#[derive(Debug)]
pub(crate) struct WriteError {
    pub(crate) index: usize,
    pub(crate) code: i32,
    /// For people.
    pub(crate) message: String,
    /// Whether there is a document with this `_id` already.
    pub(crate) id_taken: bool,
}

impl Reply {
    /// Reads the server's answer (MongoDB manual: "insert", "update", section "Output").
    ///
    /// # Errors
    /// Says what is missing in it.
    pub(crate) fn read(answer: &Document, redactor: &Redactor) -> Result<Self, String> {
        let written = answer.get("n").and_then(whole).ok_or("MongoDB's answer does not say how many it wrote")?;
        let mut errors = Vec::new();
        for entry in answer.get_array("writeErrors").into_iter().flatten() {
            let error = entry.as_document().and_then(|error| WriteError::read(error, redactor));
            errors.push(error.ok_or("MongoDB's answer has a write error without an index or a code")?);
        }
        errors.sort_by_key(|error| error.index);
        let unconfirmed = answer.get_document("writeConcernError").ok().map(|error| unconfirmed(error, redactor));
        Ok(Self { written, errors, unconfirmed })
    }
}

impl WriteError {
    fn read(error: &Document, redactor: &Redactor) -> Option<Self> {
        let code = i32::try_from(whole(error.get("code")?)?).ok()?;
        let said = error.get_str("errmsg").unwrap_or("no message");
        // Servers before 4.4 do not send the pattern.
        let id_taken = code == DUPLICATE_KEY
            && match error.get_document("keyPattern") {
                Ok(pattern) => pattern.keys().eq(["_id"]),
                Err(_) => said.contains("index: _id_ "),
            };
        let message = format!("MongoDB refused it ({code}): {}", redactor.excerpt(said));
        Some(Self { index: usize::try_from(whole(error.get("index")?)?).ok()?, code, message, id_taken })
    }
}

fn unconfirmed(error: &Document, redactor: &Redactor) -> String {
    let code = error.get("code").and_then(whole).unwrap_or_default();
    let said = error.get_str("errmsg").unwrap_or("no message");
    format!(
        "MongoDB wrote, but could not confirm that a majority has it on disk (write concern error {code}): {}",
        redactor.excerpt(said)
    )
}

/// A number that is not negative, whatever its type; servers answer with several.
pub(crate) fn whole(value: &Bson) -> Option<u64> {
    match value {
        Bson::Int32(number) => u64::try_from(*number).ok(),
        Bson::Int64(number) => u64::try_from(*number).ok(),
        // Every whole number below 2^53 is a double.
        Bson::Double(number) if number.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(number) => {
            format!("{number}").parse().ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::doc;

    fn read(answer: &Document) -> Result<Reply, String> {
        Reply::read(answer, &Redactor::new(&["hunter2".to_owned()]))
    }

    #[test]
    fn a_duplicate_of_another_index_is_not_a_taken_id() {
        let error = |index: i32, message: &str, pattern: Option<Document>| {
            let mut error = doc! { "index": index, "code": 11000, "errmsg": message };
            error.extend(pattern.map(|pattern| ("keyPattern".to_owned(), Bson::Document(pattern))));
            error
        };
        let errors = [
            error(0, "E11000 … index: _id_ dup key: …", None),
            error(1, "E11000 … index: email_1 dup key: …", None),
            error(2, "?", Some(doc! { "_id": 1 })),
            error(3, "index: _id_ dup", Some(doc! { "email": 1 })),
            error(4, "index: _id_ dup", Some(doc! { "_id": 1, "email": 1 })),
        ];
        let reply = read(&doc! { "ok": 1, "n": 0.0, "writeErrors": errors }).unwrap();
        let taken: Vec<bool> = reply.errors.iter().map(|error| error.id_taken).collect();
        assert_eq!(taken, [true, false, true, false, false]);
    }

    #[test]
    fn a_write_concern_error_is_seen_without_write_errors_too() {
        let error = doc! { "code": 64, "errmsg": "waiting for\nreplication timed out; hunter2" };
        let reply = read(&doc! { "ok": 1.0, "n": 3_i64, "writeConcernError": error }).unwrap();
        assert_eq!((reply.written, reply.errors.len()), (3, 0));
        let said = reply.unconfirmed.unwrap();
        assert!(said.ends_with("(write concern error 64): waiting for replication timed out; [secret]"), "{said}");
    }

    #[test]
    fn an_answer_that_says_nothing_is_an_error() {
        assert!(read(&doc! { "ok": 1 }).is_err());
        assert!(read(&doc! { "ok": 1, "n": -1 }).is_err());
        assert!(read(&doc! { "ok": 1, "n": 1, "writeErrors": [{ "code": 1 }] }).is_err());
        assert!(read(&doc! { "ok": 1, "n": 1, "writeErrors": ["?"] }).is_err());
    }
}
