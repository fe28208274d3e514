//! A page: what somebody does in it, and waits for.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use events::{CallId, UserId};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Driver, Facts, Media, PATIENCE};

/// How often it is looked whether they are there.
const LOOK: Duration = Duration::from_millis(150);

/// Less than this is heard in a second of silence.
const SILENCE: f64 = 1e-4;

/// Somebody's page.
#[derive(Clone, Debug)]
pub struct Page {
    /// What it is called in messages.
    pub name: String,
    /// Whose it is.
    pub user: UserId,
    pub(super) session: Value,
    pub(super) driver: Arc<Driver>,
}

impl Page {
    /// Calls a function of `driver/inside.js` in the page.
    pub async fn run(&self, name: &str, given: Value) -> Result<Value> {
        let order = json!({ "do": "run", "page": self.name, "name": name, "given": given });
        self.driver.ask(order).await.with_context(|| format!("{}: {name}", self.name))
    }

    /// Calls; which call it is.
    pub async fn start(&self, fields: Value) -> Result<CallId> {
        Ok(serde_json::from_value(self.run("start", json!([fields])).await?)?)
    }

    /// Takes a call (`call.accept`) or comes into one (`call.join`).
    pub async fn enter(&self, call: CallId, command: &str) -> Result<()> {
        self.run("enter", json!([call, command])).await?;
        Ok(())
    }

    /// Hangs up.
    pub async fn leave(&self) -> Result<()> {
        self.run("leave", json!([])).await?;
        Ok(())
    }

    /// Turns microphone or camera on or off.
    pub async fn toggle(&self, source: &str, on: bool) -> Result<()> {
        self.run("toggle", json!([source, on])).await?;
        Ok(())
    }

    /// From now on gaps between pictures are counted anew.
    pub async fn mark(&self) -> Result<()> {
        self.run("mark", json!([])).await?;
        Ok(())
    }

    /// What is seen and heard at this moment.
    pub async fn facts(&self) -> Result<Facts> {
        Ok(serde_json::from_value(self.run("facts", json!([])).await?)?)
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, is: impl Fn(&Facts) -> bool) -> Result<Facts> {
        let begun = Instant::now();
        loop {
            let facts = self.facts().await?;
            if is(&facts) {
                return Ok(facts);
            }
            ensure!(begun.elapsed() < PATIENCE, "{}: not {what}: {facts:?}", self.name);
            sleep(LOOK).await;
        }
    }

    /// Waits until pictures and sound of all of these come, by one way; and goes on until each of
    /// them has brought more.
    pub async fn sees(&self, others: &[&Self], by: &str) -> Result<Facts> {
        let wanted: Vec<UserId> = others.iter().map(|other| other.user).collect();
        self.sees_people(&wanted, by).await
    }

    /// The same of somebody who is not at a page.
    pub async fn sees_person(&self, user: UserId, by: &str) -> Result<Facts> {
        self.sees_people(&[user], by).await
    }

    async fn sees_people(&self, wanted: &[UserId], by: &str) -> Result<Facts> {
        let of = |facts: &Facts| -> Vec<Media> {
            let lasting = |one: &&Media| one.by == by && one.source != "screen";
            let all = facts.media.iter().filter(lasting);
            all.filter(|one| wanted.contains(&one.user) && one.brings()).cloned().collect()
        };
        let what = format!("{} others by {by}", wanted.len());
        let here = |facts: &Facts| of(facts).len() >= 2 * wanted.len();
        let before = of(&self.until(&what, here).await?);
        self.until(&format!("more of {what}"), |now| {
            before.iter().all(|old| now.media.iter().any(|new| new.is_of(old) && new.grew(old)))
        })
        .await
    }

    /// Waits until the screen of somebody is seen, and goes on.
    pub async fn sees_screen(&self, of: &Self) -> Result<Facts> {
        self.until("the screen", |facts| facts.of(of, "screen").is_some_and(|one| one.frames > 3))
            .await
    }

    /// Waits until nothing more comes of what somebody sends.
    pub async fn is_still(&self, of: &Self, source: &str) -> Result<()> {
        let begun = Instant::now();
        let mut before = self.facts().await?;
        loop {
            // So long that there would be a dozen pictures.
            sleep(Duration::from_secs(1)).await;
            let now = self.facts().await?;
            if let (Some(old), Some(new)) = (before.of(of, source), now.of(of, source))
                && new.frames == old.frames
                && new.energy - old.energy < SILENCE
            {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "{}: {source} goes on: {now:?}", self.name);
            before = now;
        }
    }

    /// Shares the screen (in tests, the page itself), or does not any more.
    pub async fn share_screen(&self) -> Result<()> {
        self.run("screen", json!([])).await?;
        Ok(())
    }

    /// Turns the camera on in a call of voices.
    pub async fn add_video(&self) -> Result<()> {
        self.run("video", json!([])).await?;
        Ok(())
    }

    /// Wants a layer of every camera that comes over the SFU, and none above it.
    pub async fn prefer(&self, layer: usize) -> Result<()> {
        self.run("prefer", json!([layer])).await?;
        Ok(())
    }

    /// Loads the page anew, without hanging up first.
    pub async fn reload(&self, url: &str) -> Result<()> {
        self.driver.ask(json!({ "do": "reload", "page": self.name })).await?;
        self.run("open", json!([url, self.session])).await?;
        Ok(())
    }

    /// Loads the page anew, with an access token that is not good any more.
    pub async fn reload_expired(&self, url: &str) -> Result<()> {
        self.driver.ask(json!({ "do": "reload", "page": self.name })).await?;
        let mut session = self.session.clone();
        session["access_token"] = json!("expired");
        self.run("open", json!([url, session])).await?;
        Ok(())
    }

    /// Makes a picture of the page.
    pub async fn screenshot(&self, path: &Path) -> Result<()> {
        let order = json!({ "do": "screenshot", "page": self.name, "path": path });
        self.driver.ask(order).await?;
        Ok(())
    }
}
