//! Who was in a conversation, as what, and what was set for it.

use events::conversation::{ConversationKind, Role};
use events::{
    ConversationEvent, ConversationId, DomainEvent, Moment, Position, StreamName, UserId,
};
use service::Problem;

use super::Past;
use crate::failure::Failure;
use crate::reads::Eyes;
use crate::study_session::is_in_room;

/// A conversation as it was.
pub(super) struct Room {
    pub(super) kind: ConversationKind,
    pub(super) title: Option<String>,
    pub(super) opened_at: Moment,
    pub(super) position: Position,
    pub(super) slow_mode_seconds: u32,
    pub(super) members: Vec<Inside>,
}

/// Somebody who was in it.
#[derive(Clone, Copy)]
pub(super) struct Inside {
    pub(super) user: UserId,
    pub(super) role: Role,
    pub(super) joined_at: Moment,
    pub(super) position: Position,
}

impl Room {
    pub(super) fn member(&self, user: UserId) -> Option<&Inside> {
        self.members.iter().find(|inside| inside.user == user)
    }
}

impl Past {
    /// A conversation as it was, for who was in it and is.
    pub(super) async fn room_of(
        &self,
        eyes: &mut Eyes,
        id: ConversationId,
        reader: UserId,
    ) -> Result<Room, Failure> {
        if !is_in_room(eyes, id, reader).await? {
            return Err(Problem::no_such_conversation().into());
        }
        let room = self.room(id).await?;
        let seen = room.filter(|room| room.member(reader).is_some());
        Ok(seen.ok_or_else(Problem::no_such_conversation)?)
    }

    /// A conversation as it was.
    pub(super) async fn room(&self, id: ConversationId) -> Result<Option<Room>, Failure> {
        let mut room: Option<Room> = None;
        for event in self.events_of(&StreamName::conversation(id)).await? {
            let (at, position) = (event.recorded_at, event.position);
            let DomainEvent::Conversation(happened) = event.event else { continue };
            match (&mut room, happened) {
                (room, ConversationEvent::Opened { kind, title, members, .. }) => {
                    let inside = |user, role| Inside { user, role, joined_at: at, position };
                    *room = Some(Room {
                        kind,
                        title: title.and_then(|title| title.open().cloned()),
                        opened_at: at,
                        position,
                        slow_mode_seconds: 0,
                        members: members.iter().map(|it| inside(it.user, it.role)).collect(),
                    });
                }
                (Some(room), happened) => room.evolve(&happened, at, position),
                (None, _) => {}
            }
        }
        Ok(room)
    }
}

impl Room {
    fn evolve(&mut self, event: &ConversationEvent, at: Moment, position: Position) {
        match event {
            ConversationEvent::MemberAdded { user, .. } => {
                self.members.retain(|inside| inside.user != *user);
                let (user, role) = (*user, Role::Member);
                self.members.push(Inside { user, role, joined_at: at, position });
            }
            ConversationEvent::MemberRemoved { user, .. }
            | ConversationEvent::MemberBanned { user, .. } => {
                self.members.retain(|inside| inside.user != *user);
            }
            ConversationEvent::RoleChanged { user, role, .. } => self.become_(*user, *role),
            ConversationEvent::OwnershipTransferred { from, to, .. } => {
                self.become_(*from, Role::Admin);
                self.become_(*to, Role::Owner);
            }
            ConversationEvent::TitleChanged { title, .. } => self.title = title.open().cloned(),
            ConversationEvent::SlowModeChanged { seconds, .. } => {
                self.slow_mode_seconds = *seconds;
            }
            ConversationEvent::Opened { .. }
            | ConversationEvent::MemberUnbanned { .. }
            | ConversationEvent::InviteMade { .. }
            | ConversationEvent::InviteRevoked { .. }
            | ConversationEvent::MessagePinned { .. }
            | ConversationEvent::MessageUnpinned { .. } => {}
        }
    }

    fn become_(&mut self, user: UserId, role: Role) {
        for inside in self.members.iter_mut().filter(|inside| inside.user == user) {
            inside.role = role;
        }
    }
}

/// As the columns of the tables name it.
pub(super) const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Admin => "admin",
        Role::Member => "member",
    }
}

/// As the columns of the tables name it.
pub(super) const fn kind_name(kind: ConversationKind) -> &'static str {
    match kind {
        ConversationKind::Direct => "direct",
        ConversationKind::Group => "group",
        ConversationKind::Study => "study",
    }
}
