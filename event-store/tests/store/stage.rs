//! A store over TLS that wants credentials, and the calls that tests of it make most.

use std::path::Path;

use event_store::{Config, Credentials};
use eventstore::{
    AppendToStreamOptions, Client, Error, EventData, ReadAllOptions, ReadStreamOptions,
    StreamState,
    operations::{Client as Operations, OperationalOptions},
};
use serde_json::{Value, json};

use crate::{
    certificates::{Issuer, url},
    serving::Served,
};

/// The first password of every user.
pub(crate) const PASSWORD: &str = "first-password";

/// A configuration in which credentials are required.
pub(crate) fn closed(data: &Path) -> Config {
    let credentials = Credentials {
        admin_password: Some(PASSWORD.to_owned().into()),
        ops_password: Some(PASSWORD.to_owned().into()),
        in_clear: false,
    };
    Config { credentials: Some(credentials), ..Config::new(data) }
}

/// A store over TLS that wants credentials.
pub(crate) struct Stage {
    data: tempfile::TempDir,
    issuer: Issuer,
    served: Served,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let (data, issuer) = (tempfile::tempdir().expect("a folder"), Issuer::new());
        let config = Config { tls: Some(issuer.server("a")), ..closed(data.path()) };
        let served = Served::with(config).await.expect("it opens");
        Self { data, issuer, served }
    }

    /// Stops the store and starts it again, with another first password that must not matter.
    pub(crate) async fn restart(self) -> Self {
        let Self { data, issuer, served } = self;
        served.stop().await;
        let mut config = Config { tls: Some(issuer.server("a")), ..closed(data.path()) };
        let credentials = config.credentials.as_mut().expect("they are required");
        credentials.admin_password = Some("another-password".to_owned().into());
        let served = Served::with(config).await.expect("it opens");
        Self { data, issuer, served }
    }

    /// A client with these credentials (`login:password@`) or none.
    pub(crate) fn client(&self, credentials: &str) -> Client {
        let url = url(credentials, self.served.port, &self.issuer.ca());
        Client::new(url.parse().expect("a URL")).expect("a client")
    }

    pub(crate) fn admin(&self) -> Client {
        self.client(&format!("admin:{PASSWORD}@"))
    }

    /// Adds a user whose password is the first one, and gives its client.
    pub(crate) async fn user(&self, login: &str, groups: &[&str]) -> Client {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let created = Operations::from(self.admin())
            .create_user(login, PASSWORD, login, groups, &OperationalOptions::default())
            .await;
        created.expect("the user is created");
        self.client(&format!("{login}:{PASSWORD}@"))
    }

    pub(crate) async fn metadata(&self, stream: &str, metadata: Value) {
        write_json(&self.admin(), &format!("$${stream}"), "$metadata", &metadata)
            .await
            .expect("the metadata is written");
    }

    pub(crate) async fn settings(&self, settings: Value) {
        write_json(&self.admin(), "$settings", "update-default-acl", &settings)
            .await
            .expect("the settings are written");
    }
}

pub(crate) fn event() -> EventData {
    EventData::json("kind", &json!({})).expect("JSON")
}

pub(crate) async fn append(client: &Client, stream: &str) -> Result<(), Error> {
    let any = AppendToStreamOptions::default().stream_state(StreamState::Any);
    client.append_to_stream(stream, &any, event()).await.map(drop)
}

pub(crate) async fn write_json(
    client: &Client,
    stream: &str,
    kind: &str,
    json: &Value,
) -> Result<(), Error> {
    let any = AppendToStreamOptions::default().stream_state(StreamState::Any);
    let event = EventData::json(kind, json).expect("JSON");
    client.append_to_stream(stream, &any, event).await.map(drop)
}

pub(crate) async fn read(client: &Client, stream: &str) -> Result<(), Error> {
    let mut read = client.read_stream(stream, &ReadStreamOptions::default()).await?;
    while read.next().await?.is_some() {}
    Ok(())
}

pub(crate) async fn read_all(client: &Client) -> Result<Vec<Value>, Error> {
    let mut read = client.read_all(&ReadAllOptions::default()).await?;
    let mut events = Vec::new();
    while let Some(event) = read.next().await? {
        let event = event.get_original_event();
        let data: Value = serde_json::from_slice(&event.data).unwrap_or_default();
        events.push(json!([event.stream_id(), data]));
    }
    Ok(events)
}
