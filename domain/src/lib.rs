//! The rules of Roundtable, pure: no clock, no randomness, no I/O. Time and ids are arguments.
//!
//! One file, or one folder, per kind of stream holds its state, its commands, its rejections and
//! their tests. What a rule has to know of another stream is a fact in the command.

pub mod access;
pub mod call;
pub mod conversation;
pub mod decider;
pub mod denial;
pub mod file;
pub mod friendship;
pub mod hold;
pub mod line;
pub mod login;
pub mod message;
pub mod notification;
pub mod parked;
pub mod receipt;
pub mod report;
pub mod reservation;
pub mod session;
pub mod user;
pub mod webhook;
pub mod whiteboard;

pub use decider::Decider;
