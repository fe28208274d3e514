//! Recordings: what is sent becomes files that ffprobe and Chromium accept, of those who agreed, with
//! nothing of after the end; and nothing is lost by a crash or by a storage that is away.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::call::{self, Call, Command};
use domain::file::File;
use event_log::{EventLog, Opened};
use events::call::Participant;
use events::{CallEvent, DomainEvent, FileId, RecordingId, StreamName};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::browser::{open, site};
use crate::client::Client;
use crate::clips::Codec;
use crate::encoder::{Encoded, Encoder, packet, probe};
use crate::facts::{Behind, act, log, start};
use crate::peer::{Packet, Peer};
use crate::player::play;
use crate::relay::{Relay, Weather, media_address};
use crate::world::World;

/// How long a test waits for files: they are written and stored beside everything else.
const PATIENCE: Duration = Duration::from_secs(30);

const RECORDING: RecordingId = RecordingId::new(Uuid::from_u128(0x4ec));

fn device(person: u128) -> Participant {
    let user = Uuid::from_u128(person).into();
    Participant { user, device: Uuid::from_u128(person + 1_000_000).into() }
}

/// A call of the first person, at an SFU that records.
struct Stage {
    world: World,
    log: EventLog,
    _behind: Behind,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(
        change: impl FnOnce(&mut std::collections::HashMap<&'static str, String>),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (log, behind) = log(folder.path()).await;
        let world = World::start_changed(Some(log.clone()), change).await;
        start(&log, world.call.into(), device(1)).await;
        Self { world, log, _behind: behind, _folder: folder }
    }

    async fn act(&self, command: Command) {
        act(&self.log, self.world.call.into(), &command).await;
    }

    async fn record(&self) {
        let by = device(1);
        self.act(Command::AskConsent { by }).await;
        self.act(Command::StartRecording { by, recording: RECORDING, moderator: false }).await;
    }

    async fn stop(&self) {
        let by = device(1);
        self.act(Command::StopRecording { by, recording: RECORDING, moderator: false }).await;
    }

    async fn events(&self) -> Vec<CallEvent> {
        let name = StreamName::call(self.world.call.into());
        let events = self.log.read_stream(&name, 0).await.unwrap();
        let opened = events.iter().map(|event| match self.log.open_sealed(event).unwrap() {
            Opened::Ours(envelope) => envelope.event,
            Opened::Foreign => panic!("{event:?}"),
        });
        let calls = opened.map(|event| match event {
            DomainEvent::Call(event) => event,
            other => panic!("{other:?}"),
        });
        calls.collect()
    }

    /// Waits for a fact about the call.
    async fn until<T>(&self, what: &str, fact: impl Fn(&[CallEvent]) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            let events = self.events().await;
            if let Some(found) = fact(&events) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "not {what}: {events:#?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The files of the recording, once there are so many.
    async fn files(&self, number: usize) -> Vec<Stored> {
        let stored = self.until("stored", |events| {
            let stored: Vec<Stored> = events.iter().filter_map(Stored::read).collect();
            (stored.len() >= number).then_some(stored)
        });
        let mut stored = stored.await;
        for file in &mut stored {
            let known = self.log.load::<File>(&StreamName::file(file.file)).await.unwrap().state;
            let kept = known.stored().expect("the file is known").clone();
            assert_eq!(kept.owner, file.of.user);
            file.media_type = kept.media_type;
            file.path = find(&self.world.files(), &kept.digest).expect("its bytes are there");
        }
        stored
    }

    /// Waits until packets are written to the folder of the node.
    async fn written(&self, bytes: u64) -> PathBuf {
        let begun = Instant::now();
        loop {
            let files = every(&self.world.recordings()).into_iter();
            let mut open = files.filter(|path| path.extension().is_some_and(|it| it == "part"));
            let large = |path: &PathBuf| path.metadata().is_ok_and(|it| it.len() > bytes);
            if let Some(path) = open.find(large) {
                return path;
            }
            assert!(begun.elapsed() < PATIENCE, "nothing is written");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A file of a recording.
#[derive(Debug)]
struct Stored {
    file: FileId,
    of: Participant,
    source: String,
    milliseconds: u64,
    media_type: String,
    path: PathBuf,
}

impl Stored {
    fn read(event: &CallEvent) -> Option<Self> {
        let CallEvent::RecordingStored { file, of, source, milliseconds, .. } = event else {
            return None;
        };
        Some(Self {
            file: *file,
            of: of.unwrap(),
            source: source.clone().unwrap(),
            milliseconds: *milliseconds,
            media_type: String::new(),
            path: PathBuf::new(),
        })
    }
}

fn every(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|it| it.unwrap().path());
    let each = entries.flat_map(|path| if path.is_dir() { every(&path) } else { vec![path] });
    each.collect()
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    every(folder).into_iter().find(|path| path.ends_with(name))
}

/// Somebody who sends what an encoder makes, for as long as this lives.
struct Sender {
    client: Client,
    sending: tokio::task::JoinHandle<()>,
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.sending.abort();
    }
}

impl Sender {
    async fn begin(world: &World, person: u128, codec: &'static str) -> Self {
        Self::via(world, person, codec, None).await
    }

    async fn via(
        world: &World,
        person: u128,
        codec: &'static str,
        via: Option<SocketAddr>,
    ) -> Self {
        let mut client = Client::join(world, person).await;
        let spoken = match codec {
            "vp8" => Codec::Vp8,
            "vp9" => Codec::Vp9,
            "h264" => Codec::H264,
            other => panic!("nothing encodes {other}"),
        };
        client.publish = Peer::only(spoken, via).await;
        client.publish(&[]).await;
        let (video, audio) = (client.video.unwrap(), client.audio.unwrap());
        let orders = client.publish.orders();
        let encoder = Encoder::start(codec).await;
        let sending = tokio::spawn(async move {
            // All of it: without its process it sends nothing.
            let encoder = encoder;
            let mut first = [None; 2];
            loop {
                let (index, mid, encoded) = tokio::select! {
                    encoded = packet(&encoder.video) => (0, video, encoded),
                    encoded = packet(&encoder.audio) => (1, audio, encoded),
                };
                let Encoded { number, timestamp, marker, payload } = encoded;
                let base = *first[index].get_or_insert(number);
                let number = 1000 + u64::from(number.wrapping_sub(base));
                let level = (index == 1).then_some(-20);
                let send = Packet { mid, rid: None, number, timestamp, marker, level, payload };
                orders.send(send);
            }
        });
        Self { client, sending }
    }
}

fn stream<'a>(probed: &'a Value, kind: &str) -> Option<&'a Value> {
    let streams = probed["streams"].as_array().unwrap();
    streams.iter().find(|stream| stream["codec_type"] == kind)
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

/// Records somebody for a while, and checks the file: that it is whole, that ffmpeg decodes it, and that
/// Chromium plays it and seeks in it.
async fn is_recorded(codec: &'static str, name: &str, media_type: &str, lose_one_of: u64) {
    let stage = Stage::new().await;
    let weather = Weather { lose_one_of, delay: Duration::from_millis(10) };
    let relay = Relay::to(media_address(&stage.world).await, weather).await;
    let _sender = Sender::via(&stage.world, 1, codec, Some(relay.address)).await;
    stage.record().await;
    stage.written(10_000).await;
    let begun = Instant::now();
    sleep(Duration::from_secs(4)).await;
    stage.stop().await;
    let recorded = begun.elapsed().as_secs_f64();
    let [file] = &stage.files(1).await[..] else { panic!("it is one file") };
    assert_eq!((file.of, file.source.as_str()), (device(1), "camera"));
    assert_eq!(file.media_type, media_type);
    let probed = probe(&file.path).await;
    let (video, audio) = (stream(&probed, "video").unwrap(), stream(&probed, "audio").unwrap());
    assert_eq!(
        (video["codec_name"].as_str(), audio["codec_name"].as_str()),
        (Some(name), Some("opus"))
    );
    assert_eq!((&video["width"], &video["height"]), (&json!(320), &json!(180)));
    let duration = number(&probed["format"]["duration"]);
    assert!((duration * 1000.0 - file.milliseconds as f64).abs() < 2.0, "{probed:#}");
    assert!((recorded - 0.5..recorded + 5.0).contains(&duration), "{duration} of {recorded}");
    let frames = number(&video["nb_read_frames"]);
    // It begins with a key frame, of which there are two in a second.
    let due = 25.0 * (duration - 1.5)..25.0 * duration + 10.0;
    assert!(due.contains(&frames), "{frames} in {duration}");
    let sounds = number(&audio["nb_read_frames"]) * 0.02;
    assert!((sounds - duration).abs() < 0.3, "{sounds} s of sound in {duration}");
    let played = play(&file.path).await;
    assert!(played["error"].is_null(), "{played}");
    assert!(played["frames"].as_u64().unwrap() >= 3, "{played}");
    assert!(played["audio"].as_u64().unwrap() > 0, "{played}");
    assert!((played["duration"].as_f64().unwrap() - duration).abs() < 0.1, "{played}");
    assert!((played["ended"].as_f64().unwrap() - duration).abs() < 0.3, "{played}");
    assert!(every(&stage.world.recordings()).iter().all(|path| path.ends_with("lock")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_as_vp8_is_a_webm_that_plays() {
    is_recorded("vp8", "vp8", "video/webm", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_as_vp9_is_a_webm_that_plays() {
    is_recorded("vp9", "vp9", "video/webm", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_as_h264_is_a_matroska_file_that_plays() {
    is_recorded("h264", "h264", "video/x-matroska", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_on_the_way_is_sent_again_and_is_in_the_file() {
    is_recorded("vp8", "vp8", "video/webm", 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_agreed_is_recorded_and_nothing_after_they_changed_their_mind() {
    let stage = Stage::new().await;
    let _ada = Sender::begin(&stage.world, 1, "vp8").await;
    // Somebody who is not in the call by its rules, and agreed to nothing.
    let _eve = Sender::begin(&stage.world, 2, "vp8").await;
    stage.record().await;
    stage.written(60_000).await;
    stage.act(Command::Consent { by: device(1), agrees: false }).await;
    let [file] = &stage.files(1).await[..] else { panic!("it is one file") };
    assert_eq!(file.of, device(1));
    let times = times(&stage).await;
    let probed = probe(&file.path).await;
    let duration = number(&probed["format"]["duration"]);
    let allowed = (times.1 - times.0).num_milliseconds() as f64 / 1000.0;
    assert!(duration <= allowed && duration > 0.3, "{duration} s of {allowed}");
}

/// When the recording was begun and stopped, by the log.
async fn times(stage: &Stage) -> (events::Moment, events::Moment) {
    let name = StreamName::call(stage.world.call.into());
    let events = stage.log.read_stream(&name, 0).await.unwrap();
    let at = |kind: &str| events.iter().find(|event| event.event_type == kind).unwrap().created;
    (at("call.recording_started"), at("call.recording_stopped"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_silence_and_a_picture_that_stands_still() {
    let stage = Stage::new().await;
    let mut sender = Sender::begin(&stage.world, 1, "vp8").await;
    stage.record().await;
    let path = stage.written(20_000).await;
    let watcher = Client::join(&stage.world, 3).await;
    let tracks: Vec<Value> = watcher.joined["tracks"].as_array().unwrap().clone();
    for muted in [true, false] {
        for track in &tracks {
            let mute = json!({ "type": "mute", "track": track["track"], "muted": muted });
            sender.client.tell(mute).await;
        }
        sleep(Duration::from_secs(2)).await;
    }
    assert!(path.exists(), "it is the same file");
    stage.stop().await;
    let [file] = &stage.files(1).await[..] else { panic!("it is one file") };
    let probed = probe(&file.path).await;
    let duration = number(&probed["format"]["duration"]);
    let sounds = number(&stream(&probed, "audio").unwrap()["nb_read_frames"]) * 0.02;
    let pictures = number(&stream(&probed, "video").unwrap()["nb_read_frames"]) / 25.0;
    assert!((sounds - duration).abs() < 0.3, "{sounds} s of sound in {duration}");
    assert!((1.4..4.5).contains(&(duration - pictures)), "{pictures} s of pictures in {duration}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_leaves_is_stored_by_the_next_process() {
    let stage = Stage::new().await;
    let _sender = Sender::begin(&stage.world, 1, "vp8").await;
    stage.record().await;
    stage.written(100_000).await;
    // The folder as it is at this moment is what a crash would leave, with a cluster cut in two.
    let left = tempfile::tempdir().unwrap();
    let folder = left.path().join(stage.world.node.as_str());
    std::fs::create_dir(&folder).unwrap();
    for path in every(&stage.world.recordings()) {
        std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    let cut =
        every(&folder).into_iter().find(|path| path.extension().is_some_and(|it| it == "part"));
    let cut = std::fs::OpenOptions::new().write(true).open(cut.unwrap()).unwrap();
    cut.set_len(cut.metadata().unwrap().len() - 1000).unwrap();
    let (files, recordings) = (stage.world.files(), left.path().to_owned());
    let _next = World::start_changed(Some(stage.log.clone()), |variables| {
        variables.insert("ROUNDTABLE_FILES_URL", files.display().to_string());
        variables.insert("ROUNDTABLE_SFU_RECORDINGS", recordings.display().to_string());
    })
    .await;
    let [file] = &stage.files(1).await[..] else { panic!("it is one file") };
    let probed = probe(&file.path).await;
    assert!(number(&probed["format"]["duration"]) > 0.5, "{probed:#}");
    assert!(play(&file.path).await["error"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_is_away_is_a_fact_and_the_file_is_stored_when_it_is_back() {
    let stage = Stage::new().await;
    let sender = Sender::begin(&stage.world, 1, "vp8").await;
    stage.record().await;
    stage.written(20_000).await;
    // A file stands where the folder was.
    let (files, aside) = (stage.world.files(), stage.world.files().with_extension("aside"));
    std::fs::rename(&files, &aside).unwrap();
    std::fs::write(&files, "").unwrap();
    drop(sender);
    stage.stop().await;
    let reason = stage.until("failed", |events| {
        events.iter().find_map(|event| match event {
            CallEvent::RecordingFailed { reason, .. } => Some(reason.clone()),
            _ => None,
        })
    });
    let reason = reason.await;
    assert!(reason.contains("the file storage does not answer"), "{reason}");
    std::fs::remove_file(&files).unwrap();
    std::fs::rename(&aside, &files).unwrap();
    let [file] = &stage.files(1).await[..] else { panic!("it is one file") };
    probe(&file.path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_of_nothing_is_said_to_be_one() {
    let stage = Stage::new().await;
    // Connected, and silent.
    let mut ada = Client::join(&stage.world, 1).await;
    ada.publish(&[]).await;
    stage.record().await;
    stage
        .until("begun", |events| {
            events.iter().any(|it| matches!(it, CallEvent::MediaJoined { .. })).then_some(())
        })
        .await;
    sleep(Duration::from_millis(1500)).await;
    stage.stop().await;
    stage
        .until("failed", |events| {
            events.iter().any(|it| matches!(it, CallEvent::RecordingFailed { .. })).then_some(())
        })
        .await;
    let state = stage.log.load::<Call>(&StreamName::call(stage.world.call.into())).await.unwrap();
    assert!(state.state.begun().is_some_and(|begun: &call::Begun| begun.runs().is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_ends_before_anything_was_written_has_failed_whoever_was_there() {
    let failed = |events: &[CallEvent]| {
        events.iter().any(|it| matches!(it, CallEvent::RecordingFailed { .. })).then_some(())
    };
    // Nobody.
    let stage = Stage::new().await;
    stage.record().await;
    stage.stop().await;
    stage.until("failed", failed).await;
    // Somebody who is connected, and the node had no time for it.
    let stage = Stage::new().await;
    let mut ada = Client::join(&stage.world, 1).await;
    ada.publish(&[]).await;
    stage
        .until("connected", |events| {
            events.iter().any(|it| matches!(it, CallEvent::MediaJoined { .. })).then_some(())
        })
        .await;
    stage.record().await;
    stage.stop().await;
    stage.until("failed", failed).await;
}

/// Records a page of Chromium with its fake camera and microphone.
async fn chromium_is_recorded(codec: &str, name: &str) {
    let (stage, site) = (Stage::new().await, site().await);
    let _ada = open(&stage.world, &site, "ada", 1, &format!("&codec={codec}"));
    stage
        .until("connected", |events| {
            events.iter().any(|it| matches!(it, CallEvent::MediaJoined { .. })).then_some(())
        })
        .await;
    stage.record().await;
    stage.written(20_000).await;
    sleep(Duration::from_secs(4)).await;
    stage.stop().await;
    let [file] = &stage.files(1).await[..] else { panic!("it is one file") };
    let probed = probe(&file.path).await;
    let (video, audio) = (stream(&probed, "video").unwrap(), stream(&probed, "audio").unwrap());
    assert_eq!(
        (video["codec_name"].as_str(), audio["codec_name"].as_str()),
        (Some(name), Some("opus"))
    );
    let duration = number(&probed["format"]["duration"]);
    let sounds = number(&audio["nb_read_frames"]) * 0.02;
    assert!((sounds - duration).abs() < 0.5, "{sounds} s of sound in {duration}");
    let played = play(&file.path).await;
    assert!(played["error"].is_null(), "{played}");
    assert!(played["frames"].as_u64().unwrap() >= 5, "{played}");
    assert!((played["duration"].as_f64().unwrap() - duration).abs() < 0.1, "{played}");
    eprintln!("{codec}: {duration} s, {} bytes, played {played}", probed["format"]["size"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_with_layers_of_vp8_is_recorded() {
    chromium_is_recorded("VP8", "vp8").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_with_vp9_is_recorded() {
    chromium_is_recorded("VP9&simulcast=no", "vp9").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_with_av1_is_recorded() {
    chromium_is_recorded("AV1&simulcast=no", "av1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_with_h264_is_recorded() {
    chromium_is_recorded("H264&simulcast=no", "h264").await;
}
