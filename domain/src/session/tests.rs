//! The rules of study sessions, one by one, and the laws over all commands.

use events::session::LeaveCause;
use events::{ConversationId, Moment, Personal, SessionEvent, StudySessionId};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::decider::laws::{hold, user};

const SESSION: StudySessionId = StudySessionId::new(Uuid::from_u128(5));
const CONVERSATION: ConversationId = ConversationId::new(Uuid::from_u128(9));

/// Minutes after the epoch.
fn at(minute: i64) -> Moment {
    Moment::from_timestamp(60 * minute, 0).unwrap()
}

/// Of four seats, beginning at minute 100.
fn plan() -> Plan {
    Plan {
        title: "Bernoulli".to_owned(),
        subject: "maths".to_owned(),
        description: "Note G".to_owned(),
        capacity: 4,
        starts: at(100),
    }
}

fn schedule(plan: Plan) -> Command {
    let (session, conversation, tutor) = (SESSION, CONVERSATION, user(1));
    Command::Schedule { session, conversation, tutor, plan, now: at(0) }
}

fn change(by: u8, change: PlanChange) -> Command {
    Command::Change { by: user(by), change, now: at(50) }
}

fn join(who: u8, minute: i64) -> Command {
    Command::Join { user: user(who), banned: false, now: at(minute) }
}

fn leave(who: u8) -> Command {
    Command::Leave { user: user(who), lost: false }
}

/// Starts, completes, cancels.
fn steps(by: u8) -> [Command; 3] {
    let by = user(by);
    [Command::Start { by }, Command::Complete { by }, Command::Cancel { by }]
}

fn then(state: Session, commands: &[Command]) -> Session {
    commands.iter().fold(state, |state, command| {
        state.decide(command).unwrap().iter().fold(state, Session::evolve)
    })
}

fn scheduled() -> Session {
    then(Session::default(), &[schedule(plan())])
}

fn active() -> Session {
    then(scheduled(), &steps(1)[..1])
}

fn completed() -> Session {
    then(active(), &steps(1)[1..2])
}

fn cancelled() -> Session {
    then(scheduled(), &steps(1)[2..])
}

fn status(state: &Session) -> Status {
    state.planned().unwrap().status
}

fn left(who: u8, cause: LeaveCause) -> SessionEvent {
    let (session, conversation) = (SESSION, CONVERSATION);
    SessionEvent::Left { session, conversation, user: user(who), cause }
}

#[test]
fn a_session_that_everybody_left_or_nobody_began_is_closed() {
    let close = |minute| Command::Close { by: user(0), now: at(minute) };
    let (session, conversation, by) = (SESSION, CONVERSATION, user(0));
    let completed_by_nobody = SessionEvent::Completed { session, conversation, by };
    let cancelled_by_nobody = SessionEvent::Cancelled { session, conversation, by };
    assert_eq!(active().decide(&close(100)), Ok(vec![completed_by_nobody]));
    let busy = then(active(), &[join(2, 100)]);
    assert_eq!(busy.decide(&close(1000)), Ok(vec![]), "somebody is in it");
    let day = 24 * 60;
    assert_eq!(scheduled().decide(&close(100 + day - 1)), Ok(vec![]), "the tutor is late");
    assert_eq!(scheduled().decide(&close(100 + day)), Ok(vec![cancelled_by_nobody]));
    for over in [completed(), cancelled()] {
        assert_eq!(over.decide(&close(100 + day)), Ok(vec![]));
    }
}

#[test]
fn a_session_is_scheduled_once() {
    let planned = scheduled().planned().unwrap().clone();
    assert_eq!((planned.tutor, planned.status), (user(1), Status::Scheduled));
    assert_eq!(scheduled().decide(&schedule(plan())), Err(Rejection::AlreadyScheduled));
}

#[test]
fn a_plan_is_complete_and_for_the_future() {
    let of = |count| "é".repeat(count);
    let longest = Plan { title: of(200), subject: of(50), description: of(4000), ..plan() };
    assert!(Session::default().decide(&schedule(longest)).is_ok());
    let wrong = [
        (Plan { title: " ".to_owned(), ..plan() }, Rejection::InvalidTitle),
        (Plan { title: of(201), ..plan() }, Rejection::InvalidTitle),
        (Plan { subject: String::new(), ..plan() }, Rejection::InvalidSubject),
        (Plan { subject: of(51), ..plan() }, Rejection::InvalidSubject),
        (Plan { description: of(4001), ..plan() }, Rejection::DescriptionTooLong),
        (Plan { capacity: 1, ..plan() }, Rejection::InvalidCapacity),
        (Plan { capacity: 1001, ..plan() }, Rejection::InvalidCapacity),
        (Plan { starts: at(0), ..plan() }, Rejection::StartsInPast),
    ];
    for (plan, refusal) in wrong {
        let Plan { title, subject, description, capacity, starts } = plan.clone();
        assert_eq!(Session::default().decide(&schedule(plan)), Err(refusal));
        let starts = if starts == at(0) { at(50) } else { starts };
        let same = PlanChange {
            title: Some(title),
            subject: Some(subject),
            description: Some(description),
            capacity: Some(capacity),
            starts: Some(starts),
        };
        assert_eq!(scheduled().decide(&change(1, same)), Err(refusal), "nor is it changed so");
    }
}

