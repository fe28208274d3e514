//! The official clients of other languages, unmodified, drive the real program.
//!
//! Their scenarios are in `tests/clients`, written in their languages; each test here runs one file
//! of them against a store of its own.

#[path = "clients/suite.rs"]
mod clients;
#[path = "store/serving.rs"]
#[expect(dead_code, reason = "the other test programs use the rest")]
mod serving;

use clients::{Language::Node, Language::Python, Suite};

#[tokio::test]
async fn python_appends() {
    Suite::new(Python, "append").run().await;
}

#[tokio::test]
async fn python_reads() {
    Suite::new(Python, "read").run().await;
}

#[tokio::test]
async fn python_deletes() {
    Suite::new(Python, "delete").run().await;
}

#[tokio::test]
async fn python_subscribes() {
    Suite::new(Python, "subscribe").run().await;
}

#[tokio::test]
async fn python_outlives_restarts() {
    Suite::new(Python, "restart").run().await;
}

#[tokio::test]
async fn node_appends() {
    Suite::new(Node, "append").run().await;
}

#[tokio::test]
async fn node_reads() {
    Suite::new(Node, "read").run().await;
}

#[tokio::test]
async fn node_deletes() {
    Suite::new(Node, "delete").run().await;
}

#[tokio::test]
async fn node_subscribes() {
    Suite::new(Node, "subscribe").run().await;
}

#[tokio::test]
async fn node_outlives_restarts() {
    Suite::new(Node, "restart").run().await;
}
