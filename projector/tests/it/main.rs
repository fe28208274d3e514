//! The projector against real servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod calls;
mod changes;
mod files;
mod migrations;
mod notary;
mod notifications;
mod parked;
mod projections;
mod rebuild;
mod relay;
mod retention;
mod service_start;
mod smtp;
mod timers;
mod unread;
mod web_push;
mod world;
