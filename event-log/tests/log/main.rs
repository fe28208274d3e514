//! The log as its users see it, against the embedded store and a real Postgres.

mod commands;
mod following;
mod outages;
mod privacy;
mod reading;
mod world;
