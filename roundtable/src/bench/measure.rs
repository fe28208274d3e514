//! What is measured of one step: when each message was due, and when it was seen.

use std::time::Duration;

use hdrhistogram::Histogram;
use memchr::memmem;
use tokio::time::Instant;
use uuid::{Builder, Uuid};

use super::lag::NextAck;

/// Below this a latency is noise, beyond it lost: microseconds, with three digits.
const LONGEST_US: u64 = 120_000_000;

/// One step: how much is offered, and when.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Which step of the run, to tell late messages of another from ours.
    pub(super) number: u16,
    pub(super) per_second: u32,
    pub(super) subscribers: usize,
    pub(super) start: Instant,
    /// Sent, but not measured: connections and caches are warm after it.
    pub(super) warm_up: Duration,
    pub(super) measured: Duration,
}

impl Plan {
    /// How many messages, with those of the warm-up.
    pub(super) fn count(&self) -> u32 {
        let seconds = (self.warm_up + self.measured).as_secs_f64();
        (seconds * f64::from(self.per_second)).round() as u32
    }

    /// When a message has to be sent.
    pub(super) fn due(&self, message: u32) -> Instant {
        let nanoseconds = u64::from(message) * 1_000_000_000 / u64::from(self.per_second);
        self.start + Duration::from_nanos(nanoseconds)
    }

    pub(super) fn measured_from(&self) -> Instant {
        self.start + self.warm_up
    }

    pub(super) fn end(&self) -> Instant {
        self.measured_from() + self.measured
    }

    /// The id of a message, which says which one it is: a UUIDv7 with our numbers at its end.
    pub(super) fn message(&self, message: u32) -> Uuid {
        let mut random = [0; 10];
        random[4..6].copy_from_slice(&self.number.to_be_bytes());
        random[6..].copy_from_slice(&message.to_be_bytes());
        Builder::from_unix_timestamp_millis(started_ms(), &random).into_uuid()
    }

    /// Which message an id is of, if it is of this step.
    fn number_of(&self, id: &[u8]) -> Option<u32> {
        // The last group of the text, 12 hex digits, is the last 6 bytes.
        let digits = std::str::from_utf8(id.get(24..36)?).ok()?;
        let number = u64::from_str_radix(digits, 16).ok()?;
        let message = u32::try_from(number & 0xFFFF_FFFF).ok()?;
        (number >> 32 == u64::from(self.number) && message < self.count()).then_some(message)
    }
}

/// The moment this process began to make ids, the same in all of them.
fn started_ms() -> u64 {
    static STARTED: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *STARTED.get_or_init(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
    })
}

/// What was seen of a step.
pub(super) struct Measure {
    pub(super) plan: Plan,
    pub(super) acks: Histogram<u64>,
    pub(super) deliveries: Histogram<u64>,
    /// Deliveries that arrived while it was measured, whenever they were due.
    pub(super) arrived_measured: u64,
    pub(super) acknowledged: u32,
    pub(super) delivered: u64,
    pub(super) doubled: u64,
    pub(super) disordered: u64,
    pub(super) refused: u64,
    pub(super) first_refusal: Option<String>,
    seen: Vec<Seen>,
}

/// What one subscriber saw.
struct Seen {
    messages: Vec<u64>,
    last_position: u64,
}

impl Seen {
    /// Marks a message; false if it was marked before.
    fn mark(&mut self, message: u32) -> bool {
        let (word, bit) = (message as usize / 64, 1 << (message % 64));
        let new = self.messages[word] & bit == 0;
        self.messages[word] |= bit;
        new
    }
}

impl Measure {
    pub(super) fn new(plan: Plan) -> Self {
        let histogram =
            || Histogram::new_with_max(LONGEST_US, 3).expect("the bounds are valid constants");
        let words = plan.count() as usize / 64 + 1;
        let seen = || Seen { messages: vec![0; words], last_position: 0 };
        Self {
            acks: histogram(),
            deliveries: histogram(),
            arrived_measured: 0,
            acknowledged: 0,
            delivered: 0,
            doubled: 0,
            disordered: 0,
            refused: 0,
            first_refusal: None,
            seen: std::iter::repeat_with(seen).take(plan.subscribers).collect(),
            plan,
        }
    }

    /// Deliveries that have to come.
    pub(super) fn expected(&self) -> u64 {
        (u64::from(self.plan.count()) - self.refused) * self.plan.subscribers as u64
    }

    pub(super) fn is_complete(&self) -> bool {
        self.delivered >= self.expected()
            && u64::from(self.acknowledged) + self.refused >= u64::from(self.plan.count())
    }

    /// Takes one frame of one subscriber, whose [`op`] is known.
    pub(super) fn frame(
        &mut self,
        subscriber: usize,
        op: &[u8],
        text: &[u8],
        now: Instant,
        next: &NextAck,
    ) {
        match op {
            [b'e', b'v', ..] => self.event(subscriber, text, now),
            [b'r', b'e', b's', ..] => self.result(text, now, next),
            [b'e', b'r', ..] => {
                self.refused += 1;
                let refusal = || String::from_utf8_lossy(text).into_owned();
                self.first_refusal.get_or_insert_with(refusal);
            }
            _ => {}
        }
    }

