//! The command-line tool: the whole stack in one process, the demo, the benches, and the tools of operators.

pub mod api;
pub mod bench;
pub mod client;
pub mod demo;
pub mod import_users;
mod index;
pub mod stack;
pub mod tools;
pub mod up;

/// The commit that this program was built from, or `unknown`.
pub const COMMIT: &str = env!("ROUNDTABLE_COMMIT");

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
