//! The command-line tool: the whole stack in one process, the demo, and the benches.

pub mod admin;
pub mod api;
pub mod bench;
pub mod client;
pub mod demo;
pub mod import_users;
mod index;
pub mod stack;
pub mod up;

/// The commit that this program was built from, or `unknown`.
pub const COMMIT: &str = env!("ROUNDTABLE_COMMIT");

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
