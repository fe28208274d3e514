//! Tickets: short-lived, signed permissions to join one call at one SFU node.
//!
//! A ticket is a JWT (RFC 7519) signed with Ed25519 (RFC 8037) by the deployment's signing key, as
//! access tokens are; its audience keeps the two apart.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use events::{Moment, UserId};
use http::StatusCode;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::Problem;

/// How long a ticket is good: long enough to connect, too short to be passed on.
pub const LIFETIME: Duration = Duration::from_secs(60);

/// How far the clocks of two nodes may be apart.
const LEEWAY: i64 = 5;

const ISSUER: &str = "roundtable";
const AUDIENCE: &str = "roundtable-sfu";

/// What an Ed25519 seed is preceded by in PKCS #8 (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Who may do what, in which call, at which node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The person.
    #[serde(rename = "sub")]
    pub user: UserId,
    /// The call: the UUID of its id.
    pub call: Uuid,
    /// The device that joins: the UUID of its log-in.
    pub device: Uuid,
    /// The node that carries the call, as the registry names it.
    pub node: String,
    /// What the device may do there.
    pub rights: Rights,
    /// Names this ticket in logs and lets a node refuse to take it twice.
    #[serde(rename = "jti")]
    pub id: Uuid,
}

/// What a device may do in a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rights {
    /// Send media.
    pub publish: bool,
    /// Receive what others send.
    pub subscribe: bool,
    /// Begin and end recordings.
    pub record: bool,
    /// The highest picture that may be sent, in lines; no picture at all with 0, as in a call of
    /// voices only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u16>,
}

impl Rights {
    /// Send and receive, as a participant does.
    pub const PARTICIPANT: Self =
        Self { publish: true, subscribe: true, record: false, height: None };
}

/// Why a ticket is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TicketError {
    /// It is no JWT, or one without what a ticket says.
    #[error("this is not a ticket")]
    Malformed,
    /// The signature is not of this deployment.
    #[error("the ticket was not signed by this deployment")]
    Signature,
    /// It is good for something else: an access token, for example.
    #[error("the ticket is for something else")]
    Audience,
    /// It is too old.
    #[error("the ticket has expired")]
    Expired,
    /// It was issued by a clock that is far ahead.
    #[error("the ticket is from the future")]
    Early,
    /// Another node carries the call.
    #[error("the ticket is for another node")]
    Node,
}

impl From<TicketError> for Problem {
    fn from(error: TicketError) -> Self {
        let (slug, title) = match error {
            TicketError::Malformed => ("ticket-malformed", "This is not a ticket"),
            TicketError::Signature => ("ticket-forged", "The ticket is not one of ours"),
            TicketError::Audience => ("ticket-purpose", "The ticket is for something else"),
            TicketError::Expired => ("ticket-expired", "The ticket has expired"),
            TicketError::Early => ("ticket-early", "The ticket is from the future"),
            TicketError::Node => ("ticket-node", "The ticket is for another node"),
        };
        Self::new(StatusCode::UNAUTHORIZED, slug, title)
    }
}

/// Issues and verifies tickets. Cheap to clone.
#[derive(Clone)]
pub struct Tickets(Arc<Keys>);

struct Keys {
    signing: EncodingKey,
    verifying: DecodingKey,
    header: Header,
    validation: Validation,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
    #[serde(flatten)]
    ticket: Ticket,
}

impl Tickets {
    /// Signs with this Ed25519 seed, the one that signs access tokens.
    pub fn new(seed: &[u8; 32]) -> Self {
        let public = SigningKey::from_bytes(seed).verifying_key();
        let x = BASE64_URL_SAFE_NO_PAD.encode(public.as_bytes());
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // Time is an argument of `verify`; the library would read a clock of its own.
        validation.validate_exp = false;
        Self(Arc::new(Keys {
            signing: EncodingKey::from_ed_der(&[&PKCS8_PREFIX[..], seed].concat()),
            verifying: DecodingKey::from_ed_components(&x).expect("this is base64"),
            header: Header::new(Algorithm::EdDSA),
            validation,
        }))
    }

