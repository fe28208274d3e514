//! Users and what they may do. Nothing here is asked in insecure mode, except to manage users.
//!
//! A call is admitted by its credentials (`gate::Gate::admit`) and then allowed, or not, to do one
//! thing after the other (`gate::Visit::check`). Users and lists are events in system streams, so
//! they are as durable as everything else; what was read of them is remembered by the position of
//! the event, which never changes, so nothing remembered can be out of date.

pub(crate) mod acl;
mod cache;
pub(crate) mod directory;
pub(crate) mod gate;
mod newest;
pub(crate) mod password;
mod refusal;
pub(crate) mod user;

pub(crate) use gate::{Gate, Operation, Visit};
pub(crate) use refusal::Refusal;
