//! What is configured about access, and what is refused at the start.

use std::time::Duration;

use event_store::{Config, Credentials, Error as StoreError, EventStore};
use eventstore::Client;

use crate::{
    certificates::{Issuer, url},
    serving::{PROGRAM, Program},
    stage::{PASSWORD, closed, read_all},
    tool::within_a_minute,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_configured_wrongly_is_refused_at_the_start() {
    let data = tempfile::tempdir().expect("a folder");
    let refused = |config: Config| EventStore::open(config).err();
    let mut no_password = closed(data.path());
    no_password.credentials = Some(Credentials::default());
    let mut empty_password = closed(data.path());
    empty_password.credentials =
        Some(Credentials { admin_password: Some(String::new().into()), ..Default::default() });
    for config in [no_password.clone(), empty_password] {
        let refused = refused(config);
        assert!(matches!(refused, Some(StoreError::Configuration(_))), "{refused:?}");
    }
    // Passwords do not cross a network in clear text, unless that is wanted.
    let everywhere = "0.0.0.0:2113".parse().expect("an address");
    let here = "127.0.0.1:2113".parse().expect("an address");
    let mut config = closed(data.path());
    assert!(matches!(config.permits(everywhere), Err(StoreError::Configuration(_))));
    config.permits(here).expect("a loopback address is allowed");
    let store = EventStore::open(config.clone()).expect("it opens");
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.expect("a free port");
    let served = store.serve(listener, Default::default()).await;
    assert!(matches!(served, Err(StoreError::Configuration(_))), "{served:?}");
    config.credentials.as_mut().expect("they are required").in_clear = true;
    config.permits(everywhere).expect("it is wanted");
    // Once there is an admin, no first password is needed.
    EventStore::open(no_password).expect("it opens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_takes_its_first_password_from_a_file_or_a_variable() {
    let (data, issuer) = (tempfile::tempdir().expect("a folder"), Issuer::new());
    let listening = |address: &str| {
        let mut command = tokio::process::Command::new(PROGRAM);
        command.args(["--listen", address, "--credentials", "required", "--data"]);
        command.arg(data.path().join("log")).kill_on_drop(true);
        command
    };
    let command = || listening("127.0.0.1:0");
    let fails = async |command: &mut tokio::process::Command, words: &str| {
        let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
        let output = output.expect("it gives up").expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{said}");
        assert!(!said.contains(PASSWORD), "{said}");
    };
    let variable = "ROUNDTABLE_EVENTSTORE_ADMIN_PASSWORD";
    fails(&mut command(), "no password").await;
    fails(command().args(["--tls-certificate", "x.pem"]), "no --tls-key").await;
    fails(command().args(["--tls-key", "x.key"]), "no --tls-certificate").await;
    fails(listening("0.0.0.0:0").env(variable, PASSWORD), "clear text").await;
    let file = data.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("it is written");
    let mut both = command();
    both.env(variable, PASSWORD).arg("--admin-password-file").arg(&file);
    fails(&mut both, "both set").await;

    let tls = issuer.server("a");
    let mut good = command();
    good.arg("--admin-password-file").arg(&file);
    good.arg("--tls-certificate").arg(&tls.certificate).arg("--tls-key").arg(&tls.key);
    let program = Program::spawn(&mut good).await;
    let url = url(&format!("admin:{PASSWORD}@"), program.port, &issuer.ca());
    let client = Client::new(url.parse().expect("a URL")).expect("a client");
    read_all(&client).await.expect("the admin reads the log");
    let address = format!("127.0.0.1:{}", program.port);
    // No credentials are needed.
    within_a_minute(async || event_store::check(&address, Some(&tls.certificate)).await).await;
}
