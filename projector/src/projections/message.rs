//! `message`: what was said, numbered in each conversation in the order of the log.
//!
//! What happened in the conversation stands between the messages, as rows of the kind `system`.
//! They have ordinals, for paging, and do not count: `number` counts what people said.

mod rows;
mod system;

use std::collections::BTreeSet;

use chrono::Datelike;
use events::message::MessageKind;
use events::{
    Category, ConversationId, DomainEvent, Envelope, FileId, MessageEvent, MessageId, Moment,
    Position, UserId,
};
use serde_json::Value;
use sqlx::PgConnection;

use super::{ApplyError, Projection, Retention, text};

/// The read model.
#[derive(Debug, Default)]
pub struct Message {
    /// The months whose partitions are known to be there.
    months: BTreeSet<(i32, u32)>,
}

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A message is new, or something happened.
    Insert(Box<Insert>),
    /// A message says something else.
    Edit(Edit),
    /// A message is not shown any more.
    Delete {
        /// Which.
        message: MessageId,
        /// By whom.
        by: UserId,
        /// When.
        at: Moment,
    },
}

/// A row is new.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    /// Where.
    pub conversation: ConversationId,
    /// The message; the id of the event, where it is none.
    pub message: MessageId,
    /// By whom.
    pub sender: UserId,
    /// What it is.
    pub kind: &'static str,
    /// What happened, where it is no message.
    pub system: Option<Value>,
    /// What it says, unless it was erased.
    pub text: Option<String>,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// The first message of its thread.
    pub thread: Option<MessageId>,
    /// Whom it mentions.
    pub mentions: Vec<UserId>,
    /// What comes with it.
    pub attachments: Vec<FileId>,
    /// When it was recorded.
    pub sent_at: Moment,
    /// By which event.
    pub position: Position,
}

/// A message says something else.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// Which.
    pub message: MessageId,
    /// What it says now, unless it was erased.
    pub text: Option<String>,
    /// Whom it mentions now.
    pub mentions: Vec<UserId>,
    /// When.
    pub at: Moment,
}

impl Projection for Message {
    const NAME: &'static str = "message";
    const FOLLOWS: &'static [Category] =
        &[Category::Conversation, Category::Message, Category::Call];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::Message(about) => of_message(event, about),
            DomainEvent::Conversation(about) => {
                let happened = system::happened(about, event.metadata.actor);
                happened.into_iter().map(|it| Op::Insert(Box::new(row(event, it)))).collect()
            }
            DomainEvent::Call(about) => {
                let happened = system::happened_in_call(about, event.metadata.actor);
                happened.into_iter().map(|it| Op::Insert(Box::new(row(event, it)))).collect()
            }
            DomainEvent::User(_)
            | DomainEvent::Reservation(_)
            | DomainEvent::Login(_)
            | DomainEvent::Friendship(_)
            | DomainEvent::Receipt(_)
            | DomainEvent::Session(_)
            | DomainEvent::Whiteboard(_)
            | DomainEvent::File(_)
            | DomainEvent::Notification(_)
            | DomainEvent::Report(_)
            | DomainEvent::Denial(_)
            | DomainEvent::Line(_)
            | DomainEvent::Webhook(_) => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        // A message is sent before it is edited or deleted, so all sendings may come first.
        let (mut new, mut changes) = (Vec::new(), Vec::new());
        for op in ops {
            match op {
                Op::Insert(insert) => new.push(*insert),
                Op::Edit(_) | Op::Delete { .. } => changes.push(op),
            }
        }
        for op in &new {
            let month = (op.sent_at.year(), op.sent_at.month());
            if self.months.insert(month) {
                make_partition(db, op.sent_at).await?;
            }
        }
        rows::insert(db, &new).await?;
        for change in changes {
            match change {
                Op::Insert(_) => {}
                Op::Edit(edit) => rows::edit(db, &edit).await?,
                Op::Delete { message, by, at } => {
                    rows::delete(db, message.uuid(), by.uuid(), at).await?;
                }
            }
        }
        Ok(())
    }

    /// Makes the partitions of this month and of the next two, and drops those that are too old.
    async fn upkeep(db: &mut PgConnection, retention: Retention) -> Result<(), sqlx::Error> {
        sqlx::query(
            "select make_message_partition(now() + month * interval '1 month')
             from generate_series(0, 2) as month",
        )
        .execute(&mut *db)
        .await?;
        match retention.messages {
            Some(age) => rows::drop_old(db, age).await,
            None => Ok(()),
        }
    }
}

fn of_message(event: &Envelope<DomainEvent>, about: &MessageEvent) -> Vec<Op> {
    match about {
        MessageEvent::Sent {
            message,
            conversation,
            sender,
            text: says,
            kind,
            reply_to,
            thread,
            mentions,
            attachments,
        } => vec![Op::Insert(Box::new(Insert {
            conversation: *conversation,
            message: *message,
            sender: *sender,
            kind: match kind {
                MessageKind::Text => "text",
                MessageKind::Image => "image",
                MessageKind::File => "file",
                MessageKind::Emoji => "emoji",
            },
            system: None,
            text: text(says),
            reply_to: *reply_to,
            thread: *thread,
            mentions: mentions.clone(),
            attachments: attachments.clone(),
            sent_at: event.recorded_at,
            position: event.position,
        }))],
        MessageEvent::Edited { message, text: says, mentions, .. } => vec![Op::Edit(Edit {
            message: *message,
            text: text(says),
            mentions: mentions.clone(),
            at: event.recorded_at,
        })],
        MessageEvent::Deleted { message, by, .. } => {
            vec![Op::Delete { message: *message, by: *by, at: event.recorded_at }]
        }
        MessageEvent::Reacted { .. } | MessageEvent::Unreacted { .. } => vec![],
    }
}