#[test]
fn only_what_is_different_in_a_plan_is_changed() {
    let same = PlanChange {
        title: Some("Bernoulli".to_owned()),
        subject: Some("maths".to_owned()),
        description: Some("Note G".to_owned()),
        capacity: Some(4),
        starts: Some(at(100)),
    };
    assert_eq!(scheduled().decide(&change(1, same.clone())), Ok(vec![]));
    let other = change(1, PlanChange { title: Some("Engines".to_owned()), ..same });
    let changed = SessionEvent::Changed {
        session: SESSION,
        conversation: CONVERSATION,
        title: Some(Personal::new(user(1), "Engines".to_owned())),
        subject: None,
        description: None,
        capacity: None,
        starts: None,
        by: user(1),
    };
    assert_eq!(scheduled().decide(&other), Ok(vec![changed]));
    assert_eq!(then(scheduled(), std::slice::from_ref(&other)).decide(&other), Ok(vec![]));
}

#[test]
fn a_session_that_began_does_not_begin_at_another_time() {
    let later = change(1, PlanChange { starts: Some(at(200)), ..PlanChange::default() });
    assert!(scheduled().decide(&later).is_ok());
    assert_eq!(active().decide(&later), Err(Rejection::AlreadyStarted));
    let larger = change(1, PlanChange { capacity: Some(5), ..PlanChange::default() });
    assert!(active().decide(&larger).is_ok());
    for state in [completed(), cancelled()] {
        assert_eq!(state.decide(&larger), Err(Rejection::Over));
    }
}

#[test]
fn nobody_loses_a_seat() {
    let smaller =
        |capacity| change(1, PlanChange { capacity: Some(capacity), ..PlanChange::default() });
    let state = then(active(), &[join(2, 100), join(3, 100)]);
    assert_eq!(state.decide(&smaller(2)), Err(Rejection::SeatsTaken), "the tutor has one as well");
    assert!(state.decide(&smaller(3)).is_ok());
}

#[test]
fn a_session_begins_and_ends_once() {
    let (over, early) = (Err(Rejection::Over), Err(Rejection::NotStarted));
    let expected = [
        (scheduled(), [Ok(1), early, Ok(1)]),
        (active(), [Ok(0), Ok(1), Ok(1)]),
        (completed(), [over, Ok(0), over]),
        (cancelled(), [over, over, Ok(0)]),
    ];
    for (state, expected) in expected {
        let decided = steps(1).map(|step| state.decide(&step).map(|events| events.len()));
        assert_eq!(decided, expected, "{:?}", status(&state));
    }
    assert_eq!(status(&then(active(), &steps(1)[2..])), Status::Cancelled, "broken off");
}

#[test]
fn only_the_tutor_leads_a_session() {
    let others = [change(2, PlanChange::default()), Command::Remove { by: user(2), user: user(1) }];
    for state in [scheduled(), active(), completed(), cancelled()] {
        for command in steps(2).iter().chain(&others) {
            assert_eq!(state.decide(command), Err(Rejection::NotTutor));
        }
    }
}

#[test]
fn people_join_from_a_quarter_of_an_hour_before_the_start_on() {
    assert_eq!(scheduled().decide(&join(2, 84)), Err(Rejection::TooEarly));
    for minute in [85, 100, 500] {
        assert_eq!(scheduled().decide(&join(2, minute)).unwrap().len(), 1);
    }
    assert_eq!(active().decide(&join(2, 1)).unwrap().len(), 1, "or since it began");
    for state in [completed(), cancelled()] {
        assert_eq!(state.decide(&join(2, 100)), Err(Rejection::Over));
    }
    let state = then(active(), &[join(2, 100)]);
    assert_eq!(state.decide(&join(2, 100)), Ok(vec![]));
}

#[test]
fn there_is_always_a_seat_for_the_tutor_and_for_others_as_many_as_are_left() {
    let state = then(active(), &[join(2, 100), join(3, 100), join(4, 100)]);
    assert_eq!(state.decide(&join(5, 100)), Err(Rejection::Full));
    let state = then(state, &[join(1, 100)]);
    assert_eq!(state.participants().count(), 4);
    let state = then(state, &[leave(2)]);
    assert_eq!(state.decide(&join(5, 100)).unwrap().len(), 1);
}

#[test]
fn who_is_banned_does_not_join() {
    let join = Command::Join { user: user(2), banned: true, now: at(100) };
    assert_eq!(active().decide(&join), Err(Rejection::Banned));
}

