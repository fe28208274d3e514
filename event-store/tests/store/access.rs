//! Access control lists, as clients meet them: over TLS, with every operation.

use eventstore::{
    AppendToStreamOptions, Client, DeleteStreamOptions, Error, EventData, ReadStreamOptions,
    StreamPosition, StreamState, SubscribeToAllOptions, SubscribeToStreamOptions,
    SubscriptionEvent, TombstoneStreamOptions,
    operations::{Client as Operations, OperationalOptions},
};
use serde_json::json;
use tonic::Code;

use crate::{
    serving::Served,
    stage::{Stage, append, event, read, read_all, write_json},
};

async fn batch(client: &Client, stream: &str) -> Result<(), Error> {
    let batch = client.batch_append(&Default::default()).await?;
    batch.append_to_stream(stream, StreamState::Any, vec![event()]).await.map(drop)
}

async fn subscribe(client: &Client, stream: &str) -> Result<(), Error> {
    let options = SubscribeToStreamOptions::default().start_from(StreamPosition::Start);
    client.subscribe_to_stream(stream, &options).await.next_subscription_event().await.map(drop)
}

async fn subscribe_all(client: &Client) -> Result<(), Error> {
    let options = SubscribeToAllOptions::default().position(StreamPosition::Start);
    client.subscribe_to_all(&options).await.next_subscription_event().await.map(drop)
}

async fn delete(client: &Client, stream: &str) -> Result<(), Error> {
    client.delete_stream(stream, &DeleteStreamOptions::default()).await.map(drop)
}

async fn tombstone(client: &Client, stream: &str) -> Result<(), Error> {
    client.tombstone_stream(stream, &TombstoneStreamOptions::default()).await.map(drop)
}

