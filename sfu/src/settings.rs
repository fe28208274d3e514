//! What the SFU is told at its start, beside what every service is told.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;

use anyhow::{Context, bail};
use service::check::Own;

use crate::sdp::Bounds;

const LISTEN: &str = "ROUNDTABLE_SFU_LISTEN";
const ADDRESSES: &str = "ROUNDTABLE_SFU_ADDRESSES";
const URL: &str = "ROUNDTABLE_SFU_URL";
const THREADS: &str = "ROUNDTABLE_SFU_THREADS";
const HEIGHT: &str = "ROUNDTABLE_SFU_MAX_HEIGHT";
const VIDEO: &str = "ROUNDTABLE_SFU_MAX_VIDEO_BITRATE";
const RECORDINGS: &str = "ROUNDTABLE_SFU_RECORDINGS";

/// The most media threads.
const MOST: usize = 64;

/// What `--check-config` says of these settings.
pub const OWN_SETTINGS: [Own; 7] = [
    Own { name: LISTEN, default: "0.0.0.0:0", check: |value| check(LISTEN, value) },
    Own {
        name: ADDRESSES,
        default: "those of this machine",
        check: |value| check(ADDRESSES, value),
    },
    Own { name: URL, default: "where it listens", check: |value| check(URL, value) },
    Own { name: THREADS, default: "one for each core", check: |value| check(THREADS, value) },
    Own { name: HEIGHT, default: "any", check: |value| check(HEIGHT, value) },
    Own { name: VIDEO, default: "6000000", check: |value| check(VIDEO, value) },
    Own {
        name: RECORDINGS,
        default: ".roundtable/recordings",
        check: |value| check(RECORDINGS, value),
    },
];

fn check(name: &str, value: &str) -> Result<(), String> {
    let read = Settings::read(|asked| (asked == name).then(|| value.to_owned()));
    read.map(|_| ()).map_err(|error| format!("{error:#}"))
}

/// What the SFU is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `ROUNDTABLE_SFU_LISTEN`: address and UDP port of media; `0.0.0.0:0` by default, which takes
    /// free ports. The threads take this port and the ones after it.
    pub listen: SocketAddr,
    /// `ROUNDTABLE_SFU_ADDRESSES`: the addresses at which clients reach it, separated by commas;
    /// those of the machine by default.
    pub addresses: Vec<IpAddr>,
    /// `ROUNDTABLE_SFU_URL`: `http://` or `https://`, where clients reach its signalling; what it
    /// listens on by default.
    pub url: Option<String>,
    /// `ROUNDTABLE_SFU_THREADS`: media threads; one for each core by default.
    pub threads: usize,
    /// `ROUNDTABLE_SFU_MAX_HEIGHT`: the highest picture that may be sent, in lines; any by default.
    pub max_height: Option<u16>,
    /// `ROUNDTABLE_SFU_MAX_VIDEO_BITRATE`: what a publisher is asked to send at most of one picture,
    /// all layers together, in bits a second; 6 Mbit/s by default.
    pub max_video_bitrate: u64,
    /// `ROUNDTABLE_SFU_RECORDINGS`: the folder where recordings are written until they are stored as
    /// files, `.roundtable/recordings` by default. It should outlive the process.
    pub recordings: PathBuf,
}

/// What a publisher is asked to send at most of one picture, unless it is told.
const VIDEO_BITRATE: u64 = 6_000_000;

