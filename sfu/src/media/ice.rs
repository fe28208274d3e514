//! ICE-lite (RFC 8445): answers the checks of one peer, and knows the address it chose.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::distr::Alphanumeric;
use rtc_crypto::RTCCrypto;
use rtc_stun::attributes::{ATTR_MESSAGE_INTEGRITY, ATTR_USE_CANDIDATE, ATTR_USERNAME};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Message};
use rtc_stun::xoraddr::XorMappedAddress;

/// Without a check for this long the peer is not there (it checks every few seconds, RFC 7675).
pub(crate) const LOST: Duration = Duration::from_secs(12);

/// Addresses of one peer that are known at once.
const ADDRESSES: usize = 8;

/// The name and the password of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) name: String,
    pub(crate) password: String,
}

impl Credentials {
    /// New ones that cannot be guessed.
    pub(crate) fn random() -> Self {
        let text = |len| rand::rng().sample_iter(Alphanumeric).take(len).map(char::from).collect();
        Self { name: text(12), password: text(32) }
    }
}

/// A check that came: a STUN binding request.
pub(crate) struct Check {
    message: Message,
    /// Whose it is: the local name.
    pub(crate) to: String,
    nominates: bool,
}

impl Check {
    /// Reads a datagram; `None` if it is no binding request with a name.
    pub(crate) fn read(datagram: &[u8]) -> Option<Self> {
        let mut message = Message::new();
        message.unmarshal_binary(datagram).ok()?;
        if message.typ != BINDING_REQUEST {
            return None;
        }
        let name = String::from_utf8(message.get(ATTR_USERNAME).ok()?).ok()?;
        let (to, _) = name.split_once(':')?;
        let nominates = message.contains(ATTR_USE_CANDIDATE);
        Some(Self { to: to.to_owned(), nominates, message })
    }

    /// The answer, if the check knows the password.
    fn answer(
        &mut self,
        from: SocketAddr,
        password: &str,
        crypto: &dyn RTCCrypto,
    ) -> Option<Vec<u8>> {
        // The library computes places from the length of this attribute.
        if self.message.get(ATTR_MESSAGE_INTEGRITY).ok()?.len() != 20 {
            return None;
        }
        MessageIntegrity::check(&mut self.message, password.as_bytes(), crypto).ok()?;
        let integrity =
            MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), crypto);
        let mut answer = Message::new();
        answer
            .build(&[
                Box::new(self.message.transaction_id),
                Box::new(BINDING_SUCCESS),
                Box::new(XorMappedAddress { ip: from.ip(), port: from.port() }),
                Box::new(integrity),
                Box::new(FINGERPRINT),
            ])
            .ok()?;
        Some(answer.raw)
    }
}

/// What the answer to a check brings.
pub(crate) struct Answered {
    pub(crate) datagram: Vec<u8>,
    /// An address that is not believed any more, for the new one.
    pub(crate) forgotten: Option<SocketAddr>,
}

/// The connectivity to one peer.
#[derive(Debug)]
pub(crate) struct Ice {
    pub(crate) local: Credentials,
    /// Those before a restart: good until a check uses the new ones.
    before: Option<Credentials>,
    addresses: Vec<SocketAddr>,
    chosen: Option<SocketAddr>,
    heard: Instant,
}

impl Ice {
    /// Nobody has checked yet.
    pub(crate) fn new(now: Instant) -> Self {
        let (addresses, chosen) = (Vec::new(), None);
        Self { local: Credentials::random(), before: None, addresses, chosen, heard: now }
    }

    /// Begins a restart: returns the name that is not good any more, if there was one before.
    pub(crate) fn restart(&mut self) -> Option<String> {
        let new = Credentials::random();
        let old = std::mem::replace(&mut self.local, new);
        self.before.replace(old).map(|older| older.name)
    }

    /// Answers a check, unless it does not know the password.
    pub(crate) fn answer(
        &mut self,
        check: &mut Check,
        from: SocketAddr,
        crypto: &dyn RTCCrypto,
        now: Instant,
    ) -> Option<Answered> {
        let known = [Some(&self.local), self.before.as_ref()];
        let used = known.into_iter().flatten().find(|known| known.name == check.to)?;
        let is_new = used.name == self.local.name;
        let datagram = check.answer(from, &used.password, crypto)?;
        self.heard = now;
        let learned = !self.addresses.contains(&from);
        let mut forgotten = None;
        if learned {
            if self.addresses.len() == ADDRESSES {
                let idle = self.addresses.iter().position(|known| Some(*known) != self.chosen);
                forgotten = idle.map(|idle| self.addresses.remove(idle));
            }
            self.addresses.push(from);
        }
        // Until the peer has chosen, whatever works is used; after a restart, only the new.
        let restarted = is_new && self.before.is_some();
        if check.nominates || self.chosen.is_none() || (restarted && learned) {
            self.chosen = Some(from);
        }
        Some(Answered { datagram, forgotten })
    }

