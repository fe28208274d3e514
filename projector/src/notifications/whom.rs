//! Whom a cause concerns: as the log says, and as Redis says who is there.

use std::collections::BTreeSet;

use domain::call::Call;
use domain::conversation::Conversation;
use domain::friendship::Friendship;
use domain::session::Session;
use event_log::{EventLog, LogError};
use events::conversation::ConversationKind;
use events::notification::About;
use events::{ConversationId, MessageId, StreamName, UserId};
use service::Connections;

use super::causes::Cause;

/// Where it is looked up whom a cause concerns.
#[derive(Clone)]
pub(super) struct Whom {
    pub(super) log: EventLog,
    pub(super) connections: Connections,
}

impl Whom {
    /// Who is to be told of it, and as what. Of two people of whom one blocks the other neither
    /// hears of the other.
    pub(super) async fn of(&self, cause: &Cause) -> Result<Vec<(UserId, About)>, LogError> {
        match cause {
            Cause::Done { by, to, about } => {
                let to = to.iter().map(|user| (*user, *about)).collect();
                self.without_blocked(*by, to).await
            }
            Cause::Sent { message, conversation, from, mentions } => {
                let told = self.of_message(*message, *conversation, *from, mentions).await?;
                self.without_blocked(*from, told).await
            }
            Cause::Session { session, conversation, but, about } => {
                let room = StreamName::conversation(*conversation);
                let room = self.log.load::<Conversation>(&room).await?.state;
                let session = self.log.load::<Session>(&StreamName::session(*session)).await?.state;
                let mut people: BTreeSet<UserId> = room.members().collect();
                people.extend(session.participants());
                people.extend(session.planned().map(|planned| planned.tutor));
                let told = people.into_iter().filter(|user| Some(*user) != *but);
                Ok(told.map(|user| (user, *about)).collect())
            }
            Cause::Missed { call, conversation, users } => {
                let known = self.log.load::<Call>(&StreamName::call(*call)).await?.state;
                let Some(from) = known.begun().map(|begun| begun.by) else { return Ok(vec![]) };
                let room = StreamName::conversation(*conversation);
                let room = self.log.load::<Conversation>(&room).await?.state;
                let about = About::MissedCall { call: *call, conversation: *conversation, from };
                let members = users.iter().filter(|user| room.has_member(**user));
                let told = members.map(|user| (*user, about)).collect();
                self.without_blocked(from, told).await
            }
        }
    }

    /// Who is mentioned; and in a direct conversation the other, if they are not there to see it.
    async fn of_message(
        &self,
        message: MessageId,
        conversation: ConversationId,
        from: UserId,
        mentions: &[UserId],
    ) -> Result<Vec<(UserId, About)>, LogError> {
        let stream = StreamName::conversation(conversation);
        // The kind never changes, nor do the two of a direct conversation; who else is in one does.
        let known = match mentions.is_empty() {
            true => self.log.state::<Conversation>(&stream).await?.state,
            false => self.log.load::<Conversation>(&stream).await?.state,
        };
        let mentioned: BTreeSet<UserId> = mentions
            .iter()
            .copied()
            .filter(|user| *user != from && known.has_member(*user))
            .collect();
        let mention = About::Mention { message, conversation, from };
        let mut told: Vec<_> = mentioned.iter().map(|user| (*user, mention)).collect();
        if known.kind() == Some(ConversationKind::Direct) {
            let others = known.members().filter(|user| *user != from && !mentioned.contains(user));
            for user in others.collect::<Vec<_>>() {
                if self.is_away(user).await {
                    told.push((user, About::Message { message, conversation, from }));
                }
            }
        }
        Ok(told)
    }

    /// With Redis away nobody knows who is there: better told twice than not at all.
    async fn is_away(&self, user: UserId) -> bool {
        !self.connections.anywhere(&[user]).await.is_ok_and(|found| found == [true])
    }

    async fn without_blocked(
        &self,
        by: UserId,
        told: Vec<(UserId, About)>,
    ) -> Result<Vec<(UserId, About)>, LogError> {
        let mut open = Vec::with_capacity(told.len());
        for (user, about) in told {
            let pair = StreamName::friendship(by, user);
            if !self.log.load::<Friendship>(&pair).await?.state.is_blocked() {
                open.push((user, about));
            }
        }
        Ok(open)
    }
}
