//! The whiteboard of a study session, on which everybody in the session draws.

use events::serde::Serialize;
use events::{ConversationId, ElementId, Personal, StudySessionId, UserId, WhiteboardEvent};
use thiserror::Error;

use crate::Decider;

/// How many elements a whiteboard may have.
pub const MAX_ELEMENTS: usize = 5000;

/// How many bytes the shape of an element may have.
pub const MAX_SHAPE_BYTES: usize = 64 * 1024;

/// What is on a whiteboard: which elements, and of the newest one also how it looks. That is
/// enough to know a stroke that is drawn twice, and 5000 shapes would be too much to keep.
///
/// A state is copied for each stroke: the ids are in one piece of memory, in their order, which is
/// copied at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(crate = "events::serde")]
pub struct Whiteboard {
    elements: Vec<ElementId>,
    newest: Option<(ElementId, Personal<String>)>,
}

impl Whiteboard {
    /// What is on it.
    pub fn elements(&self) -> impl Iterator<Item = ElementId> {
        self.elements.iter().copied()
    }

    /// Whether something is on it.
    pub fn has(&self, element: ElementId) -> bool {
        self.elements.binary_search(&element).is_ok()
    }
}

/// What somebody does on a whiteboard.
#[derive(Clone, Debug)]
pub struct Command {
    /// The session.
    pub session: StudySessionId,
    /// Where its people talk.
    pub conversation: ConversationId,
    /// Who.
    pub by: UserId,
    /// Whether the person is in the session now.
    pub participant: bool,
    /// What.
    pub action: Action,
}

/// What is done on a whiteboard.
#[derive(Clone, Debug)]
pub enum Action {
    /// Draw something, or draw it anew in the place of what it was.
    Draw {
        /// What.
        element: ElementId,
        /// How it looks, as JSON that only clients understand.
        shape: String,
    },
    /// Wipe something out.
    Erase {
        /// What.
        element: ElementId,
    },
    /// Wipe everything out.
    Clear,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// Only who is in the session draws.
    #[error("only people in the session use its whiteboard")]
    NotInSession,
    /// Nothing, or too much.
    #[error("a shape has 1 to 65536 bytes")]
    InvalidShape,
    /// Too many.
    #[error("a whiteboard has at most 5000 elements")]
    Full,
}

impl Decider for Whiteboard {
    type Command = Command;
    type Event = WhiteboardEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<WhiteboardEvent>, Rejection> {
        let Command { session, conversation, by, participant, ref action } = *command;
        if !participant {
            return Err(Rejection::NotInSession);
        }
        Ok(match action {
            Action::Draw { element, shape } => {
                if shape.is_empty() || shape.len() > MAX_SHAPE_BYTES {
                    return Err(Rejection::InvalidShape);
                }
                let is_newest = self.newest.as_ref().is_some_and(|(newest, looks)| {
                    newest == element && looks.open().is_some_and(|looks| looks == shape)
                });
                if is_newest {
                    return Ok(vec![]);
                }
                if !self.has(*element) && self.elements.len() >= MAX_ELEMENTS {
                    return Err(Rejection::Full);
                }
                let (element, shape) = (*element, Personal::new(by, shape.clone()));
                vec![WhiteboardEvent::Drawn { session, conversation, element, shape, by }]
            }
            Action::Erase { element } if !self.has(*element) => vec![],
            Action::Erase { element } => {
                vec![WhiteboardEvent::Erased { session, conversation, element: *element, by }]
            }
            Action::Clear if self.elements.is_empty() => vec![],
            Action::Clear => vec![WhiteboardEvent::Cleared { session, conversation, by }],
        })
    }

