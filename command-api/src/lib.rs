//! Writes over REST, and the WebSocket gateway: commands in, live events out.

mod app;
mod commands;
mod gateway;
mod import;
mod limits;
mod normalise;
mod passwords;
mod problems;
mod refresh;
mod routes;

pub use app::{App, serve};
pub use import::{Imported, ImportedUser, import_user};
pub use limits::{Limits, Settings};
