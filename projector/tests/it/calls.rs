//! Calls in the projector: their timers, who is away, and their rows.

use domain::call::{Call, Command, Enter, Place, Ring, Start};
use events::call::{Media, Participant, Toggles};
use events::{CallId, ConversationId, FileId, LoginId, RecordingId, StreamName};
use service::sfu_registry::Node;
use service::{SfuRegistry, clock};
use uuid::Uuid;

use crate::world::{World, dump, eventually, person};

const CALL: CallId = CallId::new(Uuid::from_u128(0xca));
const HERE: Place = Place { member: true, blocked: false };

fn device(name: &str) -> Participant {
    let user = person(name);
    Participant { user, device: LoginId::new(Uuid::from_u128(user.uuid().as_u128() << 16)) }
}

fn start(room: ConversationId, on_sfu: bool) -> Start {
    Start {
        call: CALL,
        conversation: room,
        place: HERE,
        by: device("ada"),
        toggles: Toggles { microphone: true, camera: true, screen: false },
        media: Media::Video,
        direct: false,
        on_sfu,
        node: on_sfu.then(|| "sfu-1".to_owned()),
        grows: false,
        limit: 4,
        ring: vec![person("bob"), person("eve")],
        busy: vec![],
        ring_seconds: 300,
        idle_seconds: 300,
    }
}

fn enter(name: &str) -> Enter {
    let toggles = Toggles { microphone: true, ..Toggles::default() };
    Enter { by: device(name), place: HERE, toggles, agrees: false, node: None }
}

/// Ada rings at one more; others are in other calls.
fn ring(name: &str, busy: &[&str]) -> Command {
    let busy = busy.iter().map(|name| person(name)).collect();
    let (by, ring) = (device("ada"), vec![person(name)]);
    Command::Ring(Ring { by, place: HERE, ring, busy, ring_seconds: 300 })
}

async fn act(world: &World, by: &str, command: Command) {
    world.act::<Call>(&StreamName::call(CALL), person(by), command).await;
}

/// A group of three, whose owner calls.
async fn called(world: &World, on_sfu: bool) -> ConversationId {
    let room = world.group(person("ada"), &[person("bob"), person("eve")]).await;
    act(world, "ada", Command::Start(Box::new(start(room, on_sfu)))).await;
    room
}

async fn count(world: &World, event_type: &str) -> usize {
    let events = world.log.read_stream(&StreamName::call(CALL), 0).await.unwrap();
    events.iter().filter(|event| event.event_type == event_type).count()
}

async fn timers(world: &World, kind: &str) -> i64 {
    sqlx::query_scalar("select count(*) from timer where kind = $1")
        .bind(kind)
        .fetch_one(&world.postgres)
        .await
        .unwrap()
}

/// What is to come in minutes comes now.
async fn is_due(world: &World, kind: &str) {
    sqlx::query("update timer set due_at = now() where kind = $1")
        .bind(kind)
        .execute(&world.postgres)
        .await
        .unwrap();
}

/// These devices, and no others, have sockets.
async fn connected(world: &World, names: &[&str]) {
    let devices: Vec<Uuid> = names.iter().map(|name| device(name).device.uuid()).collect();
    world.connect_for_good("phones", &devices).await;
}

#[tokio::test]
async fn of_three_projectors_one_ends_the_ringing_and_one_the_waiting() {
    let world = World::new().await;
    let _three = (world.start().await, world.start().await, world.start().await);
    connected(&world, &["ada", "bob"]).await;
    called(&world, false).await;
    act(&world, "bob", Command::Accept(enter("bob"))).await;
    world.settle().await;
    assert_eq!((timers(&world, "ring").await, timers(&world, "alone").await), (1, 0));
    is_due(&world, "ring").await;
    eventually("eve has missed it", || async { count(&world, "call.missed").await == 1 }).await;
    act(&world, "bob", Command::Leave { by: device("bob") }).await;
    world.settle().await;
    assert_eq!((timers(&world, "ring").await, timers(&world, "alone").await), (0, 1));
    is_due(&world, "alone").await;
    eventually("it is over", || async { count(&world, "call.ended").await == 1 }).await;
    world.settle().await;
    let left: i64 =
        sqlx::query_scalar("select (select count(*) from timer) + count(*) from timer_call")
            .fetch_one(&world.postgres)
            .await
            .unwrap();
    assert_eq!((left, count(&world, "call.missed").await), (0, 1));
}

