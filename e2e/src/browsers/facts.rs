//! What is seen and heard in a page, as its statistics say.

use std::time::Duration;

use events::UserId;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Page;

/// How many more pictures show that they go on.
const PICTURES: u64 = 10;

/// What is seen and heard in a page.
#[derive(Clone, Debug, Deserialize)]
pub struct Facts {
    /// `peers` or `sfu`.
    pub carrier: Option<String>,
    /// The node of the SFU.
    pub node: Option<String>,
    /// Whether it is in no call any more.
    pub over: bool,
    /// What comes.
    pub media: Vec<Media>,
    /// The state of each connection.
    pub connections: Vec<String>,
    /// The name that ICE has on this side of each.
    pub credentials: Vec<String>,
    /// Everybody in the call, and what of them is on.
    pub people: Vec<Value>,
    /// What the way over the SFU said of itself.
    pub trouble: Vec<String>,
    /// The longest time between two pictures of the page's own camera since the mark, in milliseconds:
    /// how long the machine itself stood still.
    pub stall: f64,
}

/// One picture or sound that comes.
#[derive(Clone, Debug, Deserialize)]
pub struct Media {
    /// Whose.
    pub user: UserId,
    /// Of which device.
    pub device: Uuid,
    /// `microphone`, `camera`, `screen`.
    pub source: String,
    /// `peer` or `sfu`.
    pub by: String,
    /// Which track of the SFU it is.
    pub id: Option<u64>,
    /// Pictures that were decoded.
    pub frames: u64,
    /// How high they are.
    pub height: u64,
    /// What was heard, in energy and samples.
    pub energy: f64,
    /// As they come from the decoder.
    pub samples: f64,
    /// The longest time without a new picture since the mark, in milliseconds.
    pub gap: Option<f64>,
    /// What the browser itself took for a freeze, in seconds.
    pub frozen: f64,
}

impl Media {
    pub(super) fn brings(&self) -> bool {
        self.frames > 0 || self.energy > 0.0
    }

    pub(super) fn is_of(&self, other: &Self) -> bool {
        (self.device, &self.source, &self.by) == (other.device, &other.source, &other.by)
    }

    /// Whether more came since: pictures that were decoded, or sound that was heard.
    pub(super) fn grew(&self, since: &Self) -> bool {
        match self.source.as_str() {
            "microphone" => self.energy > since.energy && self.samples > since.samples,
            _ => self.frames >= since.frames + PICTURES,
        }
    }
}

impl Facts {
    /// What comes of somebody.
    pub fn of(&self, page: &Page, source: &str) -> Option<&Media> {
        self.media.iter().find(|one| one.user == page.user && one.source == source)
    }

    /// Whether it is known that something of somebody is on.
    pub fn is_on(&self, page: &Page, source: &str) -> bool {
        let person = self.people.iter().find(|person| person["user"] == json!(page.user));
        person.is_some_and(|person| person["toggles"][source] == true)
    }

    /// The longest time that a camera stood still since the mark.
    pub fn longest_gap(&self) -> Duration {
        let gaps = self.media.iter().filter(|one| one.source != "microphone").map(|one| one.gap);
        let longest = gaps.flatten().fold(0.0, f64::max);
        Duration::from_secs_f64(longest / 1000.0)
    }
}
