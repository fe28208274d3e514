//! The private servers as their users see them: started, used, stopped, and started again.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{fs, path::Path, time::Duration};

use async_nats::jetstream;
use futures::StreamExt;
use servers::{Durability, Error, Kind, PrivateServers, Wanted};
use sqlx::{Connection, PgConnection};

async fn start(data: &Path, wanted: Wanted) -> PrivateServers {
    PrivateServers::start_with(data, wanted, Durability::Relaxed).await.unwrap()
}

fn only(kind: Kind) -> Wanted {
    Wanted {
        postgres: kind == Kind::Postgres,
        redis: kind == Kind::Redis,
        nats: kind == Kind::Nats,
    }
}

async fn postgres(servers: &PrivateServers) -> PgConnection {
    PgConnection::connect(servers.postgres_url.as_ref().unwrap()).await.unwrap()
}

async fn redis(servers: &PrivateServers) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(servers.redis_url.clone().unwrap()).unwrap();
    // A machine that stalls answers late, and a paused server not before it is resumed.
    let patient =
        redis::AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&patient).await.unwrap()
}

async fn nats(servers: &PrivateServers) -> jetstream::Context {
    let address: async_nats::ServerAddr = servers.nats_url.as_ref().unwrap().parse().unwrap();
    let (user, password) = (address.username().unwrap(), address.password().unwrap());
    let options = async_nats::ConnectOptions::with_user_and_password(user.into(), password.into());
    jetstream::new(options.connect(address).await.unwrap())
}

async fn write_everywhere(servers: &PrivateServers) {
    let mut postgres = postgres(servers).await;
    sqlx::raw_sql("create table said (words text); insert into said values ('hello')")
        .execute(&mut postgres)
        .await
        .unwrap();
    let mut redis = redis(servers).await;
    redis::cmd("SET").arg("said").arg("hello").query_async::<()>(&mut redis).await.unwrap();
    let nats = nats(servers).await;
    let stream = jetstream::stream::Config {
        name: "SAID".to_owned(),
        subjects: vec!["said.>".to_owned()],
        ..Default::default()
    };
    nats.create_stream(stream).await.unwrap();
    nats.publish("said.once", "hello".into()).await.unwrap().await.unwrap();
}

async fn read_everywhere(servers: &PrivateServers) {
    let mut postgres = postgres(servers).await;
    let words: String =
        sqlx::query_scalar("select words from said").fetch_one(&mut postgres).await.unwrap();
    assert_eq!(words, "hello");
    let mut redis = redis(servers).await;
    let words: String = redis::cmd("GET").arg("said").query_async(&mut redis).await.unwrap();
    assert_eq!(words, "hello");
    let stream = nats(servers).await.get_stream("SAID").await.unwrap();
    assert_eq!(&stream.get_raw_message(1).await.unwrap().payload[..], b"hello");
}

#[tokio::test]
async fn what_was_written_is_there_after_a_stop_and_a_new_start() {
    let folder = tempfile::tempdir().unwrap();
    let servers = PrivateServers::start(folder.path(), Wanted::ALL).await.unwrap();
    let urls = servers.postgres_url.clone();
    write_everywhere(&servers).await;
    servers.stop().await;

    let servers = PrivateServers::start(folder.path(), Wanted::ALL).await.unwrap();
    assert_eq!(servers.postgres_url, urls, "the port and the password are remembered");
    read_everywhere(&servers).await;
    servers.destroy().await;
    assert!(!folder.path().exists());
}

#[tokio::test]
async fn what_was_written_is_there_after_a_crash_and_a_restart_in_the_same_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut servers = start(folder.path(), Wanted::ALL).await;
    write_everywhere(&servers).await;
    for kind in Kind::ALL {
        servers.kill(kind).await;
        assert_eq!(servers.pid(kind), None);
        servers.restart(kind).await.unwrap();
    }
    read_everywhere(&servers).await;
    servers.stop().await;
}

#[tokio::test]
async fn postgres_is_durable_unless_told_otherwise_and_closed_to_strangers() {
    let folder = tempfile::tempdir().unwrap();
    let servers = PrivateServers::start(folder.path(), only(Kind::Postgres)).await.unwrap();
    let mut connection = postgres(&servers).await;
    for (name, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("max_connections", "500"),
        ("listen_addresses", "127.0.0.1"),
    ] {
        let shown: String =
            sqlx::query_scalar(&format!("show {name}")).fetch_one(&mut connection).await.unwrap();
        assert_eq!(shown, value, "{name}");
    }
    let url = servers.postgres_url.clone().unwrap();
    let (_, place) = url.split_once('@').unwrap();
    let wrong = format!("postgres://roundtable:guess@{place}");
    assert!(PgConnection::connect(&wrong).await.is_err());
    assert!(servers.redis_url.is_none() && servers.nats_url.is_none());
    servers.stop().await;
}

