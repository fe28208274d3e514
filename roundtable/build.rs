//! Writes the commit into the program, for `--version` and for the reports of benches, and compiles
//! the protocol of the servers that `bench event-store` compares the store with.

use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    commit();
    protocol()
}

fn commit() {
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

/// The store's own description of its protocol: the servers answer the same client.
fn protocol() -> Result<(), Box<dyn std::error::Error>> {
    for folder in ["proto", "../event-store/proto"] {
        println!("cargo::rerun-if-changed={folder}");
    }
    let files = ["echo.proto", "streams.proto", "server_features.proto"];
    let descriptors = protox::compile(files, ["proto", "../event-store/proto"])?;
    tonic_build::configure()
        // Like the store: what is passed through is not copied.
        .bytes(["."])
        .extern_path(".event_store.client.Empty", "()")
        .compile_fds(descriptors)?;
    Ok(())
}
