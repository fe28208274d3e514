//! The life of users, with the calls of the official client and, for the codes, without it.

use std::time::{Duration, SystemTime};

use event_store::Config;
use eventstore::{
    Client, Error,
    operations::{Client as Operations, OperationalOptions, UserDetails},
};
use tonic::{Code, Status, client::Grpc, codec::ProstCodec, metadata::MetadataValue};

use crate::{
    serving::Served,
    stage::{PASSWORD, Stage, append, closed, event, read},
};

fn plain() -> OperationalOptions {
    OperationalOptions::default()
}

async fn details(client: &Client, login: &str) -> Result<Vec<UserDetails>, Error> {
    let mut stream = Operations::from(client.clone()).user_details(login, &plain()).await?;
    let mut users = Vec::new();
    while let Some(user) = stream.next().await? {
        users.push(user);
    }
    Ok(users)
}

async fn logins(client: &Client) -> Vec<String> {
    let users = details(client, "").await.expect("the users");
    users.into_iter().map(|user| user.login).collect()
}

fn is_denied<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::AccessDenied))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_created_changed_and_deleted() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    let users = Operations::from(admin.clone());
    let create = async |login: &str| {
        let groups = vec!["devs".to_owned()];
        users.create_user(login, PASSWORD, "Ann Lee", groups, &plain()).await
    };
    create("ann").await.expect("created");
    let again = create("ann").await;
    assert!(matches!(again, Err(Error::Grpc { code: Code::FailedPrecondition, .. })), "{again:?}");
    assert_eq!(logins(&admin).await, ["admin", "ops", "ann"]);
    let ann = &details(&admin, "ann").await.expect("the user")[0];
    assert_eq!((ann.login.as_str(), ann.full_name.as_str()), ("ann", "Ann Lee"));
    assert_eq!((&ann.groups[..], ann.disabled), (&["devs".to_owned()][..], false));
    let age = SystemTime::now().duration_since(ann.last_updated.expect("a time"));
    assert!(age.expect("it is in the past") < Duration::from_secs(600));

    let groups = vec!["ops".to_owned(), "devs".to_owned()];
    users.update_user("ann", "", "Ann Wu", groups.clone(), &plain()).await.expect("updated");
    let ann = &details(&admin, "ann").await.expect("the user")[0];
    assert_eq!((ann.full_name.as_str(), &ann.groups), ("Ann Wu", &groups));
    // A user sees itself, and nobody else.
    let client = stage.client(&format!("ann:{PASSWORD}@"));
    assert_eq!(details(&client, "ann").await.expect("itself").len(), 1);
    assert!(is_denied(&details(&client, "admin").await));
    assert!(is_denied(&details(&client, "").await));

    users.delete_user("ann", &plain()).await.expect("deleted");
    assert!(is_denied(&append(&client, "a").await));
    assert_eq!(logins(&admin).await, ["admin", "ops"]);
    for missing in [
        users.delete_user("ann", &plain()).await,
        users.disable_user("ann", &plain()).await,
        users.enable_user("ann", &plain()).await,
        users.update_user("ann", "", "", Vec::new(), &plain()).await,
        users.reset_user_password("ann", "x", &plain()).await,
        users.change_user_password("ann", "x", "y", &plain()).await,
        details(&admin, "ann").await.map(drop),
    ] {
        assert!(matches!(missing, Err(Error::ResourceNotFound)), "{missing:?}");
    }
    create("ann").await.expect("created anew");
    assert_eq!(logins(&admin).await, ["admin", "ops", "ann"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_admins_manage_users() {
    let stage = Stage::new().await;
    for client in [stage.user("ann", &["$ops"]).await, stage.client("")] {
        let users = Operations::from(client);
        let admins = vec!["$admins".to_owned()];
        for result in [
            users.create_user("eve", "x", "", admins.clone(), &plain()).await,
            users.update_user("ann", "", "", admins, &plain()).await,
            users.delete_user("admin", &plain()).await,
            users.disable_user("admin", &plain()).await,
            users.enable_user("admin", &plain()).await,
            users.reset_user_password("admin", "x", &plain()).await,
            users.reset_user_password("ann", "x", &plain()).await,
            users.change_user_password("admin", PASSWORD, "x", &plain()).await,
        ] {
            assert!(is_denied(&result), "{result:?}");
        }
    }
    read(&stage.admin(), "$user-admin").await.expect("nothing has changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_groups_and_passwords_are_checked() {
    let stage = Stage::new().await;
    let users = Operations::from(stage.admin());
    let long = "x".repeat(5000);
    let create = async |login: &str, password: &str, name: &str, group: &str| {
        users.create_user(login, password, name, vec![group.to_owned()], &plain()).await
    };
    for result in [
        create("", "x", "", "g").await,
        create("$admins", "x", "", "g").await,
        create("a b", "x", "", "g").await,
        create("a:b", "x", "", "g").await,
        create(&long, "x", "", "g").await,
        create("a", "", "", "g").await,
        create("a", &long, "", "g").await,
        create("a", "x", &long, "g").await,
        create("a", "x", "\n", "g").await,
        create("a", "x", "", "$all").await,
        create("a", "x", "", "").await,
        users.reset_user_password("admin", "", &plain()).await,
        users.change_user_password("admin", PASSWORD, "", &plain()).await,
        users.delete_user(&long, &plain()).await,
    ] {
        let refused = matches!(result, Err(Error::Grpc { code: Code::InvalidArgument, .. }));
        assert!(refused, "{result:?}");
    }
    assert_eq!(logins(&stage.admin()).await, ["admin", "ops"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_user_gets_no_further_until_enabled() {
    let stage = Stage::new().await;
    let users = Operations::from(stage.admin());
    let ann = stage.user("ann", &[]).await;
    append(&ann, "a").await.expect("written");
    let batch = ann.batch_append(&Default::default()).await.expect("a batch");
    let any = eventstore::StreamState::Any;
    batch.append_to_stream("a", any, vec![event()]).await.expect("written");
    // Twice: what is done already is not an error.
    for _ in 0..2 {
        users.disable_user("ann", &plain()).await.expect("disabled");
    }
    assert!(is_denied(&append(&ann, "a").await));
    let open = batch.append_to_stream("a", any, vec![event()]).await;
    assert!(open.is_err(), "a session that is open ends too: {open:?}");
    assert!(details(&stage.admin(), "ann").await.expect("the user")[0].disabled);
    for _ in 0..2 {
        users.enable_user("ann", &plain()).await.expect("enabled");
    }
    append(&ann, "a").await.expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_was_verified_is_worth_nothing_once_changed() {
    let stage = Stage::new().await;
    let old = stage.user("ann", &[]).await;
    append(&old, "a").await.expect("written");
    let users = Operations::from(old.clone());
    let wrong = users.change_user_password("ann", "wrong", "second", &plain()).await;
    assert!(is_denied(&wrong), "{wrong:?}");
    append(&old, "a").await.expect("nothing has changed");
    users.change_user_password("ann", PASSWORD, "second", &plain()).await.expect("changed");
    assert!(is_denied(&append(&old, "a").await));
    let second = stage.client("ann:second@");
    append(&second, "a").await.expect("written");
    let admin = Operations::from(stage.admin());
    admin.reset_user_password("ann", "third", &plain()).await.expect("reset");
    assert!(is_denied(&append(&second, "a").await));
    append(&stage.client("ann:third@"), "a").await.expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_count_as_soon_as_they_are_given_or_taken() {
    let stage = Stage::new().await;
    let users = Operations::from(stage.admin());
    let ann = stage.user("ann", &[]).await;
    assert!(is_denied(&append(&ann, "$x").await));
    let admins = vec!["$admins".to_owned()];
    users.update_user("ann", "", "", admins, &plain()).await.expect("updated");
    append(&ann, "$x").await.expect("written");
    users.update_user("ann", "", "", Vec::new(), &plain()).await.expect("updated");
    assert!(is_denied(&append(&ann, "$x").await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_outlive_a_restart_and_the_first_password_is_for_the_first_start() {
    let stage = Stage::new().await;
    stage.user("ann", &[]).await;
    let stage = stage.restart().await;
    append(&stage.client(&format!("ann:{PASSWORD}@")), "a").await.expect("written");
    assert!(is_denied(&append(&stage.client("admin:another-password@"), "a").await));
    assert_eq!(logins(&stage.admin()).await, ["admin", "ops", "ann"]);
    // An admin who was deleted comes back with the next start, and the password configured then.
    let users = Operations::from(stage.admin());
    users.delete_user("admin", &plain()).await.expect("deleted");
    let stage = stage.restart().await;
    append(&stage.client("admin:another-password@"), "$x").await.expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_create_the_same_user_at_once_one_succeeds() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    append(&admin, "a").await.expect("connected");
    let tries = (0..8).map(|number| {
        let users = Operations::from(admin.clone());
        let name = format!("Ann {number}");
        async move { users.create_user("ann", PASSWORD, name, Vec::new(), &plain()).await }
    });
    let created = futures::future::join_all(tries).await;
    assert_eq!(created.iter().filter(|result| result.is_ok()).count(), 1, "{created:?}");
    assert_eq!(logins(&admin).await, ["admin", "ops", "ann"]);
}

/// The request of `Details`, as far as it is needed here.
#[derive(Clone, PartialEq, prost::Message)]
struct DetailsReq {
    #[prost(message, optional, tag = "1")]
    options: Option<DetailsOptions>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DetailsOptions {
    #[prost(string, tag = "1")]
    login_name: String,
}

async fn raw_details(port: u16, authorization: &[&str], login: &str) -> Status {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://127.0.0.1:{port}"));
    let channel = channel.expect("an address").connect().await.expect("connected");
    let mut client = Grpc::new(channel);
    client.ready().await.expect("ready");
    let options = Some(DetailsOptions { login_name: login.to_owned() });
    let mut request = tonic::Request::new(DetailsReq { options });
    for value in authorization {
        let value = MetadataValue::try_from(*value).expect("ASCII");
        request.metadata_mut().append("authorization", value);
    }
    let path = "/event_store.client.users.Users/Details".parse().expect("a path");
    let codec = ProstCodec::<DetailsReq, ()>::default();
    match client.server_streaming(request, path, codec).await {
        Ok(_) => Status::ok(""),
        Err(status) => status,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_have_the_codes_and_keys_that_clients_switch_on() {
    let data = tempfile::tempdir().expect("a folder");
    let served = Served::with(Config { ..closed(data.path()) }).await.expect("it opens");
    // admin:first-password, admin:wrong
    let good = "Basic YWRtaW46Zmlyc3QtcGFzc3dvcmQ=";
    let wrong = "Basic YWRtaW46d3Jvbmc=";
    let key = |status: &Status, key: &str| {
        status.metadata().get(key).map(|value| value.to_str().expect("ASCII").to_owned())
    };
    assert_eq!(raw_details(served.port, &[good], "").await.code(), Code::Ok);
    for headers in [&[wrong][..], &["Bearer x"], &["Basic x"], &[good, good], &[""]] {
        let status = raw_details(served.port, headers, "").await;
        assert_eq!(status.code(), Code::Unauthenticated, "{headers:?}");
    }
    let status = raw_details(served.port, &[], "").await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(key(&status, "exception").as_deref(), Some("access-denied"));
    let status = raw_details(served.port, &[good], "nobody").await;
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(key(&status, "exception").as_deref(), Some("user-not-found"));
    assert_eq!(key(&status, "login-name").as_deref(), Some("nobody"));
}