#[tokio::test]
async fn redis_and_nats_ask_for_their_passwords() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = Wanted { postgres: false, redis: true, nats: true };
    let servers = start(folder.path(), wanted).await;
    let open = format!("redis://127.0.0.1:{}", servers.port(Kind::Redis).unwrap());
    let client = redis::Client::open(open).unwrap();
    let refused = match client.get_multiplexed_async_connection().await {
        Err(_) => true,
        Ok(mut connection) => {
            redis::cmd("PING").query_async::<String>(&mut connection).await.is_err()
        }
    };
    assert!(refused);
    let open = format!("nats://127.0.0.1:{}", servers.port(Kind::Nats).unwrap());
    assert!(async_nats::connect(open).await.is_err());

    let mut connection = redis(&servers).await;
    let info: String =
        redis::cmd("INFO").arg("persistence").query_async(&mut connection).await.unwrap();
    assert!(info.contains("aof_enabled:1"), "{info}");
    servers.stop().await;
}

#[tokio::test]
async fn the_files_with_passwords_are_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let servers = start(folder.path(), Wanted::ALL).await;
    for name in ["postgres.password", "redis.password", "nats.password", "redis.conf", "nats.conf"]
    {
        let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    for entry in fs::read_dir(folder.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains(".new"), "{name} was left behind");
    }
    servers.stop().await;
}

#[tokio::test]
async fn a_paused_server_keeps_its_connections_and_answers_when_it_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let servers = start(folder.path(), Wanted::ALL).await;
    let mut database = postgres(&servers).await;
    let mut cache = redis(&servers).await;
    let live = nats(&servers).await;
    for kind in Kind::ALL {
        servers.pause(kind).await;
        let question = async {
            match kind {
                Kind::Postgres => database.ping().await.unwrap(),
                Kind::Redis => {
                    redis::cmd("PING").query_async::<()>(&mut cache).await.unwrap();
                }
                Kind::Nats => drop(live.get_stream("NONE").await.unwrap_err()),
            }
        };
        let mut question = std::pin::pin!(question);
        let early = tokio::time::timeout(Duration::from_millis(200), question.as_mut()).await;
        assert!(early.is_err(), "{kind} answered although it was paused");
        servers.resume(kind).await;
        question.await;
    }
    // A paused server is stopped all the same.
    for kind in Kind::ALL {
        servers.pause(kind).await;
    }
    servers.stop().await;
}

#[tokio::test]
async fn a_second_process_is_refused_the_same_folder() {
    let folder = tempfile::tempdir().unwrap();
    let servers = start(folder.path(), only(Kind::Redis)).await;
    let second = PrivateServers::start(folder.path(), only(Kind::Redis)).await;
    assert!(matches!(second, Err(Error::InUse(_))), "{second:?}");
    servers.stop().await;
}

#[tokio::test]
async fn a_busy_port_is_avoided_at_a_start_and_reported_at_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let servers = start(folder.path(), only(Kind::Nats)).await;
    let port = servers.port(Kind::Nats).unwrap();
    servers.stop().await;

    let squatter = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut servers = start(folder.path(), only(Kind::Nats)).await;
    let other = servers.port(Kind::Nats).unwrap();
    assert_ne!(port, other);
    drop(squatter);

    servers.kill(Kind::Nats).await;
    let squatter = std::net::TcpListener::bind(("127.0.0.1", other)).unwrap();
    let refused = servers.restart(Kind::Nats).await;
    assert!(matches!(refused, Err(Error::PortTaken { port, .. }) if port == other));
    drop(squatter);
    servers.restart(Kind::Nats).await.unwrap();
    assert!(matches!(servers.restart(Kind::Redis).await, Err(Error::NotStarted(_))));
    servers.stop().await;
}

#[tokio::test]
async fn a_start_that_fails_shows_the_end_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let servers = start(folder.path(), only(Kind::Redis)).await;
    servers.stop().await;
    let files = folder.path().join("redis/appendonlydir");
    for entry in fs::read_dir(&files).unwrap() {
        fs::write(entry.unwrap().path(), "this is no append-only file\n").unwrap();
    }
    let error = PrivateServers::start(folder.path(), only(Kind::Redis)).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Ended { kind: Kind::Redis, .. }), "{text}");
    assert!(text.contains("logs/redis.log") && text.to_lowercase().contains("format"), "{text}");
}

