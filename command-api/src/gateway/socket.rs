//! The life of one socket: who it is, what it missed, then commands in and events out.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use events::Position;
use events::Scope;
use http::StatusCode;
use rand::Rng;
use service::auth::scopes::Need;
use service::{Identity, Problem};
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::attach::{self, Failed};
use super::bucket::Bucket;
use super::dispatcher::Dispatcher;
use super::fanout::SocketId;
use super::frames::{BadFrame, Bye, ClientFrame, MAX_FRAME_BYTES, ServerFrame};
use super::in_flight::InFlight;
use super::programs::{Attendance, expiry};
use super::queue::Outbox;
use super::signals::Signaller;
use super::typing::Typist;
use super::wire::{Received, Wire};
use crate::App;
use crate::commands::{Accepted, Pending};

/// How many bad frames in a row are too many.
const BAD_FRAMES: u32 = 10;

/// How many sockets of one person a node serves at the same time.
const SOCKETS_OF_ONE: u32 = 50;

/// How often somebody may say that they are away, or back: so many times at once, and so many times
/// a second in the long run. What is said more often counts at the next heartbeat.
const TURNS: (f64, f64) = (5.0, 0.2);

/// How long a command may take.
const COMMAND: Duration = Duration::from_secs(15);

/// A socket's place at the dispatcher, which it leaves when this is dropped.
pub(crate) struct Registered {
    pub(crate) id: SocketId,
    pub(crate) outbox: Arc<Outbox>,
    dispatcher: Dispatcher,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.dispatcher.leave(self.id);
    }
}

/// Serves a socket until it ends.
pub(crate) async fn serve(app: &App, mut wire: Wire, known: Option<Identity>) {
    let gauge = metrics::gauge!("roundtable_gateway_sockets");
    gauge.increment(1);
    let limits = &app.gateway().limits;
    let shutdown = app.gateway().shutdown.clone();
    let ended = tokio::select! {
        ended = live(app, &mut wire, known) => ended,
        () = shutdown.cancelled() => Err(Failed::Bye(going_away(limits.going_away))),
    };
    if let Err(Failed::Bye(bye)) = ended {
        tracing::debug!(code = bye.code, "a socket ends");
        wire.end(&bye).await;
    }
    gauge.decrement(1);
}

/// Everything but the end.
async fn live(app: &App, wire: &mut Wire, known: Option<Identity>) -> Result<(), Failed> {
    let gateway = app.gateway();
    // In a box: what it takes to come in is large, and given back before the long time of waiting.
    let (identity, registered, present) = Box::pin(come_in(app, wire, known)).await?;
    let _here = identity.has(Scope::Presence).then(|| app.rooms().here(identity));
    Session {
        app,
        wire,
        identity,
        present,
        away: false,
        turns: Bucket::new(TURNS.0, TURNS.1, Instant::now()),
        typist: Typist::new(app.clone(), identity.user, registered.id),
        signaller: None,
        outbox: &registered.outbox,
        commands: InFlight::new(gateway.limits.commands),
        bad_frames: 0,
        heard: Instant::now(),
    }
    .run()
    .await
}

/// From `hello` to `ready`.
async fn come_in(
    app: &App,
    wire: &mut Wire,
    known: Option<Identity>,
) -> Result<(Identity, Registered, Attendance), Failed> {
    let gateway = app.gateway();
    let hello = ServerFrame::Hello {
        heartbeat_ms: u64::try_from(gateway.limits.heartbeat.as_millis()).unwrap_or(u64::MAX),
        max_frame_bytes: MAX_FRAME_BYTES,
        node: &gateway.node,
        version: 1,
    };
    wire.send(&hello).await?;
    let greeting = tokio::time::timeout(gateway.limits.greeting, greet(app, wire, known));
    let (identity, after) = greeting.await.unwrap_or(Err(Failed::Bye(Bye::auth_timeout())))?;

    let program = match identity.has(Scope::Presence) {
        false => {
            let program = gateway.programs.enter(identity.login, SOCKETS_OF_ONE);
            Some(program.ok_or(Failed::Bye(Bye::too_many_sockets()))?)
        }
        true if gateway.presence.devices(identity.user) >= SOCKETS_OF_ONE => {
            return Err(Failed::Bye(Bye::too_many_sockets()));
        }
        true => None,
    };
    let registered = Registered {
        id: gateway.next_id(),
        outbox: Arc::new(Outbox::new(gateway.limits.outbox())),
        dispatcher: gateway.dispatcher.clone(),
    };
    let position = attach::attach(app, wire, &registered, identity, after).await?;
    let resumed = after.is_some();
    wire.send(&ServerFrame::Ready { user: identity.user, position, resumed }).await?;
    let present = match program {
        Some(program) => Attendance::Program { _counted: program },
        None => Attendance::Present(gateway.presence.enter(identity.user)),
    };
    Ok((identity, registered, present))
}

