//! What the library tells of an association: streams that come and go, and what can be read of them.

use super::*;

impl Association {
    /// Takes what the library has to tell.
    pub(super) fn after(&mut self, now: Instant) {
        while let Some(event) = self.inner.as_mut().and_then(|(_, inner)| inner.poll()) {
            match event {
                Raw::Connected => {
                    self.gate.stands = true;
                    self.events.push_back(Event::Connected);
                }
                Raw::HandshakeFailed { .. } => self.end(),
                Raw::AssociationLost { reason: AssociationError::Reset, id } => self.gone(id),
                Raw::Stream(StreamEvent::Opened { id }) => {
                    let waiting = Waiting::default();
                    self.streams.insert(id, Stream { open: None, closing: false, waiting });
                    self.readable.insert(id);
                }
                Raw::Stream(StreamEvent::Readable { id }) => drop(self.readable.insert(id)),
                Raw::Stream(StreamEvent::BufferedAmountReleased { id, n_bytes }) => {
                    if let Some(stream) = self.streams.get_mut(&id) {
                        self.waiting -= stream.waiting.release(n_bytes);
                    }
                }
                _ => {}
            }
        }
        let is_over = self.inner.as_ref().is_some_and(|(_, inner)| inner.is_closed());
        if is_over && self.gate.stands {
            return self.end();
        }
        self.read(now);
        let unopened = self.streams.values().filter(|stream| stream.open.is_none()).count();
        if unopened > UNOPENED {
            self.abort();
        }
    }

    fn gone(&mut self, id: u16) {
        self.readable.remove(&id);
        self.to_close.remove(&id);
        let Some(stream) = self.streams.remove(&id) else { return };
        // What was not sent of it stays in the library, which tells nothing of it any more: it goes on
        // to count, and who makes too much of it has no association.
        self.stranded += stream.waiting.cost();
        if self.stranded > RELIABLE {
            self.abort();
        }
        if stream.open.is_some() && !stream.closing {
            self.events.push_back(Event::Closed { stream: id });
        }
    }

    /// Reads what is whole, as long as the client may say more. What is not taken of a channel that
    /// loses nothing stays, so that the client has to wait; what others say is dropped.
    fn read(&mut self, now: Instant) {
        let (held, mut taken) = (!self.readable.is_empty() && self.was_held, false);
        for id in std::mem::take(&mut self.readable) {
            loop {
                let open = self.streams.get(&id).and_then(|stream| stream.open);
                let unreliable = open.is_some_and(|(_, kind)| kind != Reliability::Whole);
                let permitted = self.allowance.permits(now);
                if !permitted && !unreliable {
                    self.readable.insert(id);
                    break;
                }
                let stream = self.inner.as_mut().and_then(|(_, inner)| inner.stream(id).ok());
                let chunks = stream.and_then(|mut stream| stream.read_sctp().ok().flatten());
                let Some(chunks) = chunks else { break };
                if !permitted {
                    self.dropped("too_fast");
                    continue;
                }
                self.allowance.took(chunks.len());
                taken = true;
                match chunks.to_payload(MESSAGE) {
                    Ok(payload) => self.take(id, chunks.ppi, payload.freeze(), now),
                    Err(_) => self.refuse(id, "too_large"),
                }
            }
        }
        self.was_held = !self.readable.is_empty();
        if held && taken {
            let nudge = self.endpoint.handle(now, PEER, None, self.gate.nudge().into());
            if let (Some((_, DatagramEvent::AssociationEvent(event))), Some((_, inner))) =
                (nudge, &mut self.inner)
            {
                inner.handle_event(event);
            }
        }
    }

    fn take(&mut self, id: u16, identifier: Identifier, payload: Bytes, now: Instant) {
        let Some(stream) = self.streams.get(&id).filter(|stream| !stream.closing) else { return };
        let known = stream.open.is_some();
        if identifier == Identifier::Dcep {
            match Dcep::read(&payload) {
                Ok(Dcep::Open(open)) if !known => self.opened(id, open, now),
                Ok(Dcep::Ack) => self.acknowledged(id),
                Ok(Dcep::Open(_)) | Err(Wrong::Malformed) => self.refuse(id, "malformed"),
                Err(Wrong::TooLong) => self.refuse(id, "name_too_long"),
            }
            return;
        }
        match Message::read(identifier, payload) {
            Some(message) if known => {
                self.events.push_back(Event::Message { stream: id, message });
            }
            _ => self.dropped("not_opened"),
        }
    }

    fn opened(&mut self, id: u16, open: Open, now: Instant) {
        let count = self.streams.values().filter(|stream| stream.open.is_some()).count();
        if count >= self.accepts {
            return self.refuse(id, "too_many");
        }
        let Some((_, inner)) = &mut self.inner else { return };
        let Ok(mut stream) = inner.stream(id) else { return };
        let (kind, value) = open.reliability.parameters();
        let set = stream.set_reliability_params(!open.ordered, kind, value);
        let acknowledged = stream.write_chunk_with_ppi(now, &Dcep::ack(), Identifier::Dcep);
        if let (Ok(()), Ok(_), Some(known)) = (set, acknowledged, self.streams.get_mut(&id)) {
            known.open = Some((open.ordered, open.reliability));
            self.events.push_back(Event::Opened { stream: id, open });
        }
    }

    fn acknowledged(&mut self, id: u16) {
        let Some((ordered, reliability)) = self.streams.get(&id).and_then(|stream| stream.open)
        else {
            return;
        };
        let stream = self.inner.as_mut().and_then(|(_, inner)| inner.stream(id).ok());
        let (kind, value) = reliability.parameters();
        if let Some(mut stream) = stream
            && let Err(error) = stream.set_reliability_params(!ordered, kind, value)
        {
            tracing::debug!(%error, "a stream did not take its order");
        }
    }

    fn refuse(&mut self, id: u16, reason: &'static str) {
        let known = self.streams.get(&id).is_some_and(|stream| stream.open.is_some());
        self.close(id);
        self.events.push_back(Event::Refused { stream: id, reason });
        if known {
            self.events.push_back(Event::Closed { stream: id });
        }
    }
}
