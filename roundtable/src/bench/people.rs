//! The people who make a load.

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};

use crate::client::{Client, Session, SignUp, new_id};

const PASSWORD: &str = "a load without omission";

/// Signs new people up, and logs them in.
pub(super) async fn sign_up(client: &Client, count: usize) -> Result<Vec<Session>> {
    // Password hashes take a core each: a few at a time.
    stream::iter(0..count)
        .map(|number| async move {
            let word = format!("b{number}_{}", &new_id().simple().to_string()[20..]);
            let who = SignUp {
                email: format!("{word}@example.org"),
                handle: word,
                name: format!("Bench {number}"),
                password: PASSWORD.to_owned(),
            };
            client.sign_up(&who).await?;
            client.log_in(&who.email, PASSWORD).await
        })
        .buffered(4)
        .try_collect()
        .await
        .context("somebody could not sign up")
}
