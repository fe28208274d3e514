//! The reads against real servers: rows are inserted as the projector would, and read over HTTP.

mod app;
mod conversations;
mod feed;
mod files;
mod friends;
mod hostile;
mod people;
mod presence;
mod recommended;
mod search;
mod stage;
mod study;
mod waiting;

use stage::{Stage, Ticks, at, id};
