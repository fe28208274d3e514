//! Notifications: one for each person and cause, whoever looks and however often, and delivered
//! until they are taken or given up.

use std::time::Duration;

use domain::session::{Command, Plan, Session};
use domain::{conversation, message, notification};
use event_log::Opened;
use events::notification::{About, Channel, Outcome};
use events::{
    ConversationId, DomainEvent, MessageId, NotificationEvent, NotificationId, Position,
    StreamName, StudySessionId, UserId,
};
use projector::Settings;
use serde_json::Value;
use service::{MailSettings, NotificationSettings};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::smtp::Smtp;
use crate::world::{World, answered, dump, eventually, person};

/// Nobody waits, and what fails is tried again at once.
pub(crate) fn at_once() -> NotificationSettings {
    NotificationSettings {
        after: Duration::ZERO,
        first_rest: Duration::from_millis(20),
        attempts: 3,
        ..NotificationSettings::default()
    }
}

fn by_mail(smtp: &Smtp) -> NotificationSettings {
    let from = "Roundtable <no-reply@roundtable.example>".to_owned();
    let mail = Some(MailSettings { url: smtp.url.clone(), from });
    let public_url = Some("https://chat.example".to_owned());
    NotificationSettings { mail, public_url, ..at_once() }
}

pub(crate) async fn start(world: &World, notifications: NotificationSettings) -> DropGuard {
    let settings = Settings { notifications: Some(notifications), ..world.settings() };
    let shutdown = CancellationToken::new();
    projector::start(settings, world.log.clone(), shutdown.clone()).await.unwrap();
    shutdown.drop_guard()
}

/// Everything that happened to notifications, in the order of the log.
async fn events(world: &World) -> Vec<NotificationEvent> {
    let all = world.log.read_all(Position::START, 10_000).await.unwrap();
    let mut found = vec![];
    for recorded in all {
        if let Ok(Opened::Ours(event)) = world.log.open(&recorded).await
            && let DomainEvent::Notification(event) = event.event
        {
            found.push(event);
        }
    }
    found
}

async fn raised(world: &World) -> Vec<(UserId, About)> {
    let mut raised: Vec<_> = events(world)
        .await
        .into_iter()
        .filter_map(|event| match event {
            NotificationEvent::Raised { user, about, .. } => Some((user, about)),
            NotificationEvent::Attempted { .. } | NotificationEvent::Read { .. } => None,
        })
        .collect();
    raised.sort_by_key(|(user, about)| (*user, format!("{about:?}")));
    raised
}

pub(crate) async fn attempts(world: &World, of: Channel) -> Vec<(u16, Outcome, Option<String>)> {
    let attempts = events(world).await.into_iter().filter_map(|event| match event {
        NotificationEvent::Attempted { channel, attempt, outcome, reason, .. } if channel == of => {
            Some((attempt, outcome, reason))
        }
        _ => None,
    });
    attempts.collect()
}

/// A friend request that somebody is told of, and waits until the raiser has come so far.
async fn marked(world: &World, by: &str) -> (UserId, About) {
    let (from, to) = (person(by), person("marked"));
    let position = world.ask(from, to).await.to_bytes();
    eventually("the raiser comes to the mark", || async {
        let reached: Vec<u8> = sqlx::query_scalar("select position from notification_follower")
            .fetch_one(&world.postgres)
            .await
            .unwrap();
        reached >= position.to_vec()
    })
    .await;
    (to, About::FriendRequest { from })
}

pub(crate) async fn rows(world: &World, channel: &str, state: &str) -> i64 {
    sqlx::query_scalar(
        "select count(*) from notification_delivery where channel = $1 and state = $2",
    )
    .bind(channel)
    .bind(state)
    .fetch_one(&world.postgres)
    .await
    .unwrap()
}

/// A message in a group that mentions somebody.
async fn mention(world: &World, by: UserId, group: ConversationId, whom: &[UserId]) -> MessageId {
    #[expect(clippy::disallowed_methods, reason = "a test is an edge")]
    let message = MessageId::new(Uuid::now_v7());
    let (text, mentions) = ("Secret words".to_owned(), whom.to_vec());
    let draft = message::Draft { text, mentions, ..message::Draft::default() };
    world.message(by, group, message, message::Action::Send(draft)).await.0
}

