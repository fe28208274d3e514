//! What is told to whoever has to do with calls: how long they ring, and how their devices find
//! each other (STUN, RFC 8489; TURN, RFC 8656).

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use events::{Moment, UserId};
use hmac::{Hmac, Mac};
use sha1::Sha1;

use crate::ConfigError;

const RING: &str = "ROUNDTABLE_CALL_RING";
const ALONE: &str = "ROUNDTABLE_CALL_ALONE";
const MESH: &str = "ROUNDTABLE_CALL_MESH";
const STUN: &str = "ROUNDTABLE_STUN_URLS";
const TURN: &str = "ROUNDTABLE_TURN_URLS";
const SECRET: &str = "ROUNDTABLE_TURN_SECRET";
const LIFETIME: &str = "ROUNDTABLE_TURN_LIFETIME";

/// How calls are, and how their devices find each other.
#[derive(Clone)]
pub struct CallSettings {
    /// `ROUNDTABLE_CALL_RING`: how long a call rings, in seconds; 45 by default.
    pub ring_seconds: u16,
    /// `ROUNDTABLE_CALL_ALONE`: how long somebody may be alone in a call of a group, in seconds;
    /// 300 by default.
    pub idle_seconds: u16,
    /// `ROUNDTABLE_CALL_MESH`: how many devices may be connected to each other without the SFU; 4
    /// by default.
    pub mesh: u16,
    /// `ROUNDTABLE_STUN_URLS`: `stun:host:port`, separated by commas.
    pub stun: Vec<String>,
    /// `ROUNDTABLE_TURN_URLS` and `ROUNDTABLE_TURN_SECRET`; without them devices that do not reach
    /// each other have no relay.
    pub turn: Option<TurnSettings>,
}

/// The relays, and what they share with us.
#[derive(Clone)]
pub struct TurnSettings {
    /// `turn:host:port?transport=udp` or `turns:host:port`, separated by commas.
    pub urls: Vec<String>,
    /// What the relays were told as `static-auth-secret`.
    pub secret: String,
    /// `ROUNDTABLE_TURN_LIFETIME`: how long credentials are good, in seconds; an hour by default.
    pub lifetime: Duration,
}

/// What somebody shows to a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnCredential {
    /// Until when it is good, and whose it is: `{seconds}:{user}`.
    pub username: String,
    /// What a relay that knows the secret computes from that.
    pub credential: String,
    /// Until when it is good.
    pub expires: Moment,
}

impl Default for CallSettings {
    fn default() -> Self {
        Self { ring_seconds: 45, idle_seconds: 300, mesh: 4, stun: vec![], turn: None }
    }
}

/// Shows no secret.
impl fmt::Debug for CallSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallSettings")
            .field("ring_seconds", &self.ring_seconds)
            .field("turn", &self.turn.as_ref().map(|turn| &turn.urls))
            .finish_non_exhaustive()
    }
}

impl TurnSettings {
    /// Credentials for one person, as coturn's REST API has them: the name says until when they are
    /// good, and the password is the base64 of HMAC-SHA1 of the name under the shared secret.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    pub fn credential(&self, user: UserId, now: Moment) -> TurnCredential {
        let expires = now + self.lifetime;
        let username = format!("{}:{user}", expires.timestamp());
        let mut mac = Hmac::<Sha1>::new_from_slice(self.secret.as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(username.as_bytes());
        let credential = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        TurnCredential { username, credential, expires }
    }
}

impl CallSettings {
    /// Reads the variables.
    ///
    /// # Errors
    /// When one is wrong, or one of the two for TURN is missing.
    pub(crate) fn read(optional: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let usual = Self::default();
        let (ring, seconds) = (1..=300, "a number of seconds from 1 to 300");
        let (alone, long) = (1..=3600, "a number of seconds from 1 to 3600");
        Ok(Self {
            ring_seconds: number(&optional, RING, ring, seconds)?.unwrap_or(usual.ring_seconds),
            idle_seconds: number(&optional, ALONE, alone, long)?.unwrap_or(usual.idle_seconds),
            mesh: number(&optional, MESH, 2..=8, "a number from 2 to 8")?.unwrap_or(usual.mesh),
            stun: urls(&optional, STUN, &["stun:", "stuns:"], "stun: URLs, separated by commas")?,
            turn: turn(&optional)?,
        })
    }
}