#[tokio::test]
async fn who_is_called_later_has_a_time_of_their_own() {
    let world = World::new().await;
    let _projector = world.start().await;
    connected(&world, &["ada", "bob"]).await;
    called(&world, false).await;
    act(&world, "bob", Command::Accept(enter("bob"))).await;
    act(&world, "ada", ring("fay", &[])).await;
    act(&world, "ada", ring("gil", &[])).await;
    world.settle().await;
    assert_eq!(timers(&world, "ring").await, 3);
    // Nobody of the beginning is left whom it rings at; each of the others is on their own.
    act(&world, "ada", Command::Remove { user: person("eve") }).await;
    act(&world, "gil", Command::Join(enter("gil"))).await;
    world.settle().await;
    assert_eq!(timers(&world, "ring").await, 1);
    is_due(&world, "ring").await;
    eventually("fay has missed it", || async { count(&world, "call.missed").await == 2 }).await;
    world.settle().await;
    assert_eq!(timers(&world, "ring").await, 0);
}

#[tokio::test]
async fn a_device_is_away_without_a_socket_unless_a_living_node_has_its_media() {
    let world = World::new().await;
    let nats = world.nats().await;
    let registry = SfuRegistry::new(nats, &world.namespace);
    let url = "http://sfu.example".to_owned();
    let node = Node { id: "sfu-1".to_owned(), url, load: 0.0, draining: false, seen: clock::now() };
    registry.announce(&node).await.unwrap();
    let _projector = world.start().await;
    connected(&world, &["ada"]).await;
    called(&world, true).await;
    for name in ["bob", "eve"] {
        act(&world, name, Command::Accept(enter(name))).await;
    }
    let (participant, node) = (device("bob"), "sfu-1".to_owned());
    act(&world, "bob", Command::JoinMedia { participant, node }).await;
    world.settle().await;
    // Eve has neither. What the node says is renewed all the time, as nodes do.
    let away = |number| {
        let (world, registry) = (&world, &registry);
        move || async move {
            let url = "http://sfu.example".to_owned();
            let id = "sfu-1".to_owned();
            let node = Node { id, url, load: 0.0, draining: false, seen: clock::now() };
            if number == 1 {
                registry.announce(&node).await.unwrap();
            }
            timers(world, "lost").await == number
        }
    };
    eventually("one is away", away(1)).await;
    let lost: Uuid = sqlx::query_scalar("select person from timer where kind = 'lost'")
        .fetch_one(&world.postgres)
        .await
        .unwrap();
    assert_eq!(lost, person("eve").uuid());
    registry.withdraw("sfu-1").await.unwrap();
    eventually("the node is gone, and one more is away", away(2)).await;
    is_due(&world, "lost").await;
    let left = || async { count(&world, "call.left").await == 2 };
    eventually("both have left", left).await;
    let state = world.log.load::<Call>(&StreamName::call(CALL)).await.unwrap().state;
    assert!(state.has(device("ada")) && state.active().is_some());
}

#[tokio::test]
async fn a_rebuild_of_calls_equals_the_live_tables() {
    let world = World::new().await;
    let _projector = world.start().await;
    connected(&world, &["ada", "bob", "eve"]).await;
    called(&world, true).await;
    act(&world, "bob", Command::Join(enter("bob"))).await;
    act(&world, "eve", Command::Decline { by: person("eve") }).await;
    act(&world, "ada", ring("eve", &["fay"])).await;
    let ada = device("ada");
    act(&world, "ada", Command::JoinMedia { participant: ada, node: "sfu-1".to_owned() }).await;
    act(&world, "ada", Command::AskConsent { by: ada }).await;
    act(&world, "bob", Command::Consent { by: device("bob"), agrees: true }).await;
    let recording = RecordingId::new(Uuid::from_u128(0x4ec));
    act(&world, "ada", Command::StartRecording { by: ada, recording, moderator: true }).await;
    let (file, of) = (FileId::new(Uuid::from_u128(0xf1)), Some(ada));
    let store = Command::StoreRecording {
        recording,
        file,
        of,
        source: Some("camera".to_owned()),
        milliseconds: 61_000,
        offset: Some(20),
    };
    act(&world, "ada", store).await;
    let (lost, node) = ("sfu-1".to_owned(), "sfu-2".to_owned());
    act(&world, "ada", Command::ReplaceNode { lost, node }).await;
    world.settle().await;
    let (status, node): (String, String) = sqlx::query_as("select status, node from call_history")
        .fetch_one(&world.postgres)
        .await
        .unwrap();
    assert_eq!((status.as_str(), node.as_str()), ("connected", "sfu-2"));
    assert_eq!(dump(&world.postgres).await, world.rebuilt().await, "while it goes on");
    act(&world, "eve", Command::Decline { by: person("eve") }).await;
    act(&world, "bob", Command::Leave { by: device("bob") }).await;
    act(&world, "ada", Command::End { by: person("ada"), moderator: false }).await;
    world.settle().await;
    assert_eq!(dump(&world.postgres).await, world.rebuilt().await, "when it is over");
    let outcomes: Vec<String> =
        sqlx::query_scalar("select outcome from call_person order by outcome")
            .fetch_all(&world.postgres)
            .await
            .unwrap();
    assert_eq!(outcomes, ["accepted", "busy", "called", "declined"]);
}
