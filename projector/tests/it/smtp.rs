//! A real SMTP server on loopback, which answers as a test says.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::world::PATIENCE;

/// A folder of the target folder; what `make deps-test` installs is in another one beside it.
const BESIDE: &str = env!("CARGO_TARGET_TMPDIR");

/// The server, which ends with the test.
pub(crate) struct Smtp {
    pub(crate) url: String,
    said: Lines<BufReader<ChildStdout>>,
    _server: Child,
}

impl Smtp {
    /// Starts one that answers each letter with the next of these: `accept`, or a line that refuses.
    pub(crate) async fn start(answers: &[&str]) -> Self {
        let folder = Path::new(BESIDE).parent().expect("a folder").join("clients/smtp");
        let mut server = Command::new(folder.join("bin/python"))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smtp/server.py"))
            .args(answers)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the SMTP server is not installed: run `make deps-test`");
        let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
        let port = timeout(PATIENCE, said.next_line()).await.unwrap().unwrap().unwrap();
        Self { url: format!("smtp://127.0.0.1:{port}"), said, _server: server }
    }

    /// The next letter that was accepted.
    pub(crate) async fn letter(&mut self) -> Value {
        let line = timeout(PATIENCE, self.said.next_line()).await.expect("a letter comes in time");
        serde_json::from_str(&line.unwrap().unwrap()).unwrap()
    }
}
