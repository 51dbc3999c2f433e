//! The tests of this crate run what the pages of the repository show. There is nothing to use here.
