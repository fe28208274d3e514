//! What is done to an account, and why not.

use events::user::PlatformRole;
use events::{Moment, Position, PushId, UserId};
use thiserror::Error;

use super::{Erase, Profile};

/// What a person does to their account, or somebody above them.
#[derive(Clone, Debug)]
pub enum Command {
    /// Sign up.
    SignUp {
        /// The new id.
        user: UserId,
        /// The normalised address.
        email: String,
        /// The normalised handle.
        handle: String,
        /// The name that others see.
        name: String,
        /// The password's hash, as a PHC string.
        password_hash: String,
    },
    /// Change what others see; what is absent stays.
    ChangeProfile(Profile),
    /// Tell everything that others need to find one.
    Onboard(Profile),
    /// Replace the password's hash by one of a newer kind.
    Rehash {
        /// The hash that the password was verified with.
        old: String,
        /// The new hash, as a PHC string.
        new: String,
    },
    /// Replace the password.
    ChangePassword {
        /// The hash that the old password was verified with.
        old: String,
        /// The hash of the new one, as a PHC string.
        new: String,
    },
    /// Give the person another role on the platform.
    ChangePlatformRole {
        /// Who.
        by: UserId,
        /// The role of whoever does it.
        by_role: PlatformRole,
        /// The new role.
        role: PlatformRole,
        /// Whether there is no admin but this person.
        last_admin: bool,
    },
    /// Let the person do nothing for a while, or for good.
    Suspend {
        /// Who.
        by: UserId,
        /// The role of whoever does it.
        by_role: PlatformRole,
        /// Until when; for good when absent.
        until: Option<Moment>,
        /// Why, for the person to read.
        reason: String,
        /// The present.
        now: Moment,
    },
    /// Let the person act again.
    Reinstate {
        /// Who.
        by: UserId,
        /// The role of whoever does it.
        by_role: PlatformRole,
    },
    /// Get notifications by web push.
    SubscribePush {
        /// Which subscription.
        push: PushId,
        /// Where to send to.
        endpoint: String,
        /// The browser's public key, P-256 in base64url without padding (RFC 8291).
        p256dh: String,
        /// The shared secret, 16 bytes in base64url without padding (RFC 8291).
        auth: String,
    },
    /// Get them no more.
    UnsubscribePush {
        /// Which subscription.
        push: PushId,
    },
    /// Have seen all notifications up to a position.
    ReadNotifications {
        /// The position.
        upto: Position,
    },
    /// Destroy everything of the person.
    Erase(Erase),
    /// Tell that everything which follows from the erasure is done.
    CertifyErasure {
        /// What was destroyed, as JSON.
        certificate: String,
        /// The signature of that text.
        signature: String,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The id is taken.
    #[error("this account exists already")]
    AlreadySignedUp,
    /// Nobody has this id.
    #[error("this account does not exist")]
    NoSuchUser,
    /// Nobody is nameless.
    #[error("a name has 1 to 100 characters that are not all blank")]
    InvalidName,
    /// Too long.
    #[error("a text about oneself has at most 1000 characters")]
    BioTooLong,
    /// It is no language.
    #[error("a language is a tag of BCP 47, as `en` or `pt-BR`")]
    InvalidLanguage,
    /// Too long.
    #[error("a location has at most 100 characters")]
    LocationTooLong,
    /// There is no such picture, or it is somebody else's.
    #[error("a picture is one of the presets 1 to 8, or an uploaded one of the person")]
    InvalidAvatar,
    /// Something is missing.
    #[error("others need a name, a text about oneself, and both languages")]
    Incomplete,
    /// Somebody was faster.
    #[error("the password's hash is another one by now")]
    OtherHash,
    /// Only admins appoint.
    #[error("only an admin of the platform may do this")]
    NotAdmin,
    /// A legal matter needs what they wrote.
    #[error("a legal hold keeps what this person wrote: nothing is erased before it is released")]
    LegalHold,
    /// Nothing was erased that could be certified.
    #[error("this person was not erased")]
    NotErased,
    /// Only moderators and admins suspend.
    #[error("only a moderator of the platform may do this")]
    NotModerator,
    /// Somebody has to be able to appoint.
    #[error("the platform keeps at least one admin")]
    LastAdmin,
    /// One acts only upon those below.
    #[error("this may be done only to people of a lower role")]
    NotBelow,
    /// It would be over at once.
    #[error("a suspension ends in the future, or never")]
    InvalidEnd,
    /// The person has to be told.
    #[error("a reason has 1 to 1000 characters that are not all blank")]
    InvalidReason,
    /// A browser has said something else.
    #[error("this is no subscription to web push")]
    InvalidSubscription,
    /// Too many.
    #[error("a person has at most 10 subscriptions to web push")]
    TooManySubscriptions,
}
