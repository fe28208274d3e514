//! The database brought to the version of this program, and the role that reads it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::Url;
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// The role that row-level security binds; the migrations make it, without a log-in.
const READER: &str = "roundtable_reader";

/// How long a server that is starting is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Another stack may change the same role in the same moment; roles belong to the whole server.
const ATTEMPTS: u32 = 5;

/// Runs the migrations, and lets the role in `reader_url` log in with the password there.
///
/// # Errors
/// When the database cannot be reached, was changed by a newer program, or the role cannot be
/// made and is not there either.
pub async fn migrate(postgres_url: &str, reader_url: Option<&str>) -> Result<()> {
    let owner = reached(postgres_url).await?;
    let owner = PgPoolOptions::new().max_connections(1).connect_lazy_with(owner);
    projector::migrate(&owner)
        .await
        .context("the database cannot be brought to the version of this program")?;
    if let Some(reader_url) = reader_url {
        let_in(&owner, reader_url).await?;
    }
    owner.close().await;
    Ok(())
}

/// How to connect to a server that answers. One that is still starting is waited for, for a while, and
/// who waits is told why: a pool would only say that it timed out.
async fn reached(postgres_url: &str) -> Result<PgConnectOptions> {
    let options: PgConnectOptions =
        postgres_url.parse().context("ROUNDTABLE_POSTGRES_URL is no URL of PostgreSQL")?;
    let begun = Instant::now();
    let mut told = false;
    loop {
        match options.connect().await {
            Ok(answers) => {
                drop(answers.close().await);
                return Ok(options);
            }
            Err(error) if begun.elapsed() < PATIENCE => {
                if !std::mem::replace(&mut told, true) {
                    eprintln!("waiting for PostgreSQL: {error}");
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            Err(error) => {
                return Err(error)
                    .context("PostgreSQL (ROUNDTABLE_POSTGRES_URL) cannot be reached");
            }
        }
    }
}

/// The reader's URL for a database whose owner's URL is known.
///
/// A role belongs to the whole server, and another stack may use the same one with a password of
/// its own, so the role is named after the database where the server is not ours alone.
pub(super) fn reader_url(postgres_url: &str, password: &str, ours_alone: bool) -> Result<String> {
    let mut url = Url::parse(postgres_url).context("ROUNDTABLE_POSTGRES_URL is not a URL")?;
    let role = match ours_alone {
        true => READER.to_owned(),
        false => format!("{READER}_{}", url.path().trim_start_matches('/')),
    };
    let set = url.set_username(&role).and_then(|()| url.set_password(Some(password)));
    ensure!(set.is_ok(), "ROUNDTABLE_POSTGRES_URL has no host");
    Ok(url.into())
}

async fn let_in(owner: &PgPool, reader_url: &str) -> Result<()> {
    if is_let_in(reader_url).await {
        return Ok(());
    }
    let url = Url::parse(reader_url).context("ROUNDTABLE_POSTGRES_READER_URL is not a URL")?;
    let role = decoded(url.username());
    let password = decoded(url.password().unwrap_or_default());
    ensure!(
        !role.is_empty() && !password.is_empty(),
        "ROUNDTABLE_POSTGRES_READER_URL needs a role and a password"
    );
    let mut attempt = 1;
    loop {
        match make(owner, &role, &password).await {
            Err(error) if attempt < ATTEMPTS => tracing::debug!(%error, "the role is busy"),
            result => return result.context("the role of the readers cannot be made"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50) * attempt).await;
        attempt += 1;
    }
}

/// Whether the role can log in, and sees what readers see.
async fn is_let_in(reader_url: &str) -> bool {
    let Ok(mut reader) = PgConnection::connect(reader_url).await else { return false };
    let member: Result<bool, _> =
        sqlx::query_scalar("select pg_has_role(current_user, $1, 'usage')")
            .bind(READER)
            .fetch_one(&mut reader)
            .await;
    let _ = reader.close().await;
    member.unwrap_or(false)
}

async fn make(owner: &PgPool, role: &str, password: &str) -> Result<(), sqlx::Error> {
    let exists: bool =
        sqlx::query_scalar("select exists (select from pg_roles where rolname = $1)")
            .bind(role)
            .fetch_one(owner)
            .await?;
    // Roles and passwords cannot be bound to these statements, so Postgres itself quotes them.
    let verb = if exists { "alter" } else { "create" };
    let mut statements = vec![(format!("{verb} role %I login nobypassrls password %L"), password)];
    if role != READER {
        statements.push((format!("grant {READER} to %I"), ""));
    }
    for (statement, password) in statements {
        let quoted: String = sqlx::query_scalar("select format($1, $2, $3)")
            .bind(statement)
            .bind(role)
            .bind(password)
            .fetch_one(owner)
            .await?;
        sqlx::raw_sql(&quoted).execute(owner).await?;
    }
    Ok(())
}

/// A part of a URL as it was before it was percent-encoded.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%')
        {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readers_url_differs_by_role_and_password_only() {
        let owner = "postgres://roundtable:secret@127.0.0.1:21234/roundtable";
        assert_eq!(
            reader_url(owner, "other", true).unwrap(),
            "postgres://roundtable_reader:other@127.0.0.1:21234/roundtable"
        );
        assert_eq!(
            reader_url(owner, "other", false).unwrap(),
            "postgres://roundtable_reader_roundtable:other@127.0.0.1:21234/roundtable"
        );
    }

    #[test]
    fn passwords_are_read_as_they_were_meant() {
        assert_eq!(decoded("a%40b%25c%"), "a@b%c%");
        assert_eq!(decoded("plain"), "plain");
    }
}
