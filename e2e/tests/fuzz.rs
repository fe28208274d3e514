//! A fuzzer made for OpenAPI (schemathesis) asks the running system everything that its own document
//! allows, and what it does not: there is no server error, and every answer is as described.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use e2e::talk::Group;
use e2e::up::Up;
use tokio::process::Command;

/// Where `make test` installs it (scripts/deps).
const FUZZER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/../clients/fuzz/bin/schemathesis");

/// What would end the log-in that everything is asked with, or change its password; and what takes a
/// body that it cannot make (SDP, which the SFU's own tests are hostile with).
const LEFT_OUT: &str =
    "^/v1/(sessions|sessions/current|sessions/refresh|users/me/password|whip/.*|whep/.*)$";

/// What has to hold for each answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance";

#[tokio::test]
async fn whatever_is_asked_there_is_no_server_error_and_answers_are_as_described() -> Result<()> {
    ensure!(Path::new(FUZZER).exists(), "{FUZZER} is not there: `make test` installs it");
    let up = Up::start().await?;
    // Somebody with friends to talk to, so that lists are not empty.
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let (ada, bob) = (&group.people[0], &group.people[1]);
    ada.session.ask_for_friendship(bob.user()).await?;
    group.say(0, "Hello").await?;
    let folder = tempfile::tempdir()?;
    let document = format!("{}/v1/openapi.json", up.url);
    let told = Command::new(FUZZER)
        .args(["run", &document, "--url", &up.url, "--checks", CHECKS])
        .args(["--header", &format!("Authorization: Bearer {}", ada.token())])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "6"])
        // What it generates follows from this, whatever the machine.
        .args(["--seed", "1", "--generation-database", "none", "--max-time", "60"])
        .args(["--exclude-path-regex", LEFT_OUT, "--continue-on-failure", "--no-color"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("the fuzzer does not start")?;
    let text = String::from_utf8_lossy(&told.stdout);
    ensure!(told.status.success(), "{text}\n{}", String::from_utf8_lossy(&told.stderr));
    // A fuzzer that asked nothing has shown nothing.
    ensure!(text.contains("Test cases:") && !text.contains("Tested: 0"), "{text}");
    up.end().await
}
