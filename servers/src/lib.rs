//! The private PostgreSQL, Redis and NATS servers of `roundtable up` and of the tests.
//!
//! They are the real programs, children of this process, on free ports of 127.0.0.1, with their
//! data under one folder. They never outlive the process that started them, and a server that is
//! already installed on the machine is not touched.

mod command;
mod data;
mod error;
mod find;
mod kind;
mod leftover;
mod nats;
mod place;
mod postgres;
mod private;
mod process;
mod procfs;
mod redis;
mod server;
mod testing;

pub use command::{Afterwards, ServerUrls, run_with_servers};
pub use error::Error;
pub use find::find;
pub use kind::{Durability, Kind, Wanted};
pub use private::PrivateServers;
pub use testing::{TestDatabase, TestServers, prefix, shared_for_tests};
