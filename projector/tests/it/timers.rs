//! Timers: each acts once, whoever lets it go off, however often, and however late.

use chrono::TimeDelta;
use domain::session::{Command, Plan, Session};
use domain::{conversation, whiteboard};
use events::{ConversationId, ElementId, Moment, StreamName, StudySessionId, UserId};
use projector::Settings;
use service::clock;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::world::{World, answered, dump, eventually, person};

const SESSION: StudySessionId = StudySessionId::new(Uuid::from_u128(0x5e));
const ROOM: ConversationId = ConversationId::new(Uuid::from_u128(0x900));

/// The first reminder comes a quarter of an hour before the start.
fn start_reminded_in(milliseconds: i64) -> Moment {
    let at = clock::now() + TimeDelta::minutes(15) + TimeDelta::milliseconds(milliseconds);
    // As the log keeps it.
    at - TimeDelta::nanoseconds(i64::from(at.timestamp_subsec_nanos() % 1000))
}

async fn act(world: &World, by: UserId, command: Command) {
    world.act::<Session>(&StreamName::session(SESSION), by, command).await;
}

async fn schedule(world: &World, starts: Moment) {
    let plan = Plan {
        title: "Bernoulli".to_owned(),
        subject: "maths".to_owned(),
        description: String::new(),
        capacity: 4,
        starts,
    };
    let (tutor, now) = (person("ada"), clock::now());
    let command = Command::Schedule { session: SESSION, conversation: ROOM, tutor, plan, now };
    act(world, tutor, command).await;
}

async fn open_room(world: &World) {
    let tutor = person("ada");
    let title = "Bernoulli".to_owned();
    let open = conversation::Command::OpenStudy { conversation: ROOM, tutor, title };
    world.conversation(ROOM, tutor, open).await;
}

async fn join(world: &World, user: UserId) {
    act(world, user, Command::Join { user, banned: false, now: clock::now() }).await;
}

async fn count(world: &World, event_type: &str) -> usize {
    let stream = StreamName::session(SESSION);
    let events = world.log.read_stream(&stream, 0).await.unwrap();
    events.iter().filter(|event| event.event_type == event_type).count()
}

async fn timers(world: &World, kind: &str) -> i64 {
    sqlx::query_scalar("select count(*) from timer where kind = $1")
        .bind(kind)
        .fetch_one(&world.postgres)
        .await
        .unwrap()
}

/// What is to come in an hour comes now: nothing hangs on how fast the test is.
async fn first_reminder_is_due(world: &World, claimed_until: Option<Moment>) {
    sqlx::query(
        "update timer set due_at = now(), claimed_until = $1
         where due_at = (select min(due_at) from timer where kind = 'reminder')",
    )
    .bind(claimed_until)
    .execute(&world.postgres)
    .await
    .unwrap();
}

async fn closing_is_due(world: &World) {
    sqlx::query("update timer set due_at = now() where kind = 'close'")
        .execute(&world.postgres)
        .await
        .unwrap();
}

async fn reminded(world: &World) {
    eventually("somebody is reminded", || async { count(world, "session.reminded").await > 0 })
        .await;
}

#[tokio::test]
async fn of_three_projectors_one_reminds() {
    let world = World::new().await;
    let _three = (world.start().await, world.start().await, world.start().await);
    schedule(&world, start_reminded_in(3_600_000)).await;
    open_room(&world).await;
    world.settle().await;
    assert_eq!(timers(&world, "reminder").await, 2);
    first_reminder_is_due(&world, None).await;
    reminded(&world).await;
    let once = || async { timers(&world, "reminder").await == 1 };
    eventually("the first reminder is done, the second is to come", once).await;
    assert_eq!(count(&world, "session.reminded").await, 1);
}

#[tokio::test]
async fn a_session_that_everybody_left_ends_by_itself_and_one_with_people_does_not() {
    let world = World::new().await;
    let _projector = world.start().await;
    schedule(&world, clock::now() + TimeDelta::seconds(1)).await;
    open_room(&world).await;
    let (ada, bob) = (person("ada"), person("bob"));
    act(&world, ada, Command::Start { by: ada }).await;
    join(&world, bob).await;
    world.settle().await;
    assert_eq!(timers(&world, "close").await, 1, "what looked for its start is gone");
    closing_is_due(&world).await;
    let done = || async { timers(&world, "close").await == 0 };
    eventually("it was looked whether it is empty", done).await;
    assert_eq!(count(&world, "session.completed").await, 0, "somebody is in it");
    act(&world, bob, Command::Leave { user: bob, lost: false }).await;
    world.settle().await;
    closing_is_due(&world).await;
    let ended = || async { count(&world, "session.completed").await == 1 };
    eventually("it ends", ended).await;
    world.settle().await;
    assert_eq!(timers(&world, "close").await, 0);
}

#[tokio::test]
async fn a_timer_that_was_due_while_nobody_ran_goes_off_at_the_next_start() {
    let world = World::new().await;
    let starts = start_reminded_in(300);
    schedule(&world, starts).await;
    let due = starts - TimeDelta::minutes(15);
    eventually("the moment passes", || async move { clock::now() > due }).await;
    let _projector = world.start().await;
    reminded(&world).await;
    world.settle().await;
    assert_eq!(count(&world, "session.reminded").await, 1);
}

