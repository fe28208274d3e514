//! PostgreSQL: its cluster, how it is started, and when it is ready.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::{Command, Stdio},
};

use nix::unistd::User;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions};

use crate::{
    Durability, Kind,
    data::Data,
    error::{Context, Error},
    find::initdb,
    leftover, place,
    process::{Process, bound_to_us},
    server::Plan,
};

/// Both the superuser and the database have this name.
const NAME: &str = "roundtable";

/// Makes the cluster if there is none, and says how to start the server.
pub(crate) async fn plan(
    data: &Data,
    binary: &Path,
    port: u16,
    durability: Durability,
) -> Result<Plan, Error> {
    let user = place::user()?;
    let parent = place::folder(data, user.as_ref())?;
    let cluster = parent.join("postgres");
    let is_new = !cluster.join("PG_VERSION").exists();
    if !is_new && !data.has_password(Kind::Postgres) {
        let what = "the PostgreSQL cluster is there but its password file is not; \
                    restore the file postgres.password";
        return Err(Error::Inconsistent { what, path: data.root().to_owned() });
    }
    let password = data.password(Kind::Postgres)?;
    if is_new {
        make_cluster(data, &parent, binary, user.as_ref(), &password, durability).await?;
    }
    place::remember(data, &parent)?;
    // Backends end a moment after a server that was killed; a new one refuses to start beside
    // them. When nobody works in the folder the lock file is stale, whoever has that pid now.
    leftover::end(data, Kind::Postgres, Some(&cluster)).await?;
    let _ = fs::remove_file(cluster.join("postmaster.pid"));

    let mut command = bound_to_us(binary, user.as_ref());
    command.arg("-D").arg(&cluster);
    for setting in settings(port, durability) {
        command.arg("-c").arg(setting);
    }
    environment(&mut command, &cluster);
    let url = format!("postgres://{NAME}:{password}@127.0.0.1:{port}/{NAME}");
    Ok(Plan { command, url, password, family: Some(cluster) })
}

fn settings(port: u16, durability: Durability) -> Vec<String> {
    let mut settings = vec![
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        // One way in is enough, and a socket's path must be short.
        "unix_socket_directories=".to_owned(),
        // A projection holds one, and each projector has dozens of them.
        "max_connections=500".to_owned(),
        "shared_buffers=128MB".to_owned(),
        "max_wal_size=1GB".to_owned(),
        "checkpoint_timeout=15min".to_owned(),
        // What was written ahead is removed and not kept for reuse: it may say what was erased.
        "wal_recycle=off".to_owned(),
        "logging_collector=off".to_owned(),
        "log_destination=stderr".to_owned(),
        "log_timezone=UTC".to_owned(),
        "timezone=UTC".to_owned(),
        "password_encryption=scram-sha-256".to_owned(),
    ];
    let durable = match durability {
        Durability::Full => "on",
        Durability::Relaxed => "off",
    };
    // A killed server must not cost what was committed, so this one is never relaxed.
    settings.push("synchronous_commit=on".to_owned());
    for name in ["fsync", "full_page_writes"] {
        settings.push(format!("{name}={durable}"));
    }
    settings
}

/// A clean environment: PG* variables of the user are meant for other servers.
fn environment(command: &mut Command, folder: &Path) {
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").current_dir(folder);
}

/// Makes the cluster beside its place and renames it: half a cluster is never taken for one.
async fn make_cluster(
    data: &Data,
    parent: &Path,
    postgres: &Path,
    user: Option<&User>,
    password: &str,
    durability: Durability,
) -> Result<(), Error> {
    let new = parent.join("postgres.new");
    let password_file = parent.join("postgres.new.password");
    if new.exists() {
        fs::remove_dir_all(&new).context("could not remove half a cluster", &new)?;
    }
    let _ = fs::remove_file(&password_file);
    fs::create_dir(&new).context("could not make the folder of the cluster", &new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o700))
        .context("could not close the folder of the cluster", &new)?;
    let name = "postgres.new.password.tmp";
    let written = data.write(name, password)?;
    fs::copy(&written, &password_file).context("could not hand on the password", &password_file)?;
    let _ = fs::remove_file(written);
    if let Some(user) = user {
        for path in [&new, &password_file] {
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .context("could not give a file to the user of PostgreSQL", path)?;
        }
    }
    let made = run_initdb(data, postgres, user, &new, &password_file, durability).await;
    let _ = fs::remove_file(&password_file);
    made?;
    let cluster = parent.join("postgres");
    fs::rename(&new, &cluster).context("could not put the cluster in its place", &cluster)
}

async fn run_initdb(
    data: &Data,
    postgres: &Path,
    user: Option<&User>,
    folder: &Path,
    password_file: &Path,
    durability: Durability,
) -> Result<(), Error> {
    let initdb = initdb(postgres)?;
    let log = data.log(Kind::Postgres)?;
    let mut command = bound_to_us(&initdb, user);
    command.arg("--pgdata").arg(folder).arg("--pwfile").arg(password_file);
    command.args(["--username", NAME, "--auth=scram-sha-256", "--encoding=UTF8"]);
    command.args(["--locale=C.UTF-8", "--data-checksums", "--no-instructions"]);
    if durability == Durability::Relaxed {
        command.arg("--no-sync");
    }
    environment(&mut command, folder);
    let output = |log: &fs::File| log.try_clone().context("could not share the log", &initdb);
    command.stdin(Stdio::null()).stdout(output(&log.file)?).stderr(output(&log.file)?);
    let status = Process::start(command, None).await?.ended().await;
    if status.success() {
        return Ok(());
    }
    let program = initdb.display().to_string();
    Err(Error::Tool { program, status: status.to_string(), output: log.tail() })
}

/// Ready means that it answers a connection; the database is made by [`make_database`].
pub(crate) async fn probe(url: &str) -> Result<(), String> {
    let connection = connect(url, "postgres").await.map_err(|error| error.to_string())?;
    connection.close().await.map_err(|error| error.to_string())
}

/// Makes the database `roundtable` if it is not there.
pub(crate) async fn make_database(url: &str) -> Result<(), Error> {
    let mut connection = connect(url, "postgres").await?;
    let exists: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(NAME)
            .fetch_one(&mut connection)
            .await?;
    if !exists {
        let statement = format!("create database {NAME}");
        connection.execute(&*statement).await?;
    }
    Ok(connection.close().await?)
}

/// Connects to a database of the server that `url` names.
pub(crate) async fn connect(url: &str, database: &str) -> Result<PgConnection, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    options.database(database).disable_statement_logging().connect().await
}
