//! The service from outside: real servers, REST and sockets.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod calls;
mod client;
mod denials;
mod files;
mod gateway;
mod outages;
mod profiles;
mod rest;
mod world;
