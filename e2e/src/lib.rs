//! What the black-box tests share: real processes, and people who talk through them.
//!
//! The tests start the programs that users start, on ports and data of their own, drive them from
//! outside as clients do, and hurt them: kill, freeze, cut off.

pub mod acts;
pub mod browsers;
pub mod cluster;
mod contract;
pub mod device;
pub mod files;
pub mod foreign;
pub mod link;
pub mod narrow;
pub mod operator;
pub mod phone;
pub mod process;
pub mod raw;
pub mod receiver;
pub mod refusal;
pub mod routes;
pub mod talk;
pub mod up;
pub mod wire;

use chrono::{DateTime, Utc};

/// What the clock says, for what is to happen at a moment.
#[expect(clippy::disallowed_methods, reason = "a client is an edge")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
