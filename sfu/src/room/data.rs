//! Data channels of a room: what one opens, everybody has who asked for channels, and what is said
//! on it goes to them. Nothing is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::event::{Event, ParticipantId, Role, ShownChannel};
use super::{Participant, Room, Surroundings};
use crate::data::{self, Message, Open, Reliability, Sent};

/// Channels of a room: all of them are told to who comes, beside everything else.
const CHANNELS: usize = 256;

/// Names a data channel in this process.
pub(crate) type ChannelId = u32;

/// A channel that somebody opened.
#[derive(Debug)]
pub(super) struct Channel {
    owner: ParticipantId,
    /// Its stream on the connection that sends.
    stream: u16,
    open: Open,
}

/// The channels of others on one connection that receives.
#[derive(Debug)]
pub(crate) struct Carried {
    /// Which section of the offer it is.
    pub(super) section: usize,
    streams: BTreeMap<ChannelId, u16>,
}

impl Carried {
    pub(super) fn new(section: usize) -> Self {
        Self { section, streams: BTreeMap::new() }
    }

    fn of(&self, stream: u16) -> Option<ChannelId> {
        self.streams.iter().find(|(_, known)| **known == stream).map(|(channel, _)| *channel)
    }
}

fn shown(id: ChannelId, channel: &Channel, stream: u16) -> Event {
    let Open { ordered, reliability, label, protocol, .. } = &channel.open;
    let (max_retransmits, max_lifetime_ms) = match reliability {
        Reliability::Whole => (None, None),
        Reliability::Times(times) => (Some(*times), None),
        Reliability::Millis(millis) => (None, Some(*millis)),
    };
    Event::ChannelBegan(ShownChannel {
        channel: id,
        participant: channel.owner,
        stream,
        label: label.clone(),
        protocol: protocol.clone(),
        ordered: *ordered,
        max_retransmits,
        max_lifetime_ms,
    })
}

fn dropped(reason: &'static str) {
    metrics::counter!("roundtable_sfu_data_dropped_total", "reason" => reason).increment(1);
}

fn count(direction: &'static str, messages: u64, bytes: usize) {
    let bytes = messages * bytes as u64;
    metrics::counter!("roundtable_sfu_data_messages_total", "direction" => direction)
        .increment(messages);
    metrics::counter!("roundtable_sfu_data_bytes_total", "direction" => direction).increment(bytes);
}

impl Participant {
    /// Gives a channel of somebody else to this participant, if it takes channels.
    fn carry(&mut self, id: ChannelId, channel: &Channel, around: &Surroundings<'_>) {
        let Some(subscriber) = &mut self.subscriber else { return };
        let is_client = subscriber.transport.is_client();
        let (Some(carried), Some(data)) = (&mut subscriber.data, &mut subscriber.transport.data)
        else {
            return;
        };
        if channel.owner == self.id || carried.streams.contains_key(&id) || !data.stands() {
            return;
        }
        if let Some(stream) = data.open(&channel.open, is_client, around.now) {
            carried.streams.insert(id, stream);
            self.tell(shown(id, channel, stream));
        }
    }

    /// Ends a channel on the connection that receives, and says so.
    fn drop_channel(&mut self, id: ChannelId, reason: &'static str) {
        let Some(subscriber) = &mut self.subscriber else { return };
        let Some(carried) = &mut subscriber.data else { return };
        let Some(stream) = carried.streams.remove(&id) else { return };
        if let Some(data) = &mut subscriber.transport.data {
            data.close(stream);
        }
        self.tell(Event::ChannelEnded { channel: id, reason });
    }

    /// Hands a message of a channel over. Returns whether it will be sent.
    fn say(&mut self, id: ChannelId, message: &Message, around: &Surroundings<'_>) -> bool {
        let Some(subscriber) = &mut self.subscriber else { return false };
        let stream = subscriber.data.as_ref().and_then(|carried| carried.streams.get(&id));
        let (Some(stream), Some(data)) = (stream, &mut subscriber.transport.data) else {
            return false;
        };
        let sent = data.send(*stream, message, around.now);
        let ends = match sent {
            Sent::Queued => return true,
            Sent::Late => {
                dropped("too_slow");
                return false;
            }
            Sent::Full => "too_slow",
            Sent::TooLong => "too_large",
            Sent::Closed => "closed",
        };
        dropped(ends);
        self.drop_channel(id, ends);
        false
    }
}

impl Room {
    /// What came on data channels of a connection.
    pub(super) fn hear_data(
        &mut self,
        around: &mut Surroundings<'_>,
        id: ParticipantId,
        role: Role,
    ) {
        let mut touched = false;
        while let Some(event) =
            self.transport(id, role).and_then(|transport| transport.data.as_mut()?.poll())
        {
            touched = true;
            match role {
                Role::Publish => self.published(around, id, event),
                Role::Subscribe => self.subscribed(around, id, event),
            }
        }
        match role {
            Role::Publish if touched => self.flush_data(around),
            Role::Subscribe if touched => {
                if let Some(transport) = self.transport(id, role) {
                    transport.flush(around.out, around.now);
                }
            }
            _ => {}
        }
    }