#[tokio::test]
async fn there_is_one_notification_for_each_person_and_cause_whoever_looks_and_however_often() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let (bob, cleo) = (world.sign_up("bob").await, world.sign_up("cleo").await);
    // So long that nothing is delivered here.
    let after = Duration::from_secs(3600);
    let settings = NotificationSettings { after, ..at_once() };
    let _three = (
        start(&world, settings.clone()).await,
        start(&world, settings.clone()).await,
        start(&world, settings.clone()).await,
    );
    // One with tables of its own is not kept from looking at the same time by any claim.
    let other = world.servers.database().await.unwrap();
    let stop = CancellationToken::new();
    let _other = stop.clone().drop_guard();
    let doubled = Settings {
        postgres_url: other.url.clone(),
        namespace: servers::prefix(),
        notifications: Some(settings),
        ..world.settings()
    };
    projector::start(doubled, world.log.clone(), stop).await.unwrap();

    world.ask(ada, bob).await;
    world.accept(bob, ada).await;
    let group = world.group(ada, &[bob, cleo]).await;
    let first = mention(&world, ada, group, &[bob, cleo, ada]).await;
    world.block(cleo, ada).await;
    let second = mention(&world, ada, group, &[cleo, bob]).await;
    let mentioned = |message| About::Mention { message, conversation: group, from: ada };
    let added = About::AddedToGroup { conversation: group, by: ada };
    let mut told = vec![
        (bob, About::FriendRequest { from: ada }),
        (ada, About::FriendAccepted { by: bob }),
        (bob, added),
        (bob, mentioned(first)),
        (bob, mentioned(second)),
        marked(&world, "one").await,
    ];
    let is_told = async |expected: &[(UserId, About)], but: UserId| {
        let mut expected = expected.to_vec();
        expected.sort_by_key(|(user, about)| (*user, format!("{about:?}")));
        let all = raised(&world).await;
        let rest: Vec<_> = all.into_iter().filter(|(user, _)| *user != but).collect();
        assert_eq!(rest, expected);
    };
    is_told(&told, cleo).await;
    // What Cleo is told of Ada hangs on whether the raiser came by before the block; nothing twice.
    let cleos: Vec<_> = raised(&world).await.into_iter().filter(|told| told.0 == cleo).collect();
    assert!(!cleos.contains(&(cleo, mentioned(second))), "{cleos:?}");

    // All of the log again, under the one that works.
    sqlx::query("update notification_follower set position = $1")
        .bind(Position::START.to_bytes())
        .execute(&world.postgres)
        .await
        .unwrap();
    told.push(marked(&world, "two").await);
    told.push(marked(&world, "three").await);
    is_told(&told, cleo).await;
    let all = raised(&world).await;
    assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "nothing twice: {all:?}");

    // And the read model is the same when it is made anew, which tells nobody anything.
    world.settle().await;
    assert_eq!(dump(&world.postgres).await, world.rebuilt().await);
    assert_eq!(raised(&world).await, all);
}

#[tokio::test]
async fn nobody_is_told_of_the_past_and_everybody_of_what_happened_while_no_projector_ran() {
    let world = World::new().await;
    let (ada, bob) = (world.sign_up("ada").await, world.sign_up("bob").await);
    world.ask(ada, bob).await;
    let first = start(&world, at_once()).await;
    let one = marked(&world, "one").await;
    assert_eq!(raised(&world).await, [one]);
    drop(first);
    world.accept(bob, ada).await;
    let _second = start(&world, at_once()).await;
    let two = marked(&world, "two").await;
    let mut told = [one, two, (ada, About::FriendAccepted { by: bob })];
    told.sort_by_key(|(user, about)| (*user, format!("{about:?}")));
    assert_eq!(raised(&world).await, told);
}