/// Waits for the client to say who it is, and from where on it wants what it missed.
async fn greet(
    app: &App,
    wire: &mut Wire,
    known: Option<Identity>,
) -> Result<(Identity, Option<Position>), Failed> {
    let mut bad_frames = 0;
    loop {
        let refused = match read_frame(wire).await? {
            Ok(ClientFrame::Auth { token, after }) => match introduce(app, &token).await {
                Ok(identity) => return Ok((identity, after)),
                Err(problem) => {
                    wire.send(&ServerFrame::Error { id: None, problem: &problem }).await?;
                    let bye = match problem.status() {
                        StatusCode::UNAUTHORIZED => Bye::unauthenticated(),
                        StatusCode::FORBIDDEN if problem.slug() == "suspended" => Bye::suspended(),
                        StatusCode::FORBIDDEN => Bye::unauthenticated(),
                        _ => Bye::unavailable(2000),
                    };
                    return Err(Failed::Bye(bye));
                }
            },
            Ok(ClientFrame::Resume { after }) => match known {
                Some(identity) => return Ok((identity, after)),
                None => BadFrame { id: None, problem: Problem::unauthenticated() },
            },
            Ok(ClientFrame::Command { id, .. }) => {
                BadFrame { id: Some(id), problem: Problem::unauthenticated() }
            }
            Ok(ClientFrame::Signal { id, .. }) => {
                BadFrame { id, problem: Problem::unauthenticated() }
            }
            Ok(
                ClientFrame::Typing { .. }
                | ClientFrame::Presence { .. }
                | ClientFrame::Signals { .. },
            ) => BadFrame { id: None, problem: Problem::unauthenticated() },
            Ok(ClientFrame::Ping) => {
                wire.send(&ServerFrame::Pong).await?;
                continue;
            }
            Err(bad) => bad,
        };
        let BadFrame { id, problem } = refused;
        wire.send(&ServerFrame::Error { id, problem: &problem }).await?;
        bad_frames += 1;
        if bad_frames >= BAD_FRAMES {
            return Err(Failed::Bye(Bye::bad_frames()));
        }
    }
}

/// Whose token it is, if it is one that may be told live of everything.
async fn introduce(app: &App, token: &str) -> Result<Identity, Problem> {
    let identity = app.auth().introduce(token).await?;
    super::admit(app, identity)?;
    Ok(identity)
}

/// The next frame that is one of the protocol, before there is a session.
async fn read_frame(wire: &mut Wire) -> Result<Result<ClientFrame, BadFrame>, Failed> {
    loop {
        match wire.receive().await {
            Received::Text(text) if text.len() <= MAX_FRAME_BYTES => {
                return Ok(ClientFrame::parse(text.as_str()));
            }
            Received::Text(_) | Received::TooLarge => {
                let problem = Problem::too_large();
                wire.send(&ServerFrame::Error { id: None, problem: &problem }).await?;
                return Err(Failed::Bye(Bye::too_large()));
            }
            Received::Binary => return Ok(Err(not_text())),
            Received::Sign => {}
            Received::End => return Err(Failed::Gone),
        }
    }
}