    fn published(&mut self, around: &mut Surroundings<'_>, id: ParticipantId, event: data::Event) {
        match event {
            data::Event::Opened { stream, .. } if self.channels.len() >= CHANNELS => {
                let transport = self.transport(id, Role::Publish);
                if let Some(data) = transport.and_then(|transport| transport.data.as_mut()) {
                    data.close(stream);
                }
                self.published(around, id, data::Event::Refused { stream, reason: "too_many" });
            }
            data::Event::Opened { stream, open } => {
                let channel = Channel { owner: id, stream, open };
                let name = around.ids.next();
                for participant in self.participants.values_mut() {
                    participant.carry(name, &channel, around);
                }
                self.channels.insert(name, channel);
            }
            data::Event::Message { stream, message } => {
                let mut own = self.channels.iter().filter(|(_, channel)| channel.owner == id);
                let Some((name, _)) = own.find(|(_, channel)| channel.stream == stream) else {
                    return dropped("not_opened");
                };
                let mut told = 0;
                for participant in self.participants.values_mut() {
                    told += u64::from(participant.say(*name, &message, around));
                }
                count("received", 1, message.payload.len());
                count("sent", told, message.payload.len());
            }
            data::Event::Closed { stream } => {
                self.end_channels("closed", |channel| {
                    channel.owner == id && channel.stream == stream
                });
            }
            data::Event::Refused { stream, reason } => {
                dropped(reason);
                if let Some(participant) = self.participants.get_mut(&id) {
                    participant.tell(Event::ChannelRefused { stream: Some(stream), reason });
                }
            }
            data::Event::Dropped { reason } => dropped(reason),
            data::Event::Ended => {
                self.end_channels("lost", |channel| channel.owner == id);
                if let Some(participant) = self.participants.get_mut(&id) {
                    participant.tell(Event::ChannelRefused { stream: None, reason: "lost" });
                }
            }
            data::Event::Connected => {}
        }
    }

    fn subscribed(&mut self, around: &mut Surroundings<'_>, id: ParticipantId, event: data::Event) {
        let Some(participant) = self.participants.get_mut(&id) else { return };
        let carried = participant.subscriber.as_ref().and_then(|s| s.data.as_ref());
        match event {
            data::Event::Connected => {
                for (name, channel) in &self.channels {
                    participant.carry(*name, channel, around);
                }
            }
            data::Event::Closed { stream } => {
                if let Some(name) = carried.and_then(|carried| carried.of(stream)) {
                    participant.drop_channel(name, "closed");
                }
            }
            data::Event::Ended => {
                let all: Vec<ChannelId> =
                    carried.into_iter().flat_map(|c| c.streams.keys()).copied().collect();
                all.into_iter().for_each(|name| participant.drop_channel(name, "lost"));
            }
            // These channels go one way.
            data::Event::Message { .. } | data::Event::Refused { .. } => dropped("one_way"),
            data::Event::Dropped { reason } => dropped(reason),
            data::Event::Opened { .. } => {}
        }
    }

    /// Time passed, for data channels. A bug that one client finds must not end the calls of others.
    pub(super) fn tick_data(&mut self, around: &mut Surroundings<'_>) {
        let mut due = Vec::new();
        let Self { talking, participants, .. } = self;
        talking.retain(|&(id, role)| {
            let transport = participants.get_mut(&id).and_then(|known| known.transport(role));
            let Some(data) = transport.and_then(|transport| transport.data.as_mut()) else {
                return false;
            };
            if data.is_due(around.now) {
                due.push((id, role));
            }
            true
        });
        for (id, role) in due {
            let ticked = catch_unwind(AssertUnwindSafe(|| {
                let transport = self.transport(id, role);
                if let Some(transport) = transport {
                    if let Some(data) = &mut transport.data {
                        data.tick(around.now);
                    }
                    transport.flush(around.out, around.now);
                }
                self.hear_data(around, id, role);
            }));
            if ticked.is_err() {
                tracing::error!("data channels panicked: their participant is put out of the call");
                self.fault(around, id);
            }
        }
    }

    /// Tells somebody again which channels it has.
    pub(super) fn tell_channels(&mut self, id: ParticipantId) {
        let Some(participant) = self.participants.get_mut(&id) else { return };
        let carried = participant.subscriber.as_ref().and_then(|s| s.data.as_ref());
        let streams: Vec<(ChannelId, u16)> = carried
            .into_iter()
            .flat_map(|carried| carried.streams.iter().map(|(name, stream)| (*name, *stream)))
            .collect();
        for (name, stream) in streams {
            if let Some(channel) = self.channels.get(&name) {
                participant.tell(shown(name, channel, stream));
            }
        }
    }

    /// A publisher has no data channels any more.
    pub(super) fn end_data(
        &mut self,
        around: &mut Surroundings<'_>,
        id: ParticipantId,
        reason: &'static str,
    ) {
        if let Some(transport) = self.transport(id, Role::Publish) {
            transport.data = None;
        }
        if self.channels.values().all(|channel| channel.owner != id) {
            return;
        }
        self.end_channels(reason, |channel| channel.owner == id);
        self.flush_data(around);
    }

    fn end_channels(&mut self, reason: &'static str, which: impl Fn(&Channel) -> bool) {
        let ended = self.channels.extract_if(.., |_, channel| which(channel));
        let ended: BTreeSet<ChannelId> = ended.map(|(name, _)| name).collect();
        for name in ended {
            for participant in self.participants.values_mut() {
                participant.drop_channel(name, reason);
            }
        }
    }

    /// Sends what was handed over to connections that receive.
    fn flush_data(&mut self, around: &mut Surroundings<'_>) {
        for participant in self.participants.values_mut() {
            let transport = participant.subscriber.as_mut().map(|s| &mut s.transport);
            if let Some(transport) = transport.filter(|transport| transport.data.is_some()) {
                transport.flush(around.out, around.now);
            }
        }
    }
}
