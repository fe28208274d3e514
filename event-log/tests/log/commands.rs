//! Conflicts, repeats, and commands over several streams.

use domain::friendship::{Command as Friends, Friendship, Rejection};
use domain::message::{Action, Command as Messages, Draft, Message, Place};
use domain::receipt::{Command as Receive, Kind, Receipt};
use domain::reservation::{Command as Names, Reservation};
use domain::user::{Command as Users, User};
use event_log::{EventLog, TransactError};
use events::{MessageId, Moment, Position, StreamName};
use uuid::Uuid;

use crate::world::{World, by, conversation, user};

fn send(text: &str) -> Messages {
    let conversation = conversation(6);
    Messages {
        message: MessageId::new(Uuid::from_u128(5)),
        by: user(1),
        place: Place { conversation, member: true, blocked: false, moderator: false },
        action: Action::Send(Draft { text: text.to_owned(), ..Draft::default() }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_one_stream_are_all_decided_on_the_newest_state() {
    let world = World::start().await;
    let logs = [world.log().await, world.log().await];
    let stream = StreamName::receipt(conversation(1), user(1));
    let mut writers = Vec::new();
    for (writer, log) in logs.iter().enumerate() {
        let (log, stream) = (log.clone(), stream.clone());
        writers.push(tokio::spawn(async move {
            for round in 0..40_u64 {
                let upto = round * 2 + writer as u64 + 1;
                let command = Receive {
                    kind: Kind::Read,
                    conversation: conversation(1),
                    user: user(1),
                    message: MessageId::new(Uuid::from_u128(1)),
                    upto: Position::at(upto),
                    member: true,
                };
                let context = by(user(1), u128::from(upto), "r");
                log.transact::<Receipt>(&stream, &command, &context).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    for log in [&logs[0], &logs[1], &world.log().await] {
        let loaded = log.load::<Receipt>(&stream).await.unwrap();
        assert_eq!(loaded.state.read, Position::at(80), "the cursor is the highest of all");
    }
    let recorded = logs[0].read_stream(&stream, 0).await.unwrap();
    let places: Vec<_> = recorded.iter().map(|event| event.revision).collect();
    assert_eq!(places, (0..recorded.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_has_its_effect_once_even_in_another_process() {
    let world = World::start().await;
    let log = world.log().await;
    let stream = StreamName::friendship(user(1), user(2));
    let request = Friends::Request { by: user(1), to: user(2) };
    let remove = Friends::Remove { by: user(1), of: user(2) };
    let accept = Friends::Accept { by: user(2), of: user(1) };
    let first = log.transact::<Friendship>(&stream, &request, &by(user(1), 1, "a")).await.unwrap();
    log.transact::<Friendship>(&stream, &accept, &by(user(2), 1, "a")).await.unwrap();
    log.transact::<Friendship>(&stream, &remove, &by(user(1), 2, "a")).await.unwrap();
    assert!(!first.repeated);

    // By now the same request would be decided another way.
    for log in [log, world.log().await] {
        let again =
            log.transact::<Friendship>(&stream, &request, &by(user(1), 1, "a")).await.unwrap();
        assert_eq!((again.position, again.revision), (first.position, first.revision));
        assert!(again.repeated);
        let reused = log.transact::<Friendship>(&stream, &request, &by(user(1), 1, "b")).await;
        assert!(matches!(reused, Err(TransactError::KeyReused)), "{reused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_has_not_seen_the_key_yet_is_not_fooled_by_the_store() {
    let world = World::start().await;
    let (here, there) = (world.log().await, world.log().await);
    let stream = StreamName::friendship(user(1), user(2));
    let ask = Friends::Request { by: user(1), to: user(2) };
    let cancel = Friends::Cancel { by: user(1), to: user(2) };
    here.transact::<Friendship>(&stream, &ask, &by(user(1), 1, "a")).await.unwrap();
    there.load::<Friendship>(&stream).await.unwrap();
    // The event after what `there` has cached bears this key, and would be offered again.
    here.transact::<Friendship>(&stream, &cancel, &by(user(1), 2, "a")).await.unwrap();
    let reused = there.transact::<Friendship>(&stream, &cancel, &by(user(1), 2, "b")).await;
    assert!(matches!(reused, Err(TransactError::KeyReused)), "{reused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_sent_once_without_a_read() {
    let world = World::start().await;
    let (here, there) = (world.log().await, world.log().await);
    let stream = StreamName::message(MessageId::new(Uuid::from_u128(5)));
    let new = async |log: &EventLog, text: &str, key: u128, body: &str| {
        log.transact_new::<Message>(&stream, &send(text), &by(user(1), key, body)).await
    };
    let first = new(&here, "hello", 1, "a").await.unwrap();
    assert_eq!(first.revision, Some(0));
    for log in [&here, &there] {
        assert_eq!(new(log, "hello", 1, "a").await.unwrap().position, first.position);
        assert!(matches!(new(log, "bye", 1, "b").await, Err(TransactError::KeyReused)));
        let taken = new(log, "bye", 2, "b").await;
        assert!(matches!(taken, Err(TransactError::Rejected(_))), "{taken:?}");
    }
    assert_eq!(here.head().await.unwrap(), first.position, "nothing was written since");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_answered_even_if_it_would_be_rejected_by_now() {
    let world = World::start().await;
    let log = world.log().await;
    let stream = StreamName::message(MessageId::new(Uuid::from_u128(5)));
    let context = by(user(1), 1, "a");
    let first = log.transact_new::<Message>(&stream, &send("hello"), &context).await.unwrap();
    let mut removed = send("hello");
    removed.place.member = false;
    let again = log.transact_new::<Message>(&stream, &removed, &context).await.unwrap();
    assert_eq!((again.position, again.repeated), (first.position, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_do_answers_with_the_last_position_and_a_no_says_why() {
    let world = World::start().await;
    let log = world.log().await;
    let stream = StreamName::friendship(user(1), user(2));
    let cancel = Friends::Cancel { by: user(1), to: user(2) };
    let nothing = log.transact::<Friendship>(&stream, &cancel, &by(user(1), 1, "a")).await.unwrap();
    assert_eq!((nothing.position, nothing.revision), (Position::START, None));
    let request = Friends::Request { by: user(1), to: user(2) };
    let asked = log.transact::<Friendship>(&stream, &request, &by(user(1), 2, "a")).await.unwrap();
    let again = log.transact::<Friendship>(&stream, &request, &by(user(1), 3, "a")).await.unwrap();
    assert_eq!((again.position, again.repeated), (asked.position, false));
    let accept = Friends::Accept { by: user(1), of: user(2) };
    let no = log.transact::<Friendship>(&stream, &accept, &by(user(1), 4, "a")).await;
    assert!(matches!(no, Err(TransactError::Rejected(Rejection::NoRequest))), "{no:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_over_several_streams_resumes_at_its_first_missing_step() {
    let world = World::start().await;
    let (email, person) = (StreamName::email("e0"), StreamName::user(user(1)));
    let reserve = Names::Reserve { user: user(1), now: Moment::UNIX_EPOCH, until: Moment::MAX_UTC };
    let confirm = Names::Confirm { user: user(1) };
    let sign_up = Users::SignUp {
        user: user(1),
        email: "ada@example.org".to_owned(),
        handle: "ada".to_owned(),
        name: "Ada".to_owned(),
        password_hash: "$argon2id$".to_owned(),
    };
    let run = async |log: &EventLog, steps: usize| {
        let context = by(user(1), 1, "a");
        let mut outcomes = Vec::new();
        for step in 0..steps {
            outcomes.push(match step {
                0 => {
                    let context = context.step("reserve");
                    log.transact::<Reservation>(&email, &reserve, &context).await.unwrap()
                }
                1 => log.transact_new::<User>(&person, &sign_up, &context).await.unwrap(),
                _ => {
                    let context = context.step("confirm");
                    log.transact::<Reservation>(&email, &confirm, &context).await.unwrap()
                }
            });
        }
        outcomes
    };
    let half = run(&world.log().await, 2).await;
    let whole = run(&world.log().await, 3).await;
    assert_eq!(
        whole.iter().map(|outcome| outcome.repeated).collect::<Vec<_>>(),
        [true, true, false]
    );
    assert_eq!(half[0].position, whole[0].position);
    assert_eq!(half[1].position, whole[1].position);
    let log = world.log().await;
    assert_eq!(run(&log, 3).await[2].position, whole[2].position);
    assert_eq!(log.read_all(Position::START, 10).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_too_large_is_refused() {
    let world = World::start().await;
    let log = world.log().await;
    let stream = StreamName::user(user(1));
    let sign_up = |password_hash: String| Users::SignUp {
        user: user(1),
        email: "ada@example.org".to_owned(),
        handle: "ada".to_owned(),
        name: "Ada".to_owned(),
        password_hash,
    };
    let large = sign_up("x".repeat(event_log::MAX_EVENT_BYTES));
    let refused = log.transact_new::<User>(&stream, &large, &by(user(1), 1, "a")).await;
    assert!(matches!(refused, Err(TransactError::TooLarge)), "{refused:?}");
    let fits = sign_up("x".repeat(event_log::MAX_EVENT_BYTES / 2));
    log.transact_new::<User>(&stream, &fits, &by(user(1), 2, "a")).await.unwrap();
}
