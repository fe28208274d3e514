//! What somebody wants of a conversation, and why not.

use events::conversation::Role;
use events::{ConversationId, InviteId, MessageId, Moment, UserId};
use thiserror::Error;

/// What somebody does to a conversation.
#[derive(Clone, Debug)]
pub enum Command {
    /// Open the direct conversation with a friend.
    OpenDirect {
        /// Who opens it.
        by: UserId,
        /// With whom.
        with: UserId,
        /// Whether the two are friends now.
        friends: bool,
    },
    /// Open a group, as its owner.
    OpenGroup {
        /// The new id.
        conversation: ConversationId,
        /// Who opens it.
        by: UserId,
        /// Its title.
        title: String,
        /// Who else is in it from the start.
        members: Vec<UserId>,
    },
    /// Open the room of a study session.
    OpenStudy {
        /// The new id.
        conversation: ConversationId,
        /// Who leads the session, and owns the room.
        tutor: UserId,
        /// Its title.
        title: String,
    },
    /// Add somebody to the group.
    Add {
        /// Who adds.
        by: UserId,
        /// Whom.
        user: UserId,
    },
    /// Remove somebody from the group, or leave it.
    Remove {
        /// Who removes.
        by: UserId,
        /// Whom.
        user: UserId,
    },
    /// Remove somebody for good.
    Ban {
        /// Who bans.
        by: UserId,
        /// Whom.
        user: UserId,
    },
    /// Let somebody be added again.
    Unban {
        /// Who unbans.
        by: UserId,
        /// Whom.
        user: UserId,
    },
    /// Come into a study room, having joined its session.
    Enter {
        /// Who.
        user: UserId,
        /// Whether they are in the session now.
        admitted: bool,
    },
    /// Go out of a study room, having left its session. The tutor keeps the room.
    Leave {
        /// Who.
        user: UserId,
    },
    /// Give the group another title.
    Rename {
        /// Who.
        by: UserId,
        /// The new title.
        title: String,
    },
    /// Make somebody an admin, or a member again.
    ChangeRole {
        /// Who.
        by: UserId,
        /// Whom.
        user: UserId,
        /// The new role.
        role: Role,
    },
    /// Give the group to somebody in it, and be an admin from then on.
    TransferOwnership {
        /// Who owns it.
        by: UserId,
        /// Who is to own it.
        to: UserId,
    },
    /// Make an invitation.
    MakeInvite {
        /// Who.
        by: UserId,
        /// The new id.
        invite: InviteId,
        /// Until when it may be used; for ever when absent.
        expires: Option<Moment>,
        /// By how many people; by any number when absent.
        uses: Option<u32>,
        /// The present.
        now: Moment,
    },
    /// Let an invitation be used no more.
    RevokeInvite {
        /// Who.
        by: UserId,
        /// Which.
        invite: InviteId,
    },
    /// Come in by an invitation, whose code was checked.
    AcceptInvite {
        /// Who.
        user: UserId,
        /// By which.
        invite: InviteId,
        /// The present.
        now: Moment,
    },
    /// Make members wait between two messages.
    SetSlowMode {
        /// Who.
        by: UserId,
        /// How many seconds; none when zero.
        seconds: u32,
    },
    /// Show a message to everybody at the top.
    Pin {
        /// Who.
        by: UserId,
        /// Which.
        message: MessageId,
        /// Whether the message is in this conversation, and not deleted.
        here: bool,
    },
    /// Show it there no more.
    Unpin {
        /// Who.
        by: UserId,
        /// Which.
        message: MessageId,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// It takes two.
    #[error("nobody can talk with themselves")]
    Oneself,
    /// Direct conversations are between friends.
    #[error("a direct conversation is between friends")]
    NotFriends,
    /// The id is taken.
    #[error("this conversation exists already")]
    AlreadyOpened,
    /// There is none, or not for this person.
    #[error("this conversation does not exist")]
    NoSuchConversation,
    /// Only groups change.
    #[error("a direct conversation has the same two people for ever, and no settings")]
    Direct,
    /// Study rooms follow their session.
    #[error("people come into a study room by joining its session, and it stays its tutor's")]
    StudyRoom,
    /// Only the owner decides.
    #[error("only the owner of the group may do this")]
    NotOwner,
    /// The role matrix, or the rank of the other, says no.
    #[error("your role in the group does not allow this")]
    NotAllowed,
    /// Groups have owners.
    #[error("the owner stays until the group is transferred")]
    OwnerStays,
    /// One cannot do this to somebody outside.
    #[error("this person is not in the group")]
    NoSuchMember,
    /// There is one owner, who gives the group away.
    #[error("ownership is transferred, and not given as a role")]
    OwnerIsNoRole,
    /// The person was banned.
    #[error("this person is banned from the group")]
    Banned,
    /// Too many.
    #[error("a group has at most 1000 members")]
    Full,
    /// Nothing to show.
    #[error("a title has 1 to 200 characters that are not all blank")]
    InvalidTitle,
    /// It could never be used.
    #[error("an invitation is for at least one use and ends in the future")]
    InvalidInvite,
    /// The id is taken.
    #[error("an invitation with this id exists already")]
    InviteExists,
    /// Too many.
    #[error("at most 10000 people can be banned from a group")]
    TooManyBans,
    /// Too many.
    #[error("a group has at most 100 open invitations")]
    TooManyInvites,
    /// There is none.
    #[error("this invitation does not exist")]
    NoSuchInvite,
    /// It was taken back.
    #[error("this invitation was revoked")]
    InviteRevoked,
    /// Its time is over.
    #[error("this invitation has expired")]
    InviteExpired,
    /// As many as it was for have come.
    #[error("this invitation is used up")]
    InviteUsedUp,
    /// Too long.
    #[error("slow mode is at most 21600 seconds")]
    InvalidSlowMode,
    /// There is none.
    #[error("this message does not exist in the conversation")]
    NoSuchMessage,
    /// Too many.
    #[error("a conversation has at most 50 pinned messages")]
    TooManyPins,
}