#[tokio::test]
async fn a_letter_that_is_refused_for_now_is_sent_again_and_says_no_words_of_anybody() {
    let world = World::new().await;
    let mut smtp = Smtp::start(&["451 4.3.0 not now", "accept"]).await;
    let (ada, bob) = (world.sign_up("ada").await, world.sign_up("bob").await);
    let _three = (
        start(&world, by_mail(&smtp)).await,
        start(&world, by_mail(&smtp)).await,
        start(&world, by_mail(&smtp)).await,
    );
    let group = world.group(ada, &[bob]).await;
    mention(&world, ada, group, &[bob]).await;
    let letter = smtp.letter().await;
    assert_eq!(letter["to"], serde_json::json!(["bob@example.org"]));
    assert_eq!(letter["from"], "no-reply@roundtable.example");
    let text = letter["text"].as_str().unwrap();
    for line in ["Subject: ADA mentioned you", "Auto-Submitted: auto-generated"] {
        assert!(text.contains(line), "{text}");
    }
    let body: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert!(body.ends_with(&["ADA mentioned you.", "https://chat.example"]), "{text:?}");
    assert!(!text.contains("Secret words"), "{text}");

    eventually("the delivery is done", || async { rows(&world, "email", "done").await == 1 }).await;
    let reason = Some("the mail server says 451".to_owned());
    let expected = [(1, Outcome::Failed, reason), (2, Outcome::Delivered, None)];
    assert_eq!(attempts(&world, Channel::Email).await, expected);
    // Being added to a group is no reason for a letter.
    let live = attempts(&world, Channel::Live).await;
    assert_eq!(live.len(), 2, "{live:?}");
    assert!(live.iter().all(|(_, outcome, _)| *outcome == Outcome::Skipped), "{live:?}");
    world.settle().await;
    let channels: Value = sqlx::query_scalar(
        "select channels from notification_log where about->>'kind' = 'mention'",
    )
    .fetch_one(&world.postgres)
    .await
    .unwrap();
    assert_eq!(channels["email"]["status"], "delivered");
    assert_eq!(channels["email"]["attempts"], 2);
    assert_eq!(channels["live"]["status"], "skipped");
    assert_eq!(dump(&world.postgres).await, world.rebuilt().await);
}

#[tokio::test]
async fn what_is_refused_too_often_or_for_ever_is_a_dead_letter() {
    for (answer, many) in [("451 4.3.0 not now", 3), ("550 5.1.1 nobody here", 1)] {
        let world = World::new().await;
        let smtp = Smtp::start(&[answer]).await;
        let _projector = start(&world, by_mail(&smtp)).await;
        let (ada, bob) = (world.sign_up("ada").await, world.sign_up("bob").await);
        world.ask(ada, bob).await;
        eventually("it is given up", || async { rows(&world, "email", "dead").await == 1 }).await;
        let tried = attempts(&world, Channel::Email).await;
        let outcomes: Vec<_> =
            tried.iter().map(|(number, outcome, _)| (*number, *outcome)).collect();
        let mut expected: Vec<_> = (1..many).map(|number| (number, Outcome::Failed)).collect();
        expected.push((many, Outcome::Dead));
        assert_eq!(outcomes, expected);
        let (attempts, reason): (i32, String) =
            sqlx::query_as("select attempts, reason from notification_dead")
                .fetch_one(&world.postgres)
                .await
                .unwrap();
        assert_eq!(attempts, i32::from(many));
        assert!(reason.contains(&answer[..3]), "{reason}");
        assert!(!format!("{tried:?}").contains("here"), "no words of the server: {tried:?}");
    }
}