fn turn(optional: impl Fn(&str) -> Option<String>) -> Result<Option<TurnSettings>, ConfigError> {
    let schemes = &["turn:", "turns:"];
    let urls = urls(&optional, TURN, schemes, "turn: or turns: URLs, separated by commas")?;
    let day = "a number of seconds from 60 to 65535";
    let lifetime = number(&optional, LIFETIME, 60..=u16::MAX, day)?.unwrap_or(3600);
    match (urls.is_empty(), optional(SECRET)) {
        (true, None) => Ok(None),
        (false, Some(secret)) => {
            let secret = secret.trim().to_owned();
            if secret.len() < 16 {
                let expected = "a secret of at least 16 characters";
                return Err(ConfigError::Wrong { name: SECRET, expected });
            }
            let lifetime = Duration::from_secs(lifetime.into());
            Ok(Some(TurnSettings { urls, secret, lifetime }))
        }
        (true, Some(_)) => {
            let meaning = "the relays, as ROUNDTABLE_TURN_SECRET is set";
            Err(ConfigError::Missing { name: TURN, meaning })
        }
        (false, None) => {
            let meaning = "what is shared with the relays, as ROUNDTABLE_TURN_URLS is set";
            Err(ConfigError::Missing { name: SECRET, meaning })
        }
    }
}

fn number(
    optional: impl Fn(&str) -> Option<String>,
    name: &'static str,
    good: RangeInclusive<u16>,
    expected: &'static str,
) -> Result<Option<u16>, ConfigError> {
    let Some(text) = optional(name) else { return Ok(None) };
    let number = text.trim().parse().ok().filter(|number| good.contains(number));
    number.map(Some).ok_or(ConfigError::Wrong { name, expected })
}

fn urls(
    optional: impl Fn(&str) -> Option<String>,
    name: &'static str,
    schemes: &[&str],
    expected: &'static str,
) -> Result<Vec<String>, ConfigError> {
    let text = optional(name).unwrap_or_default();
    let url = |text: &str| {
        let host = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
        let good = host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'));
        if good { Ok(text.to_owned()) } else { Err(ConfigError::Wrong { name, expected }) }
    };
    text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(url).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn read(said: &[(&str, &str)]) -> Result<CallSettings, ConfigError> {
        CallSettings::read(|asked| {
            said.iter().find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (turn, secret) = ((TURN, "turn:relay.example:3478"), (SECRET, "0123456789abcdef"));
        let good = read(&[turn, secret, (STUN, "stun:a, stun:b:3478"), (RING, "5")]).unwrap();
        assert_eq!((good.ring_seconds, good.stun.len()), (5, 2));
        assert!(!format!("{good:?}").contains(secret.1));
        assert!(read(&[]).unwrap().turn.is_none());
        for (said, name) in [
            (vec![turn], SECRET),
            (vec![secret], TURN),
            (vec![turn, (SECRET, "short")], SECRET),
            (vec![(TURN, "https://relay.example"), secret], TURN),
            (vec![(STUN, "stun://a")], STUN),
            (vec![(RING, "0")], RING),
            (vec![(ALONE, "soon")], ALONE),
            (vec![(MESH, "9")], MESH),
            (vec![turn, secret, (LIFETIME, "1")], LIFETIME),
        ] {
            assert!(read(&said).unwrap_err().to_string().starts_with(name), "{said:?}");
        }
    }

    #[test]
    fn a_credential_says_whose_it_is_and_until_when() {
        let turn = TurnSettings {
            urls: vec![],
            secret: "north".to_owned(),
            lifetime: Duration::from_secs(60),
        };
        let user = UserId::new(Uuid::from_u128(7));
        let made = turn.credential(user, Moment::from_timestamp(1_700_000_000, 0).unwrap());
        assert_eq!(made.username, format!("1700000060:{user}"));
        // As `openssl dgst -sha1 -hmac north -binary | base64` computes it.
        assert_eq!(made.credential, "xU5B5aWO0lzVAdvU4XfMvIfnSzk=");
        let other = TurnSettings { secret: "south".to_owned(), ..turn };
        let other = other.credential(user, Moment::from_timestamp(1_700_000_000, 0).unwrap());
        assert_ne!(made.credential, other.credential);
    }
}
