//! `roundtable bench`: measures a stack that runs in processes of its own.

mod chat;
mod child;
mod lag;
mod load;
mod machine;
mod measure;
mod processes;
mod report;
mod wire;

pub use chat::{Chat, check, run as chat};
pub use report::{Report, Saturation, Step};
