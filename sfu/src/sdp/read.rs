//! What a client says in its description.

use std::collections::HashMap;

use thiserror::Error;

use crate::media::dtls::Fingerprint;
use crate::media::ice::Credentials;
use crate::room::codec::Codec;

/// The longest description that is read, in bytes.
pub(crate) const LONGEST: usize = 256 * 1024;

/// The most media sections.
const SECTIONS: usize = 512;

/// The most attributes of one section.
const ATTRIBUTES: usize = 600;

/// Why a description is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum ReadError {
    #[error("the description is too long")]
    TooLong,
    #[error("this is no session description")]
    Malformed,
    #[error("the description has no ICE credentials")]
    NoCredentials,
    #[error("the description has no fingerprint that is known")]
    NoFingerprint,
    #[error("all media must share one connection (BUNDLE) and multiplex RTCP")]
    NotBundled,
}

/// What is sent in a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Audio,
    Video,
    Other,
}

/// Which way media goes, as the client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Send,
    Receive,
    Both,
    Neither,
}

/// A format in a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) payload_type: u8,
    pub(crate) codec: Codec,
    /// Its parameters, as they stand.
    pub(crate) parameters: String,
    /// The payload type of its retransmissions.
    pub(crate) again: Option<u8>,
    /// Its feedback.
    pub(crate) feedback: Vec<String>,
}

/// One section.
#[derive(Clone, Debug)]
pub(crate) struct Media {
    pub(crate) kind: Kind,
    /// The word that `m=` begins with.
    pub(crate) name: String,
    /// What stands between the port and the formats.
    pub(crate) protocol: String,
    /// The formats as they stand.
    pub(crate) formats_line: String,
    pub(crate) mid: String,
    pub(crate) rejected: bool,
    pub(crate) direction: Direction,
    /// Those that are known, in the client's order.
    pub(crate) formats: Vec<Format>,
    pub(crate) extensions: Vec<(u8, String)>,
    /// Layers that the client sends, by name, from the lowest in its own order.
    pub(crate) layers: Vec<String>,
    /// Streams, each with the one of its retransmissions.
    pub(crate) streams: Vec<(u32, Option<u32>)>,
    /// The longest message of data channels that the client takes, in bytes, where this is the
    /// section of those.
    pub(crate) data: Option<u64>,
}

impl Media {
    /// The id of an extension that the client understands.
    pub(crate) fn extension(&self, uri: &str) -> Option<u8> {
        self.extensions.iter().find(|(_, known)| known == uri).map(|(id, _)| *id)
    }
}

/// A description.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub(crate) credentials: Credentials,
    pub(crate) fingerprint: Fingerprint,
    /// `actpass`, `active` or `passive`.
    pub(crate) setup: String,
    pub(crate) media: Vec<Media>,
}

impl Description {
    /// Reads a description.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(text: &str) -> Result<Self, ReadError> {
        if text.len() > LONGEST {
            return Err(ReadError::TooLong);
        }
        let mut lines = text.lines().map(|line| line.trim_end_matches('\r'));
        if lines.next() != Some("v=0") {
            return Err(ReadError::Malformed);
        }
        let mut session = Vec::new();
        let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in lines {
            if let Some(section) = line.strip_prefix("m=") {
                if sections.len() == SECTIONS {
                    return Err(ReadError::TooLong);
                }
                sections.push((section, Vec::new()));
            } else if let Some(attribute) = line.strip_prefix("a=") {
                let list = sections.last_mut().map_or(&mut session, |(_, list)| list);
                if list.len() == ATTRIBUTES {
                    return Err(ReadError::TooLong);
                }
                list.push(attribute);
            }
        }
        let media: Result<Vec<_>, _> = sections
            .iter()
            .enumerate()
            .map(|(index, (line, list))| section(index, line, list))
            .collect();
        let media = media?;
        let alive: Vec<&Media> = media.iter().filter(|media| !media.rejected).collect();
        bundled(&session, &alive)?;
        // All sections share one transport: what the first that has it says.
        let anywhere = |name: &str| {
            let all = sections.iter().map(|(_, list)| list).chain([&session]);
            all.flat_map(|list| list.iter()).find_map(|line| value(line, name))
        };
        let name = anywhere("ice-ufrag").filter(|name| (4..=256).contains(&name.len()));
        let password = anywhere("ice-pwd").filter(|text| (22..=256).contains(&text.len()));
        let (Some(name), Some(password)) = (name, password) else {
            return Err(ReadError::NoCredentials);
        };
        let all = sections.iter().map(|(_, list)| list).chain([&session]);
        let fingerprint = all
            .flat_map(|list| list.iter())
            .filter_map(|line| fingerprint(value(line, "fingerprint")?))
            .next()
            .ok_or(ReadError::NoFingerprint)?;
        let setup = anywhere("setup").unwrap_or("actpass").to_owned();
        let credentials = Credentials { name: name.to_owned(), password: password.to_owned() };
        Ok(Self { credentials, fingerprint, setup, media })
    }
}

