//! Files that people upload: how they are received, treated and kept. No HTTP, no events.
//!
//! - **Nothing is believed.** The type is what the first bytes say, the name is cleaned, and a
//!   picture is one only if it can be decoded within bounds that are checked before.
//! - **Nothing is whole in memory** but pictures while they are treated, and those within a budget.
//! - **A key holds nothing personal**: the file's id and the digest of what is stored. An object is
//!   never overwritten with other bytes, so two uploads of one id cannot spoil each other.

mod cloud;
mod intake;
mod kind;
mod name;
mod picture;
mod storage;
mod studio;
mod sweep;

pub use intake::{Bounds, IntakeError, LeastRate, Received, digest_only, receive};
pub use kind::Kind;
pub use name::clean;
pub use picture::{PictureError, THUMBNAILS};
pub use storage::{Content, OpenError, Storage, StorageError};
pub use studio::{KeepError, Kept, Studio};
pub use sweep::Orphan;