    /// Signs a ticket, good for [`LIFETIME`].
    pub fn issue(&self, ticket: Ticket, now: Moment) -> String {
        let iat = now.timestamp();
        let exp = iat + i64::try_from(LIFETIME.as_secs()).expect("a minute fits");
        let claims = Claims { iss: ISSUER.to_owned(), aud: AUDIENCE.to_owned(), iat, exp, ticket };
        jsonwebtoken::encode(&self.0.header, &claims, &self.0.signing)
            .expect("the key is an Ed25519 key and the claims are JSON")
    }

    /// What a ticket permits at the node of that name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, ticket: &str, node: &str, now: Moment) -> Result<Ticket, TicketError> {
        let Keys { verifying, validation, .. } = &*self.0;
        let decoded = jsonwebtoken::decode::<Claims>(ticket, verifying, validation);
        let claims = decoded.map_err(|error| of_library(error.kind()))?.claims;
        if claims.iat > now.timestamp() + LEEWAY {
            return Err(TicketError::Early);
        }
        if claims.exp <= now.timestamp() {
            return Err(TicketError::Expired);
        }
        match claims.ticket.node == node {
            true => Ok(claims.ticket),
            false => Err(TicketError::Node),
        }
    }
}

fn of_library(error: &ErrorKind) -> TicketError {
    match error {
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => TicketError::Signature,
        ErrorKind::InvalidAudience | ErrorKind::InvalidIssuer => TicketError::Audience,
        // An access token has no audience at all.
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => TicketError::Audience,
        _ => TicketError::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Identity, Tokens};
    use chrono::DateTime;

    fn at(seconds: i64) -> Moment {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn ticket() -> Ticket {
        Ticket {
            user: Uuid::from_u128(1).into(),
            call: Uuid::from_u128(2),
            device: Uuid::from_u128(3),
            node: "here".to_owned(),
            rights: Rights::PARTICIPANT,
            id: Uuid::from_u128(4),
        }
    }

    #[test]
    fn a_ticket_says_who_may_do_what_for_a_minute() {
        let tickets = Tickets::new(&[7; 32]);
        let signed = tickets.issue(ticket(), at(0));
        assert_eq!(tickets.verify(&signed, "here", at(0)), Ok(ticket()));
        assert_eq!(tickets.verify(&signed, "here", at(59)), Ok(ticket()));
        assert_eq!(tickets.verify(&signed, "here", at(60)), Err(TicketError::Expired));
        assert_eq!(tickets.verify(&signed, "here", at(-3)), Ok(ticket()), "clocks differ a little");
        assert_eq!(tickets.verify(&signed, "here", at(-60)), Err(TicketError::Early));
    }

    #[test]
    fn a_ticket_is_good_at_its_node_only() {
        let tickets = Tickets::new(&[7; 32]);
        let signed = tickets.issue(ticket(), at(0));
        assert_eq!(tickets.verify(&signed, "there", at(0)), Err(TicketError::Node));
    }

    #[test]
    fn what_is_no_ticket_is_refused_with_the_reason() {
        let tickets = Tickets::new(&[7; 32]);
        let verify = |text: &str| tickets.verify(text, "here", at(0));
        let other = Tickets::new(&[8; 32]).issue(ticket(), at(0));
        assert_eq!(verify(&other), Err(TicketError::Signature));
        let (user, login) = (Uuid::from_u128(1).into(), Uuid::from_u128(2).into());
        let access = Tokens::new(&[7; 32]).issue(Identity::new(user, login), at(0));
        // The library may look at the claims before their audience; both say it is no ticket.
        assert!(matches!(verify(&access), Err(TicketError::Audience | TicketError::Malformed)));
        for text in ["", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
            assert!(verify(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_ticket_is_no_access_token() {
        let signed = Tickets::new(&[7; 32]).issue(ticket(), at(0));
        assert!(Tokens::new(&[7; 32]).verify(&signed, at(0)).is_err());
    }
}
