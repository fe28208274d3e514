//! `roundtable bench`: measures what runs in processes of its own, and prints the figures.

mod chat;
mod child;
mod idle;
mod lag;
mod load;
mod machine;
mod measure;
mod past;
mod people;
mod processes;
mod reads;
mod rebuild;
mod receipts;
mod report;
mod served;
mod sfu;
mod store;
mod wire;

pub use chat::{Chat, check, run as chat};
pub use idle::{Idle, IdleReport, run as idle, serve as serve_gateway};
pub use reads::{Reads, ReadsReport, run as reads};
pub use rebuild::{Rebuild, RebuildReport, run as rebuild};
pub use receipts::{Receipts, ReceiptsReport, run as receipts};
pub use report::{Report, Saturation, Step};
pub use sfu::{Scenario, Sfu, SfuReport, run as sfu, serve as serve_sfu};
pub use store::{
    Memory, Serve, Size, SizesReport, Store, StoreReport, draw, run as store, serve, sizes,
};
