//! A report to the moderators: filed once, resolved once.

use events::report::{Reason, Subject, Verdict};
use events::serde::Serialize;
use events::{Personal, ReportEvent, ReportId, UserId};
use thiserror::Error;

use crate::Decider;

/// How many characters a report, and a moderator's note on it, may have.
pub const MAX_CHARACTERS: usize = 2000;

/// What is known of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(crate = "events::serde")]
pub struct Report {
    filed: Option<Filed>,
}

/// A report that was filed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(crate = "events::serde")]
pub struct Filed {
    /// The report.
    pub report: ReportId,
    /// By whom.
    pub by: UserId,
    /// About what.
    pub subject: Subject,
    /// Who decided what, once somebody has.
    pub resolved: Option<(UserId, Verdict)>,
}

impl Report {
    /// The report, once it was filed.
    pub const fn filed(&self) -> Option<&Filed> {
        self.filed.as_ref()
    }
}

/// What is done about a report.
#[derive(Clone, Debug)]
pub enum Command {
    /// File it.
    File {
        /// The new id.
        report: ReportId,
        /// Who.
        by: UserId,
        /// About what.
        subject: Subject,
        /// Whether that exists, and can be seen by who reports it.
        known: bool,
        /// What is wrong with it.
        reason: Reason,
        /// In their own words.
        text: String,
        /// What the message says that is reported, where it is one that can be read.
        quoted: Option<Personal<String>>,
    },
    /// Decide.
    Resolve {
        /// Who.
        by: UserId,
        /// Whether that one is a moderator of the platform.
        moderator: bool,
        /// The person who is reported, or who sent the message.
        about: Option<UserId>,
        /// What.
        verdict: Verdict,
        /// Why, for other moderators to read.
        note: String,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The id is taken.
    #[error("a report with this id exists already")]
    AlreadyFiled,
    /// There is none for this person.
    #[error("what is reported does not exist")]
    NoSuchSubject,
    /// It takes two.
    #[error("nobody can report themselves")]
    Oneself,
    /// Nobody could know what is wrong.
    #[error("a report for another reason says which")]
    NoText,
    /// Too long.
    #[error("a report, and a note on one, has at most 2000 characters")]
    TextTooLong,
    /// Only moderators decide.
    #[error("only a moderator of the platform may do this")]
    NotModerator,
    /// Nobody is a judge of themselves.
    #[error("a report about oneself is for another moderator")]
    OwnCase,
    /// There is none.
    #[error("this report does not exist")]
    NoSuchReport,
    /// It was decided otherwise.
    #[error("this report was resolved already")]
    AlreadyResolved,
}

fn valid_text(text: &str) -> Result<(), Rejection> {
    if text.chars().count() > MAX_CHARACTERS {
        return Err(Rejection::TextTooLong);
    }
    Ok(())
}

impl Decider for Report {
    type Command = Command;
    type Event = ReportEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<ReportEvent>, Rejection> {
        match command {
            Command::File { report, by, subject, known, reason, text, quoted } => {
                if self.filed.is_some() {
                    return Err(Rejection::AlreadyFiled);
                }
                if *subject == (Subject::User { user: *by }) {
                    return Err(Rejection::Oneself);
                }
                if !known {
                    return Err(Rejection::NoSuchSubject);
                }
                valid_text(text)?;
                if *reason == Reason::Other && text.trim().is_empty() {
                    return Err(Rejection::NoText);
                }
                Ok(vec![ReportEvent::Filed {
                    report: *report,
                    by: *by,
                    subject: *subject,
                    reason: *reason,
                    text: Personal::new(*by, text.clone()),
                    quoted: quoted.clone(),
                }])
            }
            Command::Resolve { moderator: false, .. } => Err(Rejection::NotModerator),
            Command::Resolve { by, moderator: true, about, verdict, note } => {
                let filed = self.filed.ok_or(Rejection::NoSuchReport)?;
                if *about == Some(*by) {
                    return Err(Rejection::OwnCase);
                }
                match filed.resolved {
                    Some(resolved) if resolved == (*by, *verdict) => return Ok(vec![]),
                    Some(_) => return Err(Rejection::AlreadyResolved),
                    None => {}
                }
                valid_text(note)?;
                let note = Personal::new(*by, note.clone());
                let (report, verdict) = (filed.report, *verdict);
                Ok(vec![ReportEvent::Resolved { report, by: *by, verdict, note }])
            }
        }
    }

