//! One connection with a client: ICE-lite, then DTLS, then SRTP, and SCTP within DTLS.

use std::net::SocketAddr;
use std::time::Instant;

use crate::data::Association;
use crate::media::dtls::{Dtls, DtlsError, Fingerprint, Identity};
use crate::media::ice::{Answered, Check, Ice};
use crate::media::outbox::Outbox;
use crate::media::srtp::Srtp;

/// How a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// The handshake is not done.
    Connecting,
    /// Media may pass.
    Connected,
    /// The client does not check any more; it may come back.
    Lost,
    /// It ended and does not come back.
    Failed,
}

/// A connection.
pub(crate) struct Transport {
    pub(crate) ice: Ice,
    dtls: Option<Dtls>,
    fingerprint: Option<Fingerprint>,
    pub(crate) srtp: Option<Srtp>,
    /// Its data channels, where there are any.
    pub(crate) data: Option<Box<Association>>,
    pub(crate) state: State,
    /// The client's name in ICE: another one is a restart.
    remote: Option<String>,
}

/// What a datagram of DTLS brought.
#[derive(Default)]
pub(crate) struct Heard {
    /// Media may pass from now on.
    pub(crate) connected: bool,
    pub(crate) closed: bool,
}

impl Transport {
    /// Nobody has said anything.
    pub(crate) fn new(now: Instant) -> Self {
        let (ice, state) = (Ice::new(now), State::Connecting);
        Self { ice, dtls: None, fingerprint: None, srtp: None, data: None, state, remote: None }
    }

    /// The client said whose certificate it has, and who begins. What was said stays: a client with
    /// another certificate is another one.
    pub(crate) fn describe(
        &mut self,
        identity: &Identity,
        fingerprint: &Fingerprint,
        is_client: bool,
        now: Instant,
    ) -> bool {
        if let Some(known) = &self.fingerprint {
            return known == fingerprint;
        }
        self.fingerprint = Some(fingerprint.clone());
        self.dtls = Some(Dtls::new(identity, is_client, now));
        true
    }

    /// The client's name in ICE. Returns whether it is another one than before.
    pub(crate) fn remember(&mut self, name: &str) -> bool {
        let before = self.remote.replace(name.to_owned());
        before.is_some_and(|before| before != name)
    }

    /// Answers a check of the client.
    pub(crate) fn check(
        &mut self,
        identity: &Identity,
        check: &mut Check,
        from: SocketAddr,
        out: &mut Outbox,
        now: Instant,
    ) -> Option<Answered> {
        let answered = self.ice.answer(check, from, identity.crypto(), now)?;
        out.send_one(&answered.datagram, from);
        self.begin(identity, out, now);
        Some(answered)
    }

    /// Begins to shake hands, where that is for this side to do, it is known whose certificate it
    /// is, and there is a way: whichever of these came last.
    pub(crate) fn begin(&mut self, identity: &Identity, out: &mut Outbox, now: Instant) {
        if self.ice.chosen().is_none() {
            return;
        }
        if let Some(dtls) = &mut self.dtls {
            if let Err(error) = dtls.start(identity, now) {
                self.fail(&error);
            }
            self.flush(out, now);
        }
    }

    /// Takes a datagram of DTLS.
    pub(crate) fn hear(
        &mut self,
        identity: &Identity,
        datagram: &[u8],
        out: &mut Outbox,
        now: Instant,
    ) -> Heard {
        let (Some(dtls), Some(fingerprint)) = (&mut self.dtls, &self.fingerprint) else {
            return Heard::default();
        };
        let heard = match dtls.read(identity, fingerprint, datagram, now) {
            Ok(read) => {
                let connected = read.srtp.is_some();
                if connected {
                    self.srtp = read.srtp;
                    self.state = State::Connected;
                    self.begin_data(now);
                }
                if let Some(data) = &mut self.data {
                    read.data.into_iter().for_each(|packet| data.receive(packet.freeze(), now));
                }
                Heard { connected, closed: read.closed }
            }
            Err(error) => {
                self.fail(&error);
                Heard::default()
            }
        };
        self.flush(out, now);
        heard
    }

    /// From now on it has data channels: the client may open so many, and takes messages so long.
    pub(crate) fn carry_data(&mut self, accepts: usize, longest: u64, now: Instant) {
        if self.data.is_none() {
            self.data = Some(Box::new(Association::new(accepts, longest, now)));
            if self.srtp.is_some() {
                self.begin_data(now);
            }
        }
    }

    /// Whether this side shook hands as the client.
    pub(crate) fn is_client(&self) -> bool {
        self.dtls.as_ref().is_some_and(Dtls::is_client)
    }

    fn begin_data(&mut self, now: Instant) {
        if self.is_client()
            && let Some(data) = &mut self.data
        {
            data.connect(now);
        }
    }

    /// Time passed. Returns whether the state changed.
    pub(crate) fn tick(&mut self, out: &mut Outbox, now: Instant) -> bool {
        let before = self.state;
        if let Some(dtls) = &mut self.dtls {
            if let Err(error) = dtls.tick(now) {
                self.fail(&error);
            } else if dtls.is_overdue(now) {
                self.state = State::Failed;
            }
        }
        self.state = match (self.state, self.ice.is_lost(now)) {
            (State::Connected, true) => State::Lost,
            (State::Lost, false) => State::Connected,
            (state, _) => state,
        };
        self.flush(out, now);
        self.state != before
    }

    /// Encrypts and sends RTCP.
    pub(crate) fn send_report(&mut self, report: &[u8], out: &mut Outbox) {
        let (Some(srtp), Some(to)) = (&mut self.srtp, self.ice.chosen()) else { return };
        if let Some(sealed) = srtp.seal_report(report) {
            out.send_one(&sealed, to);
        }
    }

    /// Tells the client that it ends.
    pub(crate) fn close(&mut self, out: &mut Outbox, now: Instant) {
        if let Some(dtls) = &mut self.dtls {
            dtls.close(now);
        }
        self.flush(out, now);
        self.state = State::Failed;
    }

    /// Sends what DTLS and SCTP have to say.
    pub(crate) fn flush(&mut self, out: &mut Outbox, now: Instant) {
        let Some(dtls) = &mut self.dtls else { return };
        if let Some(data) = &mut self.data {
            data.outgoing(now).iter().for_each(|packet| dtls.write(packet, now));
        }
        let to = self.ice.chosen();
        while let Some(datagram) = dtls.outgoing() {
            if to.is_some() {
                out.push(&datagram);
            }
        }
        if let Some(to) = to.filter(|_| !out.is_empty()) {
            out.send(to);
        }
    }

    fn fail(&mut self, error: &DtlsError) {
        tracing::info!(error = error as &dyn std::error::Error, "a connection failed");
        self.state = State::Failed;
    }
}