#[tokio::test]
async fn a_timer_whose_projector_died_is_taken_over_when_its_lease_ends() {
    let world = World::new().await;
    let _projector = world.start().await;
    schedule(&world, start_reminded_in(3_600_000)).await;
    world.settle().await;
    let lease = clock::now() + TimeDelta::milliseconds(2500);
    first_reminder_is_due(&world, Some(lease)).await;
    reminded(&world).await;
    let events = world.log.read_stream(&StreamName::session(SESSION), 0).await.unwrap();
    let taken_over = events.iter().find(|event| event.event_type == "session.reminded");
    assert!(taken_over.unwrap().created >= lease, "nobody else worked on it before");
}

#[tokio::test]
async fn a_timer_that_goes_off_again_changes_nothing_and_a_late_reminder_is_none() {
    let world = World::new().await;
    let _projector = world.start().await;
    schedule(&world, start_reminded_in(3_600_000)).await;
    world.settle().await;
    sqlx::query(
        "create table kept as select * from timer where kind = 'reminder' order by due_at limit 1",
    )
    .execute(&world.postgres)
    .await
    .unwrap();
    first_reminder_is_due(&world, None).await;
    reminded(&world).await;
    world.settle().await;
    // As if it had never been deleted; and one of a start that is over.
    let past = clock::now() - TimeDelta::minutes(1);
    sqlx::query("insert into timer select * from kept on conflict do nothing")
        .execute(&world.postgres)
        .await
        .unwrap();
    first_reminder_is_due(&world, None).await;
    sqlx::query(
        "insert into timer (key, kind, subject, detail, due_at, source, set_by)
         values ('late', 'reminder', $1, $2, $3, 'log', '1')",
    )
    .bind(SESSION.uuid())
    .bind(serde_json::json!({ "starts": past, "minutes": 15 }))
    .bind(past)
    .execute(&world.postgres)
    .await
    .unwrap();
    let done = || async { timers(&world, "reminder").await == 1 };
    eventually("both go off", done).await;
    assert_eq!(count(&world, "session.reminded").await, 1);
}

#[tokio::test]
async fn what_the_log_cancels_never_goes_off() {
    let world = World::new().await;
    schedule(&world, start_reminded_in(200)).await;
    let later = start_reminded_in(3_600_000);
    let change = domain::session::PlanChange { starts: Some(later), ..Default::default() };
    let (by, now) = (person("ada"), clock::now());
    act(&world, by, Command::Change { by, change, now }).await;
    let _projector = world.start().await;
    world.settle().await;
    let due: Vec<Moment> =
        sqlx::query_scalar("select due_at from timer where kind = 'reminder' order by 1")
            .fetch_all(&world.postgres)
            .await
            .unwrap();
    assert_eq!(due, [later - TimeDelta::minutes(15), later - TimeDelta::minutes(5)]);
    act(&world, by, Command::Cancel { by }).await;
    world.settle().await;
    assert_eq!(timers(&world, "reminder").await, 0);
    assert_eq!(count(&world, "session.reminded").await, 0);
}

#[tokio::test]
async fn a_room_follows_its_session_whoever_died_in_between() {
    let world = World::new().await;
    let _projectors = (world.start().await, world.start().await);
    let (ada, bob, eve) = (person("ada"), person("bob"), person("eve"));
    let room = || async {
        let stream = StreamName::conversation(ROOM);
        world.log.load::<conversation::Conversation>(&stream).await.unwrap().state
    };
    let session =
        || async { world.log.load::<Session>(&StreamName::session(SESSION)).await.unwrap().state };
    // Each of these is the first step of a command whose second one never comes.
    schedule(&world, start_reminded_in(-60_000)).await;
    eventually("the room is opened", || async { room().await.has_member(ada) }).await;
    join(&world, bob).await;
    join(&world, eve).await;
    let in_it = || async { room().await.has_member(bob) && room().await.has_member(eve) };
    eventually("who joined is in the room", in_it).await;
    act(&world, bob, Command::Leave { user: bob, lost: false }).await;
    eventually("who left is out of it", || async { !room().await.has_member(bob) }).await;
    world.conversation(ROOM, ada, conversation::Command::Ban { by: ada, user: eve }).await;
    eventually("who is banned has left", || async { !session().await.has(eve) }).await;
    // Banned between the two steps of joining.
    join(&world, eve).await;
    eventually("and does not stay", || async { !session().await.has(eve) }).await;
    assert!(room().await.is_banned(eve));
}

