//! The role matrix: who may do what in a group, and upon whom.

use events::conversation::ConversationKind;
use events::conversation::Role::{self, Admin, Member, Owner};

use super::Rejection;

/// What somebody may do in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send messages.
    Send,
    /// React to messages.
    React,
    /// Leave.
    Leave,
    /// Add people.
    Add,
    /// Remove people.
    Remove,
    /// Ban people.
    Ban,
    /// Let banned people be added again.
    Unban,
    /// Change the title.
    Rename,
    /// Make and revoke invitations.
    Invite,
    /// Make members wait between two messages.
    SetSlowMode,
    /// Send without waiting, in slow mode.
    IgnoreSlowMode,
    /// Pin messages, and take pins away.
    Pin,
    /// Delete what others wrote or uploaded.
    Moderate,
    /// Change somebody's role.
    ChangeRole,
    /// Give the group to somebody else.
    TransferOwnership,
}

impl Action {
    /// Its stable name, as clients know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::React => "react",
            Self::Leave => "leave",
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Ban => "ban",
            Self::Unban => "unban",
            Self::Rename => "rename",
            Self::Invite => "invite",
            Self::SetSlowMode => "set_slow_mode",
            Self::IgnoreSlowMode => "ignore_slow_mode",
            Self::Pin => "pin",
            Self::Moderate => "moderate",
            Self::ChangeRole => "change_role",
            Self::TransferOwnership => "transfer_ownership",
        }
    }
}

/// Which roles may do what in a group or a study room.
pub const MATRIX: &[(Action, &[Role])] = &[
    (Action::Send, &[Owner, Admin, Member]),
    (Action::React, &[Owner, Admin, Member]),
    (Action::Leave, &[Admin, Member]),
    (Action::Add, &[Owner, Admin]),
    (Action::Remove, &[Owner, Admin]),
    (Action::Ban, &[Owner, Admin]),
    (Action::Unban, &[Owner, Admin]),
    (Action::Rename, &[Owner, Admin]),
    (Action::Invite, &[Owner, Admin]),
    (Action::SetSlowMode, &[Owner, Admin]),
    (Action::IgnoreSlowMode, &[Owner, Admin]),
    (Action::Pin, &[Owner, Admin]),
    (Action::Moderate, &[Owner, Admin]),
    (Action::ChangeRole, &[Owner]),
    (Action::TransferOwnership, &[Owner]),
];

/// What either of the two may do in a direct conversation, which has no roles and no slow mode.
pub(super) const EITHER: &[Action] =
    &[Action::Send, Action::React, Action::Pin, Action::IgnoreSlowMode];

/// What nobody does in a study room: its people come by joining the session, and its owner is the
/// tutor.
pub(super) const NOT_IN_STUDY_ROOMS: &[Action] =
    &[Action::Add, Action::Invite, Action::TransferOwnership];

/// What a role may do in a conversation of a kind, whoever it is done to: what clients draw their
/// buttons from.
pub fn permitted(kind: ConversationKind, role: Role) -> impl Iterator<Item = Action> {
    let actions = MATRIX.iter().map(|(action, _)| *action);
    actions.filter(move |action| match kind {
        ConversationKind::Direct => EITHER.contains(action),
        ConversationKind::Study => may(role, *action) && !NOT_IN_STUDY_ROOMS.contains(action),
        ConversationKind::Group => may(role, *action),
    })
}

fn roles(action: Action) -> &'static [Role] {
    MATRIX.iter().find(|(row, _)| *row == action).map_or(&[], |(_, roles)| roles)
}

/// Whether the matrix lets a role do something.
pub fn may(role: Role, action: Action) -> bool {
    roles(action).contains(&role)
}

/// Why a role that may not do something may not.
pub(super) fn refusal(action: Action) -> Rejection {
    match (action, roles(action)) {
        (Action::Leave, _) => Rejection::OwnerStays,
        (_, [Owner]) => Rejection::NotOwner,
        _ => Rejection::NotAllowed,
    }
}

/// Whether one role is above another: people act only upon those below them.
pub(super) const fn outranks(one: Role, other: Role) -> bool {
    rank(one) > rank(other)
}

const fn rank(role: Role) -> u8 {
    match role {
        Owner => 2,
        Admin => 1,
        Member => 0,
    }
}
