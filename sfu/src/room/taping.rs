//! Where a recording is in a room.

use std::time::Instant;

use super::{Pending, Room};
use crate::recording::Tape;

impl Room {
    /// From now on this is what is recorded with, or nothing is.
    pub(crate) fn record_with(&mut self, tape: Option<Tape>) {
        self.tape = tape;
    }

    /// What is recorded with.
    pub(crate) fn tape(&mut self) -> Option<&mut Tape> {
        self.tape.as_mut()
    }

    /// Hands what is forwarded to the recording.
    pub(super) fn tape_pending(&mut self, pending: &[Pending]) {
        let Some(tape) = &mut self.tape else { return };
        for one in pending {
            let Some(track) = self.tracks.get(&one.track) else { continue };
            let Some(owner) = self.participants.get(&track.owner) else { continue };
            if let Some(packet) = track.layers[one.layer].ring.get(one.sequence) {
                tape.take(track, owner.who, one.layer, packet);
            }
        }
    }

    /// Chooses the layers of the recording.
    pub(super) fn tape_tick(&mut self, now: Instant) {
        let Some(tape) = &mut self.tape else { return };
        tape.keep(|track| self.tracks.contains_key(&track));
        self.tracks.values_mut().for_each(|track| tape.tick(track, now));
    }
}
