//! Those who receive without signalling of ours (WHEP): they offer, and what fits is sent.

use rand::Rng;

use super::codec::Codec;
use super::event::ParticipantId;
use super::subscribe::{Down, Mapped, Subscriber};
use super::track::Track;
use super::{Refused, Room, Surroundings};
use crate::media::ice::Credentials;
use crate::sdp::{
    Description, Format, Kind, LocalMedia, Own, Sent, answer_view, receives, usable,
    view_extensions,
};

impl Room {
    /// Somebody offers to receive. Returns the answer.
    pub(crate) fn view(
        &mut self,
        around: &mut Surroundings<'_>,
        id: ParticipantId,
        description: &Description,
    ) -> Result<String, Refused> {
        let participant = self.participants.get_mut(&id).ok_or(Refused::Unknown)?;
        if !participant.rights.subscribe {
            return Err(Refused::Forbidden);
        }
        let mut subscriber = Subscriber::new(around.now);
        subscriber.fixed = true;
        subscriber.extensions = view_extensions(description);
        subscriber.transport.remember(&description.credentials.name);
        let (fingerprint, is_client) = (&description.fingerprint, description.setup == "passive");
        subscriber.transport.describe(around.identity, fingerprint, is_client, around.now);
        let mut sent = Vec::new();
        for media in &description.media {
            if !receives(media) {
                sent.push(None);
                continue;
            }
            let mut down = Down::new(media.mid.clone(), media.kind == Kind::Audio);
            down.offered = usable(media);
            down.ssrc = rand::rng().random();
            let repairs = down.offered.iter().any(|format| format.again.is_some());
            down.again = repairs.then(|| rand::rng().random());
            subscriber.by_stream.insert(down.ssrc, subscriber.downs.len());
            let name = format!("section-{}", media.mid);
            let (ssrc, again) = (down.ssrc, down.again);
            let told = Sent { ssrc, again, stream: "call".to_owned(), track: name };
            let (mid, audio) = (media.mid.clone(), down.audio);
            sent.push(Some(LocalMedia { mid, audio, formats: Vec::new(), sent: Some(told) }));
            subscriber.downs.push(down);
        }
        let local = &subscriber.transport.ice.local;
        let own = Own {
            fingerprint: &around.identity.fingerprint,
            name: &local.name,
            password: &local.password,
            addresses: around.addresses,
        };
        let answer = answer_view(description, &own, rand::rng().random::<u64>() >> 2, &sent);
        subscriber.arrange(id, &self.tracks);
        participant.subscriber = Some(subscriber);
        self.want_key_frames(id);
        Ok(answer)
    }

    /// Somebody without signalling restarts ICE. Returns the new credentials of this side, if the
    /// name is a new one.
    pub(crate) fn restart_named(
        &mut self,
        id: ParticipantId,
        name: &str,
    ) -> Result<Option<Credentials>, Refused> {
        let participant = self.participants.get_mut(&id).ok_or(Refused::Unknown)?;
        let publisher = participant.publisher.as_mut().map(|publisher| &mut publisher.transport);
        let subscriber = participant.subscriber.as_mut().map(|s| &mut s.transport);
        let transport = publisher.or(subscriber).ok_or(Refused::Unknown)?;
        if !transport.remember(name) {
            return Ok(None);
        }
        transport.ice.restart();
        Ok(Some(transport.ice.local.clone()))
    }
}

impl Down {
    /// Begins to carry a track in a section whose streams and formats the client knows already.
    pub(super) fn carry_fixed(&mut self, track: &Track) -> bool {
        let mut mapped = Vec::new();
        for format in &track.formats {
            let Some(offered) = self.offered.iter().find(|offered| fits(offered, format)) else {
                continue;
            };
            let (to, again) = (offered.payload_type, offered.again);
            mapped.push(Mapped { from: format.payload_type, to, again, codec: format.codec });
        }
        // RED may be missing: who sends it sends nothing else, but not everybody who could does.
        if mapped.is_empty() {
            return false;
        }
        (self.types, self.track, self.answered) = (mapped, Some(track.id), true);
        self.forwarder.begin_another();
        self.forwarder.want(Some(0));
        true
    }
}

/// Whether what is sent in one format can be received as the other.
fn fits(offered: &Format, sent: &Format) -> bool {
    let value = |format: &Format, name: &str| {
        let mut pairs = format.parameters.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value.to_ascii_lowercase())
    };
    let profile = |format: &Format| match format.codec {
        // The level may differ: the first four digits are the profile.
        Codec::H264 => value(format, "profile-level-id").map(|id| id.chars().take(4).collect()),
        Codec::Vp9 => Some(value(format, "profile-id").unwrap_or_else(|| "0".to_owned())),
        Codec::Opus | Codec::Red | Codec::Vp8 | Codec::Av1 => None::<String>,
    };
    offered.codec == sent.codec && profile(offered) == profile(sent)
}
