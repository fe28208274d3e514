//! Writes the commit into the program, for `--version` and for the reports of benches.

use std::process::Command;

fn main() {
    // HEAD names a branch; the log of HEAD changes with every commit.
    for file in ["../.git/HEAD", "../.git/logs/HEAD"] {
        if std::path::Path::new(file).exists() {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit = output.ok().filter(|output| output.status.success());
    let commit = commit.and_then(|output| String::from_utf8(output.stdout).ok());
    // An image is built without the repository's history.
    let commit = commit.as_deref().map_or("unknown", str::trim);
    println!("cargo::rustc-env=ROUNDTABLE_COMMIT={commit}");
}
