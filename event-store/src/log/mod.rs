//! The log: segment files of checksummed records, the only truth of the store.
//!
//! A position is a byte offset in the log as if all segments were one file, so positions grow, are
//! unique and never come back. Everything below the *head* is durable; readers never look beyond.
//!
//! A scavenge writes a closed segment anew without the records that nobody can see any more. What
//! was kept stays byte for byte as it was, and at its position: the new file has a table that says
//! where in it each position is.

pub(crate) mod frame;
pub(crate) mod kept;
pub(crate) mod reader;
pub(crate) mod recovery;
pub(crate) mod rewrite;
pub(crate) mod segment;
pub(crate) mod table;
#[cfg(test)]
mod tests;
pub(crate) mod walk;
pub(crate) mod writer;
