//! How a conversation begins.

use std::collections::BTreeSet;

use events::conversation::{ConversationKind, Member, Role};
use events::{ConversationEvent, ConversationId, Personal, UserId};

use super::settings::valid_title;
use super::{Conversation, MAX_MEMBERS, Rejection};

type Decision = Result<Vec<ConversationEvent>, Rejection>;

impl Conversation {
    pub(super) fn open_direct(&self, by: UserId, with: UserId, friends: bool) -> Decision {
        if by == with {
            return Err(Rejection::Oneself);
        }
        match self.kind() {
            Some(ConversationKind::Direct) => return Ok(vec![]),
            Some(ConversationKind::Group | ConversationKind::Study) => {
                return Err(Rejection::AlreadyOpened);
            }
            None => {}
        }
        if !friends {
            return Err(Rejection::NotFriends);
        }
        Ok(vec![ConversationEvent::Opened {
            conversation: ConversationId::direct(by, with),
            kind: ConversationKind::Direct,
            title: None,
            members: [by, with].map(|user| Member { user, role: Role::Member }).to_vec(),
        }])
    }

    pub(super) fn open_group(
        &self,
        conversation: ConversationId,
        by: UserId,
        title: &str,
        members: &[UserId],
    ) -> Decision {
        self.open(conversation, ConversationKind::Group, by, title, members)
    }

    pub(super) fn open_study(
        &self,
        conversation: ConversationId,
        tutor: UserId,
        title: &str,
    ) -> Decision {
        self.open(conversation, ConversationKind::Study, tutor, title, &[])
    }

    fn open(
        &self,
        conversation: ConversationId,
        kind: ConversationKind,
        by: UserId,
        title: &str,
        members: &[UserId],
    ) -> Decision {
        if self.opened.is_some() {
            return Err(Rejection::AlreadyOpened);
        }
        valid_title(title)?;
        let others: BTreeSet<_> = members.iter().filter(|user| **user != by).collect();
        if others.len() >= MAX_MEMBERS {
            return Err(Rejection::Full);
        }
        let owner = Member { user: by, role: Role::Owner };
        let others = others.into_iter().map(|user| Member { user: *user, role: Role::Member });
        Ok(vec![ConversationEvent::Opened {
            conversation,
            kind,
            title: Some(Personal::new(by, title.to_owned())),
            members: std::iter::once(owner).chain(others).collect(),
        }])
    }
}
