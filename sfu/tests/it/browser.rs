//! Chromium with fake camera and microphone: three participants see and hear each other.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::response::Html;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::world::World;

const PAGE: &str = include_str!("../browser/page.html");

/// How long browsers may take: they start slowly on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

#[derive(Default)]
struct Told {
    last: HashMap<String, Value>,
    layer: Option<usize>,
}

/// Where pages come from, and where they report to.
pub(crate) struct Site {
    address: SocketAddr,
    told: Arc<Mutex<Told>>,
}

pub(crate) async fn site() -> Site {
    let told: Arc<Mutex<Told>> = Arc::default();
    let report = |State(told): State<Arc<Mutex<Told>>>, body: String| async move {
        let report: Value = serde_json::from_str(&body).unwrap();
        let mut told = told.lock().unwrap();
        told.last.insert(report["name"].as_str().unwrap().to_owned(), report);
        axum::Json(json!({ "layer": told.layer }))
    };
    let routes = axum::Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/report", post(report))
        .with_state(told.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    Site { address, told }
}

/// A browser that ends with this.
pub(crate) struct Browser {
    _child: Child,
    _profile: tempfile::TempDir,
}

/// Opens a page for somebody.
pub(crate) fn open(world: &World, site: &Site, name: &str, person: u128, more: &str) -> Browser {
    let (sfu, ticket) = (format!("ws://{}/v1/sfu", world.address), world.ticket(person));
    launch(&format!("http://{}/?name={name}&sfu={sfu}&ticket={ticket}{more}", site.address))
}

/// Opens a page, until this is dropped.
pub(crate) fn launch(url: &str) -> Browser {
    let profile = tempfile::tempdir().unwrap();
    let child = Command::new("chromium")
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"])
        .args(["--autoplay-policy=no-user-gesture-required", "--mute-audio", "--no-first-run"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("`scripts/deps tests` installs chromium");
    Browser { _child: child, _profile: profile }
}

impl Site {
    /// What a page said last.
    pub(crate) fn report(&self, name: &str) -> Value {
        let report = self.told.lock().unwrap().last.get(name).cloned().unwrap_or_default();
        assert!(report["failed"].is_null(), "{report}");
        report
    }

    fn sum(&self, name: &str, kind: &str, what: &str) -> (usize, f64) {
        let report = self.report(name);
        let streams = report["streams"].as_array().cloned().unwrap_or_default();
        let alive: Vec<f64> = streams
            .iter()
            .filter(|stream| stream["kind"] == kind)
            .map(|stream| stream[what].as_f64().unwrap())
            .collect();
        (alive.iter().filter(|value| **value > 0.0).count(), alive.iter().sum())
    }

    /// From now on all want this layer of all tracks.
    pub(crate) fn want(&self, layer: usize) {
        self.told.lock().unwrap().layer = Some(layer);
    }

    /// Waits for a fact.
    pub(crate) async fn until(&self, what: &str, mut fact: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !fact() {
            let told = self.told.lock().unwrap().last.clone();
            assert!(begun.elapsed() < PATIENCE, "not {what}: {told:#?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until somebody decodes so many pictures and sounds, and goes on doing so.
    pub(crate) async fn sees(&self, name: &str, others: usize) {
        self.until(&format!("{name} sees {others}"), || {
            self.sum(name, "video", "frames").0 >= others
                && self.sum(name, "audio", "energy").0 >= others
        })
        .await;
        let (before, sound) =
            (self.sum(name, "video", "frames").1, self.sum(name, "audio", "energy").1);
        self.until(&format!("{name} goes on"), || {
            self.sum(name, "video", "frames").1 >= before + 10.0
                && self.sum(name, "audio", "energy").1 > sound
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_pages_of_chromium_see_and_hear_each_other() {
    let (world, site) = (World::start().await, site().await);
    let _ada = open(&world, &site, "ada", 1, "");
    let ben = open(&world, &site, "ben", 2, "");
    site.sees("ada", 1).await;
    site.sees("ben", 1).await;
    // One comes late.
    let _cleo = open(&world, &site, "cleo", 3, "");
    for name in ["ada", "ben", "cleo"] {
        site.sees(name, 2).await;
    }
    // Layers are switched, without a picture that stands still for long.
    let height = |name: &str| {
        let report = site.report(name);
        let streams = report["streams"].as_array().cloned().unwrap_or_default();
        let heights = streams.iter().filter(|stream| stream["kind"] == "video");
        heights.map(|stream| stream["height"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    site.want(0);
    site.until("small", || height("cleo").iter().all(|height| *height == 180)).await;
    site.want(1);
    site.until("large again", || height("cleo").iter().all(|height| *height == 360)).await;
    site.sees("cleo", 2).await;
    let (_, frozen) = site.sum("cleo", "video", "frozen");
    eprintln!("frozen: {frozen} s, heights {:?}", height("cleo"));
    // One goes, the others go on.
    drop(ben);
    site.sees("ada", 1).await;
    site.sees("cleo", 1).await;
}
