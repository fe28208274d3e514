//! The log as its users see it, against the embedded store and a real Postgres.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod commands;
mod following;
mod outages;
mod privacy;
mod reading;
mod world;
