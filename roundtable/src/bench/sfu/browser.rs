//! A browser that joins a call: how long until its first decoded picture is on the screen.
//!
//! Chromium runs without a window and opens one page (`browser.html`), which sends a camera and joins that
//! call again and again. This process serves the page and carries its offers to the SFU, with a ticket.

use std::{
    fs::{self, File},
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::Html,
    routing::{get, post},
};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use service::tickets::Rights;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::oneshot,
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::Issue;
use crate::bench::report::Latency;

/// A fake camera and microphone, nobody who is asked, and media over the loopback interface.
const ARGUMENTS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
];

/// What a browser saw.
#[derive(Clone, Debug, Serialize)]
pub struct Browser {
    /// How often it joined.
    pub joins: usize,
    /// From the decision to join until the first decoded picture was on the screen, in
    /// milliseconds: half of them were quicker.
    pub p50: f64,
    /// 95 of 100 were quicker.
    pub p95: f64,
    /// The longest.
    pub max: f64,
}

/// What the page tells in the end.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Milliseconds(Vec<f64>),
    Failed(String),
}

/// What the page asks for.
struct Desk {
    sfu: String,
    call: Uuid,
    ticket: Issue,
    http: reqwest::Client,
    told: Mutex<Option<oneshot::Sender<Told>>>,
}

impl Browser {
    /// Lets one join so often; `None` where Chromium is not installed.
    pub(super) async fn watch(
        sfu: &str,
        ticket: Issue,
        joins: usize,
        folder: &Path,
    ) -> Result<Option<Self>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/?joins={joins}", listener.local_addr()?);
        let (sender, told) = oneshot::channel();
        let (sfu, call) = (sfu.to_owned(), Uuid::from_u128(rand::random()));
        let (http, told_by) = (reqwest::Client::new(), Mutex::new(Some(sender)));
        let _desk = Desk { sfu, call, ticket, http, told: told_by }.serve(listener);
        let Some(mut chromium) = chromium(&url, folder)? else { return Ok(None) };
        // The page gives up before that.
        let patience = Duration::from_secs(60 + 20 * joins as u64);
        let told = tokio::select! {
            told = timeout(patience, told) => told.context("the browser says nothing")?,
            ended = chromium.wait() => {
                let said = fs::read_to_string(folder.join("chromium.log")).unwrap_or_default();
                bail!("Chromium ended ({}); it said:\n{said}", ended?);
            }
        };
        let milliseconds = match told.context("the page is gone")? {
            Told::Milliseconds(all) => all,
            Told::Failed(why) => bail!("the browser cannot join: {why}"),
        };
        let mut all = Histogram::<u64>::new_with_max(60_000_000, 3)?;
        milliseconds.iter().for_each(|one| all.saturating_record((one * 1e3) as u64));
        let Latency { p50, p95, max, .. } = Latency::of(&all);
        Ok(Some(Self { joins: milliseconds.len(), p50, p95, max }))
    }
}

impl Desk {
    /// Serves the page and what it asks for, until it is aborted.
    fn serve(self, listener: TcpListener) -> AbortOnDropHandle<std::io::Result<()>> {
        let routes = Router::new()
            .route("/", get(async || Html(include_str!("browser.html"))))
            .route("/publish", post(publish))
            .route("/view", post(view))
            .route("/result", post(result))
            .with_state(Arc::new(self));
        AbortOnDropHandle::new(tokio::spawn(async move { axum::serve(listener, routes).await }))
    }
}

/// Chromium with the page; `None` where it is not installed.
fn chromium(url: &str, folder: &Path) -> Result<Option<Child>> {
    let mut command = Command::new("chromium");
    command.args(ARGUMENTS).arg(format!("--user-data-dir={}", folder.join("chromium").display()));
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(File::create(folder.join("chromium.log"))?).kill_on_drop(true);
    match command.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        spawned => spawned.context("Chromium cannot be started").map(Some),
    }
}

type Answer = Result<String, (StatusCode, String)>;

async fn publish(State(desk): State<Arc<Desk>>, offer: String) -> Answer {
    desk.carry("whip", Rights { publish: true, ..Rights::default() }, offer).await
}

async fn view(State(desk): State<Arc<Desk>>, offer: String) -> Answer {
    desk.carry("whep", Rights { subscribe: true, ..Rights::default() }, offer).await
}

async fn result(State(desk): State<Arc<Desk>>, told: String) -> Result<StatusCode, StatusCode> {
    let told = serde_json::from_str(&told).map_err(|_| StatusCode::BAD_REQUEST)?;
    let sender = desk.told.lock().unwrap_or_else(PoisonError::into_inner).take();
    drop(sender.map(|sender| sender.send(told)));
    Ok(StatusCode::NO_CONTENT)
}

impl Desk {
    /// Carries an offer to the SFU, and its answer back.
    async fn carry(&self, protocol: &str, rights: Rights, offer: String) -> Answer {
        let Self { sfu, call, ticket, http, .. } = self;
        let url = format!("http://{sfu}/v1/{protocol}/{call}");
        let request = http.post(url).bearer_auth(ticket(*call, rights));
        let request = request.header("content-type", "application/sdp").body(offer);
        let failed = |error: reqwest::Error| (StatusCode::BAD_GATEWAY, error.to_string());
        let answer = request.send().await.map_err(failed)?;
        let (status, text) = (answer.status(), answer.text().await.map_err(failed)?);
        if status.is_success() { Ok(text) } else { Err((status, text)) }
    }
}