    fn event(&mut self, subscriber: usize, text: &[u8], now: Instant) {
        let message = after(text, br#""message":""#).and_then(|id| self.plan.number_of(id));
        let Some(message) = message else { return };
        let seen = &mut self.seen[subscriber];
        if !seen.mark(message) {
            self.doubled += 1;
            return;
        }
        let position = position(text);
        self.disordered += u64::from(position <= seen.last_position);
        seen.last_position = position;
        self.delivered += 1;
        if now >= self.plan.measured_from() && now < self.plan.end() {
            self.arrived_measured += 1;
        }
        record(&mut self.deliveries, &self.plan, message, now);
    }

    fn result(&mut self, text: &[u8], now: Instant, next: &NextAck) {
        let message = after(text, br#""id":""#).and_then(|id| self.plan.number_of(id));
        let Some(message) = message else { return };
        self.acknowledged += 1;
        record(&mut self.acks, &self.plan, message, now);
        next.acknowledged(|| position(text).to_string());
    }
}

/// From the moment the message was due, not from when it was sent: no coordinated omission.
fn record(histogram: &mut Histogram<u64>, plan: &Plan, message: u32, now: Instant) {
    let due = plan.due(message);
    if due >= plan.measured_from() {
        let latency = now.saturating_duration_since(due).as_micros();
        histogram.saturating_record(u64::try_from(latency).unwrap_or(LONGEST_US));
    }
}

/// What kind of frame it is: the text from its `op` on.
pub(super) fn op(text: &[u8]) -> &[u8] {
    after(text, br#""op":""#).unwrap_or_default()
}

/// What follows a key. A quote inside a JSON text is escaped, so this finds keys only.
fn after<'text>(text: &'text [u8], key: &[u8]) -> Option<&'text [u8]> {
    memmem::find(text, key).map(|at| &text[at + key.len()..])
}

/// The commit position of a frame; the prepare position never differs in a store of ours.
fn position(text: &[u8]) -> u64 {
    let digits = after(text, br#""position":""#).unwrap_or_default();
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            number: 3,
            per_second: 100,
            subscribers: 2,
            start: Instant::now(),
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(2),
        }
    }

    fn event(plan: &Plan, message: u32, position: u64) -> String {
        let id = plan.message(message);
        format!(
            r#"{{"at":"x","data":{{"message":"{id}","text":"\"op\":\"result\""}},"op":"event","position":"{position}"}}"#
        )
    }

    #[test]
    fn a_message_is_known_by_its_id() {
        let plan = plan();
        let id = plan.message(299);
        assert_eq!((id.get_version_num(), plan.count()), (7, 300));
        assert_eq!(plan.number_of(id.to_string().as_bytes()), Some(299));
        let other = Plan { number: 4, ..plan.clone() };
        assert_eq!(other.number_of(id.to_string().as_bytes()), None);
        assert_eq!(plan.number_of(b"short"), None);
    }

    #[test]
    fn what_comes_twice_or_in_disorder_is_counted() {
        let plan = plan();
        let (mut measure, next) = (Measure::new(plan.clone()), NextAck::default());
        let mut see = |subscriber, message, position| {
            let at = plan.due(message) + Duration::from_millis(7);
            let text = event(&plan, message, position);
            measure.frame(subscriber, op(text.as_bytes()), text.as_bytes(), at, &next);
        };
        see(0, 150, 10);
        see(0, 151, 20);
        see(0, 151, 20);
        see(1, 151, 20);
        see(1, 150, 10);
        // In the warm-up: delivered, but not measured.
        see(1, 5, 30);
        assert_eq!((measure.delivered, measure.doubled, measure.disordered), (5, 1, 1));
        assert_eq!((measure.deliveries.len(), measure.arrived_measured), (4, 4));
        assert!((6_990..=7_010).contains(&measure.deliveries.max()));
    }

    #[test]
    fn results_and_refusals_complete_a_step() {
        let plan = Plan { per_second: 1, subscribers: 1, ..plan() };
        let (mut measure, next) = (Measure::new(plan.clone()), NextAck::default());
        let now = Instant::now();
        for message in 0..2 {
            let id = plan.message(message);
            let result =
                format!(r#"{{"id":"{id}","message":"{id}","op":"result","position":"9"}}"#);
            let event = event(&plan, message, 9 + u64::from(message));
            for text in [result.as_bytes(), event.as_bytes()] {
                measure.frame(0, op(text), text, now, &next);
            }
        }
        assert!(!measure.is_complete());
        let refusal = br#"{"id":"x","op":"error","title":"no"}"#;
        measure.frame(0, op(refusal), refusal, now, &next);
        assert!(measure.is_complete());
        assert!(measure.first_refusal.unwrap().contains("no"));
    }
}