    fn evolve(mut self, event: &ReportEvent) -> Self {
        match *event {
            ReportEvent::Filed { report, by, subject, .. } => {
                self.filed = Some(Filed { report, by, subject, resolved: None });
            }
            ReportEvent::Resolved { by, verdict, .. } => {
                if let Some(filed) = &mut self.filed {
                    filed.resolved = Some((by, verdict));
                }
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::decider::laws::{hold, user};

    fn file(by: u8, of: u8, known: bool, reason: Reason, text: &str) -> Command {
        Command::File {
            report: ReportId::new(Uuid::from_u128(1)),
            by: user(by),
            subject: Subject::User { user: user(of) },
            known,
            reason,
            text: text.to_owned(),
            quoted: None,
        }
    }

    fn resolve(by: u8, moderator: bool, verdict: Verdict, note: &str) -> Command {
        let about = Some(user(2));
        Command::Resolve { by: user(by), moderator, about, verdict, note: note.to_owned() }
    }

    fn after(commands: &[Command]) -> Report {
        commands.iter().fold(Report::default(), |state, command| {
            state.decide(command).unwrap().iter().fold(state, Report::evolve)
        })
    }

    fn filed() -> Report {
        after(&[file(1, 2, true, Reason::Spam, "")])
    }

    #[test]
    fn a_report_is_filed_once_about_something_that_is_there() {
        let report = file(1, 2, true, Reason::Spam, "");
        assert_eq!(filed().filed().unwrap().by, user(1));
        assert_eq!(filed().decide(&report), Err(Rejection::AlreadyFiled));
        let new = Report::default();
        let unknown = new.decide(&file(1, 2, false, Reason::Spam, ""));
        assert_eq!(unknown, Err(Rejection::NoSuchSubject));
        let oneself = new.decide(&file(1, 1, true, Reason::Spam, ""));
        assert_eq!(oneself, Err(Rejection::Oneself));
    }

    #[test]
    fn a_report_says_what_is_wrong_and_not_too_much() {
        let longest = "é".repeat(MAX_CHARACTERS);
        let new = Report::default();
        assert!(new.decide(&file(1, 2, true, Reason::Other, &longest)).is_ok());
        let longer = format!("{longest}!");
        let refused = new.decide(&file(1, 2, true, Reason::Spam, &longer));
        assert_eq!(refused, Err(Rejection::TextTooLong));
        let refused = new.decide(&file(1, 2, true, Reason::Other, " "));
        assert_eq!(refused, Err(Rejection::NoText));
        let refused = filed().decide(&resolve(3, true, Verdict::Warned, &longer));
        assert_eq!(refused, Err(Rejection::TextTooLong));
    }

    #[test]
    fn only_a_moderator_resolves_a_report_and_once() {
        let warn = resolve(3, true, Verdict::Warned, "Spam");
        assert_eq!(Report::default().decide(&warn), Err(Rejection::NoSuchReport));
        for state in [Report::default(), filed()] {
            let refused = state.decide(&resolve(1, false, Verdict::Warned, ""));
            assert_eq!(refused, Err(Rejection::NotModerator));
        }
        let state = after(&[file(1, 2, true, Reason::Spam, ""), warn.clone()]);
        assert_eq!(state.filed().unwrap().resolved, Some((user(3), Verdict::Warned)));
        assert_eq!(state.decide(&warn), Ok(vec![]));
        for other in [
            resolve(4, true, Verdict::Warned, "Spam"),
            resolve(3, true, Verdict::Dismissed, "Spam"),
        ] {
            assert_eq!(state.decide(&other), Err(Rejection::AlreadyResolved));
        }
    }

    #[test]
    fn nobody_resolves_a_report_about_themselves() {
        let refused = filed().decide(&resolve(2, true, Verdict::Dismissed, ""));
        assert_eq!(refused, Err(Rejection::OwnCase));
    }

    proptest! {
        #[test]
        fn the_laws_hold(
            commands in proptest::collection::vec(
                (1..4_u8, 1..4_u8, "[ a]?", any::<[bool; 3]>()).prop_map(
                    |(by, of, text, [kind, fact, which])| match kind {
                        true => {
                            let reason = if which { Reason::Other } else { Reason::Spam };
                            file(by, of, fact, reason, &text)
                        }
                        false => {
                            let verdict = if which { Verdict::Warned } else { Verdict::Dismissed };
                            resolve(by, fact, verdict, &text)
                        }
                    },
                ),
                0..30,
            )
        ) {
            hold::<Report>(&commands, |_| false, |before, after| {
                let Some(filed) = before.filed() else { return };
                let next = after.filed().expect("what was filed stays");
                assert_eq!((filed.by, filed.subject), (next.by, next.subject));
                assert!(filed.resolved.is_none() || filed.resolved == next.resolved);
            });
        }
    }
}