fn not_text() -> BadFrame {
    BadFrame { id: None, problem: Problem::malformed("a frame is text") }
}

/// A jittered good-bye, so that the clients of a node that ends do not all come at once.
fn going_away(over: Duration) -> Bye {
    let most = u64::try_from(over.as_millis()).unwrap_or(u64::MAX);
    Bye::going_away(rand::rng().random_range(0..=most))
}

/// What came of something that takes a while.
enum Done {
    Command {
        id: Uuid,
        result: Result<Accepted, Problem>,
        /// Whether the command ends the log-in of the socket.
        ends: bool,
    },
    /// The others were told who types, or not.
    Typing(Result<(), Problem>),
    /// A signal is in the mailbox that it is for, or not.
    Signal { id: Option<Uuid>, result: Result<(), Problem> },
}

/// Why nothing is read from a socket any more.
enum Stop {
    Gone,
    TooLarge,
}

/// A socket that is attached.
struct Session<'a> {
    app: &'a App,
    wire: &'a mut Wire,
    identity: Identity,
    present: Attendance,
    /// Whether the client said last that nobody uses it.
    away: bool,
    turns: Bucket,
    typist: Typist,
    /// In a box, and only where there was a signal: most sockets have none.
    signaller: Option<Box<Signaller>>,
    outbox: &'a Arc<Outbox>,
    commands: InFlight<Done>,
    bad_frames: u32,
    heard: Instant,
}