    /// The address to send to.
    pub(crate) fn chosen(&self) -> Option<SocketAddr> {
        self.chosen
    }

    /// The names that checks may use.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let both = [Some(&self.local), self.before.as_ref()];
        both.into_iter().flatten().map(|known| known.name.as_str())
    }

    /// Whether the peer has not checked for too long.
    pub(crate) fn is_lost(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) > LOST
    }

    /// How long ago the peer checked.
    pub(crate) fn silent(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtc_stun::message::{Setter, TransactionId};

    fn request(name: &str, password: &str, nominate: bool) -> Vec<u8> {
        let provider = rtc_crypto::default_provider().unwrap();
        let integrity = MessageIntegrity::new_short_term_integrity_with_provider(
            password.to_owned(),
            provider.crypto(),
        );
        let mut message = Message::new();
        message.build(&[Box::new(TransactionId::new()), Box::new(BINDING_REQUEST)]).unwrap();
        message.add(ATTR_USERNAME, format!("{name}:peer").as_bytes());
        if nominate {
            message.add(ATTR_USE_CANDIDATE, &[]);
        }
        integrity.add_to(&mut message).unwrap();
        FINGERPRINT.add_to(&mut message).unwrap();
        message.raw
    }

    fn ask(ice: &mut Ice, datagram: &[u8], from: &str) -> Option<Answered> {
        let provider = rtc_crypto::default_provider().unwrap();
        let mut check = Check::read(datagram)?;
        ice.answer(&mut check, from.parse().unwrap(), provider.crypto(), Instant::now())
    }

    #[test]
    fn who_knows_the_password_is_answered_and_nobody_else() {
        let mut ice = Ice::new(Instant::now());
        let Credentials { name, password } = ice.local.clone();
        assert!(ask(&mut ice, &request(&name, "wrong", true), "10.0.0.1:1").is_none());
        assert!(ask(&mut ice, &request("other", &password, true), "10.0.0.1:1").is_none());
        assert_eq!(ice.chosen(), None);
        let answered = ask(&mut ice, &request(&name, &password, true), "10.0.0.1:1").unwrap();
        assert_eq!(ice.chosen(), Some("10.0.0.1:1".parse().unwrap()));
        let mut answer = Message::new();
        answer.unmarshal_binary(&answered.datagram).unwrap();
        assert_eq!(answer.typ, BINDING_SUCCESS);
    }

    #[test]
    fn the_peer_may_choose_another_address_and_restart() {
        let mut ice = Ice::new(Instant::now());
        let Credentials { name, password } = ice.local.clone();
        ask(&mut ice, &request(&name, &password, true), "10.0.0.1:1").unwrap();
        ask(&mut ice, &request(&name, &password, false), "10.0.0.2:1").unwrap();
        assert_eq!(ice.chosen(), Some("10.0.0.1:1".parse().unwrap()), "only checked");
        ask(&mut ice, &request(&name, &password, true), "10.0.0.2:1").unwrap();
        assert_eq!(ice.chosen(), Some("10.0.0.2:1".parse().unwrap()));
        ice.restart();
        let new = ice.local.clone();
        assert!(ask(&mut ice, &request(&name, &password, true), "10.0.0.2:1").is_some());
        assert!(ask(&mut ice, &request(&new.name, &new.password, true), "10.0.0.3:1").is_some());
        assert_eq!(ice.chosen(), Some("10.0.0.3:1".parse().unwrap()));
    }

    #[test]
    fn addresses_of_one_peer_are_bounded() {
        let mut ice = Ice::new(Instant::now());
        let Credentials { name, password } = ice.local.clone();
        for port in 1..100 {
            let from = format!("10.0.0.1:{port}");
            ask(&mut ice, &request(&name, &password, port == 1), &from).unwrap();
        }
        assert_eq!(ice.addresses.len(), ADDRESSES);
        assert_eq!(ice.chosen(), Some("10.0.0.1:1".parse().unwrap()), "the chosen one stays");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200), shape in any::<bool>(),
        ) {
            if shape && bytes.len() > 20 {
                let len = u16::try_from(bytes.len() - 20).unwrap();
                bytes[..2].copy_from_slice(&[0, 1]);
                bytes[2..4].copy_from_slice(&len.to_be_bytes());
                bytes[4..8].copy_from_slice(&0x2112_a442u32.to_be_bytes());
            }
            let mut ice = Ice::new(Instant::now());
            prop_assert!(ask(&mut ice, &bytes, "10.0.0.1:1").is_none());
        }

        /// A good request with some bytes changed is refused, and breaks nothing.
        #[test]
        fn a_request_that_was_changed_is_refused(at in 0usize..100, to in any::<u8>()) {
            let mut ice = Ice::new(Instant::now());
            let Credentials { name, password } = ice.local.clone();
            let mut bytes = request(&name, &password, true);
            let at = at % bytes.len();
            if bytes[at] != to && at < bytes.len() - 8 {
                bytes[at] = to;
                let _ = ask(&mut ice, &bytes, "10.0.0.1:1");
            }
        }
    }
}