fn bundled(session: &[&str], alive: &[&Media]) -> Result<(), ReadError> {
    if alive.len() < 2 {
        return Ok(());
    }
    let group = session.iter().find_map(|line| value(line, "group")?.strip_prefix("BUNDLE"));
    let group: Vec<&str> = group.ok_or(ReadError::NotBundled)?.split_whitespace().collect();
    let within = |media: &&&Media| group.contains(&media.mid.as_str());
    match alive.iter().filter(within).count() == alive.len() {
        true => Ok(()),
        false => Err(ReadError::NotBundled),
    }
}

fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.strip_prefix(name)?.strip_prefix(':').map(str::trim)
}

fn fingerprint(text: &str) -> Option<Fingerprint> {
    let (algorithm, digest) = text.split_once(' ')?;
    let algorithm = algorithm.to_ascii_lowercase();
    let len = match algorithm.as_str() {
        "sha-256" => 32,
        "sha-384" => 48,
        "sha-512" => 64,
        _ => return None,
    };
    let digest: Result<Vec<u8>, _> =
        digest.trim().split(':').map(|pair| u8::from_str_radix(pair, 16)).collect();
    let digest = digest.ok().filter(|digest| digest.len() == len)?;
    Some(Fingerprint { algorithm, digest })
}

fn section(index: usize, line: &str, list: &[&str]) -> Result<Media, ReadError> {
    let mut words = line.splitn(4, ' ');
    let mut word = || words.next().ok_or(ReadError::Malformed);
    let (name, port, protocol, formats_line) = (word()?, word()?, word()?, word()?);
    let kind = match name {
        "audio" => Kind::Audio,
        "video" => Kind::Video,
        _ => Kind::Other,
    };
    let has = |flag: &str| list.contains(&flag);
    let find = |name: &str| list.iter().find_map(|line| value(line, name));
    let mid = find("mid").map_or_else(|| index.to_string(), str::to_owned);
    // It goes into lines of ours.
    if mid.len() > 32 || !mid.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ReadError::Malformed);
    }
    let direction = match (has("sendonly"), has("recvonly"), has("inactive")) {
        (true, ..) => Direction::Send,
        (_, true, _) => Direction::Receive,
        (.., true) => Direction::Neither,
        _ => Direction::Both,
    };
    let rejected = port == "0" && !has("bundle-only");
    if matches!(kind, Kind::Audio | Kind::Video) && !rejected && !has("rtcp-mux") {
        return Err(ReadError::NotBundled);
    }
    Ok(Media {
        kind,
        name: token(name)?,
        protocol: token(protocol)?,
        formats_line: plain(formats_line)?,
        mid,
        rejected,
        direction,
        formats: formats(formats_line, list),
        extensions: list.iter().filter_map(|line| extension(value(line, "extmap")?)).collect(),
        layers: layers(list),
        streams: streams(list),
        data: data(line, list),
    })
}

fn token(text: &str) -> Result<String, ReadError> {
    let good = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic());
    if good { Ok(text.to_owned()) } else { Err(ReadError::Malformed) }
}

fn plain(text: &str) -> Result<String, ReadError> {
    let good = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if good { Ok(text.to_owned()) } else { Err(ReadError::Malformed) }
}

