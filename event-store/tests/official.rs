//! The official clients of other languages, unmodified, drive the real program.
//!
//! Their scenarios are in `tests/clients`, written in their languages; each test here runs one file
//! of them against a store of its own.

#[path = "store/certificates.rs"]
#[expect(dead_code, reason = "the other test programs use the rest")]
mod certificates;
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
async fn python_works_in_groups() {
    Suite::new(Python, "persistent").run().await;
}

#[tokio::test]
async fn python_appends_to_several_streams_at_once() {
    Suite::new(Python, "sessions").run().await;
}

#[tokio::test]
async fn python_understands_what_is_late_slow_or_stopped() {
    Suite::new(Python, "errors").run().await;
}

#[tokio::test]
async fn python_is_let_in_with_credentials_over_tls() {
    Suite::new(Python, "access").run_guarded().await;
}

#[tokio::test]
async fn python_is_kept_out_of_sessions_and_groups_it_may_not_use() {
    Suite::new(Python, "guarded").run_guarded().await;
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

#[tokio::test]
async fn node_works_in_groups() {
    Suite::new(Node, "persistent").run().await;
}

#[tokio::test]
async fn node_appends_to_several_streams_at_once() {
    Suite::new(Node, "sessions").run().await;
}

#[tokio::test]
async fn node_understands_what_is_late_slow_or_stopped() {
    Suite::new(Node, "errors").run().await;
}

#[tokio::test]
async fn node_is_let_in_with_credentials_over_tls_and_manages_users() {
    Suite::new(Node, "access").run_guarded().await;
}

#[tokio::test]
async fn node_is_kept_out_of_sessions_and_groups_it_may_not_use() {
    Suite::new(Node, "guarded").run_guarded().await;
}

#[tokio::test]
#[should_panic(expected = "0 of at least 0 scenarios passed")]
async fn a_file_without_scenarios_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    Suite::of(Node, folder.path().join("none.test.js"), "").run().await;
}

#[tokio::test]
#[should_panic(expected = "1 of at least 2 scenarios passed")]
async fn a_scenario_that_is_skipped_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenarios = "import pytest\n\ndef test_a():\n    pass\n\n\
        @pytest.mark.skip\ndef test_b():\n    pass\n";
    Suite::of(Python, folder.path().join("test_skip.py"), scenarios).run().await;
}