    fn evolve(mut self, event: &WhiteboardEvent) -> Self {
        match event {
            WhiteboardEvent::Drawn { element, shape, .. } => {
                if let Err(place) = self.elements.binary_search(element) {
                    self.elements.insert(place, *element);
                }
                self.newest = Some((*element, shape.clone()));
            }
            WhiteboardEvent::Erased { element, .. } => {
                if let Ok(place) = self.elements.binary_search(element) {
                    self.elements.remove(place);
                }
                self.newest = self.newest.filter(|(newest, _)| newest != element);
            }
            WhiteboardEvent::Cleared { .. } => return Self::default(),
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

    const SESSION: StudySessionId = StudySessionId::new(Uuid::from_u128(5));
    const CONVERSATION: ConversationId = ConversationId::new(Uuid::from_u128(9));

    fn element(number: u128) -> ElementId {
        ElementId::new(Uuid::from_u128(number))
    }

    fn by(who: u8, action: Action) -> Command {
        let (session, conversation) = (SESSION, CONVERSATION);
        Command { session, conversation, by: user(who), participant: true, action }
    }

    fn draw(number: u128, shape: &str) -> Action {
        Action::Draw { element: element(number), shape: shape.to_owned() }
    }

    fn erase(number: u128) -> Action {
        Action::Erase { element: element(number) }
    }

    fn after(actions: &[Action]) -> Whiteboard {
        actions.iter().fold(Whiteboard::default(), |state, action| {
            let events = state.decide(&by(1, action.clone())).unwrap();
            events.iter().fold(state, Whiteboard::evolve)
        })
    }

    #[test]
    fn a_stroke_is_drawn_once_and_may_be_drawn_anew() {
        let drawn = WhiteboardEvent::Drawn {
            session: SESSION,
            conversation: CONVERSATION,
            element: element(1),
            shape: Personal::new(user(2), "{}".to_owned()),
            by: user(2),
        };
        assert_eq!(Whiteboard::default().decide(&by(2, draw(1, "{}"))), Ok(vec![drawn]));
        let state = after(&[draw(1, "{}")]);
        assert_eq!(state.decide(&by(1, draw(1, "{}"))), Ok(vec![]));
        assert_eq!(state.decide(&by(1, draw(1, "[]"))).unwrap().len(), 1);
    }

    #[test]
    fn anybody_in_the_session_wipes_out_what_is_there_once() {
        let state = after(&[draw(1, "{}"), draw(2, "{}")]);
        assert_eq!(state.decide(&by(2, erase(1))).unwrap().len(), 1);
        assert_eq!(state.decide(&by(2, erase(3))), Ok(vec![]));
        assert_eq!(state.decide(&by(2, Action::Clear)).unwrap().len(), 1);
        let empty = after(&[draw(1, "{}"), draw(2, "{}"), erase(2), Action::Clear]);
        assert_eq!(
            (empty.elements().count(), empty.decide(&by(2, Action::Clear))),
            (0, Ok(vec![]))
        );
        let redrawn = after(&[draw(1, "{}"), erase(1), draw(1, "{}")]);
        assert_eq!(redrawn.elements().collect::<Vec<_>>(), [element(1)]);
    }

    #[test]
    fn nobody_outside_the_session_uses_its_whiteboard() {
        for action in [draw(1, "{}"), erase(1), Action::Clear] {
            let outside = Command { participant: false, ..by(1, action) };
            let refused = Err(Rejection::NotInSession);
            assert_eq!(after(&[draw(1, "{}")]).decide(&outside), refused);
        }
    }

    #[test]
    fn a_shape_has_a_size() {
        assert!(
            Whiteboard::default().decide(&by(1, draw(1, &"x".repeat(MAX_SHAPE_BYTES)))).is_ok()
        );
        for shape in ["", &"x".repeat(MAX_SHAPE_BYTES + 1)] {
            let refused = Err(Rejection::InvalidShape);
            assert_eq!(Whiteboard::default().decide(&by(1, draw(1, shape))), refused);
        }
    }

    #[test]
    fn a_whiteboard_is_full_at_its_limit_where_strokes_may_still_be_redrawn() {
        let strokes: Vec<_> = (0..MAX_ELEMENTS as u128).map(|it| draw(it, "{}")).collect();
        let state = after(&strokes);
        let one_more = by(1, draw(MAX_ELEMENTS as u128, "{}"));
        assert_eq!(state.decide(&one_more), Err(Rejection::Full));
        assert!(state.decide(&by(1, draw(7, "[]"))).is_ok());
    }

    proptest! {
        #[test]
        fn the_laws_hold(
            commands in proptest::collection::vec(
                (0..5_u8, 0..4_u128, "[ab]?", any::<bool>()).prop_map(|(kind, it, shape, who)| {
                    let action = match kind {
                        0 => Action::Clear,
                        1 => erase(it),
                        _ => draw(it, &shape),
                    };
                    by(who.into(), action)
                }),
                0..60,
            )
        ) {
            hold::<Whiteboard>(&commands, |_| false, |_, after| {
                assert!(after.elements().count() <= MAX_ELEMENTS);
                let newest = after.newest.as_ref().map(|(newest, _)| *newest);
                assert!(newest.is_none_or(|it| after.has(it)));
                assert!(after.elements.is_sorted_by(|one, next| one < next));
            });
        }
    }
}