impl Settings {
    /// Reads the environment of the process.
    ///
    /// # Errors
    /// When a variable is wrong; the message names it.
    pub fn from_env() -> anyhow::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "this is where configuration is read")]
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads the variables from anywhere. An empty one counts as not set.
    ///
    /// # Errors
    /// When one is wrong; the message names it.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let optional = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let listen = optional(LISTEN).unwrap_or_else(|| "0.0.0.0:0".to_owned());
        let listen = listen.parse().with_context(|| format!("{LISTEN} must be address:port"))?;
        let addresses = optional(ADDRESSES).unwrap_or_default();
        let addresses: Result<Vec<IpAddr>, _> = addresses
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(str::parse)
            .collect();
        let url = optional(URL);
        if url.as_ref().is_some_and(|url| !url.starts_with("http")) {
            bail!("{URL} must begin with http:// or https://");
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = match optional(THREADS) {
            None => cores,
            Some(text) => text.trim().parse().with_context(|| format!("{THREADS} is no number"))?,
        };
        if !(1..=MOST).contains(&threads) {
            bail!("{THREADS} must be from 1 to {MOST}");
        }
        let addresses = addresses.with_context(|| format!("{ADDRESSES} must be IP addresses"))?;
        let max_height = optional(HEIGHT).map(|text| text.trim().parse());
        let max_height = max_height
            .transpose()
            .with_context(|| format!("{HEIGHT} must be a number of lines"))?;
        let max_video_bitrate = match optional(VIDEO) {
            None => VIDEO_BITRATE,
            Some(text) => text.trim().parse().with_context(|| format!("{VIDEO} is no number"))?,
        };
        if !(50_000..=50_000_000).contains(&max_video_bitrate) {
            bail!("{VIDEO} must be from 50000 to 50000000 bits a second");
        }
        let recordings =
            optional(RECORDINGS).unwrap_or_else(|| ".roundtable/recordings".to_owned()).into();
        Ok(Self { listen, addresses, url, threads, max_height, max_video_bitrate, recordings })
    }

    /// What bounds every publisher.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds { video: self.max_video_bitrate, height: self.max_height, ..Bounds::default() }
    }

    /// Binds one socket for each thread.
    ///
    /// # Errors
    /// When a port is taken.
    pub(crate) fn sockets(&self) -> anyhow::Result<Vec<UdpSocket>> {
        let bind = |index: usize| {
            let mut address = self.listen;
            if address.port() != 0 {
                let port = usize::from(address.port()) + index;
                address.set_port(u16::try_from(port).context("there are no ports after this one")?);
            }
            UdpSocket::bind(address).with_context(|| format!("cannot listen on UDP {address}"))
        };
        (0..self.threads).map(bind).collect()
    }

    /// Where clients reach a socket.
    ///
    /// # Errors
    /// When the machine has no address.
    pub(crate) fn reached(&self, socket: &UdpSocket) -> anyhow::Result<Vec<SocketAddr>> {
        let local = socket.local_addr()?;
        let ips = if !self.addresses.is_empty() {
            self.addresses.clone()
        } else if !local.ip().is_unspecified() {
            vec![local.ip()]
        } else {
            // The loopback is for clients on this machine, the other for those on its network.
            let mut own = vec![own_address().unwrap_or(IpAddr::from([127, 0, 0, 1]))];
            if !own[0].is_loopback() {
                own.push(IpAddr::from([127, 0, 0, 1]));
            }
            own
        };
        Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, local.port())).collect())
    }
}

/// The address from which this machine would reach others. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> anyhow::Result<Settings> {
        Settings::read(|asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn what_is_not_said_is_a_free_port_and_a_thread_for_each_core() {
        let settings = read("", "").unwrap();
        assert_eq!(settings.listen.to_string(), "0.0.0.0:0");
        assert!(settings.threads >= 1 && settings.addresses.is_empty());
    }

    #[test]
    fn each_wrong_variable_is_named() {
        for (name, wrong) in [
            (LISTEN, "7000"),
            (ADDRESSES, "sfu.example"),
            (URL, "sfu"),
            (THREADS, "0"),
            (THREADS, "x"),
            (HEIGHT, "high"),
            (VIDEO, "1"),
        ] {
            let refused = format!("{:#}", read(name, wrong).unwrap_err());
            assert!(refused.contains(name), "{refused}");
        }
        let two = read(ADDRESSES, "192.0.2.7, 2001:db8::7").unwrap();
        assert_eq!(two.addresses.len(), 2);
    }
}
