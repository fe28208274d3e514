//! `report`: what people reported to the moderators, and what those decided.

use events::report::{Reason, Subject, Verdict};
use events::{
    Category, DomainEvent, Envelope, Moment, Personal, Position, ReportEvent, ReportId, UserId,
};
use sqlx::PgConnection;

use super::{ApplyError, Projection, text};

/// The read model.
#[derive(Debug, Default)]
pub struct Report;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A report is new. Erased texts are none.
    Insert {
        /// Which.
        report: ReportId,
        /// By whom.
        by: UserId,
        /// About what.
        subject: Subject,
        /// Who sent the message that is reported.
        sender: Option<UserId>,
        /// What is wrong.
        reason: Reason,
        /// In the words of whoever reports.
        text: Option<String>,
        /// In the words of the message.
        quoted: Option<String>,
        /// When.
        filed_at: Moment,
        /// By which event.
        position: Position,
    },
    /// A moderator has decided.
    Resolve {
        /// Which.
        report: ReportId,
        /// Who.
        by: UserId,
        /// What.
        verdict: Verdict,
        /// Why, unless it was erased.
        note: Option<String>,
        /// When.
        at: Moment,
    },
}

impl Projection for Report {
    const NAME: &'static str = "report";
    const FOLLOWS: &'static [Category] = &[Category::Report];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::Report(about) => match about {
                ReportEvent::Filed { report, by, subject, reason, text: words, quoted } => {
                    vec![Op::Insert {
                        report: *report,
                        by: *by,
                        subject: *subject,
                        sender: quoted.as_ref().map(Personal::subject),
                        reason: *reason,
                        text: text(words),
                        quoted: quoted.as_ref().and_then(text),
                        filed_at: event.recorded_at,
                        position: event.position,
                    }]
                }
                ReportEvent::Resolved { report, by, verdict, note } => vec![Op::Resolve {
                    report: *report,
                    by: *by,
                    verdict: *verdict,
                    note: text(note),
                    at: event.recorded_at,
                }],
            },
            DomainEvent::User(_)
            | DomainEvent::Reservation(_)
            | DomainEvent::Login(_)
            | DomainEvent::Friendship(_)
            | DomainEvent::Conversation(_)
            | DomainEvent::Message(_)
            | DomainEvent::Receipt(_)
            | DomainEvent::Session(_)
            | DomainEvent::Whiteboard(_)
            | DomainEvent::File(_)
            | DomainEvent::Notification(_)
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
}

const fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::Spam => "spam",
        Reason::Harassment => "harassment",
        Reason::Violence => "violence",
        Reason::Sexual => "sexual",
        Reason::Impersonation => "impersonation",
        Reason::Other => "other",
    }
}

const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Dismissed => "dismissed",
        Verdict::Warned => "warned",
        Verdict::Removed => "removed",
        Verdict::Suspended => "suspended",
    }
}

async fn apply(db: &mut PgConnection, op: Op) -> Result<(), sqlx::Error> {
    let query = match op {
        Op::Insert { report, by, subject, sender, reason, text, quoted, filed_at, position } => {
            let (kind, user, conversation, message) = match subject {
                Subject::User { user } => ("user", Some(user), None, None),
                Subject::Message { message, conversation } => {
                    ("message", sender, Some(conversation), Some(message))
                }
                Subject::Conversation { conversation } => {
                    ("conversation", None, Some(conversation), None)
                }
            };
            sqlx::query(
                "insert into report
                   (report_id, reported_by, kind, user_id, conversation_id, message_id, reason,
                    text, quoted, filed_at, position)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            )
            .bind(report.uuid())
            .bind(by.uuid())
            .bind(kind)
            .bind(user.map(UserId::uuid))
            .bind(conversation.map(|it| it.uuid()))
            .bind(message.map(|it| it.uuid()))
            .bind(reason_name(reason))
            .bind(text)
            .bind(quoted)
            .bind(filed_at)
            .bind(position.to_bytes())
        }
        Op::Resolve { report, by, verdict, note, at } => sqlx::query(
            "update report set verdict = $2, note = $3, resolved_by = $4, resolved_at = $5
             where report_id = $1",
        )
        .bind(report.uuid())
        .bind(verdict_name(verdict))
        .bind(note)
        .bind(by.uuid())
        .bind(at),
    };
    query.execute(db).await.map(drop)
}

#[cfg(test)]
mod tests {
    use events::{ConversationId, MessageId};
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn a_report_keeps_what_the_message_said_until_its_sender_is_erased() {
        let (by, sender) = (user(1), user(2));
        let report = ReportId::new(Uuid::from_u128(5));
        let message = MessageId::new(Uuid::from_u128(6));
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let subject = Subject::Message { message, conversation };
        let filed = |quoted: Personal<String>| ReportEvent::Filed {
            report,
            by,
            subject,
            reason: Reason::Spam,
            text: Personal::new(by, "Again".to_owned()),
            quoted: Some(quoted),
        };
        let op = |quoted: Option<&str>| Op::Insert {
            report,
            by,
            subject,
            sender: Some(sender),
            reason: Reason::Spam,
            text: Some("Again".to_owned()),
            quoted: quoted.map(str::to_owned),
            filed_at: moment(),
            position: Position::at(7),
        };
        let said = Personal::new(sender, "Buy this".to_owned());
        assert_eq!(Report::project(&recorded(filed(said))), vec![op(Some("Buy this"))]);
        let erased = Personal::Erased { subject: sender };
        assert_eq!(Report::project(&recorded(filed(erased))), vec![op(None)]);

        let (by, verdict) = (user(3), Verdict::Warned);
        let note = Personal::new(by, "First time".to_owned());
        let resolve =
            Op::Resolve { report, by, verdict, note: Some("First time".to_owned()), at: moment() };
        let resolved = ReportEvent::Resolved { report, by, verdict, note };
        assert_eq!(Report::project(&recorded(resolved)), vec![resolve]);
    }
}