#[tokio::test]
async fn a_cluster_without_its_password_is_not_guessed_at() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path(), only(Kind::Postgres)).await.stop().await;
    fs::remove_file(folder.path().join("postgres.password")).unwrap();
    let error = PrivateServers::start(folder.path(), only(Kind::Postgres)).await.unwrap_err();
    assert!(error.to_string().contains("restore the file postgres.password"), "{error}");
}

#[tokio::test]
async fn a_server_that_ends_by_itself_is_told_once_and_supervised() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = Wanted { postgres: false, redis: true, nats: true };
    let mut servers = start(folder.path(), wanted).await;
    let end = |pid: u32| {
        let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    };
    end(servers.pid(Kind::Redis).unwrap());
    assert_eq!(servers.exited().await, Kind::Redis);
    let again = tokio::time::timeout(Duration::from_millis(100), servers.exited()).await;
    assert!(again.is_err(), "told twice");
    servers.restart(Kind::Redis).await.unwrap();

    let stream = nats(&servers).await;
    let mut events = stream.client().subscribe("anything").await.unwrap();
    end(servers.pid(Kind::Nats).unwrap());
    let client = stream.client();
    tokio::select! {
        never = servers.supervise() => match never {},
        heard = async {
            // The client connects again by itself, to the same place.
            loop {
                let _ = client.publish("anything", "back".into()).await;
                let wait = Duration::from_millis(50);
                if let Ok(heard) = tokio::time::timeout(wait, events.next()).await {
                    break heard;
                }
            }
        } => assert_eq!(&heard.unwrap().payload[..], b"back"),
    }
    servers.stop().await;
}

#[tokio::test]
async fn every_test_gets_a_database_of_its_own() {
    let shared = servers::shared_for_tests().await.unwrap();
    let (one, two) = tokio::try_join!(shared.database(), shared.database()).unwrap();
    assert_ne!(one.name, two.name);
    let mut connection = PgConnection::connect(&one.url).await.unwrap();
    let name: String =
        sqlx::query_scalar("select current_database()").fetch_one(&mut connection).await.unwrap();
    assert_eq!(name, one.name);
    let url = one.url.clone();
    one.drop_now().await.unwrap();
    assert!(PgConnection::connect(&url).await.is_err());
    two.drop_now().await.unwrap();
    assert_ne!(servers::prefix(), servers::prefix());
}

#[tokio::test]
async fn postgres_goes_where_its_user_can_go() {
    use std::os::unix::fs::PermissionsExt;
    if !nix::unistd::Uid::effective().is_root() {
        return; // Only root has to leave its folders to another user.
    }
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let data = closed.path().join("data");
    let servers = start(&data, only(Kind::Postgres)).await;
    let elsewhere = fs::read_to_string(data.join("postgres.folder")).unwrap();
    assert!(elsewhere.starts_with("/var/lib/roundtable-"), "{elsewhere}");
    assert!(!data.join("postgres").exists());
    servers.stop().await;

    // It is found again, even when the user could reach the data folder now.
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let servers = start(&data, only(Kind::Postgres)).await;
    assert!(!data.join("postgres").exists());
    servers.destroy().await;
    assert!(!Path::new(&elsewhere).exists());

    // And its loss is told, not covered up with an empty one.
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("postgres.folder"), &elsewhere).unwrap();
    let error = PrivateServers::start(&data, only(Kind::Postgres)).await.unwrap_err();
    assert!(error.to_string().contains("is gone"), "{error}");
}

#[tokio::test]
async fn the_servers_can_be_started_and_supervised_in_a_task() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let folder = tempfile::tempdir().unwrap();
    let wanted = Wanted { postgres: false, redis: true, nats: false };
    let mut servers = is_send(PrivateServers::start(folder.path(), wanted)).await.unwrap();
    let supervised = tokio::time::timeout(Duration::from_millis(10), is_send(servers.supervise()));
    assert!(supervised.await.is_err(), "it goes on for ever");
    is_send(servers.stop()).await;
    let shared = is_send(servers::shared_for_tests()).await.unwrap();
    let database = is_send(shared.database()).await.unwrap();
    is_send(database.drop_now()).await.unwrap();
}
