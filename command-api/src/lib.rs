//! Writes over REST, and the WebSocket gateway: commands in, live events out.

mod app;
mod blocks;
mod calls;
mod commands;
mod emoji;
mod gateway;
mod import;
mod limits;
mod lines;
mod normalise;
mod passwords;
mod presence;
mod problems;
mod read_models;
mod receipts;
mod refresh;
mod rooms;
mod routes;
mod slow_mode;
mod uploads;

pub use app::{App, serve};
pub use commands::CommandSchema;
pub use commands::erasure::{Turn, erase_as_operator, take_turn};
pub use commands::parked::decide_as_operator;
pub use import::{Imported, ImportedUser, import_user};
pub use limits::{Limits, Settings};
