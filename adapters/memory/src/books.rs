//! Values that all processes share and replace as a whole.

use laneway_domain::Revision;
use laneway_ports::Book;

/// Replaces what is there, if its revision is `last`, or if it is the same already. Whether it is `book` now.
pub(crate) fn replace<B: Book>(there: &mut B, last: Revision, book: B) -> bool {
    if *there == book {
        return true;
    }
    let follows = there.revision() == last;
    if follows {
        *there = book;
    }
    follows
}
