//! The past as it can be asked for: what was read then is what is told of then; events, states and
//! explanations, over the API and with the program.

use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use e2e::acts::{done, position, write};
use e2e::operator;
use e2e::process::program;
use e2e::refusal::{accepted, refused};
use e2e::talk::{PATIENCE, Person};
use e2e::up::Up;
use events::{ConversationId, MessageId, Position, UserId};
use reqwest::Method;
use roundtable::client::new_id;
use serde_json::{Value, json};
use tokio::process::Command;

/// What somebody was answered at a place.
struct Answer {
    at: Position,
    who: usize,
    path: String,
    status: u16,
    body: Value,
}

/// People, and everything that they were answered while history was made.
struct Witnesses<'a> {
    url: &'a str,
    people: &'a [Person],
    paths: Vec<String>,
    seen: Vec<Answer>,
}

async fn answer(who: &Person, url: &str, path: &str, after: Position) -> Result<(u16, Value)> {
    let request = who.request(url, Method::GET, path)?;
    let answer = request.header("Roundtable-After", after.to_string()).send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

impl Witnesses<'_> {
    /// Everybody reads everything, once it shows what was done.
    async fn look(&mut self, at: Position) -> Result<()> {
        for who in 0..self.people.len() {
            for path in self.paths.clone() {
                let (status, body) = answer(&self.people[who], self.url, &path, at).await?;
                ensure!(status < 500, "{path}: {body}");
                self.seen.push(Answer { at, who, path, status, body });
            }
        }
        Ok(())
    }

    /// Everybody does something, and then all look.
    async fn after(&mut self, done: Result<Position>) -> Result<()> {
        self.look(done?).await
    }
}

/// What may not be compared: whose connection was lost is not in the log, and what may not be read
/// any more is not told.
fn comparable(mut expected: Value, told: &Value) -> Result<Value> {
    if let Some(participants) = expected.get_mut("participants").and_then(Value::as_array_mut) {
        for (participant, told) in participants
            .iter_mut()
            .zip(told["participants"].as_array().map_or(&[][..], Vec::as_slice))
        {
            if participant.get("state").is_some() {
                participant["state"] = told["state"].clone();
                participant["away_until"] = told["away_until"].clone();
            }
        }
    }
    if let Some(items) = expected.get_mut("items").and_then(Value::as_array_mut) {
        for (item, told) in items.iter_mut().zip(told["items"].as_array().context("a list")?) {
            withhold(item, told)?;
        }
    }
    if let Some(newest) = expected.get_mut("last_message").and_then(Value::as_object_mut)
        && told["last_message"]["text"].is_null()
    {
        newest.insert("text".to_owned(), Value::Null);
    }
    Ok(expected)
}

fn withhold(item: &mut Value, told: &Value) -> Result<()> {
    if told["withheld"] == json!(true) {
        ensure!(item["id"] == told["id"], "{item} is not {told}");
        item["text"] = Value::Null;
        item["mentions"] = json!([]);
        item["withheld"] = json!(true);
    }
    Ok(())
}