impl Session<'_> {
    async fn run(mut self) -> Result<(), Failed> {
        let period = self.app.gateway().limits.heartbeat;
        let mut heartbeat = tokio::time::interval_at(Instant::now() + period, period);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let expiry = expiry(self.identity);
        tokio::pin!(expiry);
        loop {
            tokio::select! {
                () = &mut expiry => return Err(Failed::Bye(Bye::login_ended())),
                () = self.outbox.woken() => self.flush().await?,
                received = self.wire.receive(), if self.commands.has_room() => {
                    match self.received(received) {
                        Ok(()) => {}
                        Err(Stop::Gone) => return Err(Failed::Gone),
                        // In a box: it is rare, and every socket has room for what is not.
                        Err(Stop::TooLarge) => return Box::pin(self.too_large()).await,
                    }
                }
                done = self.commands.next() => self.answer(&done),
                due = heartbeat.tick() => {
                    // Whoever was not there themselves has no right to miss others.
                    if due.elapsed() >= period / 2 {
                        self.heard = Instant::now();
                    }
                    if self.commands.has_room() && self.heard.elapsed() >= 2 * period {
                        return Err(Failed::Bye(Bye::silent()));
                    }
                    self.present.set_away(self.away);
                    self.wire.ping().await?;
                }
            }
        }
    }

    fn received(&mut self, received: Received) -> Result<(), Stop> {
        self.heard = Instant::now();
        let bad = match received {
            Received::Text(text) if text.len() <= MAX_FRAME_BYTES => {
                match ClientFrame::parse(text.as_str()) {
                    Ok(frame) => {
                        self.frame(frame);
                        return Ok(());
                    }
                    Err(bad) => bad,
                }
            }
            Received::Text(_) | Received::TooLarge => return Err(Stop::TooLarge),
            Received::Binary => not_text(),
            Received::Sign => return Ok(()),
            Received::End => return Err(Stop::Gone),
        };
        self.push(&ServerFrame::Error { id: bad.id, problem: &bad.problem });
        self.bad_frames += 1;
        if self.bad_frames >= BAD_FRAMES {
            self.outbox.end(Bye::bad_frames());
        }
        Ok(())
    }

    /// Says what waits and that the last frame was too large, which ends the socket.
    async fn too_large(&mut self) -> Result<(), Failed> {
        self.flush().await?;
        let problem = Problem::too_large();
        self.wire.send(&ServerFrame::Error { id: None, problem: &problem }).await?;
        Err(Failed::Bye(Bye::too_large()))
    }

    fn frame(&mut self, frame: ClientFrame) {
        self.bad_frames = 0;
        let name = match &frame {
            ClientFrame::Typing { .. } => "typing",
            ClientFrame::Presence { .. } => "presence",
            ClientFrame::Signal { .. } => "signal",
            ClientFrame::Signals { .. } => "signals",
            ClientFrame::Command { .. }
            | ClientFrame::Ping
            | ClientFrame::Auth { .. }
            | ClientFrame::Resume { .. } => "ping",
        };
        if let Err(problem) = self.identity.may(Need::of_command(name)) {
            self.app.edge().denials.note_problem(self.identity.user, name, None, &problem);
            return self.push(&ServerFrame::Error { id: None, problem: &problem });
        }
        match frame {
            ClientFrame::Command { id, command } => self.begin(id, command),
            ClientFrame::Typing { conversation, typing } => {
                if let Some(tell) = self.typist.hear(conversation, typing) {
                    // After what they said there before, and before what they say next.
                    self.commands.begin(Some(conversation), async { Done::Typing(tell.await) });
                }
            }
            ClientFrame::Presence { away } => {
                self.away = away;
                if self.turns.take(Instant::now()) {
                    self.present.set_away(away);
                }
            }
            ClientFrame::Signal { id, signal } => {
                // After the command that brought the device into the call, and in their order.
                let lane = Some(signal.call.uuid().into());
                let send = self.signaller().send(signal);
                self.commands.begin(lane, async move { Done::Signal { id, result: send.await } });
            }
            ClientFrame::Signals { call, seen } => self.signaller().listen(call, seen),
            ClientFrame::Ping => self.push(&ServerFrame::Pong),
            ClientFrame::Auth { .. } | ClientFrame::Resume { .. } => {
                let problem = Problem::malformed("this socket has said already who it is");
                self.push(&ServerFrame::Error { id: None, problem: &problem });
            }
        }
    }

    fn signaller(&mut self) -> &mut Signaller {
        let (app, identity, outbox) = (self.app, self.identity, self.outbox);
        self.signaller.get_or_insert_with(|| {
            Box::new(Signaller::new(app.clone(), identity, Arc::clone(outbox)))
        })
    }

    fn begin(&mut self, id: Uuid, command: Pending) {
        let (app, identity) = (self.app.clone(), self.identity);
        let ends = command.ends_login();
        self.commands.begin(command.lane(), async move {
            let result = tokio::time::timeout(COMMAND, command.run(app, identity, id)).await;
            let result =
                result.unwrap_or_else(|_| Err(Problem::unavailable(Duration::from_secs(1))));
            Done::Command { id, result, ends }
        });
    }

    /// Queues the answer to a command: all that comes at the same time is written together.
    fn answer(&self, done: &Done) {
        match done {
            Done::Command { id, result: Ok(accepted), ends } => {
                self.push(&ServerFrame::Result { id: *id, accepted });
                if *ends {
                    self.outbox.end(Bye::login_ended());
                }
            }
            Done::Command { id, result: Err(problem), .. } => {
                self.push(&ServerFrame::Error { id: Some(*id), problem });
            }
            Done::Typing(Err(problem)) => self.push(&ServerFrame::Error { id: None, problem }),
            Done::Signal { id, result: Err(problem) } => {
                self.push(&ServerFrame::Error { id: *id, problem });
            }
            Done::Typing(Ok(())) | Done::Signal { result: Ok(()), .. } => {}
        }
    }

    fn push(&self, frame: &ServerFrame<'_>) {
        let text: Utf8Bytes = frame.encode();
        self.outbox.push(text);
    }

    async fn flush(&mut self) -> Result<(), Failed> {
        let (frames, end) = self.outbox.take();
        if !frames.is_empty() {
            let sent = u64::try_from(frames.len()).unwrap_or(u64::MAX);
            self.wire.send_all(frames).await?;
            metrics::counter!("roundtable_gateway_frames_total").increment(sent);
        }
        match end {
            Some(bye) => Err(Failed::Bye(bye)),
            None => Ok(()),
        }
    }
}
