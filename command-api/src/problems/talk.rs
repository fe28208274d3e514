//! The rules about conversations, what is said in them, and the files that come with it.

use domain::{conversation, file, message, receipt};
use service::Problem;

use super::{
    banned, conflict, forbidden, gone, invalid, invalid_title, missing, no_such_message,
    not_friends, oneself,
};

/// A rule of conversations.
pub(crate) fn of_conversation(rejection: conversation::Rejection) -> Problem {
    use conversation::Rejection;
    match rejection {
        Rejection::Oneself => oneself(),
        Rejection::NotFriends => not_friends(),
        Rejection::AlreadyOpened => {
            conflict("conversation-exists", "This conversation exists already")
        }
        Rejection::NoSuchConversation => Problem::no_such_conversation(),
        Rejection::Direct => conflict(
            "direct-conversation",
            "A direct conversation has the same two people for ever, and no settings",
        ),
        Rejection::StudyRoom => conflict(
            "study-room",
            "People come into a study room by joining its session, and it stays its tutor's",
        ),
        Rejection::NotOwner => forbidden("not-owner", "Only the owner of the group may do this"),
        Rejection::NotAllowed => {
            forbidden("role-forbids", "Your role in the group does not allow this")
        }
        Rejection::OwnerStays => {
            conflict("owner-stays", "The owner stays until the group is transferred")
        }
        Rejection::NoSuchMember => missing("no-such-member", "This person is not in the group"),
        Rejection::OwnerIsNoRole => {
            invalid("owner-is-no-role", "Ownership is transferred, and not given as a role")
        }
        Rejection::Banned => banned(),
        Rejection::Full => conflict("conversation-full", "A group has at most 1000 members"),
        Rejection::InvalidTitle => invalid_title(),
        Rejection::InvalidInvite => invalid(
            "invalid-invite",
            "An invitation is for at least one use and ends in the future",
        ),
        Rejection::InviteExists => {
            conflict("invite-exists", "An invitation with this id exists already")
        }
        Rejection::TooManyBans => {
            conflict("too-many-bans", "At most 10000 people can be banned from a group")
        }
        Rejection::TooManyInvites => {
            conflict("too-many-invites", "A group has at most 100 open invitations")
        }
        Rejection::NoSuchInvite => missing("no-such-invite", "This invitation does not exist"),
        Rejection::InviteRevoked => gone("invite-revoked", "This invitation was revoked"),
        Rejection::InviteExpired => gone("invite-expired", "This invitation has expired"),
        Rejection::InviteUsedUp => gone("invite-used-up", "This invitation is used up"),
        Rejection::InvalidSlowMode => {
            invalid("invalid-slow-mode", "Slow mode is at most 21600 seconds")
        }
        Rejection::NoSuchMessage => no_such_message(),
        Rejection::TooManyPins => {
            conflict("too-many-pins", "A conversation has at most 50 pinned messages")
        }
    }
}

/// A rule of messages.
pub(crate) fn of_message(rejection: message::Rejection) -> Problem {
    use message::Rejection;
    match rejection {
        Rejection::NoSuchConversation => Problem::no_such_conversation(),
        Rejection::NotFriends => not_friends(),
        Rejection::AlreadySent => {
            conflict("message-exists", "A message with this id exists already")
        }
        Rejection::InvalidText => invalid(
            "invalid-text",
            "A message has 1 to 8000 characters that are not all blank, or attachments",
        ),
        Rejection::InvalidKind => {
            invalid("invalid-kind", "Pictures and files are attachments, and emoji have none")
        }
        Rejection::TooManyMentions => {
            invalid("too-many-mentions", "A message mentions at most 50 people")
        }
        Rejection::TooManyAttachments => {
            invalid("too-many-attachments", "A message has at most 10 attachments")
        }
        Rejection::NoSuchFile => invalid(
            "no-such-attachment",
            "An attachment is a file that the sender uploaded to this conversation",
        ),
        Rejection::NoSuchReply => invalid(
            "no-such-reply",
            "The message that this one answers does not exist in the conversation",
        ),
        Rejection::NoSuchThread => invalid(
            "no-such-thread",
            "The message that begins the thread does not exist in the conversation",
        ),
        Rejection::NoSuchMessage => no_such_message(),
        Rejection::NotSender => forbidden("not-sender", "Only the sender of a message may do this"),
        Rejection::Deleted => gone("message-deleted", "This message was deleted"),
        Rejection::InvalidEmoji => {
            invalid("invalid-emoji", "A reaction is one emoji of at most 64 bytes")
        }
        Rejection::TooManyReactions => {
            conflict("too-many-reactions", "A message has at most 20 different reactions")
        }
    }
}

/// A rule of receipts.
pub(crate) fn of_receipt(rejection: receipt::Rejection) -> Problem {
    match rejection {
        receipt::Rejection::NoSuchMessage => no_such_message(),
    }
}

/// A rule of files.
pub(crate) fn of_file(rejection: file::Rejection) -> Problem {
    use file::Rejection;
    match rejection {
        Rejection::NoSuchConversation => Problem::no_such_conversation(),
        Rejection::AlreadyUploaded => conflict("file-exists", "A file with this id exists already"),
        Rejection::InvalidName => invalid(
            "invalid-file-name",
            "A file's name has 1 to 255 characters, without slashes and control characters",
        ),
        Rejection::Empty => invalid("file-empty", "A file has at least one byte"),
        Rejection::NoPicture => invalid("not-a-picture", "An avatar is a picture"),
        Rejection::NoSuchFile => missing("no-such-file", "This file does not exist"),
        Rejection::NotAllowed => forbidden(
            "file-not-yours",
            "Only the owner of a file, or who moderates its conversation, may remove it",
        ),
    }
}