#[tokio::test]
async fn who_is_away_leaves_when_the_grace_ends_and_who_is_back_stays() {
    let world = World::new().await;
    let _three = (world.start().await, world.start().await, world.start().await);
    let (bob, eve) = (person("bob"), person("eve"));
    schedule(&world, start_reminded_in(-60_000)).await;
    open_room(&world).await;
    join(&world, bob).await;
    join(&world, eve).await;
    let away = |number| {
        let world = &world;
        move || async move { timers(world, "grace").await == number }
    };
    eventually("both are away, once", away(2)).await;
    let connections = world.connections();
    assert_eq!(world.connect_for_good("phone", &[eve.uuid()]).await, 1);
    assert_eq!(answered(|| async { connections.anywhere(&[bob, eve]).await }).await, [false, true]);
    eventually("one is back", away(1)).await;
    // Their time is over, for both: a device that comes in the last moment counts.
    assert_eq!(world.connect_for_good("phone", &[eve.uuid()]).await, 1);
    sqlx::query(
        "insert into timer (key, kind, subject, person, due_at, source, set_by)
         values ('grace:' || $1::text || ':' || $2::text, 'grace', $1, $2, now(), 'presence', '1')
         on conflict do nothing",
    )
    .bind(SESSION.uuid())
    .bind(eve.uuid())
    .execute(&world.postgres)
    .await
    .unwrap();
    sqlx::query("update timer set due_at = now() where kind = 'grace'")
        .execute(&world.postgres)
        .await
        .unwrap();
    let left = || async { count(&world, "session.left").await == 1 };
    eventually("the one who is away has left", left).await;
    let state = world.log.load::<Session>(&StreamName::session(SESSION)).await.unwrap().state;
    assert!(state.has(eve) && !state.has(bob));
    let left = || async { connections.here("phone", &[], &[eve.uuid()]).await };
    assert_eq!(answered(left).await, 0);
    answered(|| connections.gone("phone")).await;
    assert_eq!(answered(|| async { connections.anywhere(&[eve]).await }).await, [false]);
}

#[tokio::test]
async fn while_nobody_knows_who_is_away_nobody_leaves() {
    let world = World::new().await;
    let settings = Settings { redis_url: "redis://127.0.0.1:1".to_owned(), ..world.settings() };
    let shutdown = CancellationToken::new();
    let _ended = shutdown.clone().drop_guard();
    projector::start(settings, world.log.clone(), shutdown).await.unwrap();
    let bob = person("bob");
    schedule(&world, start_reminded_in(-60_000)).await;
    join(&world, bob).await;
    world.settle().await;
    sqlx::query(
        "insert into timer (key, kind, subject, person, due_at, source, set_by)
         values ('grace', 'grace', $1, $2, now(), 'presence', '1')",
    )
    .bind(SESSION.uuid())
    .bind(bob.uuid())
    .execute(&world.postgres)
    .await
    .unwrap();
    let tried = || async {
        let attempts: i32 = sqlx::query_scalar("select attempts from timer where key = 'grace'")
            .fetch_one(&world.postgres)
            .await
            .unwrap();
        attempts >= 2
    };
    eventually("it is tried again", tried).await;
    assert_eq!(count(&world, "session.left").await, 0);
}

#[tokio::test]
async fn rebuilt_sessions_boards_and_timers_equal_the_live_ones() {
    let world = World::new().await;
    let _projector = world.start().await;
    let (ada, bob, eve) = (person("ada"), person("bob"), person("eve"));
    schedule(&world, start_reminded_in(-60_000)).await;
    open_room(&world).await;
    for user in [ada, bob, eve] {
        join(&world, user).await;
        let enter = conversation::Command::Enter { user, admitted: true };
        world.conversation(ROOM, user, enter).await;
    }
    for number in 0..40_u128 {
        let element = ElementId::new(Uuid::from_u128(number % 13));
        let action = match number {
            20 => whiteboard::Action::Clear,
            _ if number % 5 == 4 => whiteboard::Action::Erase { element },
            _ => whiteboard::Action::Draw { element, shape: format!("[{number}]") },
        };
        let command = whiteboard::Command {
            session: SESSION,
            conversation: ROOM,
            by: bob,
            participant: true,
            action,
        };
        let stream = StreamName::whiteboard(SESSION);
        world.act::<whiteboard::Whiteboard>(&stream, bob, command).await;
    }
    act(&world, ada, Command::Start { by: ada }).await;
    act(&world, bob, Command::Leave { user: bob, lost: false }).await;
    world.conversation(ROOM, bob, conversation::Command::Leave { user: bob }).await;
    act(&world, ada, Command::Complete { by: ada }).await;
    world.settle().await;
    let live = dump(&world.postgres).await;
    assert!(live.contains(r#""status": "completed""#), "{live}");
    assert!(live.contains(r#""shape": "[39]""#) || live.contains(r#""shape": "[38]""#), "{live}");
    assert!(live.contains(r#""participants": 0"#), "{live}");
    assert_eq!(world.rebuilt().await, live);
    let left = timers(&world, "room").await + timers(&world, "reminder").await;
    assert_eq!(left, 0, "the end cancels what was set");
    let stream = StreamName::session(SESSION);
    let events = world.log.read_stream(&stream, 0).await.unwrap();
    let end = events.last().unwrap();
    assert_eq!(end.event_type, "session.completed", "one event ends it for everybody");
}
