//! The projector: from the log to everything that is derived from it.
//!
//! - **The relay** ([`relay`]) publishes every event to NATS, once and in order, and shows it live.
//! - **The projections** ([`projections`]) keep the read models in Postgres; each is run by one
//!   process at a time ([`runner`]), from the events that a process decodes once ([`tail`]).
//! - **A rebuild** ([`rebuild`]) makes the next version of a projection beside the live one, compares
//!   the two and switches.
//! - **Caches** in Redis are invalidated after the commit that changed what they hold
//!   ([`invalidation`]).
//! - **Timers** ([`timers`]) do what is to be done at a moment, by ordinary commands.
//! - **Notifications** ([`notifications`]) are raised for whom an event concerns, once.
//! - **The notary** ([`notary`]) signs what is in the log, so that nobody can change it unnoticed.
//! - **Erasures** ([`erasures`]): what follows when somebody is erased, up to a signed certificate.
//! - **Webhooks** ([`webhooks`]) are told of events, in order, until they take them.
//! - **Bytes** of files that were removed go once, and those that belong to nothing are swept
//!   ([`removals`]).
//!
//! Nothing here decides anything (the rules are in `domain`), and all of it can be thrown away and made again from the log.

mod caches;
pub mod erasures;
pub mod invalidation;
pub mod notary;
pub mod notifications;
pub mod projections;
pub mod rebuild;
pub mod relay;
pub mod removals;
pub mod runner;
mod start;
pub mod subjects;
pub mod tail;
pub mod timers;
pub mod webhooks;

pub use start::{PROJECTIONS, Projector, Settings, follows, migrate, serve, start};
