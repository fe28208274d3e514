//! Janus with its VideoRoom, for the same load: a process of its own with ports of its own.

use std::{
    collections::HashMap,
    fs::{self, File},
    net::IpAddr,
    path::Path,
    process::Stdio,
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use str0m::{
    change::{SdpAnswer, SdpOffer},
    media::Direction,
};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    time::{Instant, sleep},
};
use uuid::Uuid;

use super::load::Peer;

const START: Duration = Duration::from_secs(15);

/// What is not needed is not loaded: it costs memory, and here nothing else is measured.
const PLUGINS: &str = "audiobridge duktape echotest lua nosip recordplay sip streaming textroom \
                       videocall voicemail";
const TRANSPORTS: &str = "mqtt nanomsg pfunix rabbitmq websockets";

/// A Janus that runs. Dropping it kills it.
pub(super) struct Janus {
    process: Child,
    api: String,
    /// Where it listens for media: it never takes the loopback interface.
    address: IpAddr,
    http: Client,
    /// What is sent in each room.
    feeds: Mutex<HashMap<Uuid, Vec<u64>>>,
}

impl Janus {
    /// Starts it; `None` where it is not installed.
    pub(super) async fn start(folder: &Path) -> Result<Option<Self>> {
        let folder = folder.join("janus");
        fs::create_dir_all(&folder)?;
        let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
        let address = own_address()?;
        configure(&folder, port, address)?;
        let mut command = Command::new("janus");
        command.arg(format!("--configs-folder={}", folder.display()));
        let log = File::create(folder.join("log"))?;
        command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null()).kill_on_drop(true);
        let process = match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            spawned => spawned.context("Janus cannot be started")?,
        };
        let api = format!("http://127.0.0.1:{port}/janus");
        let feeds = Mutex::default();
        let janus = Self { process, api, address, http: Client::new(), feeds };
        let begun = Instant::now();
        while janus.http.get(format!("{}/info", janus.api)).send().await.is_err() {
            ensure!(begun.elapsed() < START, "Janus did not become ready");
            sleep(Duration::from_millis(50)).await;
        }
        Ok(Some(janus))
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Somebody sends into a room, which is made by the first.
    pub(super) async fn publish(&self, call: Uuid) -> Result<Peer> {
        let (session, handle) = self.attach().await?;
        let room = room(call);
        let first = self.feeds.lock().is_ok_and(|feeds| !feeds.contains_key(&call));
        if first {
            let body = json!({ "request": "create", "room": room, "publishers": 100,
                "audiocodec": "opus", "videocodec": "vp8", "bitrate": 20_000_000,
                "audiolevel_ext": true, "transport_wide_cc_ext": true });
            self.ask(session, handle, body, None).await?;
        }
        let (mut peer, offer, pending) = Peer::offer(self.address, 1, Direction::SendOnly).await?;
        let body = json!({ "request": "joinandconfigure", "ptype": "publisher", "room": room });
        let answer = self.ask(session, handle, body, Some(("offer", offer))).await?;
        let feed = answer["plugindata"]["data"]["id"].as_u64().context("it has no feed")?;
        let sdp = answer["jsep"]["sdp"].as_str().context("it was not answered")?;
        peer.accept(pending, SdpAnswer::from_sdp_string(sdp)?)?;
        if let Ok(mut feeds) = self.feeds.lock() {
            feeds.entry(call).or_default().push(feed);
        }
        Ok(peer)
    }

    /// Somebody receives so many of those who send in a room.
    pub(super) async fn view(&self, call: Uuid, tracks: usize) -> Result<Peer> {
        let (session, handle) = self.attach().await?;
        let feeds: Vec<Value> = match self.feeds.lock() {
            Ok(feeds) => feeds
                .get(&call)
                .into_iter()
                .flatten()
                .take(tracks)
                .map(|f| json!({ "feed": f }))
                .collect(),
            Err(_) => Vec::new(),
        };
        let body = json!({ "request": "join", "ptype": "subscriber", "room": room(call),
            "streams": feeds });
        // What is sent can be received once its sender is connected.
        let begun = Instant::now();
        let offer = loop {
            match self.ask(session, handle, body.clone(), None).await {
                Ok(offer) => break offer,
                Err(error) if begun.elapsed() > START => return Err(error),
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        };
        let sdp = offer["jsep"]["sdp"].as_str().context("nothing was offered")?;
        let (peer, answer) = Peer::answer(self.address, SdpOffer::from_sdp_string(sdp)?).await?;
        let start = json!({ "request": "start", "room": room(call) });
        self.ask(session, handle, start, Some(("answer", answer))).await?;
        Ok(peer)
    }

    async fn attach(&self) -> Result<(u64, u64)> {
        let id = |answer: &Value| answer["data"]["id"].as_u64().context("Janus refuses");
        let session = json!({ "janus": "create", "transaction": "create" });
        let session = id(&self.post(&self.api, &session).await?)?;
        let handle = json!({ "janus": "attach", "plugin": "janus.plugin.videoroom", "transaction": "attach" });
        let handle = id(&self.post(&format!("{}/{session}", self.api), &handle).await?)?;
        Ok((session, handle))
    }

    /// Asks the plugin, and waits for what it says to this.
    async fn ask(
        &self,
        session: u64,
        handle: u64,
        body: Value,
        jsep: Option<(&str, String)>,
    ) -> Result<Value> {
        let transaction = Uuid::from_u128(rand::random()).to_string();
        let mut message = json!({ "janus": "message", "body": body, "transaction": transaction });
        if let Some((kind, sdp)) = jsep {
            message["jsep"] = json!({ "type": kind, "sdp": sdp });
        }
        let session = format!("{}/{session}", self.api);
        let mut answer = self.post(&format!("{session}/{handle}"), &message).await?;
        let begun = Instant::now();
        while answer["janus"] == "ack" || answer["transaction"] != *transaction {
            ensure!(begun.elapsed() < START, "Janus does not answer {message}");
            answer = self.http.get(format!("{session}?maxev=1")).send().await?.json().await?;
        }
        let error = &answer["plugindata"]["data"]["error"];
        ensure!(error.is_null() && answer["janus"] != "error", "Janus refuses {message}: {answer}");
        Ok(answer)
    }

    async fn post(&self, url: &str, body: &Value) -> Result<Value> {
        Ok(self.http.post(url).json(body).send().await?.json().await?)
    }
}