#[tokio::test]
async fn who_is_connected_has_read_it_or_was_erased_gets_no_letter() {
    let world = World::new().await;
    let smtp = Smtp::start(&["accept"]).await;
    let ada = world.sign_up("ada").await;
    let (bob, cleo) = (world.sign_up("bob").await, world.sign_up("cleo").await);
    let dora = world.sign_up("dora").await;
    world.connect_for_good("node", &[bob.uuid()]).await;
    // So long that nothing is delivered before everything is as it should be.
    let after = Duration::from_secs(3600);
    let later = NotificationSettings { after, ..by_mail(&smtp) };
    let _projector = start(&world, later).await;
    world.ask(ada, cleo).await;
    eventually("Cleo is told", || async { !raised(&world).await.is_empty() }).await;
    let id = events(&world).await.iter().find_map(|event| match event {
        NotificationEvent::Raised { notification, .. } => Some(*notification),
        _ => None,
    });
    let id: NotificationId = id.unwrap();
    let read = notification::Command::Read { user: cleo };
    world.act::<notification::Notification>(&StreamName::notification(id), cleo, read).await;
    world.ask(ada, dora).await;
    world.log.vault().destroy(dora).await.unwrap();
    world.ask(ada, bob).await;
    eventually("all wait", || async { rows(&world, "live", "waiting").await == 3 }).await;
    sqlx::query("update notification_delivery set due_at = now()")
        .execute(&world.postgres)
        .await
        .unwrap();
    eventually("all are done with", || async { rows(&world, "live", "done").await == 3 }).await;
    let mut live: Vec<_> = attempts(&world, Channel::Live)
        .await
        .into_iter()
        .map(|(_, outcome, reason)| (reason, outcome))
        .collect();
    live.sort_by_key(|(reason, _)| reason.clone());
    let alone = Some("no device is connected".to_owned());
    let delivered = (None, Outcome::Delivered);
    assert_eq!(live, [delivered.clone(), delivered, (alone, Outcome::Skipped)]);
    eventually("no letter is written", || async { rows(&world, "email", "done").await == 1 }).await;
    let erased = Some("the person was erased".to_owned());
    assert_eq!(attempts(&world, Channel::Email).await, [(1, Outcome::Skipped, erased)]);
}

#[tokio::test]
async fn a_direct_message_is_told_to_who_is_away_and_a_session_to_all_its_people() {
    let world = World::new().await;
    let connections = world.connections();
    let (ada, bob) = (world.sign_up("ada").await, world.sign_up("bob").await);
    let direct = ConversationId::direct(ada, bob);
    let open = conversation::Command::OpenDirect { by: ada, with: bob, friends: true };
    world.conversation(direct, ada, open).await;
    let _projector = start(&world, at_once()).await;
    world.connect_for_good("node", &[bob.uuid()]).await;
    world.send(ada, direct, "You are here").await;
    let one = marked(&world, "one").await;
    assert_eq!(raised(&world).await, [one]);
    answered(|| connections.gone("node")).await;
    let (message, _) = world.send(ada, direct, "You are not").await;
    let two = marked(&world, "two").await;
    let about = About::Message { message, conversation: direct, from: ada };
    let mut told = vec![one, two, (bob, about)];
    told.sort_by_key(|(user, about)| (*user, format!("{about:?}")));
    assert_eq!(raised(&world).await, told);

    let session = StudySessionId::new(Uuid::from_u128(0x5e));
    let room = world.group(ada, &[]).await;
    let starts = service::clock::now() + chrono::TimeDelta::days(1);
    let starts =
        starts - chrono::TimeDelta::nanoseconds(i64::from(starts.timestamp_subsec_nanos()));
    let plan = Plan {
        title: "Bernoulli".to_owned(),
        subject: "maths".to_owned(),
        description: String::new(),
        capacity: 4,
        starts,
    };
    let now = service::clock::now();
    let plan = Command::Schedule { session, conversation: room, tutor: bob, plan, now };
    let stream = StreamName::session(session);
    world.act::<Session>(&stream, bob, plan).await;
    world.act::<Session>(&stream, bob, Command::Remind { starts, minutes: 15 }).await;
    world.act::<Session>(&stream, bob, Command::Cancel { by: bob }).await;
    let three = marked(&world, "three").await;
    let reminder = About::SessionReminder { session, conversation: room };
    told.extend([
        three,
        (ada, reminder),
        (bob, reminder),
        (ada, About::SessionCancelled { session, conversation: room }),
    ]);
    told.sort_by_key(|(user, about)| (*user, format!("{about:?}")));
    assert_eq!(raised(&world).await, told);
}
