//! Study sessions as their people see them: planned, joined, drawn in, lost and left.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::refusal::{accepted, refused};
use e2e::talk::{PATIENCE, Person};
use e2e::up::Up;
use events::{ConversationId, ElementId, Moment, Position, StudySessionId};
use futures::future::try_join_all;
use reqwest::Method;
use roundtable::client::{Accepted, Created, Error, Socket, key, new_id};
use serde_json::{Value, json};

/// So soon somebody whose connection was lost has left.
const GRACE: (&str, &str) = ("ROUNDTABLE_SESSION_GRACE", "6");

fn in_seconds(seconds: u64) -> Moment {
    (SystemTime::now() + Duration::from_secs(seconds)).into()
}

/// A plan that may be joined at once.
fn plan(capacity: u16) -> Value {
    json!({
        "title": "Bernoulli numbers", "subject": "Maths", "description": "Note G",
        "capacity": capacity, "starts": in_seconds(300),
    })
}

/// A session that somebody planned.
#[derive(Clone, Copy)]
struct Study {
    id: StudySessionId,
    position: Position,
}

impl Study {
    async fn plan(tutor: &Person, plan: &Value) -> Result<Self> {
        let made: Created<StudySessionId> =
            tutor.session.write(Method::POST, "/v1/study-sessions", Some(plan)).await?;
        Ok(Self { id: made.id, position: made.position })
    }

    fn path(self, rest: &str) -> String {
        format!("/v1/study-sessions/{}{rest}", self.id)
    }

    async fn post(self, who: &Person, step: &str) -> Result<Position, Error> {
        let done: Accepted = who.session.write(Method::POST, &self.path(step), None).await?;
        Ok(done.position)
    }

    async fn join(self, who: &Person) -> Result<Value, Error> {
        who.session.write(Method::POST, &self.path("/join"), None).await
    }

    async fn draw(self, who: &Person, element: ElementId, shape: &str) -> Result<Position, Error> {
        let path = self.path(&format!("/whiteboard/{element}"));
        let body = json!({ "shape": shape });
        let drawn: Accepted = who.session.write(Method::PUT, &path, Some(&body)).await?;
        Ok(drawn.position)
    }

    async fn seen(self, by: &Person, after: Position) -> Result<Value, Error> {
        by.session.read(&self.path(""), Some(after)).await
    }

    async fn board(self, by: &Person, after: Position) -> Result<Value, Error> {
        by.session.read(&self.path("/whiteboard"), Some(after)).await
    }

