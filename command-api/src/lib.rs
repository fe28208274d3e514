//! Writes over REST, and the WebSocket gateway: commands in, live events out.

mod app;
mod commands;
mod gateway;
mod limits;
mod normalise;
mod passwords;
mod problems;
mod refresh;
mod routes;
mod uploads;

pub use app::{App, serve};
pub use limits::{Limits, Settings};
