//! The rules of Roundtable, pure: no clock, no randomness, no I/O. Time and ids are arguments.
//!
//! One file per kind of stream holds its state, its commands, its rejections and their tests.

pub mod conversation;
pub mod decider;
pub mod friendship;
pub mod login;
pub mod message;
pub mod receipt;
pub mod reservation;
pub mod user;

pub use decider::Decider;