fn room(call: Uuid) -> u64 {
    // As large as a number in JSON may be, and never 0.
    (call.as_u64_pair().0 >> 12) | 1
}

/// The address by which this machine reaches others. Nothing is sent to find out.
fn own_address() -> Result<IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // Of an address that nobody has (RFC 5737) only the route matters.
    socket.connect("198.51.100.1:9").context("Janus needs a network, and there is none")?;
    Ok(socket.local_addr()?.ip())
}

fn configure(folder: &Path, port: u16, address: IpAddr) -> Result<()> {
    let all = |names: &str| {
        let files = names.split_whitespace().map(|name| format!("libjanus_{name}.so"));
        files.collect::<Vec<_>>().join(",")
    };
    let (plugins, transports) = (all(PLUGINS), all(TRANSPORTS));
    let general = format!(
        "general: {{ configs_folder = \"{}\"; debug_level = 2; log_to_stdout = true; session_timeout = 0 }}\n\
         media: {{ ipv6 = false }}\n\
         nat: {{ nice_debug = false; full_trickle = false; ice_lite = true; ice_enforce_list = \"{address}\" }}\n\
         plugins: {{ disable = \"{plugins}\" }}\n\
         transports: {{ disable = \"{transports}\" }}\n\
         events: {{ broadcast = false }}\n",
        folder.display()
    );
    let http = format!(
        "general: {{ json = \"compact\"; base_path = \"/janus\"; http = true; port = {port}; ip = \"127.0.0.1\"; https = false }}\n\
         admin: {{ admin_http = false }}\n"
    );
    fs::write(folder.join("janus.jcfg"), general)?;
    fs::write(folder.join("janus.transport.http.jcfg"), http)?;
    fs::write(folder.join("janus.plugin.videoroom.jcfg"), "general: { }\n")?;
    Ok(())
}
