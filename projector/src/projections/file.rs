//! `file`: the files that are there, the messages they came with, and whose pictures they are.

use events::user::Avatar;
use events::{
    Category, ConversationId, DomainEvent, Envelope, FileEvent, FileId, MessageEvent, MessageId,
    Moment, Position, UserEvent, UserId,
};
use sqlx::PgConnection;

use super::{ApplyError, Projection, Retention, horizon, text};

/// The read model.
#[derive(Debug, Default)]
pub struct File;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A file is there.
    Insert(Insert),
    /// A file is gone.
    Remove(FileId),
    /// Files came with a message.
    Link {
        /// The message.
        message: MessageId,
        /// Where.
        conversation: ConversationId,
        /// The files.
        files: Vec<FileId>,
        /// When it was sent.
        sent_at: Moment,
    },
    /// A message is not shown any more.
    Unlink(MessageId),
    /// Somebody's picture is this file, or none.
    Avatar(UserId, Option<FileId>),
}

/// A file is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    /// Which.
    pub file: FileId,
    /// Whose.
    pub owner: UserId,
    /// For whom.
    pub conversation: Option<ConversationId>,
    /// What it is called, unless it was erased.
    pub name: Option<String>,
    /// Its media type.
    pub media_type: String,
    /// Its length.
    pub bytes: i64,
    /// SHA-256 in hex.
    pub digest: String,
    /// Width and height of a picture.
    pub pixels: Option<(i32, i32)>,
    /// When it was recorded.
    pub uploaded_at: Moment,
    /// By which event.
    pub position: Position,
}

impl Projection for File {
    const NAME: &'static str = "file";
    const FOLLOWS: &'static [Category] = &[Category::File, Category::Message, Category::User];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::File(about) => match about {
                FileEvent::Uploaded { .. } => insert(event, about).into_iter().collect(),
                FileEvent::Removed { file, .. } => vec![Op::Remove(*file)],
            },
            DomainEvent::Message(about) => match about {
                MessageEvent::Sent { attachments, .. } if attachments.is_empty() => vec![],
                MessageEvent::Sent { message, conversation, attachments, .. } => vec![Op::Link {
                    message: *message,
                    conversation: *conversation,
                    files: attachments.clone(),
                    sent_at: event.recorded_at,
                }],
                MessageEvent::Deleted { message, .. } => vec![Op::Unlink(*message)],
                MessageEvent::Edited { .. }
                | MessageEvent::Reacted { .. }
                | MessageEvent::Unreacted { .. } => vec![],
            },
            DomainEvent::User(about) => match about {
                UserEvent::ProfileChanged { user, avatar: Some(avatar), .. } => {
                    let file = match avatar {
                        Avatar::File(file) => Some(*file),
                        Avatar::Preset(_) => None,
                    };
                    vec![Op::Avatar(*user, file)]
                }
                UserEvent::ProfileChanged { avatar: None, .. }
                | UserEvent::SignedUp { .. }
                | UserEvent::Onboarded { .. }
                | UserEvent::PasswordRehashed { .. }
                | UserEvent::RoleChanged { .. }
                | UserEvent::Suspended { .. }
                | UserEvent::Reinstated { .. }
                | UserEvent::PushSubscribed { .. }
                | UserEvent::PushUnsubscribed { .. }
                | UserEvent::NotificationsRead { .. } => vec![],
            },
            DomainEvent::Reservation(_)
            | DomainEvent::Login(_)
            | DomainEvent::Friendship(_)
            | DomainEvent::Conversation(_)
            | DomainEvent::Receipt(_)
            | DomainEvent::Session(_)
            | DomainEvent::Whiteboard(_)
            | DomainEvent::Notification(_)
            | DomainEvent::Report(_)
            | DomainEvent::Denial(_)
            | DomainEvent::Call(_)
            | DomainEvent::Line(_)
            | DomainEvent::Webhook(_) => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        for op in ops {
            apply(db, op).await?;
        }
        Ok(())
    }

    /// With a message that is not kept any more, its people lose what came with it.
    async fn upkeep(db: &mut PgConnection, _: Retention) -> Result<(), sqlx::Error> {
        horizon::forget(db, "file_link").await
    }
}

fn insert(event: &Envelope<DomainEvent>, about: &FileEvent) -> Option<Op> {
    let FileEvent::Uploaded { file, owner, conversation, name, media_type, bytes, digest, pixels } =
        about
    else {
        return None;
    };
    let side = |length| i32::try_from(length).unwrap_or(i32::MAX);
    Some(Op::Insert(Insert {
        file: *file,
        owner: *owner,
        conversation: *conversation,
        name: text(name),
        media_type: media_type.clone(),
        bytes: i64::try_from(*bytes).unwrap_or(i64::MAX),
        digest: digest.clone(),
        pixels: pixels.map(|pixels| (side(pixels.width), side(pixels.height))),
        uploaded_at: event.recorded_at,
        position: event.position,
    }))
}

