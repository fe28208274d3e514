//! The SCTP association with one client: its streams, the messages on them, and how much may wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rtc_sctp::{
    AssociationError, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig,
    Event as Raw, Payload, PayloadProtocolIdentifier as Identifier, ServerConfig, StreamEvent,
    TimerConfig, TransportConfig,
};
use rtc_shared::TransportProtocol;

use super::allowance::Allowance;
use super::dcep::{Dcep, Wrong};
use super::gate::{Gate, Verdict};
use super::waiting::{Waiting, cost};
use super::{MESSAGE, Message, Open, Reliability, STREAMS};

/// The library knows peers by address; here there is one, whatever its address is.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// What may be received and not be taken: two messages.
const WINDOW: u32 = 2 * 65_536;

/// What may wait for one client, messages' own cost included: on channels that lose nothing, and on
/// those where what is late is worth little.
const RELIABLE: usize = 2 * 1024 * 1024;
const UNRELIABLE: usize = 256 * 1024;

/// Streams on which nothing was opened, though something came.
const UNOPENED: usize = 64;

/// What happens on an association.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Messages may be sent.
    Connected,
    /// The client opened a channel.
    Opened {
        stream: u16,
        open: Open,
    },
    /// The client opened a channel that it may not have.
    Refused {
        stream: u16,
        reason: &'static str,
    },
    Message {
        stream: u16,
        message: Message,
    },
    /// Something came that is not forwarded.
    Dropped {
        reason: &'static str,
    },
    /// The client closed a channel.
    Closed {
        stream: u16,
    },
    /// The association ended, and with it all channels.
    Ended,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Queued,
    /// It is left out: too much waits, and the channel may lose messages.
    Late,
    /// Too much waits already.
    Full,
    /// The client takes no messages that long.
    TooLong,
    /// There is no such channel any more.
    Closed,
}

/// What is known of a stream.
#[derive(Debug)]
struct Stream {
    /// The channel on it; none before it is opened, and none once it is closed here.
    open: Option<(bool, Reliability)>,
    /// Whether this side closed it.
    closing: bool,
    waiting: Waiting,
}

/// An association.
pub(crate) struct Association {
    endpoint: Endpoint,
    inner: Option<(AssociationHandle, rtc_sctp::Association)>,
    gate: Gate,
    /// The tag under which the client began, and what it was answered.
    begun: Option<(u32, Bytes)>,
    beginning: u32,
    streams: BTreeMap<u16, Stream>,
    readable: BTreeSet<u16>,
    /// Streams that are closed here as soon as the client has answered for those before: it is asked
    /// one question at a time (RFC 6525, section 5.1.1).
    to_close: BTreeSet<u16>,
    /// Whether messages were left where they are, because the client says too much.
    was_held: bool,
    allowance: Allowance,
    events: VecDeque<Event>,
    out: Vec<Bytes>,
    /// What waits for the client on all channels.
    waiting: usize,
    /// Of that, what was left on streams that the client ended.
    stranded: usize,
    /// Channels that the client may open, and the longest message that it takes.
    accepts: usize,
    longest: usize,
    ended: bool,
}

fn transport() -> TransportConfig {
    // Whether the client is there is for ICE to say.
    let timers = TimerConfig { max_t3_rtx_retrans: usize::MAX, ..TimerConfig::default() };
    TransportConfig::default()
        .with_max_message_size(u32::try_from(MESSAGE).unwrap_or(u32::MAX))
        .with_max_receive_buffer_size(WINDOW)
        .with_max_num_inbound_streams(STREAMS)
        .with_max_num_outbound_streams(STREAMS)
        .with_timer_config(timers)
}

fn endpoint() -> Endpoint {
    let server = Arc::new(ServerConfig::new(transport()));
    Endpoint::new(PEER, TransportProtocol::UDP, Arc::new(EndpointConfig::new()), Some(server))
}

impl Association {
    /// Waits for the client, who may open so many channels and takes messages so long.
    pub(crate) fn new(accepts: usize, longest: u64, now: Instant) -> Self {
        Self {
            endpoint: endpoint(),
            inner: None,
            gate: Gate::default(),
            begun: None,
            beginning: 0,
            streams: BTreeMap::new(),
            readable: BTreeSet::new(),
            to_close: BTreeSet::new(),
            was_held: false,
            allowance: Allowance::new(now),
            events: VecDeque::new(),
            out: Vec::new(),
            waiting: 0,
            stranded: 0,
            accepts,
            longest: usize::try_from(longest).unwrap_or(usize::MAX).min(MESSAGE),
            ended: false,
        }
    }

    /// Begins, where this side shook hands as the client; else the peer does.
    pub(crate) fn connect(&mut self, now: Instant) {
        if self.inner.is_none() {
            let begun = self.endpoint.connect(now, ClientConfig::new(transport()), PEER);
            self.inner = begun.ok();
        }
    }

    /// Whether messages may be sent.
    pub(crate) fn stands(&self) -> bool {
        self.gate.stands && !self.ended
    }

