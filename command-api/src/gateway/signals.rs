//! Signals: what two devices in a call tell each other to find a way (offers, answers, candidates).
//!
//! A signal waits in a mailbox of the device that it is for (a Redis stream) until that device
//! listens, and for a while after, so that nothing is lost while it reconnects: it says what it has
//! seen last, and gets what came after, once and in order. That there is something in a mailbox is
//! told on a subject of the device on core NATS, at whichever node it is. Nothing of it is in the
//! log.

use std::sync::Arc;
use std::time::Duration;

use domain::call::{self, Call as Talk};
use events::call::Participant;
use events::{CallId, StreamName};
use futures::StreamExt;
use http::StatusCode;
use redis::Script;
use redis::streams::StreamRangeReply;
use serde_json::value::RawValue;
use service::redis::Away;
use service::{Identity, Problem};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::bucket::Bucket;
use super::queue::Outbox;
use crate::calls::{self, device};
use crate::{App, problems};

/// How many bytes a signal may have: a description of many tracks is about a third of it.
pub(crate) const MAX_BYTES: usize = 32 * 1024;

/// How long a signal waits.
const WAITS: Duration = Duration::from_secs(60);

/// How many signals, and bytes, from one device to another within that time.
const OF_A_PAIR: (usize, usize) = (256, 512 * 1024);

/// How many signals wait for one device.
const IN_ALL: usize = 512;

/// How many a socket may send at once, and a second in the long run.
const PACE: (f64, f64) = (100.0, 25.0);

/// To how many calls one socket listens: a device is in one, and changes from one to the next.
const LISTENS: usize = 2;

/// So long after the last look, a mailbox is looked into without having been told to.
const LOOK: Duration = Duration::from_secs(2);

/// After how many looks it is asked whether the device is still in the call.
const LOOKS: u32 = 30;

/// For how long a signal is held when Redis does not answer: nobody else has it. From when it came, so
/// that of many none holds up for longer what was said after them, such as that somebody hangs up.
const HELD: Duration = Duration::from_secs(5);

/// For how long it is known which signals are in a mailbox already.
const KNOWN: Duration = Duration::from_secs(30);

/// How soon Redis is asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// How many signals are fetched at once.
const PAGE: usize = 64;

/// Puts a signal into a mailbox, and returns 0; or returns in how many milliseconds there is room. What
/// is there already, under its number, is not put there twice.
const POST: &str = r"
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
local time = redis.call('TIME')
local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[3]
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f', oldest))
local sent = redis.call('HINCRBY', KEYS[2], 'signals', 1)
local bytes = redis.call('HINCRBY', KEYS[2], 'bytes', #ARGV[2])
if sent == 1 then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
if sent > tonumber(ARGV[4]) or bytes > tonumber(ARGV[5]) then
  return math.max(redis.call('PTTL', KEYS[2]), 1)
end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[6]) then return 1000 end
redis.call('XADD', KEYS[1], '*', 'from', ARGV[1], 'data', ARGV[2])
redis.call('SET', KEYS[3], '', 'PX', ARGV[7])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 0
";

/// What was seen last: an id of the mailbox, which is a time and a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen(String);

impl Seen {
    /// Reads what a client shows.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let number = |part: &str, most| {
            (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        match text.split_once('-') {
            Some((time, count)) if number(time, 15) && number(count, 9) => {
                Ok(Self(text.to_owned()))
            }
            Some(_) | None => Err(Problem::invalid("after: must be the `seq` of a signal")),
        }
    }
}

/// A signal that a client sends.
#[derive(Debug)]
pub(crate) struct Signal {
    /// In which call.
    pub(crate) call: CallId,
    /// For which device.
    pub(crate) to: Participant,
    /// What, which only clients understand.
    pub(crate) data: Box<RawValue>,
}

/// What one socket signals, and listens to.
pub(crate) struct Signaller {
    app: App,
    identity: Identity,
    outbox: Arc<Outbox>,
    pace: Bucket,
    listens: Vec<(CallId, Listener)>,
}

/// A task that ends with the socket.
struct Listener(JoinHandle<()>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Signaller {
    pub(crate) fn new(app: App, identity: Identity, outbox: Arc<Outbox>) -> Self {
        let pace = Bucket::new(PACE.0, PACE.1, Instant::now());
        Self { app, identity, outbox, pace, listens: Vec::new() }
    }

    /// What to do with a signal.
    pub(crate) fn send(
        &mut self,
        signal: Signal,
    ) -> impl Future<Output = Result<(), Problem>> + Send + use<> {
        let now = Instant::now();
        let in_time = self.pace.take(now);
        let (app, identity) = (self.app.clone(), self.identity);
        async move {
            if !in_time {
                return Err(too_many(Duration::from_secs(1)));
            }
            let target = signal.call.uuid();
            post(&app, device(identity), signal, now + HELD).await.inspect_err(|problem| {
                app.edge().denials.note_problem(identity.user, "signal", Some(target), problem);
            })
        }
    }

    /// The device is ready for the signals of a call: those that wait, after what it has seen last,
    /// and those to come.
    pub(crate) fn listen(&mut self, call: CallId, seen: Option<Seen>) {
        self.listens.retain(|(other, _)| *other != call);
        if self.listens.len() >= LISTENS {
            self.listens.remove(0);
        }
        let listening = Mailbox {
            app: self.app.clone(),
            call,
            device: device(self.identity),
            outbox: Arc::clone(&self.outbox),
            seen,
        };
        self.listens.push((call, Listener(tokio::spawn(listening.listen()))));
    }
}

async fn post(
    app: &App,
    from: Participant,
    signal: Signal,
    deadline: Instant,
) -> Result<(), Problem> {
    let Signal { call, to, data } = signal;
    if data.get().len() > MAX_BYTES {
        let title = "A signal has at most 32768 bytes";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "signal-too-large", title));
    }
    check(app, call, from, to).await?;
    let posted = put(app, &mailbox(call, to), from, data.get(), deadline).await?;
    if posted > 0 {
        return Err(too_many(Duration::from_millis(posted)));
    }
    app.gateway().whispers.ring(to.device).await;
    Ok(())
}