async fn apply(db: &mut PgConnection, op: Op) -> Result<(), sqlx::Error> {
    let query = match op {
        Op::Insert(op) => sqlx::query(
            "insert into file (file_id, owner_id, conversation_id, name, media_type, bytes,
               digest, width, height, uploaded_at, position)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             on conflict (file_id) do nothing",
        )
        .bind(op.file.uuid())
        .bind(op.owner.uuid())
        .bind(op.conversation.map(ConversationId::uuid))
        .bind(op.name)
        .bind(op.media_type)
        .bind(op.bytes)
        .bind(op.digest)
        .bind(op.pixels.map(|pixels| pixels.0))
        .bind(op.pixels.map(|pixels| pixels.1))
        .bind(op.uploaded_at)
        .bind(op.position.to_bytes()),
        Op::Remove(file) => sqlx::query("delete from file where file_id = $1").bind(file.uuid()),
        Op::Link { message, conversation, files, sent_at } => sqlx::query(
            "insert into file_link (file_id, message_id, conversation_id, sent_at)
             select distinct file_id, $2, $3, $4::timestamptz from unnest($1::uuid[]) as file_id
             where $4 >= (select horizon from message_horizon)
             on conflict (file_id, message_id) do nothing",
        )
        .bind(files.into_iter().map(FileId::uuid).collect::<Vec<_>>())
        .bind(message.uuid())
        .bind(conversation.uuid())
        .bind(sent_at),
        Op::Unlink(message) => {
            sqlx::query("delete from file_link where message_id = $1").bind(message.uuid())
        }
        Op::Avatar(user, Some(file)) => sqlx::query(
            "insert into file_avatar (user_id, file_id) values ($1, $2)
             on conflict (user_id) do update set file_id = excluded.file_id",
        )
        .bind(user.uuid())
        .bind(file.uuid()),
        Op::Avatar(user, None) => {
            sqlx::query("delete from file_avatar where user_id = $1").bind(user.uuid())
        }
    };
    query.execute(db).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use events::Personal;
    use events::file::Pixels;
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{moment, recorded, sent, user};

    const FILE: FileId = FileId::new(Uuid::from_u128(0xf1));

    fn project(event: impl Into<DomainEvent>) -> Vec<Op> {
        File::project(&recorded(event))
    }

    fn uploaded(name: Personal<String>) -> FileEvent {
        FileEvent::Uploaded {
            file: FILE,
            owner: user(1),
            conversation: None,
            name,
            media_type: "image/png".to_owned(),
            bytes: 7,
            digest: "e3b0".to_owned(),
            pixels: Some(Pixels { width: 2, height: 3 }),
        }
    }

    #[test]
    fn a_file_is_a_row_until_it_is_removed() {
        let row = |name: Option<&str>| {
            vec![Op::Insert(Insert {
                file: FILE,
                owner: user(1),
                conversation: None,
                name: name.map(str::to_owned),
                media_type: "image/png".to_owned(),
                bytes: 7,
                digest: "e3b0".to_owned(),
                pixels: Some((2, 3)),
                uploaded_at: moment(),
                position: Position::at(7),
            })]
        };
        let named = Personal::new(user(1), "engine.png".to_owned());
        assert_eq!(project(uploaded(named)), row(Some("engine.png")));
        assert_eq!(project(uploaded(Personal::Erased { subject: user(1) })), row(None));
        let removed = FileEvent::Removed { file: FILE, owner: user(1), by: user(1) };
        assert_eq!(project(removed), vec![Op::Remove(FILE)]);
    }

    #[test]
    fn a_message_links_its_files_until_it_is_deleted() {
        let (message, conversation) = (Uuid::from_u128(3).into(), Uuid::from_u128(9).into());
        assert_eq!(project(sent(message, conversation, "no files")), vec![]);
        let mut event = sent(message, conversation, "a file");
        if let MessageEvent::Sent { attachments, .. } = &mut event {
            attachments.push(FILE);
        }
        let (files, sent_at) = (vec![FILE], moment());
        assert_eq!(project(event), vec![Op::Link { message, conversation, files, sent_at }]);
        let deleted = MessageEvent::Deleted { message, conversation, by: user(1) };
        assert_eq!(project(deleted), vec![Op::Unlink(message)]);
    }

    #[test]
    fn a_picture_is_somebodys_until_they_choose_another() {
        let changed = |avatar| UserEvent::ProfileChanged {
            user: user(1),
            name: None,
            bio: None,
            native_language: None,
            learning_language: None,
            location: None,
            avatar,
        };
        let file = project(changed(Some(Avatar::File(FILE))));
        assert_eq!(file, vec![Op::Avatar(user(1), Some(FILE))]);
        let preset = project(changed(Some(Avatar::Preset(3))));
        assert_eq!(preset, vec![Op::Avatar(user(1), None)]);
        assert_eq!(project(changed(None)), vec![]);
    }
}