    /// Takes a packet of the client.
    pub(crate) fn receive(&mut self, packet: Bytes, now: Instant) {
        if self.ended {
            return;
        }
        match self.gate.inbound(&packet, !self.readable.is_empty()) {
            Verdict::Pass => {}
            Verdict::Drop => return self.dropped("malformed"),
            Verdict::Abort => return self.abort(),
            Verdict::Over => return self.end(),
            Verdict::Begins(tag) => {
                match &self.begun {
                    // It was sent again, as the answer is.
                    Some((known, answer)) if *known == tag => {
                        return self.out.push(answer.clone());
                    }
                    // Another begin: the one before is forgotten.
                    Some(_) => (self.endpoint, self.inner) = (endpoint(), None),
                    // This side has begun; the client answers.
                    None if self.inner.is_some() => return,
                    None => {}
                }
                self.beginning = tag;
            }
        }
        match (self.endpoint.handle(now, PEER, None, packet), &mut self.inner) {
            (Some((_, DatagramEvent::AssociationEvent(event))), Some((_, inner))) => {
                inner.handle_event(event);
            }
            (Some((handle, DatagramEvent::NewAssociation(new))), inner) => {
                *inner = Some((handle, new));
            }
            _ => return,
        }
        self.after(now);
    }

    /// Whether something is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let due = |(_, inner): &(_, rtc_sctp::Association)| inner.poll_timeout();
        !self.ended
            && (!self.readable.is_empty()
                || self.inner.as_ref().and_then(due).is_some_and(|due| due <= now))
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, now: Instant) {
        if let Some((_, inner)) = &mut self.inner {
            inner.handle_timeout(now);
            self.after(now);
        }
    }

    /// What happened.
    pub(crate) fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The packets that are to be sent.
    pub(crate) fn outgoing(&mut self, now: Instant) -> Vec<Bytes> {
        let mut out = std::mem::take(&mut self.out);
        let mut abort = false;
        self.close_streams(now);
        if let Some((_, inner)) = &mut self.inner {
            while let Some(transmit) = inner.poll_transmit(now) {
                let Payload::RawEncode(packets) = transmit.message else { continue };
                for packet in packets {
                    match self.gate.outbound(&packet) {
                        Verdict::Begins(_) => self.begun = Some((self.beginning, packet.clone())),
                        Verdict::Abort => abort = true,
                        Verdict::Pass | Verdict::Drop | Verdict::Over => {}
                    }
                    out.push(packet);
                }
            }
        }
        if abort && !self.ended {
            self.abort();
            out.extend(self.outgoing(now));
        }
        out
    }

    /// Opens a channel towards the client. Returns its stream, if there is a free one.
    pub(crate) fn open(&mut self, open: &Open, is_client: bool, now: Instant) -> Option<u16> {
        let (_, inner) = self.inner.as_mut().filter(|_| self.gate.stands && !self.ended)?;
        let most = inner.negotiated_max_streams()?;
        // Whoever shook hands as the client takes the even ones (RFC 8832, section 6).
        let mut own = (u16::from(!is_client)..most).step_by(2);
        let stream = own.find(|stream| !self.streams.contains_key(stream))?;
        let mut opened = inner.open_stream(stream, Identifier::Binary).ok()?;
        // Until the client has acknowledged it, everything goes in order (RFC 8832, section 6).
        let (kind, value) = open.reliability.parameters();
        opened.set_reliability_params(false, kind, value).ok()?;
        opened.write_chunk_with_ppi(now, &open.write(), Identifier::Dcep).ok()?;
        let open = Some((open.ordered, open.reliability));
        let known = Stream { open, closing: false, waiting: Waiting::default() };
        self.streams.insert(stream, known);
        Some(stream)
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, stream: u16, message: &Message, now: Instant) -> Sent {
        let known = self.streams.get_mut(&stream).filter(|known| !known.closing);
        let (Some(known), Some((_, inner))) = (known, &mut self.inner) else { return Sent::Closed };
        let Some((_, reliability)) = known.open else { return Sent::Closed };
        if message.payload.len() > self.longest {
            return Sent::TooLong;
        }
        let (identifier, payload) = message.write();
        let most = if reliability == Reliability::Whole { RELIABLE } else { UNRELIABLE };
        if self.waiting + cost(payload.len()) > most {
            let may_lose = reliability != Reliability::Whole;
            return if may_lose { Sent::Late } else { Sent::Full };
        }
        let Ok(mut to) = inner.stream(stream) else { return Sent::Closed };
        if to.write_chunk_with_ppi(now, &payload, identifier).is_err() {
            return Sent::Closed;
        }
        known.waiting.add(payload.len());
        self.waiting += cost(payload.len());
        Sent::Queued
    }

    /// Closes a channel. What waits on it is sent before.
    pub(crate) fn close(&mut self, stream: u16) {
        if let Some(known) = self.streams.get_mut(&stream) {
            known.closing = true;
            self.readable.remove(&stream);
            self.to_close.insert(stream);
        }
    }

    fn close_streams(&mut self, now: Instant) {
        let Some((_, inner)) = self.inner.as_mut().filter(|_| !self.gate.is_asking()) else {
            return;
        };
        for stream in std::mem::take(&mut self.to_close) {
            if let Ok(mut closed) = inner.stream(stream)
                && let Err(error) = closed.close(now)
            {
                tracing::debug!(%error, "a stream did not close well");
            }
        }
    }

    /// What waits for the client, with what it costs.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// The tag that packets must have, and the number of the next chunk of data.
    #[cfg(test)]
    pub(super) fn expects(&self) -> (u32, u32) {
        self.gate.expects()
    }

    /// Ends, because the client does what none does that means well.
    fn abort(&mut self) {
        if let Some((_, inner)) = &mut self.inner
            && let Err(error) = inner.abort()
        {
            tracing::debug!(%error, "an association did not end well");
        }
        self.dropped("aborted");
        self.end();
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.streams.clear();
            self.readable.clear();
            self.to_close.clear();
            self.events.push_back(Event::Ended);
        }
    }

    fn dropped(&mut self, reason: &'static str) {
        self.events.push_back(Event::Dropped { reason });
    }
}

#[path = "streams.rs"]
mod streams;