    /// Waits until the session looks like this to somebody who is in it.
    async fn until(self, by: &Person, what: &str, looks: impl Fn(&Value) -> bool) -> Result<Value> {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let seen = self.seen(by, self.position).await?;
            if looks(&seen) {
                return Ok(seen);
            }
            ensure!(tokio::time::Instant::now() < end, "{what}: {seen}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn position(answer: &Value) -> Result<Position> {
    let text = answer["position"].as_str().context("a position")?;
    text.parse().map_err(|_| anyhow::anyhow!("{text} is no position"))
}

fn people(seen: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let participants = seen["participants"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut people: Vec<_> =
        participants.iter().map(|one| (text(&one["user_id"]), text(&one["state"]))).collect();
    people.sort();
    people
}

fn has(seen: &Value, person: &Person, state: &str) -> bool {
    people(seen).contains(&(person.user().to_string(), state.to_owned()))
}

fn is_gone(seen: &Value, person: &Person) -> bool {
    people(seen).iter().all(|(user, _)| *user != person.user().to_string())
}

fn slug<T: std::fmt::Debug>(answer: Result<T, Error>) -> String {
    let error = answer.expect_err("it is refused");
    error.slug().unwrap_or_else(|| panic!("it is a problem: {error}")).to_owned()
}

fn element(number: u128) -> ElementId {
    ElementId::new(uuid::Uuid::from_u128(number))
}

#[tokio::test]
async fn a_session_is_planned_joined_led_and_ended() -> Result<()> {
    let up = Up::start().await?;
    let people = ["Ada", "Ben", "Cleo", "Dora"].map(|name| Person::new(&up.url, name));
    let [ada, ben, cleo, dora] = try_join_all(people).await?.try_into().expect("four");

    // Bad input.
    let request = |who: &Person| who.session.request(Method::POST, "/v1/study-sessions");
    let keyed = |who: &Person| request(who).header("Idempotency-Key", key().to_string());
    for (field, wrong, slug) in [
        ("title", json!(" "), "invalid-title"),
        ("subject", json!(""), "invalid-subject"),
        ("description", json!("x".repeat(4001)), "description-too-long"),
        ("capacity", json!(1), "invalid-capacity"),
        ("capacity", json!(70_000), "wrong-shape"),
        ("starts", json!("2001-01-01T00:00:00Z"), "starts-in-past"),
        ("starts", json!("soon"), "wrong-shape"),
        ("tutor", json!(ben.user()), "wrong-shape"),
    ] {
        let mut body = plan(4);
        body[field] = wrong;
        refused(keyed(&ada).json(&body), 422, slug).await.with_context(|| field.to_owned())?;
    }
    let answer = accepted(request(&ada).json(&plan(4)), 201).await;
    ensure!(answer.is_err(), "a plan without a key was taken");

    // The same plan twice is one session; another plan with its key is refused.
    let (same, body) = (key().to_string(), plan(3));
    let with_key = |body: &Value| request(&ada).header("Idempotency-Key", &same).json(body);
    let first = accepted(with_key(&body), 201).await?;
    ensure!(accepted(with_key(&body), 201).await? == first, "it was planned twice");
    refused(with_key(&plan(5)), 409, "key-reused").await?;
    let study = Study {
        id: first["id"].as_str().unwrap_or_default().parse()?,
        position: position(&first)?,
    };

    // Everybody finds it, and nobody but its people sees who is in it.
    let found: Value = dora
        .session
        .read("/v1/study-sessions?subject=maths&limit=100", Some(study.position))
        .await?;
    let found = found["items"].as_array().context("a list")?;
    ensure!(found.len() == 1 && found[0]["id"] == json!(study.id), "{found:?}");
    ensure!(found[0]["seats_left"] == 2 && found[0]["status"] == "scheduled", "{found:?}");
    ensure!(study.seen(&dora, study.position).await?["participants"] == Value::Null);

    // Only the tutor leads; a change shows.
    for step in ["/start", "/complete", "/cancel"] {
        ensure!(slug(study.post(&ben, step).await) == "not-tutor", "{step}");
    }
    let change = json!({ "title": "Fourier series", "capacity": 4 });
    let changed: Accepted =
        ada.session.write(Method::PATCH, &study.path(""), Some(&change)).await?;
    let seen = study.seen(&ben, changed.position).await?;
    ensure!(seen["title"] == "Fourier series" && seen["seats_left"] == 3, "{seen}");
    let room: ConversationId = seen["conversation_id"].as_str().context("a room")?.parse()?;
    let talk: Value =
        ada.session.read(&format!("/v1/conversations/{room}"), Some(changed.position)).await?;
    ensure!(talk["title"] == "Fourier series" && talk["kind"] == "study", "{talk}");

    // The newcomer is told who is there, and hears everything from then on.
    let mut at_ben = Socket::open(&up.url, ben.token(), None).await?;
    let mut at_cleo = Socket::open(&up.url, cleo.token(), None).await?;
    let at_ada = Socket::open(&up.url, ada.token(), None).await?;
    ensure!(slug(ben.session.send(room, "too early").await) == "no-such-conversation");
    let joined = at_ben.command("study.join", json!({ "session": study.id })).await?;
    ensure!(
        joined["participants"] == json!([]) && joined["conversation"] == json!(room),
        "{joined}"
    );
    let joined = at_ada.command("study.join", json!({ "session": study.id })).await?;
    ensure!(joined["participants"] == json!([ben.user()]), "{joined}");
    let joined = study.join(&cleo).await?;
    ensure!(joined["participants"].as_array().is_some_and(|two| two.len() == 2), "{joined}");
    let heard = at_ben.next_of("session.joined", PATIENCE).await?;
    ensure!(*heard.data("user") == json!(ada.user()), "{heard:?}");
    ben.session.send(room, "hello").await?;
    at_cleo.next_of("message.sent", PATIENCE).await?;
    let seen = study.seen(&cleo, position(&joined)?).await?;
    ensure!(self::people(&seen).len() == 3 && seen["seats_left"] == 1, "{seen}");
    ensure!(
        slug(
            ada.session
                .write::<Value>(
                    Method::PUT,
                    &format!("/v1/conversations/{room}/members/{}", dora.user()),
                    None,
                )
                .await
        ) == "study-room"
    );

    // The tutor leaves, and the session goes on.
    study.post(&ada, "/start").await?;
    let left = study.post(&ada, "/leave").await?;
    at_cleo.next_of("session.left", PATIENCE).await?;
    ensure!(is_gone(&study.seen(&cleo, left).await?, &ada));
    study.join(&dora).await?;
    ensure!(
        slug(
            dora.session
                .write::<Value>(
                    Method::DELETE,
                    &study.path(&format!("/participants/{}", cleo.user())),
                    None,
                )
                .await
        ) == "not-tutor"
    );
    let path = study.path(&format!("/participants/{}", dora.user()));
    let removed: Accepted = ada.session.write(Method::DELETE, &path, None).await?;
    ensure!(
        slug(dora.session.messages(room, Some(removed.position)).await) == "no-such-conversation"
    );

    // Whoever is banned from the room is out of the session by itself, and stays out.
    let path = format!("/v1/conversations/{room}/bans/{}", cleo.user());
    ada.session.write::<Value>(Method::PUT, &path, None).await?;
    study.until(&ben, "the banned one leaves", |seen| is_gone(seen, &cleo)).await?;
    ensure!(slug(study.join(&cleo).await) == "banned");

    // With the end everybody leaves; who was there keeps what was said.
    let ended = study.post(&ada, "/complete").await?;
    at_ben.next_of("session.completed", PATIENCE).await?;
    let seen = study.seen(&ben, ended).await?;
    ensure!(seen["status"] == "completed" && seen["participants"] == json!([]), "{seen}");
    ensure!(seen["participants_count"] == 0, "{seen}");
    ben.session.messages(room, Some(ended)).await?;
    for step in ["/start", "/cancel", "/join"] {
        ensure!(slug(study.post(&ada, step).await) == "study-session-over", "{step}");
    }
    let mine: Value = ben.session.read("/v1/study-sessions?which=mine", Some(ended)).await?;
    ensure!(mine["items"].as_array().is_some_and(|items| items.len() == 1), "{mine}");

    // One that is called off cannot be joined, and one that was never planned does not exist.
    let other = Study::plan(&ada, &plan(2)).await?;
    other.post(&ada, "/cancel").await?;
    ensure!(slug(other.join(&ben).await) == "study-session-over");
    let none = Study { id: new_id().into(), ..other };
    ensure!(slug(none.join(&ben).await) == "no-such-study-session");
    ensure!(slug(none.seen(&ben, other.position).await) == "no-such-study-session");
    let later = json!({ "title": "Later", "subject": "Maths", "starts": in_seconds(7200) });
    ensure!(slug(Study::plan(&ada, &later).await?.join(&ben).await) == "too-early");
    up.end().await
}

#[tokio::test]
async fn a_whiteboard_is_live_for_everybody_and_there_for_the_newcomer() -> Result<()> {
    let up = Up::start().await?;
    let people = ["Ada", "Ben", "Cleo"].map(|name| Person::new(&up.url, name));
    let [ada, ben, cleo] = try_join_all(people).await?.try_into().expect("three");
    let study = Study::plan(&ada, &plan(10)).await?;
    let at_ada = Socket::open(&up.url, ada.token(), None).await?;
    let mut at_ben = Socket::open(&up.url, ben.token(), None).await?;
    study.join(&ada).await?;
    study.join(&ben).await?;

    let stroke = |element: ElementId, shape: &str| json!({ "session": study.id, "element": element, "shape": shape });
    for number in 1..=4 {
        let shape = json!({ "line": number }).to_string();
        at_ada.command("whiteboard.draw", stroke(element(number), &shape)).await?;
    }
    let heard = at_ben.next_of("whiteboard.drawn", PATIENCE).await?;
    ensure!(*heard.data("shape") == json!(r#"{"line":1}"#), "{heard:?}");
    let again = key();
    for _ in 0..2 {
        at_ada.command_with_key(again, "whiteboard.draw", stroke(element(2), "[2]")).await?;
    }
    at_ada
        .command("whiteboard.erase", json!({ "session": study.id, "element": element(3) }))
        .await?;
    let last = study.draw(&ben, element(3), "\"anew\"").await?;

    // Strangers, and who is in no session, neither draw nor see; nonsense is refused.
    ensure!(slug(study.draw(&cleo, element(9), "{}").await) == "not-in-session");
    ensure!(slug(study.board(&cleo, last).await) == "not-in-session");
    for wrong in ["", "{", "line"] {
        ensure!(slug(study.draw(&ben, element(9), wrong).await) == "invalid-shape", "{wrong}");
    }

    // The newcomer sees it as it is, from back to front, and what comes after its position.
    let joined = position(&study.join(&cleo).await?)?;
    ensure!(joined > last);
    let board = study.board(&cleo, joined).await?;
    let items = board["items"].as_array().context("a board")?;
    let looks: Vec<_> = items.iter().map(|it| it["shape"].as_str().unwrap_or_default()).collect();
    ensure!(looks == [r#"{"line":1}"#, "[2]", r#"{"line":4}"#, "\"anew\""], "{board}");
    ensure!(board["next"] == Value::Null && position(&board)? >= joined, "{board}");
    let from = position(&board)?;
    study.draw(&ada, element(5), "5").await?;
    let mut at_cleo = Socket::open(&up.url, cleo.token(), Some(from)).await?;
    let heard = at_cleo.next_of("whiteboard.drawn", PATIENCE).await?;
    ensure!(*heard.data("element") == json!(element(5)), "{heard:?}");

    // Many draw at once, and nothing is lost.
    let sockets = [&at_ada, &at_ben, &at_cleo];
    let strokes = (0..90_u128).map(|number| {
        let socket = sockets[usize::try_from(number % 3).expect("small")];
        socket.command("whiteboard.draw", stroke(element(1000 + number), "{}"))
    });
    let drawn = try_join_all(strokes).await?;
    let mut last = from;
    for answer in &drawn {
        last = last.max(position(answer)?);
    }
    let board = study.board(&ben, last).await?;
    ensure!(board["items"].as_array().is_some_and(|items| items.len() == 95), "{board}");

    let path = study.path("/whiteboard");
    let cleared: Accepted = ben.session.write(Method::DELETE, &path, None).await?;
    at_cleo.next_of("whiteboard.cleared", PATIENCE).await?;
    ensure!(study.board(&ben, cleared.position).await?["items"] == json!([]));
    study.post(&ada, "/cancel").await?;
    ensure!(slug(study.draw(&ben, element(1), "{}").await) == "not-in-session");
    up.end().await
}

#[tokio::test]
async fn who_is_lost_has_a_grace_that_any_node_and_a_restart_keep() -> Result<()> {
    let mut cluster = Cluster::with(&[GRACE]).await?;
    let people = ["Ada", "Ben", "Cleo"].map(|name| Person::new(&cluster.url, name));
    let [ada, ben, cleo] = try_join_all(people).await?.try_into().expect("three");
    let [first, second] = [0, 1].map(|index| cluster.command_apis[index].url.clone());

    // The last seat is raced for on two nodes.
    let small = Study::plan(&ada, &plan(2)).await?;
    let race = |who: &Person, url: &str| {
        let request = who.request(url, Method::POST, &small.path("/join"));
        let request = request.map(|it| it.header("Idempotency-Key", key().to_string()));
        async move { Ok::<_, anyhow::Error>(request?.send().await?.status().as_u16()) }
    };
    let (one, other) = tokio::join!(race(&ben, &first), race(&cleo, &second));
    let mut answers = [one?, other?];
    answers.sort_unstable();
    ensure!(answers == [200, 409], "{answers:?}");

    // Two devices of Ben: one is lost, and he is still there. Cleo is on the node that dies.
    let study = Study::plan(&ada, &plan(10)).await?;
    let mut at_ada = Socket::open(&second, ada.token(), None).await?;
    let phone = Socket::open(&first, ben.token(), None).await?;
    let laptop = Socket::open(&second, ben.token(), None).await?;
    let at_cleo = Socket::open(&first, cleo.token(), None).await?;
    for who in [&ada, &ben, &cleo] {
        study.join(who).await?;
    }
    let all_here = |seen: &Value| [&ada, &ben, &cleo].iter().all(|who| has(seen, who, "present"));
    study.until(&ada, "all are there", all_here).await?;
    cluster.command_apis[0].process.kill().await;
    drop((phone, at_cleo));
    study.until(&ada, "Cleo is away", |seen| has(seen, &cleo, "away")).await?;
    // She comes back on another node, in time.
    let at_cleo = Socket::open(&second, cleo.token(), None).await?;
    study.until(&ada, "Cleo is back", all_here).await?;
    // And is lost for good: the others are told once, and how it came.
    drop(at_cleo);
    let lost = at_ada.next_of("session.left", PATIENCE).await?;
    ensure!(*lost.data("user") == json!(cleo.user()) && *lost.data("cause") == "lost", "{lost:?}");
    let seen = study.until(&ada, "Cleo is gone", |seen| is_gone(seen, &cleo)).await?;
    ensure!(has(&seen, &ben, "present"), "{seen}");

    // A reminder comes once, though there are two projectors and one of them dies before.
    let plan = json!({ "title": "Soon", "subject": "Maths", "starts": in_seconds(15 * 60 + 8) });
    let soon = Study::plan(&ada, &plan).await?;
    cluster.projectors[0].crash_and_restart().await?;
    let reminded = at_ada.next_of("session.reminded", PATIENCE).await?;
    ensure!(*reminded.data("session") == json!(soon.id), "{reminded:?}");
    ensure!(*reminded.data("minutes") == 15, "{reminded:?}");
    // What comes next of this session is what is done next, and no second reminder.
    let again = json!({ "description": "after the reminder" });
    ada.session.write::<Value>(Method::PATCH, &soon.path(""), Some(&again)).await?;
    let next = loop {
        let event = at_ada.next_event(PATIENCE).await?;
        if *event.data("session") == json!(soon.id) {
            break event;
        }
    };
    ensure!(next.kind == "session.changed", "{next:?}");
    drop((at_ada, laptop));
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn after_everything_died_reminders_fire_and_whoever_does_not_come_back_has_left() -> Result<()>
{
    let grace = [(GRACE.0, GRACE.1.to_owned())];
    let mut up = Up::alone_with(&grace).await?;
    let people = ["Ada", "Ben"].map(|name| Person::new(&up.url, name));
    let [ada, ben] = try_join_all(people).await?.try_into().expect("two");
    let study = Study::plan(&ada, &plan(10)).await?;
    let at_ada = Socket::open(&up.url, ada.token(), None).await?;
    let at_ben = Socket::open(&up.url, ben.token(), None).await?;
    study.join(&ada).await?;
    study.join(&ben).await?;
    study.draw(&ben, element(1), "{}").await?;
    let both = |seen: &Value| has(seen, &ada, "present") && has(seen, &ben, "present");
    study.until(&ada, "both are there", both).await?;
    let plan = json!({ "title": "Soon", "subject": "Maths", "starts": in_seconds(15 * 60 + 10) });
    let soon = Study::plan(&ada, &plan).await?;

    up.crash_and_restart().await?;
    drop((at_ada, at_ben));
    let mut at_ada = Socket::open(&up.url, ada.token(), Some(soon.position)).await?;
    let (mut reminded, mut left) = (0, 0);
    while reminded == 0 || left == 0 {
        let event = at_ada.next_event(PATIENCE).await?;
        match event.kind.as_str() {
            "session.reminded" => reminded += 1,
            "session.left" => {
                ensure!(*event.data("user") == json!(ben.user()), "{event:?}");
                left += 1;
            }
            _ => {}
        }
    }
    ensure!((reminded, left) == (1, 1), "{reminded} reminders, {left} left");
    let seen = study.until(&ada, "Ben is gone", |seen| is_gone(seen, &ben)).await?;
    ensure!(has(&seen, &ada, "present"), "{seen}");
    let board = study.board(&ada, study.position).await?;
    ensure!(board["items"].as_array().is_some_and(|items| items.len() == 1), "{board}");
    up.end().await
}
