//! The log: segment files of checksummed records, the only truth of the store.
//!
//! A position is a byte offset in the log as if all segments were one file, so positions grow, are
//! unique and never come back. Everything below the *head* is durable; readers never look beyond.

pub(crate) mod frame;
pub(crate) mod kept;
pub(crate) mod reader;
pub(crate) mod recovery;
pub(crate) mod segment;
pub(crate) mod walk;
pub(crate) mod writer;