/// Runs [`POST`], as often as it takes.
async fn put(
    app: &App,
    mailbox: &str,
    from: Participant,
    data: &str,
    deadline: Instant,
) -> Result<u64, Problem> {
    let redis = app.redis();
    let mailbox = redis.key(mailbox);
    let pair = format!("{mailbox}:{}", from.device);
    let number = format!("{pair}:{:016x}", rand::random::<u64>());
    let from = serde_json::to_string(&from).expect("ids are JSON");
    let script = Script::new(POST);
    let mut post = script.key(mailbox);
    post.key(pair)
        .key(number)
        .arg(from)
        .arg(data)
        .arg(WAITS.as_millis() as u64)
        .arg(OF_A_PAIR.0)
        .arg(OF_A_PAIR.1)
        .arg(IN_ALL)
        .arg(KNOWN.as_millis() as u64);
    loop {
        let asked = redis.ask(|mut connection| {
            let post = &post;
            async move { post.invoke_async(&mut connection).await }
        });
        match asked.await {
            Ok(posted) => return Ok(posted),
            Err(Away) if Instant::now() < deadline => tokio::time::sleep(AGAIN).await,
            Err(Away) => return Err(Problem::unavailable(Duration::from_secs(1))),
        }
    }
}

/// Only devices in a call signal, and only to each other. Who has just come in may not be known
/// here yet: before somebody is refused, the log itself is asked.
async fn check(app: &App, call: CallId, from: Participant, to: Participant) -> Result<(), Problem> {
    let stream = StreamName::call(call);
    let known = app.log().state::<Talk>(&stream).await?.state;
    if known.has(from) && known.has(to) {
        return Ok(());
    }
    let known = app.log().load::<Talk>(&stream).await?.state;
    if known.has(from) && known.has(to) {
        return Ok(());
    }
    let begun = calls::known(app, call, from.user).await?.begun;
    Err(match (begun.is_over(), begun.has(from)) {
        (true, _) => problems::of_call(call::Rejection::Over),
        (false, false) => problems::of_call(call::Rejection::NotInCall),
        (false, true) => problems::peer_not_in_call(),
    })
}

const fn too_many(wait: Duration) -> Problem {
    let title = "Too many signals";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-signals", title).retry_after(wait)
}

fn mailbox(call: CallId, to: Participant) -> String {
    format!("signals:{call}:{}", to.device)
}

/// A mailbox that a socket listens to.
struct Mailbox {
    app: App,
    call: CallId,
    device: Participant,
    outbox: Arc<Outbox>,
    seen: Option<Seen>,
}

impl Mailbox {
    async fn listen(mut self) {
        // Subscribed first: what comes while the mailbox is emptied rings.
        let mut bell = self.app.gateway().whispers.bell(self.device.device).await;
        for look in 1_u32.. {
            self.empty().await;
            let rung = async {
                match &mut bell {
                    Some(bell) => bell.next().await.is_some(),
                    None => std::future::pending().await,
                }
            };
            // A bell may be lost; a mailbox is looked into now and then in any case.
            let rung = tokio::time::timeout(LOOK, rung).await;
            if rung == Ok(false) {
                bell = None;
            }
            if look % LOOKS == 0 && !self.is_of_use().await {
                return;
            }
        }
    }

    /// Whether the device is in the call, as far as one can know.
    async fn is_of_use(&self) -> bool {
        let known = self.app.log().state::<Talk>(&StreamName::call(self.call)).await;
        known.map_or(true, |known| known.state.active().is_some() && known.state.has(self.device))
    }

    /// Sends what has come. With Redis away it is sent when it is back.
    async fn empty(&mut self) {
        loop {
            let redis = self.app.redis();
            let key = redis.key(&mailbox(self.call, self.device));
            let from = self.seen.as_ref().map_or("-".to_owned(), |Seen(id)| format!("({id}"));
            let page: Result<StreamRangeReply, _> = redis
                .ask(|mut connection| async move {
                    let mut range = redis::cmd("XRANGE");
                    range.arg(key).arg(from).arg("+").arg("COUNT").arg(PAGE);
                    range.query_async(&mut connection).await
                })
                .await;
            let Ok(page) = page else { return };
            let last = page.ids.len() < PAGE;
            for entry in page.ids {
                let field = |name: &str| entry.get::<String>(name).unwrap_or_default();
                let (from, data) = (field("from"), field("data"));
                let (call, seq) = (self.call, &entry.id);
                self.outbox.push(
                    format!(
                        r#"{{"op":"signal","call":"{call}","seq":"{seq}","from":{from},"data":{data}}}"#
                    )
                    .into(),
                );
                self.seen = Some(Seen(entry.id));
            }
            if last {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_a_time_and_a_number() {
        for good in ["1700000000000-0", "1-12"] {
            assert_eq!(Seen::parse(good).unwrap(), Seen(good.to_owned()));
        }
        for bad in ["", "-", "1", "1-", "-1", "+", "1-2-3", "1-x", "(1-2", "1234567890123456-0"] {
            assert!(Seen::parse(bad).is_err(), "{bad}");
        }
    }
}
