//! The codes of invitations: derived when they are shown, never stored.

use std::fmt;
use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event_log::Secrets;
use events::{ConversationId, InviteId};
use serde::{Serialize, Serializer};
use uuid::Uuid;

/// Half of a code: the invitation's id, or the proof that goes with it.
const HALF: usize = 16;

/// The code of an invitation, as text in base64url without padding: the invitation's id, and half
/// of an HMAC-SHA-256 of the conversation and the invitation with the deployment's key. Who has the
/// code may come in; who knows only the id may not.
#[derive(Clone, Copy)]
pub struct InviteCode {
    invite: InviteId,
    proof: [u8; HALF],
}

impl InviteCode {
    /// The code of an invitation into a conversation.
    pub fn of(secrets: &Secrets, conversation: ConversationId, invite: InviteId) -> Self {
        let digest = secrets.name_digest("invite", &format!("{conversation} {invite}"));
        let mut proof = [0; HALF];
        hex::decode_to_slice(&digest[..2 * HALF], &mut proof).expect("a digest is 64 hex digits");
        Self { invite, proof }
    }

    /// Reads a code, without knowing whether it is good; nothing, if it can be none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 2 * HALF];
        let read = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        if read != bytes.len() {
            return None;
        }
        let (invite, proof) = bytes.split_at(HALF);
        let invite = InviteId::new(Uuid::from_bytes(invite.try_into().ok()?));
        Some(Self { invite, proof: proof.try_into().ok()? })
    }

    /// Which invitation it claims to be of.
    pub const fn invite(&self) -> InviteId {
        self.invite
    }

    /// Whether it is the code of its invitation into this conversation. How long the answer takes
    /// does not depend on how much of the code is right.
    pub fn is_of(&self, secrets: &Secrets, conversation: ConversationId) -> bool {
        let right = Self::of(secrets, conversation, self.invite);
        let differing =
            self.proof.iter().zip(right.proof).fold(0, |all, (a, b)| black_box(all | (a ^ b)));
        differing == 0
    }
}

impl fmt::Display for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 2 * HALF];
        bytes[..HALF].copy_from_slice(self.invite.uuid().as_bytes());
        bytes[HALF..].copy_from_slice(&self.proof);
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// Shows which invitation it is of, and not the code.
impl fmt::Debug for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InviteCode({})", self.invite)
    }
}

impl Serialize for InviteCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(deployment: u8) -> Secrets {
        Secrets { master: [0; 32], deployment: [deployment; 32] }
    }

    fn conversation(number: u128) -> ConversationId {
        Uuid::from_u128(number).into()
    }

    #[test]
    fn a_code_is_good_for_its_invitation_its_conversation_and_its_deployment() {
        let (ours, invite) = (secrets(1), InviteId::new(Uuid::from_u128(7)));
        let code = InviteCode::of(&ours, conversation(9), invite);
        let text = code.to_string();
        assert_eq!(text.len(), 43);
        let read = InviteCode::parse(&text).unwrap();
        assert_eq!(read.invite(), invite);
        assert!(read.is_of(&ours, conversation(9)));
        assert!(!read.is_of(&ours, conversation(8)));
        assert!(!read.is_of(&secrets(2), conversation(9)));
        assert!(!format!("{read:?}").contains(&text));
    }

    #[test]
    fn a_code_with_any_bit_changed_is_wrong() {
        let ours = secrets(1);
        let code = InviteCode::of(&ours, conversation(9), InviteId::new(Uuid::from_u128(7)));
        for bit in 0..8 * HALF {
            let mut other = code;
            other.proof[bit / 8] ^= 1 << (bit % 8);
            assert!(!other.is_of(&ours, conversation(9)), "{bit}");
        }
        let other = InviteCode { invite: InviteId::new(Uuid::from_u128(8)), ..code };
        assert!(!other.is_of(&ours, conversation(9)));
    }

    #[test]
    fn what_is_no_code_is_not_read() {
        let code = InviteCode::of(&secrets(1), conversation(9), InviteId::new(Uuid::nil()));
        let text = code.to_string();
        for wrong in
            ["", "x", &text[1..], &format!("{text}A"), &format!("{text}="), &text.replace('A', "+")]
        {
            assert!(InviteCode::parse(wrong).is_none(), "{wrong}");
        }
    }
}