#[track_caller]
fn assert_denied(result: Result<(), Error>) {
    match result {
        // The client keeps the code of a write of a batch.
        Err(Error::AccessDenied | Error::Grpc { code: Code::PermissionDenied, .. }) => {}
        other => panic!("a denial was expected, not {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_right_credentials_let_a_call_in() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    append(&admin, "a").await.expect("the admin writes");
    read_all(&admin).await.expect("the admin reads the log");
    for credentials in ["", "admin:wrong@", "admin:@", "nobody:first-password@", "$admins:x@"] {
        let client = stage.client(credentials);
        assert_denied(append(&client, "a").await);
        // The client may find its session closed before it reads why.
        assert!(batch(&client, "a").await.is_err());
        assert_denied(read(&client, "a").await);
        assert_denied(subscribe(&client, "a").await);
        assert_denied(read_all(&client).await.map(drop));
        assert_denied(subscribe_all(&client).await);
        assert_denied(delete(&client, "a").await);
        assert_denied(tombstone(&client, "a").await);
    }
    append(&admin, "a").await.expect("the others disturbed nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_lists_users_share_streams_and_the_systems_are_for_admins() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user("ann", &[]).await, stage.user("bob", &["$ops"]).await);
    append(&ann, "a").await.expect("written");
    batch(&bob, "a").await.expect("written");
    read(&bob, "a").await.expect("read");
    subscribe(&bob, "a").await.expect("followed");
    write_json(&ann, "$$a", "$metadata", &json!({"$maxCount": 5})).await.expect("written");
    read(&bob, "$$a").await.expect("read");
    delete(&ann, "a").await.expect("deleted");
    tombstone(&bob, "a").await.expect("ended");
    for client in [&ann, &bob] {
        for stream in ["$settings", "$users", "$user-admin", "$$$user-admin", "$$$all", "$x"] {
            assert_denied(append(client, stream).await);
            assert_denied(batch(client, stream).await);
            assert_denied(read(client, stream).await);
            assert_denied(subscribe(client, stream).await);
            assert_denied(delete(client, stream).await);
            assert_denied(tombstone(client, stream).await);
        }
        assert_denied(read_all(client).await.map(drop));
        assert_denied(subscribe_all(client).await);
    }
    append(&stage.admin(), "$x").await.expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_kept_to_by_every_operation() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    let reader = stage.user("reader", &[]).await;
    let writer = stage.user("writer", &["writers"]).await;
    let deleter = stage.user("deleter", &[]).await;
    let keeper = stage.user("keeper", &["keepers", "others"]).await;
    append(&admin, "a").await.expect("written");
    append(&admin, "b").await.expect("written");
    let acl = json!({"$acl": {
        "$r": "reader", "$w": ["writers", "nobody"], "$d": ["deleter"],
        "$mr": ["keepers"], "$mw": "keepers",
    }});
    stage.metadata("a", acl.clone()).await;
    stage.metadata("b", acl.clone()).await;

    append(&writer, "a").await.expect("written");
    batch(&writer, "a").await.expect("written");
    read(&reader, "a").await.expect("read");
    subscribe(&reader, "a").await.expect("followed");
    read(&keeper, "$$a").await.expect("read");
    subscribe(&keeper, "$$a").await.expect("followed");
    for other in [&reader, &deleter, &keeper] {
        assert_denied(append(other, "a").await);
        assert_denied(batch(other, "a").await);
    }
    for other in [&writer, &deleter, &keeper] {
        assert_denied(read(other, "a").await);
        assert_denied(subscribe(other, "a").await);
    }
    for other in [&reader, &writer, &keeper] {
        assert_denied(delete(other, "a").await);
        assert_denied(tombstone(other, "a").await);
    }
    for other in [&reader, &writer, &deleter] {
        for metadata in ["$$a", "$$$$a", "$$$$$$a"] {
            assert_denied(read(other, metadata).await);
            assert_denied(subscribe(other, metadata).await);
            assert_denied(write_json(other, metadata, "$metadata", &json!({})).await);
            assert_denied(batch(other, metadata).await);
            assert_denied(delete(other, metadata).await);
            assert_denied(tombstone(other, metadata).await);
        }
    }
    delete(&deleter, "a").await.expect("deleted");
    // The list outlives the deletion, and the events that come after it.
    assert_denied(append(&reader, "a").await);
    append(&writer, "a").await.expect("revived");
    assert_denied(read(&writer, "a").await);
    tombstone(&deleter, "b").await.expect("ended");
    // Who keeps the metadata can open the stream.
    write_json(&keeper, "$$a", "$metadata", &json!({})).await.expect("written");
    read(&writer, "a").await.expect("read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_of_a_batch_that_is_denied_leaves_the_others_alone() {
    let stage = Stage::new().await;
    let ann = stage.user("ann", &[]).await;
    stage.metadata("closed", json!({"$acl": {"$w": []}})).await;
    let batch = ann.batch_append(&Default::default()).await.expect("a batch");
    batch.append_to_stream("open", StreamState::Any, vec![event()]).await.expect("written");
    let denied = batch.append_to_stream("closed", StreamState::Any, vec![event()]).await;
    assert!(denied.is_err(), "{denied:?}");
    let nothing = read(&ann, "closed").await;
    assert!(matches!(nothing, Err(Error::ResourceNotFound)), "{nothing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_may_do_what_a_list_opens_to_everybody() {
    let stage = Stage::new().await;
    let nobody = stage.client("");
    append(&stage.admin(), "a").await.expect("written");
    stage.metadata("a", json!({"$acl": {"$r": "$all"}})).await;
    read(&nobody, "a").await.expect("read");
    subscribe(&nobody, "a").await.expect("followed");
    assert_denied(append(&nobody, "a").await);
    assert_denied(read(&nobody, "$$a").await);
    // Wrong credentials are not the same as none.
    assert_denied(read(&stage.client("admin:wrong@"), "a").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_settings_say_what_streams_without_lists_allow() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user("ann", &["readers"]).await, stage.user("bob", &[]).await);
    append(&ann, "a").await.expect("written");
    stage
        .settings(json!({
            "$userStreamAcl": {"$r": "readers", "$w": []},
            "$systemStreamAcl": {"$r": ["readers"], "$mr": "$all", "$w": "$all"},
        }))
        .await;
    read(&ann, "a").await.expect("read");
    assert_denied(read(&bob, "a").await);
    assert_denied(append(&ann, "a").await);
    stage.metadata("b", json!({"$acl": {"$w": "bob"}})).await;
    append(&bob, "b").await.expect("written");
    read(&stage.client(""), "$$$x").await.expect_err("there is none, but it may be read");
    append(&bob, "$x").await.expect("written");
    read(&ann, "$x").await.expect("read");
    // Users are for admins, whatever the settings say; and their hashes for nobody's eyes.
    assert_denied(read(&ann, "$user-admin").await);
    assert_denied(append(&ann, "$user-ann").await);
    assert_denied(append(&ann, "$users").await);
    let log = read_all(&ann).await.expect("read");
    let users: Vec<_> = log.iter().filter(|event| event[0] == "$user-ann").collect();
    assert_eq!(users, [&json!(["$user-ann", {}])]);
    let log = read_all(&stage.admin()).await.expect("read");
    assert!(log.iter().any(|event| event[0] == "$user-ann" && event[1]["hash"].is_string()));
    assert_denied(read_all(&bob).await.map(drop));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_does_not_show_what_its_target_hides() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user("ann", &[]).await, stage.user("bob", &[]).await);
    append(&bob, "secret").await.expect("written");
    append(&bob, "open").await.expect("written");
    stage.metadata("secret", json!({"$acl": {"$r": "bob"}})).await;
    for target in ["0@secret", "0@open", "0@$user-admin"] {
        let link = EventData::binary("$>", target.to_owned().into());
        let any = AppendToStreamOptions::default().stream_state(StreamState::Any);
        ann.append_to_stream("links", &any, link).await.expect("written");
    }
    let targets = async |client: &Client| {
        let options = ReadStreamOptions::default().resolve_link_tos();
        let mut read = client.read_stream("links", &options).await.expect("a read");
        let mut targets = Vec::new();
        while let Some(event) = read.next().await.expect("an event") {
            targets.push(event.event.map(|event| event.stream_id().to_owned()));
        }
        targets
    };
    let (secret, open) = (Some("secret".to_owned()), Some("open".to_owned()));
    assert_eq!(targets(&ann).await, [None, open.clone(), None]);
    assert_eq!(targets(&bob).await, [secret, open, None]);
    assert!(targets(&stage.admin()).await.iter().all(Option::is_some));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_ends_when_it_is_no_longer_allowed() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.user("ann", &[]).await, stage.user("bob", &[]).await);
    append(&bob, "a").await.expect("written");
    let options = SubscribeToStreamOptions::default().start_from(StreamPosition::Start);
    let mut subscription = ann.subscribe_to_stream("a", &options).await;
    loop {
        let said = subscription.next_subscription_event().await.expect("it goes on");
        if let SubscriptionEvent::CaughtUp(_) = said {
            break;
        }
    }
    stage.metadata("a", json!({"$acl": {"$r": "bob"}})).await;
    append(&bob, "a").await.expect("written");
    let ended = subscription.next_subscription_event().await;
    assert!(matches!(ended, Err(Error::AccessDenied)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_insecure_mode_credentials_and_lists_mean_nothing() {
    let data = tempfile::tempdir().expect("a folder");
    let served = Served::start(data.path()).await;
    for credentials in ["", "nobody:wrong@"] {
        let url = served.url().replace("esdb://", &format!("esdb://{credentials}"));
        let client = Client::new(url.parse().expect("a URL")).expect("a client");
        let closed = json!({"$acl": {"$r": [], "$w": [], "$d": [], "$mr": [], "$mw": []}});
        write_json(&client, "$$a", "$metadata", &closed).await.expect("written");
        append(&client, "a").await.expect("written");
        batch(&client, "a").await.expect("written");
        read(&client, "a").await.expect("read");
        append(&client, "$settings").await.expect("written");
        subscribe(&client, "a").await.expect("followed");
        subscribe_all(&client).await.expect("followed");
        read_all(&client).await.expect("read");
        delete(&client, "a").await.expect("deleted");
        let operations = Operations::from(client.clone());
        let users = operations.user_details("admin", &OperationalOptions::default()).await;
        let users = users.err();
        assert!(matches!(users, Some(Error::ResourceNotFound)), "nobody makes users: {users:?}");
    }
}
