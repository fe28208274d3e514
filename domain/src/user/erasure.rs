//! The end of an account: everything of the person is destroyed, and only that it was is told.

use events::user::PlatformRole;
use events::{ConversationId, UserEvent, UserId};

use super::account::{Account, Decision};
use super::{Command, Rejection};

/// What is left of a person who was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Who.
    pub user: UserId,
    /// Whether everything that follows of it is done.
    pub certified: bool,
}

/// What is ordered, and what has to be known for it.
#[derive(Clone, Debug)]
pub struct Erase {
    /// Who wants it; nobody (the nil UUID) is the operator.
    pub by: UserId,
    /// Their role on the platform.
    pub by_role: PlatformRole,
    /// Whether nobody else is an admin.
    pub last_admin: bool,
    /// Whether the person, or a conversation that they wrote in, is kept for a legal matter.
    pub held: bool,
    /// The conversations that they are in.
    pub conversations: Vec<ConversationId>,
    /// The streams of the reservations of their address and handle.
    pub names: Vec<String>,
}

impl Account {
    pub(super) fn erase(&self, order: &Erase) -> Decision {
        let Erase { by, by_role, last_admin, held, conversations, names } = order.clone();
        if by != self.user && by_role < PlatformRole::Admin {
            return Err(Rejection::NotAdmin);
        }
        if self.role == PlatformRole::Admin && last_admin {
            return Err(Rejection::LastAdmin);
        }
        if held {
            return Err(Rejection::LegalHold);
        }
        Ok(vec![UserEvent::Erased { user: self.user, by, conversations, names }])
    }
}

impl Erasure {
    pub(super) fn decide(self, command: &Command) -> Decision {
        match command {
            Command::Erase(_) => Ok(vec![]),
            Command::CertifyErasure { .. } if self.certified => Ok(vec![]),
            Command::CertifyErasure { certificate, signature } => {
                Ok(vec![UserEvent::ErasureCertified {
                    user: self.user,
                    certificate: certificate.clone(),
                    signature: signature.clone(),
                }])
            }
            Command::SignUp { .. } => Err(Rejection::AlreadySignedUp),
            Command::ChangeProfile(_)
            | Command::Onboard(_)
            | Command::Rehash { .. }
            | Command::ChangePassword { .. }
            | Command::ChangePlatformRole { .. }
            | Command::Suspend { .. }
            | Command::Reinstate { .. }
            | Command::SubscribePush { .. }
            | Command::UnsubscribePush { .. }
            | Command::ReadNotifications { .. } => Err(Rejection::NoSuchUser),
        }
    }
}