/// What they said up to here was read, and that is in the log.
async fn read_up_to(
    who: &Person,
    url: &str,
    room: ConversationId,
    message: MessageId,
    admin: &Person,
) -> Result<Position> {
    let body = json!({ "kind": "read", "message": message });
    let path = format!("/v1/conversations/{room}/receipts");
    done(who, url, Method::PUT, &path, Some(body)).await?;
    let stream = format!("stream=receipt-{room}-{}", who.user());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let path = format!("/v1/admin/events?reverse=true&limit=1&{stream}");
        let page = accepted(admin.request(url, Method::GET, &path)?, 200).await?;
        if page["items"][0]["data"]["message"] == json!(message) {
            return position(&page["items"][0]);
        }
        ensure!(tokio::time::Instant::now() < deadline, "the receipt does not come: {page}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// An admin of the platform.
async fn admin(up: &Up) -> Result<Person> {
    let eve = Person::new(&up.url, "Eve").await?;
    operator::grant(&up.data(), &eve.user().to_string(), "admin").await?;
    let standing = "/v1/users/me/standing";
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let me: Value = eve.session.read(standing, None).await?;
        if me["role"] == "admin" {
            return Ok(eve);
        }
        ensure!(tokio::time::Instant::now() < deadline, "{me}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_past_is_told_as_it_was_read_then() -> Result<()> {
    let up = Up::alone().await?;
    let url = up.url.as_str();
    let eve = admin(&up).await?;
    let mut people = vec![];
    for name in ["Ada", "Ben", "Cleo"] {
        people.push(Person::new(url, name).await?);
    }
    let [ada, ben, cleo] = &people[..] else { panic!("three") };
    let act = async |who: &Person, method: Method, path: String, body: Option<Value>| {
        done(who, url, method, &path, body).await
    };
    let befriend = async |one: &Person, other: &Person| -> Result<Position> {
        one.session.ask_for_friendship(other.user()).await?;
        Ok(other.session.accept_friendship(one.user()).await?.position)
    };
    befriend(ada, ben).await?;
    befriend(ada, cleo).await?;
    let group = ada.session.open_group("The round table", &[ben.user(), cleo.user()]).await?;
    let room = group.id;
    let starts = e2e::now() + chrono::TimeDelta::minutes(5);
    let plan = json!({ "title": "Algebra", "subject": "maths", "starts": starts, "capacity": 5 });
    let planned = accepted(write(ada, url, Method::POST, "/v1/study-sessions", Some(plan))?, 201);
    let planned = planned.await?;
    let session = planned["id"].as_str().context("an id")?.to_owned();
    let mut all = Witnesses {
        url,
        people: &people,
        paths: vec![
            format!("/v1/conversations/{room}"),
            format!("/v1/conversations/{room}/messages?limit=100"),
            format!("/v1/conversations/{room}/call"),
            "/v1/friends".to_owned(),
            "/v1/friend-requests?direction=incoming".to_owned(),
            "/v1/friend-requests?direction=outgoing".to_owned(),
            format!("/v1/study-sessions/{session}"),
        ],
        seen: vec![],
    };
    all.look(position(&planned)?).await?;

    let in_room = |path: &str| format!("/v1/conversations/{room}/{path}");
    let first = ada.session.send(room, "first").await?;
    let second = ben.session.send(room, "second").await?;
    all.look(second.position).await?;
    let edited = json!({ "text": "second, and better" });
    let path = in_room(&format!("messages/{}", second.id));
    all.after(act(ben, Method::PATCH, path, Some(edited)).await).await?;
    let path = in_room(&format!("messages/{}/reactions/👍", first.id));
    all.after(act(ben, Method::PUT, path.clone(), None).await).await?;
    act(cleo, Method::PUT, path.clone(), None).await?;
    all.after(act(ben, Method::DELETE, path, None).await).await?;
    all.after(read_up_to(ben, url, room, first.id, &eve).await).await?;
    all.after(read_up_to(cleo, url, room, second.id, &eve).await).await?;
    let role = in_room(&format!("members/{}/role", ben.user()));
    all.after(act(ada, Method::PUT, role, Some(json!({ "role": "admin" }))).await).await?;
    let settings = json!({ "title": "The square table", "slow_mode_seconds": 30 });
    let path = format!("/v1/conversations/{room}");
    all.after(act(ada, Method::PATCH, path, Some(settings)).await).await?;
    let third = ada.session.send(room, "third, to go").await?;
    all.look(third.position).await?;
    let path = in_room(&format!("messages/{}", third.id));
    all.after(act(ada, Method::DELETE, path, None).await).await?;
    let member = in_room(&format!("members/{}", cleo.user()));
    all.after(act(cleo, Method::DELETE, member.clone(), None).await).await?;
    let fourth = ada.session.send(room, "without Cleo").await?;
    all.look(fourth.position).await?;
    all.after(act(ada, Method::PUT, member, None).await).await?;
    let owner = json!({ "to": ben.user() });
    all.after(act(ada, Method::POST, in_room("owner"), Some(owner)).await).await?;
    let friend = format!("/v1/friends/{}", ben.user());
    all.after(act(ada, Method::DELETE, friend, None).await).await?;
    let ask = json!({ "to": ada.user() });
    all.after(act(ben, Method::POST, "/v1/friend-requests".to_owned(), Some(ask)).await).await?;
    let decline = format!("/v1/friend-requests/{}/decline", ben.user());
    all.after(act(ada, Method::POST, decline, None).await).await?;

    let calling = json!({ "conversation": room, "media": "audio", "ring": [ben.user()] });
    let call = accepted(write(ada, url, Method::POST, "/v1/calls", Some(calling))?, 201).await?;
    let id = call["id"].as_str().context("an id")?.to_owned();
    all.paths.push(format!("/v1/calls/{id}"));
    all.look(position(&call)?).await?;
    let accept = format!("/v1/calls/{id}/accept");
    let accepting = write(ben, url, Method::POST, &accept, Some(json!({})))?.send().await?;
    ensure!(accepting.status().is_success(), "{}", accepting.text().await?);
    all.look(position(&accepting.json().await?)?).await?;
    let toggles = json!({ "microphone": false });
    all.after(act(ben, Method::PATCH, format!("/v1/calls/{id}/toggles"), Some(toggles)).await)
        .await?;
    all.after(act(ada, Method::POST, format!("/v1/calls/{id}/end"), None).await).await?;

    let path = |step: &str| format!("/v1/study-sessions/{session}/{step}");
    let joining = write(ben, url, Method::POST, &path("join"), None)?.send().await?;
    ensure!(joining.status().is_success(), "{}", joining.text().await?);
    all.look(position(&joining.json().await?)?).await?;
    all.after(act(ada, Method::POST, path("start"), None).await).await?;
    all.after(act(ada, Method::POST, path("complete"), None).await).await?;

    let seen = std::mem::take(&mut all.seen);
    ensure!(seen.len() > 400, "{} answers were seen", seen.len());
    for Answer { at, who, path, status, body } in seen {
        // Whoever is in the room of the study session comes there a moment later.
        let who_is = &people[who];
        if path.contains("study-sessions") && who != 0 {
            continue;
        }
        let join = if path.contains('?') { '&' } else { '?' };
        let then = format!("{path}{join}as_of={at}");
        let (told_status, told) = answer(who_is, url, &then, Position::START).await?;
        let about = format!("{} of {then}: {told}\ninstead of\n{body}", who_is.name);
        ensure!(told_status == status, "{told_status} instead of {status} for {about}");
        if status == 200 {
            let expected = comparable(body, &told).with_context(|| about.clone())?;
            ensure!(expected == told, "{about}");
        }
    }

    // What may not be read any more is withheld from who may not see former versions.
    let messages = |at: Position| {
        in_room(&format!("messages?as_of={at}")).replace("messages?", "messages?limit=100&")
    };
    let text = |page: &Value, id: MessageId| {
        let items = page["items"].as_array().cloned().unwrap_or_default();
        let found = items.into_iter().find(|item| item["id"] == json!(id));
        found.map(|item| (item["text"].clone(), item["withheld"] == json!(true)))
    };
    let (_, page) = answer(cleo, url, &messages(second.position), Position::START).await?;
    ensure!(text(&page, second.id) == Some((Value::Null, true)), "{page}");
    let (_, page) = answer(ben, url, &messages(second.position), Position::START).await?;
    ensure!(text(&page, second.id) == Some((json!("second"), false)), "{page}");
    let (_, page) = answer(ben, url, &messages(third.position), Position::START).await?;
    ensure!(text(&page, third.id) == Some((Value::Null, true)), "it was deleted: {page}");

    // Strangers, and places that are none.
    let one = format!("/v1/conversations/{room}");
    let ask = |who: &Person, path: &str, as_of: &str| {
        who.request(url, Method::GET, &format!("{path}?as_of={as_of}"))
    };
    refused(ask(&eve, &one, &third.position.to_string())?, 404, "no-such-conversation").await?;
    let before = Position::at(group.position.commit - 1).to_string();
    refused(ask(ada, &one, &before)?, 404, "no-such-conversation").await?;
    refused(ask(ada, &one, "0")?, 422, "as-of-before-everything").await?;
    refused(ask(ada, &one, "2001-01-01T00:00:00Z")?, 422, "as-of-before-everything").await?;
    refused(ask(ada, &one, "99999999999")?, 422, "as-of-in-the-future").await?;
    refused(ask(ada, &one, "2999-01-01T00:00:00Z")?, 422, "as-of-in-the-future").await?;
    refused(ask(ada, &one, "yesterday")?, 400, "invalid-query").await?;
    let moment = e2e::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let now = accepted(ask(ada, &one, &moment)?, 200).await?;
    ensure!(now["title"] == "The square table", "{now}");
    up.end().await
}

/// The program, against a stack by its data folder.
async fn roundtable(data: &Path, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(program("roundtable")?);
    command.args(arguments).arg("--data").arg(data).env_remove("NO_COLOR");
    Ok(command.output().await?)
}

async fn printed(data: &Path, arguments: &[&str]) -> Result<String> {
    let output = roundtable(data, arguments).await?;
    let wrong = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {wrong}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The objects of its lines.
async fn lines(data: &Path, arguments: &[&str]) -> Result<Vec<Value>> {
    let text = printed(data, &[arguments, &["--json"]].concat()).await?;
    text.lines().map(|line| serde_json::from_str(line).context(line.to_owned())).collect()
}

async fn refuses(data: &Path, arguments: &[&str], why: &str) -> Result<()> {
    let output = roundtable(data, arguments).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && said.contains(why), "{arguments:?}: {said}");
    Ok(())
}

/// What the API lists.
async fn listed(who: &Person, url: &str, query: &str) -> Result<Vec<Value>> {
    let path = format!("/v1/admin/events?limit=100&{query}");
    let page = accepted(who.request(url, Method::GET, &path)?, 200).await?;
    ensure!(page["next"].is_null(), "there is more of {query}");
    Ok(page["items"].as_array().context("a list")?.clone())
}

#[tokio::test]
async fn the_program_and_the_api_tell_the_same_of_events_states_and_causes() -> Result<()> {
    let up = Up::alone_with(&[
        ("ROUNDTABLE_CALL_RING", "5".to_owned()),
        ("ROUNDTABLE_NOTIFY_AFTER", "1".to_owned()),
    ])
    .await?;
    let (url, data) = (up.url.as_str(), &up.data());
    let eve = admin(&up).await?;
    let (ada, ben) = (&Person::new(url, "Ada").await?, &Person::new(url, "Ben").await?);
    ada.session.ask_for_friendship(ben.user()).await?;
    ben.session.accept_friendship(ada.user()).await?;
    let group = ada.session.open_group("The round table", &[ben.user()]).await?;
    let room = group.id;
    let hello = ada.session.send(room, "the secret word").await?;
    let again = ada.session.send(room, "and another").await?;
    let own = ben.session.send(room, "of Ben").await?;
    let gone = ada.session.send(room, "to go").await?;
    let path = format!("/v1/conversations/{room}/messages/{}", gone.id);
    let deleted = done(ada, url, Method::DELETE, &path, None).await?;
    read_up_to(ben, url, room, hello.id, &eve).await?;

    // Lists, with every filter, from both.
    let (room_id, ada_id) = (room.to_string(), ada.user().to_string());
    let stream = format!("conversation-{room}");
    let (from, to) = (hello.position.to_string(), deleted.to_string());
    for (arguments, query) in [
        (vec!["--conversation", &room_id, "--to", &to], format!("conversation={room}&to={to}")),
        (vec!["--person", &ada_id, "--to", &to], format!("person={ada_id}&to={to}")),
        (vec!["--stream", &stream], format!("stream={stream}")),
        (vec!["--type", "message.sent"], "type=message.sent".to_owned()),
        (vec!["--category", "message", "--reverse"], "category=message&reverse=true".to_owned()),
        (vec!["--from", &from, "--to", &to], format!("from={from}&to={to}")),
    ] {
        let list = [&["events", "list", "--limit", "100"], &arguments[..]].concat();
        let (by_program, by_api) = (lines(data, &list).await?, listed(&eve, url, &query).await?);
        ensure!(
            !by_program.is_empty() && by_program == by_api,
            "{query}: {by_program:?} {by_api:?}"
        );
        if !arguments.contains(&"--reverse") {
            let scan = [&["events", "list", "--limit", "100", "--scan"], &arguments[..]].concat();
            ensure!(lines(data, &scan).await? == by_api, "{query} is another list when scanned");
        }
    }
    let pages = format!("/v1/admin/events?conversation={room}&limit=2");
    let page = accepted(eve.request(url, Method::GET, &pages)?, 200).await?;
    let next = page["next"].as_str().context("there is more")?;
    let further = format!("{pages}&next={next}");
    let second = accepted(eve.request(url, Method::GET, &further)?, 200).await?;
    ensure!(page["items"][1]["position"] == next && second["items"][0]["position"] != next);

    // Sealed unless it is asked for, which is a fact.
    let told = printed(data, &["events", "list", "--conversation", &room_id]).await?;
    ensure!(told.contains("‹sealed›") && !told.contains("secret word"), "{told}");
    ensure!(lines(data, &["events", "list", "--category", "access"]).await?.is_empty());
    let open = ["events", "list", "--type", "message.sent", "--open"];
    ensure!(printed(data, &open).await?.contains("\"the secret word\""));
    let items =
        listed(&eve, url, &format!("conversation={room}&type=message.sent&open=true")).await?;
    ensure!(items[0]["data"]["text"]["$personal"]["value"] == "the secret word", "{items:?}");
    let facts = lines(data, &["events", "list", "--category", "access"]).await?;
    let by: Vec<&Value> = facts.iter().map(|fact| &fact["actor"]).collect();
    ensure!(by == [&json!(UserId::new(uuid::Uuid::nil())), &json!(eve.user())], "{facts:?}");
    ensure!(facts[1]["data"]["subjects"] == json!([ada.user(), ben.user()]), "{facts:?}");

    // Only for admins; and what is wrong is said.
    for path in ["/v1/admin/events", "/v1/admin/explain?of=position:1", "/v1/admin/streams/x/state"]
    {
        refused(ada.request(url, Method::GET, path)?, 403, "admins-only").await?;
    }
    refused(eve.request(url, Method::GET, "/v1/admin/events?category=x")?, 400, "invalid-query")
        .await?;
    refused(eve.request(url, Method::GET, "/v1/admin/explain?of=x")?, 400, "invalid-query").await?;
    let nothing = format!("/v1/admin/explain?of=message:{}", new_id());
    refused(eve.request(url, Method::GET, &nothing)?, 404, "nothing-to-explain").await?;
    refuses(data, &["events", "list", "--category", "x"], "there are user, email").await?;
    refuses(data, &["state", "thing-1"], "which has rules").await?;
    refuses(data, &["state", &format!("user-{}", new_id())], "has no events").await?;
    refuses(data, &["explain", "thing:1"], "is wanted").await?;

    // Following ends after so many, and quietly when nobody reads on.
    let follow = ["events", "tail", "--from", &from, "--type", "message.sent", "--limit", "3"];
    let followed = lines(data, &follow).await?;
    ensure!(followed.len() == 3 && followed[0]["position"] == json!(hello.position));

    states(&eve, url, data, room, [ada, ben], group.position).await?;
    causes(&eve, url, data, room, [ada, ben], &[hello.id, again.id, own.id]).await?;
    up.end().await
}

async fn states(
    admin: &Person,
    url: &str,
    data: &Path,
    room: ConversationId,
    [ada, ben]: [&Person; 2],
    opened: Position,
) -> Result<()> {
    let path = format!("/v1/conversations/{room}/members/{}", ben.user());
    let left = done(ben, url, Method::DELETE, &path, None).await?;
    let back = done(ada, url, Method::PUT, &path, None).await?;
    let stream = format!("conversation-{room}");
    let state = async |at: Position| -> Result<Value> {
        let path = format!("/v1/admin/streams/{stream}/state?as_of={at}");
        let by_api = accepted(admin.request(url, Method::GET, &path)?, 200).await?;
        let by_program = lines(data, &["state", &stream, "--at", &at.to_string()]).await?;
        ensure!(by_program == [by_api.clone()], "{by_program:?} {by_api}");
        Ok(by_api["state"]["members"].clone())
    };
    let (first, without) = (state(opened).await?, state(left).await?);
    ensure!(first[ben.user().to_string()] == "member", "{first}");
    ensure!(without.get(ben.user().to_string()).is_none(), "{without}");
    ensure!(state(back).await? == first);
    let (from, to) = (opened.to_string(), left.to_string());
    let diff = lines(data, &["state", &stream, "--diff", &from, &to]).await?;
    let change = json!([{
        "path": format!("/members/{}", ben.user()), "before": "member", "after": null
    }]);
    ensure!(diff[0]["changes"] == change, "{diff:?}");
    let path = format!("/v1/admin/streams/{stream}/state?as_of={to}&since={from}");
    let by_api = accepted(admin.request(url, Method::GET, &path)?, 200).await?;
    ensure!(by_api["changes"] == change, "{by_api}");
    // No secret is in a state, even in one that is open.
    let user = format!("user-{}", ada.user());
    let open = printed(data, &["state", &user, "--open"]).await?;
    ensure!(open.contains("Ada") && !open.contains("argon2"), "{open}");
    Ok(())
}

/// Each event with the type of what led to it; `request` for what nothing here did.
fn tree(steps: &[Value]) -> Vec<(String, String)> {
    let kind = |step: &Value| match step["event"]["type"].as_str() {
        Some(kind) => kind.to_owned(),
        None => "request".to_owned(),
    };
    let parent = |step: &Value| {
        steps.iter().find(|it| it["id"] == step["parent"]).map(kind).unwrap_or_default()
    };
    steps.iter().filter(|step| step["kind"] == "event").map(|it| (kind(it), parent(it))).collect()
}

async fn causes(
    admin: &Person,
    url: &str,
    data: &Path,
    room: ConversationId,
    [ada, ben]: [&Person; 2],
    messages: &[MessageId; 3],
) -> Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    // Both tell the same, unless something happened in between.
    let explained = async |of: &str| -> Result<Value> {
        let path = format!("/v1/admin/explain?of={of}");
        loop {
            let by_api = accepted(admin.request(url, Method::GET, &path)?, 200).await?;
            let by_program = lines(data, &["explain", of]).await?;
            let steps = by_program.into_iter().filter(|it| it.get("kind").is_some());
            let steps: Vec<Value> = steps.collect();
            if Some(&steps) == by_api["steps"].as_array() {
                return Ok(by_api);
            }
            ensure!(tokio::time::Instant::now() < deadline, "{steps:?} {by_api}");
        }
    };
    // A message that mentions somebody notifies them: one tree, across services.
    let body = json!({ "text": "Ben?", "mentions": [ben.user()] });
    let path = format!("/v1/conversations/{room}/messages");
    let sent = accepted(write(ada, url, Method::POST, &path, Some(body))?, 201).await?;
    let message = sent["id"].as_str().context("an id")?;
    let of = format!("message:{message}");
    let raised = ("notification.raised".to_owned(), "message.sent".to_owned());
    let attempted = ("notification.attempted".to_owned(), "notification.raised".to_owned());
    let found = loop {
        let found = explained(&of).await?;
        let told = tree(found["steps"].as_array().context("steps")?);
        if told.contains(&raised) && told.contains(&attempted) {
            break found;
        }
        ensure!(tokio::time::Instant::now() < deadline, "{told:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    let sent = &found["steps"][1];
    ensure!(
        sent["focus"] == true && sent["frames"] == json!([format!("live.conversation.{room}")])
    );
    ensure!(sent["projections"].as_array().is_some_and(|all| all.contains(&json!("message"))));
    let shown = printed(data, &["explain", &of]).await?;
    ensure!(shown.contains("● message.sent") && shown.contains("frames on"), "{shown}");

    // A call that nobody takes is missed: the timer follows from the call.
    let calling = json!({ "conversation": room, "media": "audio", "ring": [ben.user()] });
    let call = accepted(write(ada, url, Method::POST, "/v1/calls", Some(calling))?, 201).await?;
    let of = format!("call:{}", call["id"].as_str().context("an id")?);
    let missed = ("call.missed".to_owned(), "call.started".to_owned());
    let ended = ("call.ended".to_owned(), "call.started".to_owned());
    loop {
        let told = tree(explained(&of).await?["steps"].as_array().context("steps")?);
        if told.contains(&missed) || told.contains(&ended) {
            break;
        }
        ensure!(tokio::time::Instant::now() < deadline, "{told:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }

    // A badge: what counts, and what moved the cursor. Ben came back after the first messages.
    let badge = explained(&format!("badge:{room}:{}", ben.user())).await?;
    let now: Value = ben.session.read(&format!("/v1/conversations/{room}"), None).await?;
    ensure!(badge["badge"]["unread"] == now["unread"], "{badge} {now}");
    let cursor = &badge["badge"]["cursor"];
    ensure!(cursor["message"] == json!(messages[0]), "{badge}");
    // The receipt was written behind, and still says which request it was: its id tells when.
    let steps = badge["steps"].as_array().context("steps")?;
    let receipt = steps.iter().find(|step| step["event"]["type"] == "receipt.read");
    let request: uuid::Uuid =
        serde_json::from_value(receipt.context("a receipt")?["parent"].clone())?;
    ensure!(request.get_version_num() == 7, "{request}");
    Ok(())
}
