//! Real media for tests: ffmpeg encodes a test picture and a tone, in real time, and sends both as RTP.

use std::process::Stdio;

use tokio::net::UdpSocket;
use tokio::process::{Child, Command};

/// An encoder at work.
pub(crate) struct Encoder {
    _child: Child,
    pub(crate) video: UdpSocket,
    pub(crate) audio: UdpSocket,
}

/// A packet of the encoder.
pub(crate) struct Encoded {
    pub(crate) number: u16,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Vec<u8>,
}

/// How each codec is encoded quickly, with two key frames in a second.
fn arguments(codec: &str) -> &'static [&'static str] {
    match codec {
        "vp8" => &["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "400k"],
        "vp9" => &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "300k"],
        "h264" => &[
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-tune",
            "zerolatency",
            "-profile:v",
            "baseline",
            "-pix_fmt",
            "yuv420p",
            "-bsf:v",
            "dump_extra",
            "-b:v",
            "400k",
        ],
        other => panic!("{other}"),
    }
}

impl Encoder {
    pub(crate) async fn start(codec: &str) -> Self {
        let video = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let audio = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to =
            |socket: &UdpSocket| format!("rtp://{}?pkt_size=1150", socket.local_addr().unwrap());
        let child = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-re"])
            .args(["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"])
            .args(["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"])
            .args(["-map", "0:v"])
            .args(arguments(codec))
            .args(["-g", "12", "-strict", "experimental", "-f", "rtp"])
            .arg(to(&video))
            .args(["-map", "1:a", "-c:a", "libopus", "-b:a", "32k", "-f", "rtp"])
            .arg(to(&audio))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("`scripts/deps tests` installs ffmpeg");
        Self { _child: child, video, audio }
    }
}

/// The next packet that comes to a socket.
pub(crate) async fn packet(socket: &UdpSocket) -> Encoded {
    let mut buffer = vec![0; 2000];
    loop {
        let len = socket.recv(&mut buffer).await.unwrap();
        let datagram = &buffer[..len];
        let &[_, second, a, b, c, d, e, f, _, _, _, _, ..] = datagram else { continue };
        return Encoded {
            number: u16::from_be_bytes([a, b]),
            timestamp: u32::from_be_bytes([c, d, e, f]),
            marker: second & 0x80 != 0,
            payload: datagram[12..].to_vec(),
        };
    }
}

/// What ffprobe says of a file, after ffmpeg has decoded all of it without a complaint.
pub(crate) async fn probe(file: &std::path::Path) -> serde_json::Value {
    let decoded = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-xerror", "-i"])
        .arg(file)
        // As many frames as there are, at their times: nothing is rounded to a rate.
        .args(["-vsync", "passthrough", "-enc_time_base", "-1", "-f", "null", "-"])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&decoded.stderr).into_owned();
    assert!(decoded.status.success() && said.is_empty(), "{}: {said}", file.display());
    let probed = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json"])
        .arg(file)
        .output()
        .await
        .unwrap();
    assert!(probed.stderr.is_empty(), "{}", String::from_utf8_lossy(&probed.stderr));
    serde_json::from_slice(&probed.stdout).unwrap()
}