/// The row of something that happened.
fn row(event: &Envelope<DomainEvent>, it: system::Happened) -> Insert {
    Insert {
        conversation: it.conversation,
        message: MessageId::new(event.id.uuid()),
        sender: it.by,
        kind: "system",
        system: Some(it.what),
        text: it.title,
        reply_to: None,
        thread: None,
        mentions: vec![],
        attachments: vec![],
        sent_at: event.recorded_at,
        position: event.position,
    }
}

async fn make_partition(db: &mut PgConnection, moment: Moment) -> Result<(), sqlx::Error> {
    sqlx::query("select make_message_partition($1)").bind(moment).execute(db).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use events::conversation::ConversationKind;
    use events::{ConversationEvent, Personal, ReceiptEvent};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{moment, recorded, sent, user};

    fn ids() -> (ConversationId, MessageId) {
        (ConversationId::new(Uuid::from_u128(9)), MessageId::new(Uuid::from_u128(3)))
    }

    #[test]
    fn a_message_is_a_row_and_says_what_it_says_now() {
        let (conversation, message) = ids();
        let project = |event: MessageEvent| Message::project(&recorded(event));
        let row = Op::Insert(Box::new(Insert {
            conversation,
            message,
            sender: user(1),
            kind: "text",
            system: None,
            text: Some("Hello".to_owned()),
            reply_to: None,
            thread: None,
            mentions: vec![],
            attachments: vec![],
            sent_at: moment(),
            position: Position::at(7),
        }));
        assert_eq!(project(sent(message, conversation, "Hello")), vec![row]);
        let by = user(1);
        let edited = |text| {
            let mentions = vec![user(2)];
            MessageEvent::Edited { message, conversation, text, mentions, by }
        };
        let edit = |text: Option<&str>| {
            let (text, mentions) = (text.map(str::to_owned), vec![user(2)]);
            vec![Op::Edit(Edit { message, text, mentions, at: moment() })]
        };
        let open = Personal::new(user(1), "Ho".to_owned());
        assert_eq!(project(edited(open)), edit(Some("Ho")));
        assert_eq!(project(edited(Personal::Erased { subject: user(1) })), edit(None));
        let deleted = MessageEvent::Deleted { message, conversation, by };
        assert_eq!(project(deleted), vec![Op::Delete { message, by, at: moment() }]);
        let upto = Position::at(5);
        let read = ReceiptEvent::Read { conversation, user: user(2), message, upto };
        assert_eq!(Message::project(&recorded(read)), vec![]);
    }

    #[test]
    fn what_happens_in_a_group_is_a_row_and_secrets_are_not() {
        let (conversation, message) = ids();
        let (ada, bob) = (user(1), user(2));
        let rows = |event: ConversationEvent| {
            let ops = Message::project(&recorded(event)).into_iter();
            let rows = ops.map(|op| match op {
                Op::Insert(it) => (it.sender, it.kind, it.system, it.text),
                Op::Edit(_) | Op::Delete { .. } => panic!("{op:?}"),
            });
            rows.collect::<Vec<_>>()
        };
        let row = |by, what| vec![(by, "system", Some(what), None)];
        let added =
            |by| ConversationEvent::MemberAdded { conversation, user: bob, by, invite: None };
        assert_eq!(rows(added(ada)), row(ada, json!({"type": "member_added", "user": bob})));
        assert_eq!(rows(added(bob)), row(bob, json!({"type": "member_joined", "user": bob})));
        let removed = |by| ConversationEvent::MemberRemoved { conversation, user: bob, by };
        assert_eq!(rows(removed(ada)), row(ada, json!({"type": "member_removed", "user": bob})));
        assert_eq!(rows(removed(bob)), row(bob, json!({"type": "member_left", "user": bob})));
        let title = Personal::new(ada, "Maths".to_owned());
        let renamed =
            ConversationEvent::TitleChanged { conversation, title: title.clone(), by: ada };
        let what = Some(json!({"type": "title_changed"}));
        assert_eq!(rows(renamed), vec![(ada, "system", what, Some("Maths".to_owned()))]);
        let pinned = ConversationEvent::MessagePinned { conversation, message, by: ada };
        assert_eq!(rows(pinned), row(ada, json!({"type": "message_pinned", "message": message})));
        let opened = |kind| {
            let title = Some(title.clone());
            ConversationEvent::Opened { conversation, kind, title, members: vec![] }
        };
        assert_eq!(rows(opened(ConversationKind::Direct)), vec![]);
        assert_eq!(rows(opened(ConversationKind::Group)).len(), 1);
        let invite = events::InviteId::new(Uuid::from_u128(5));
        let made = ConversationEvent::InviteMade {
            conversation,
            invite,
            expires: None,
            uses: None,
            by: ada,
        };
        assert_eq!(rows(made), vec![]);
    }
}
