//! As many documents as go into one command.

use crate::document::MAX_DOCUMENT_BYTES;
use mongodb::bson::{RawArrayBuf, RawDocumentBuf};

/// The most bytes of documents in one command, but at least one document. A command may be little
/// larger than the largest document; half of that leaves room for everything else in it.
const MAX_COMMAND_BYTES: usize = MAX_DOCUMENT_BYTES / 2;
/// The most documents in one command: a tenth of what servers take (`maxWriteBatchSize`), and as
/// many as a destination's batch has at most.
const MAX_COMMAND_DOCUMENTS: usize = 10_000;

/// The documents of one command, each with what it stands for.
pub(crate) struct Fill<T> {
    pub(crate) entries: Vec<T>,
    pub(crate) documents: RawArrayBuf,
    bytes: usize,
    most: usize,
}

impl<T> Fill<T> {
    /// An empty one; `alone` if it is to take one document only.
    pub(crate) fn new(alone: bool) -> Self {
        let most = if alone { 1 } else { MAX_COMMAND_DOCUMENTS };
        Self { entries: Vec::new(), documents: RawArrayBuf::new(), bytes: 0, most }
    }

    /// Takes the document, or says that it goes into the next command.
    pub(crate) fn take(&mut self, entry: T, document: RawDocumentBuf) -> bool {
        let size = document.as_bytes().len();
        let fits = self.bytes + size <= MAX_COMMAND_BYTES && self.entries.len() < self.most;
        if !fits && !self.entries.is_empty() {
            return false;
        }
        self.bytes += size;
        self.entries.push(entry);
        self.documents.push(document);
        true
    }
}