#[test]
fn how_somebody_left_is_recorded_once() {
    let state = then(active(), &[join(1, 100), join(2, 100)]);
    let lost = Command::Leave { user: user(2), lost: true };
    assert_eq!(state.decide(&lost), Ok(vec![left(2, LeaveCause::Lost)]));
    assert_eq!(state.decide(&leave(2)), Ok(vec![left(2, LeaveCause::Left)]));
    let remove = |who| Command::Remove { by: user(1), user: user(who) };
    assert_eq!(state.decide(&remove(2)), Ok(vec![left(2, LeaveCause::Removed)]));
    assert_eq!(state.decide(&remove(1)), Ok(vec![left(1, LeaveCause::Left)]));
    let state = then(state, &[leave(2)]);
    for command in [lost, leave(2), remove(2), leave(3)] {
        assert_eq!(state.decide(&command), Ok(vec![]));
    }
}

#[test]
fn when_a_session_ends_everybody_leaves_with_it() {
    let state = then(active(), &[join(1, 100), join(2, 100)]);
    let earlier = [left(1, LeaveCause::Ended), left(2, LeaveCause::Ended)];
    let end = &state.decide(&steps(1)[1]).unwrap()[0];
    let as_once_recorded = std::iter::once(end).chain(&earlier);
    let over = as_once_recorded.fold(state.clone(), Session::evolve);
    assert_eq!(over, state.clone().evolve(end), "it was recorded of each of them once");
    for step in &steps(1)[1..] {
        assert_eq!(state.decide(step).unwrap().len(), 1, "one event, however many are in it");
        let over = then(state.clone(), std::slice::from_ref(step));
        assert_eq!((status(&over).is_over(), over.participants().count()), (true, 0));
    }
}

#[test]
fn people_are_reminded_once_of_each_start_and_not_of_one_that_is_not_coming() {
    let remind = |minute, minutes| Command::Remind { starts: at(minute), minutes };
    let state = then(scheduled(), &[remind(100, 15)]);
    assert_eq!(state.decide(&remind(100, 15)), Ok(vec![]));
    assert_eq!(state.decide(&remind(100, 5)).unwrap().len(), 1);
    assert_eq!(state.decide(&remind(90, 15)), Ok(vec![]), "it was moved since");
    let later = change(1, PlanChange { starts: Some(at(200)), ..PlanChange::default() });
    assert_eq!(then(state, &[later]).decide(&remind(200, 15)).unwrap().len(), 1);
    for state in [active(), completed(), cancelled()] {
        assert_eq!(state.decide(&remind(100, 15)), Ok(vec![]));
    }
}

#[test]
fn nothing_happens_in_a_session_that_nobody_scheduled() {
    let others = [
        change(1, PlanChange::default()),
        join(1, 100),
        leave(1),
        Command::Remove { by: user(1), user: user(2) },
        Command::Remind { starts: at(100), minutes: 15 },
        Command::Close { by: user(0), now: at(100) },
    ];
    for command in steps(1).iter().chain(&others) {
        assert_eq!(Session::default().decide(command), Err(Rejection::NoSuchSession));
    }
}

fn command() -> impl Strategy<Value = Command> {
    (0..10_u8, 1..7_u8, 1..7_u8, 80..130_i64, any::<bool>()).prop_map(
        |(kind, who, of, minute, fact)| {
            // Mostly the tutor, without whom little happens.
            let by = if fact { 1 } else { who };
            match kind {
                0 => schedule(Plan { capacity: of.into(), ..plan() }),
                1 => {
                    let (starts, capacity) = (Some(at(minute)), fact.then_some(of.into()));
                    change(by, PlanChange { starts, capacity, ..PlanChange::default() })
                }
                2 => steps(by)[usize::from(of % 3)].clone(),
                3 => Command::Remove { by: user(by), user: user(of) },
                4 => Command::Remind { starts: at(100), minutes: of.into() },
                5 => Command::Close { by: user(0), now: at(minute * 20) },
                6 => Command::Leave { user: user(who), lost: fact },
                7 => Command::Join { user: user(who), banned: fact, now: at(minute) },
                _ => join(who, minute),
            }
        },
    )
}

proptest! {
    #[test]
    fn the_laws_hold(commands in proptest::collection::vec(command(), 0..60)) {
        let commands: Vec<_> = std::iter::once(schedule(plan())).chain(commands).collect();
        hold::<Session>(&commands, |_| false, |before, after| {
            let Some(planned) = before.planned() else { return };
            let next = after.planned().expect("what was planned stays");
            let follows = match planned.status {
                Status::Scheduled => next.status != Status::Completed,
                Status::Active => next.status != Status::Scheduled,
                Status::Completed | Status::Cancelled => next.status == planned.status,
            };
            assert!(follows, "{:?} after {:?}", next.status, planned.status);
            assert!(!next.status.is_over() || after.inside.is_empty(), "the last one left");
            let guests = after.guests(next.tutor);
            assert!(guests < usize::from(next.capacity), "the tutor has a seat");
        });
    }
}