fn extension(text: &str) -> Option<(u8, String)> {
    let (id, rest) = text.split_once(' ')?;
    let id = id.split('/').next()?.parse().ok().filter(|id| (1..=14).contains(id))?;
    Some((id, rest.split_whitespace().next()?.to_owned()))
}

fn formats(line: &str, list: &[&str]) -> Vec<Format> {
    let typed = |name: &'static str| {
        list.iter().filter_map(move |line| {
            let (number, rest) = value(line, name)?.split_once(' ')?;
            Some((number, rest.trim()))
        })
    };
    let maps: HashMap<&str, &str> = typed("rtpmap").collect();
    let parameters: HashMap<&str, &str> = typed("fmtp").collect();
    let again: HashMap<&str, u8> = maps
        .iter()
        .filter(|(_, name)| name.to_ascii_lowercase().starts_with("rtx/"))
        .filter_map(|(number, _)| {
            let parameters = parameters.get(number)?.split(';');
            let of = parameters.filter_map(|pair| pair.trim().strip_prefix("apt=")).next()?;
            Some((of, number.parse().ok()?))
        })
        .collect();
    let mut known = Vec::new();
    for number in line.split_whitespace().take(128) {
        let Some(payload_type) = number.parse::<u8>().ok().filter(|number| *number < 128) else {
            continue;
        };
        let Some(codec) = maps.get(number).and_then(|map| Codec::of_name(map.split('/').next()?))
        else {
            continue;
        };
        let text = parameters.get(number).copied().unwrap_or_default();
        if text.len() > 512 || !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            continue;
        }
        let feedback = typed("rtcp-fb").filter(|(of, _)| *of == number || *of == "*");
        known.push(Format {
            payload_type,
            codec,
            parameters: text.to_owned(),
            again: again.get(number).copied(),
            feedback: feedback.map(|(_, what)| what.to_owned()).take(16).collect(),
        });
    }
    known
}

/// The names of the layers that are sent, as `a=simulcast` orders them: from the first.
fn layers(list: &[&str]) -> Vec<String> {
    let sent = list.iter().find_map(|line| {
        let mut words = value(line, "simulcast")?.split_whitespace();
        words.find(|word| *word == "send")?;
        words.next()
    });
    let names = sent.unwrap_or_default().split(';').map(|alternatives| {
        let first = alternatives.split(',').next().unwrap_or_default();
        first.trim_start_matches('~').to_owned()
    });
    let good = |name: &String| {
        (1..=16).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    names.filter(good).take(4).collect()
}

/// The longest message of data channels (RFC 8841), where this is the section of those.
fn data(line: &str, list: &[&str]) -> Option<u64> {
    let mut words = line.split_whitespace();
    let is_data = words.next() == Some("application")
        && words.nth(1) == Some("UDP/DTLS/SCTP")
        && words.next() == Some("webrtc-datachannel");
    let find = |name: &str| list.iter().find_map(|line| value(line, name)?.parse::<u64>().ok());
    find("sctp-port").filter(|_| is_data)?;
    match find("max-message-size") {
        Some(0) => Some(u64::MAX),
        longest => Some(longest.unwrap_or(65_536)),
    }
}

fn streams(list: &[&str]) -> Vec<(u32, Option<u32>)> {
    let pairs: HashMap<u32, u32> = list
        .iter()
        .filter_map(|line| {
            let mut words = value(line, "ssrc-group")?.strip_prefix("FID ")?.split_whitespace();
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        })
        .collect();
    let mut streams = Vec::new();
    for line in list {
        let Some(text) = value(line, "ssrc") else { continue };
        let Some(ssrc) = text.split(' ').next().and_then(|ssrc| ssrc.parse().ok()) else {
            continue;
        };
        let repairs = pairs.values().any(|repair| *repair == ssrc);
        let known = streams.iter().any(|(known, _)| *known == ssrc);
        if !repairs && !known && streams.len() < 8 {
            streams.push((ssrc, pairs.get(&ssrc).copied()));
        }
    }
    streams
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
