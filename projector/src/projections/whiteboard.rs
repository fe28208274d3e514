//! `whiteboard`: what is on the whiteboards of study sessions now.

use events::{
    Category, ConversationId, DomainEvent, ElementId, Envelope, Position, StudySessionId, UserId,
    WhiteboardEvent,
};
use sqlx::PgConnection;

use super::{ApplyError, Projection, text};

/// The read model.
#[derive(Debug, Default)]
pub struct Whiteboard;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Something was drawn, or looks otherwise.
    Draw(Box<Stroke>),
    /// Something was wiped out.
    Erase(StudySessionId, ElementId),
    /// Everything was.
    Clear(StudySessionId),
}

/// How something looks.
#[derive(Clone, Debug, PartialEq)]
pub struct Stroke {
    session: StudySessionId,
    conversation: ConversationId,
    element: ElementId,
    shape: Option<String>,
    by: UserId,
    position: Position,
}

impl Projection for Whiteboard {
    const NAME: &'static str = "whiteboard";
    const FOLLOWS: &'static [Category] = &[Category::Whiteboard];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::Whiteboard(about) => match about {
                WhiteboardEvent::Drawn { session, conversation, element, shape, by } => {
                    vec![Op::Draw(Box::new(Stroke {
                        session: *session,
                        conversation: *conversation,
                        element: *element,
                        shape: text(shape),
                        by: *by,
                        position: event.position,
                    }))]
                }
                WhiteboardEvent::Erased { session, element, .. } => {
                    vec![Op::Erase(*session, *element)]
                }
                WhiteboardEvent::Cleared { session, .. } => vec![Op::Clear(*session)],
            },
            DomainEvent::User(_)
            | DomainEvent::Reservation(_)
            | DomainEvent::Login(_)
            | DomainEvent::Friendship(_)
            | DomainEvent::Conversation(_)
            | DomainEvent::Message(_)
            | DomainEvent::Receipt(_)
            | DomainEvent::Session(_)
            | DomainEvent::File(_)
            | DomainEvent::Notification(_)
            | DomainEvent::Report(_)
            | DomainEvent::Denial(_)
            | DomainEvent::Call(_)
            | DomainEvent::Line(_)
            | DomainEvent::Webhook(_) => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        // One after the other: what is erased and drawn again stands in front.
        for op in ops {
            match op {
                Op::Draw(stroke) => draw(db, *stroke).await?,
                Op::Erase(session, element) => {
                    sqlx::query("delete from whiteboard where session_id = $1 and element_id = $2")
                        .bind(session.uuid())
                        .bind(element.uuid())
                        .execute(&mut *db)
                        .await?;
                }
                Op::Clear(session) => {
                    sqlx::query("delete from whiteboard where session_id = $1")
                        .bind(session.uuid())
                        .execute(&mut *db)
                        .await?;
                }
            }
        }
        Ok(())
    }
}

async fn draw(db: &mut PgConnection, stroke: Stroke) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into whiteboard (session_id, element_id, conversation_id, shape, drawn_by,
           position, changed_position)
         values ($1, $2, $3, $4, $5, $6, $6)
         on conflict (session_id, element_id) do update set
           shape = excluded.shape, drawn_by = excluded.drawn_by,
           changed_position = excluded.changed_position",
    )
    .bind(stroke.session.uuid())
    .bind(stroke.element.uuid())
    .bind(stroke.conversation.uuid())
    .bind(stroke.shape)
    .bind(stroke.by.uuid())
    .bind(stroke.position.to_bytes())
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use events::Personal;
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{recorded, user};

    #[test]
    fn strokes_come_change_and_go() {
        let session = StudySessionId::new(Uuid::from_u128(5));
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let element = ElementId::new(Uuid::from_u128(1));
        let by = user(1);
        let project = |event: WhiteboardEvent| Whiteboard::project(&recorded(event));
        let shape = Personal::new(by, "{}".to_owned());
        let drawn = WhiteboardEvent::Drawn { session, conversation, element, shape, by };
        let position = Position::at(7);
        let shape = Some("{}".to_owned());
        let stroke = Stroke { session, conversation, element, shape, by, position };
        assert_eq!(project(drawn), [Op::Draw(Box::new(stroke))]);
        let erased = WhiteboardEvent::Erased { session, conversation, element, by };
        assert_eq!(project(erased), [Op::Erase(session, element)]);
        let cleared = WhiteboardEvent::Cleared { session, conversation, by };
        assert_eq!(project(cleared), [Op::Clear(session)]);
    }
}
