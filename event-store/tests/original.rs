//! The same suite with the original `eventstore` client, in a process of its own: the client panics
//! when another one installed a TLS provider before it.

#[path = "store/certificates.rs"]
mod certificates;
#[path = "store/errors.rs"]
mod errors;
#[path = "store/persistent/mod.rs"]
mod persistent;
#[path = "store/restart.rs"]
mod restart;
#[path = "store/serving.rs"]
mod serving;
#[path = "store/suite.rs"]
mod suite;

/// The client of the tests that are for each of them.
use eventstore_original as client;

/// What an append expects of its stream.
use client::ExpectedRevision as State;

/// Appends behind this revision, or to a stream that is not there.
fn at_revision(last: Option<u64>) -> client::AppendToStreamOptions {
    let state = last.map_or(State::NoStream, State::Exact);
    client::AppendToStreamOptions::default().expected_revision(state)
}

suite::client_suite!(eventstore_original, ExpectedRevision::Exact, expected_revision, stream_id);
restart::restart_suite!(eventstore_original, ExpectedRevision::Exact, expected_revision, stream_id);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_original_client_works_over_tls_with_its_credentials() {
    use event_store::{Config, Credentials};
    use eventstore_original::{Client, Error, EventData, ReadStreamOptions};

    let data = tempfile::tempdir().expect("a folder");
    let issuer = certificates::Issuer::new();
    let password = Some("first-password".to_owned().into());
    let config = Config {
        tls: Some(issuer.server("a")),
        credentials: Some(Credentials {
            admin_password: password.clone(),
            ops_password: password,
            in_clear: false,
        }),
        ..Config::new(data.path())
    };
    let served = serving::Served::with(config).await.expect("it opens");
    let client = |credentials: &str| {
        let url = certificates::url(credentials, served.port, &issuer.ca());
        Client::new(url.parse().expect("a URL")).expect("a client")
    };
    let admin = client("admin:first-password@");
    for revision in 0..3 {
        let event = EventData::binary("kind", vec![1; 100].into());
        let written = admin.append_to_stream("$a", &Default::default(), event).await;
        assert_eq!(written.expect("written").next_expected_version, revision);
    }
    let mut read = admin.read_stream("$a", &ReadStreamOptions::default()).await.expect("a read");
    assert!(read.next().await.expect("read").is_some());
    // The last is who it says, but may not do this.
    for credentials in ["", "admin:wrong@", "ops:first-password@"] {
        let refused = client(credentials).read_stream("$a", &ReadStreamOptions::default()).await;
        assert!(matches!(refused.err(), Some(Error::AccessDenied)));
    }
}
