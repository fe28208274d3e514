//! Who may do what in a group, from outside: the role matrix, owners, invitations and bans.

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;
use e2e::cluster::Cluster;
use e2e::refusal::{accepted, refused};
use e2e::talk::{Group, PATIENCE, Person};
use e2e::up::Up;
use events::{ConversationId, Position, UserId};
use futures::future::{join, join_all};
use reqwest::{Method, RequestBuilder};
use roundtable::client::{Error, key};
use serde_json::{Value, json};
use uuid::Uuid;

#[path = "groups/matrix.rs"]
mod matrix;
#[path = "groups/slow_mode.rs"]
mod slow_mode;

#[tokio::test]
async fn a_group_changes_its_settings_and_everybody_hears_it() -> Result<()> {
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let [ada, bob] = people(&group);
    let mut socket = bob.session.socket(None).await?;
    let path = format!("/v1/conversations/{}", group.conversation);
    let (body, once) = (json!({ "title": "Maths", "slow_mode_seconds": 30 }), key());
    let change = |body: &Value| write(ada, &up.url, Method::PATCH, &path, once, Some(body));
    let done = accepted(change(&body)?, 202).await?;
    ensure!(done == accepted(change(&body)?, 202).await?, "the same command twice");
    refused(change(&json!({ "title": "Physics" }))?, 409, "key-reused").await?;

    let seen: Value = bob.session.read(&path, Some(position(&done)?)).await?;
    ensure!(seen["title"] == "Maths" && seen["slow_mode_seconds"] == 30, "{seen}");
    let titled = socket.next_of("conversation.title_changed", PATIENCE).await?;
    ensure!(titled.data("title") == "Maths", "{:?}", titled.frame);
    let slowed = socket.next_of("conversation.slow_mode_changed", PATIENCE).await?;
    ensure!(slowed.data("seconds") == 30, "{:?}", slowed.frame);

    for (body, slug) in [
        (json!({}), "invalid"),
        (json!({ "title": " " }), "invalid-title"),
        (json!({ "slow_mode_seconds": 21_601 }), "invalid-slow-mode"),
        (json!({ "title": "Physics", "slow_mode_seconds": 21_601 }), "invalid-slow-mode"),
        (json!({ "slow_mode_seconds": -1 }), "wrong-shape"),
        (json!({ "title": "Physics", "colour": "red" }), "wrong-shape"),
    ] {
        refused(write(ada, &up.url, Method::PATCH, &path, key(), Some(&body))?, 422, slug).await?;
    }
    let still: Value = bob.session.read(&path, None).await?;
    ensure!(still["title"] == "Maths", "half of a refused change was done: {still}");
    up.end().await
}

#[tokio::test]
async fn a_group_always_has_one_owner_who_is_in_it() -> Result<()> {
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob", "Cleo"]).await?;
    let [ada, bob, cleo] = people(&group);
    let path = format!("/v1/conversations/{}", group.conversation);
    let leave = |who: &Person| {
        let path = format!("{path}/members/{}", who.user());
        write(who, &up.url, Method::DELETE, &path, key(), None)
    };
    let give = |from: &Person, to: &Person| {
        let (path, to) = (format!("{path}/owner"), json!({ "to": to.user() }));
        write(from, &up.url, Method::POST, &path, key(), Some(&to))
    };
    refused(leave(ada)?, 409, "owner-stays").await?;
    let stranger = Person::new(&up.url, "Dan").await?;
    refused(give(ada, &stranger)?, 404, "no-such-member").await?;
    accepted(give(ada, bob)?, 202).await?;
    refused(give(ada, cleo)?, 403, "not-owner").await?;
    let as_role = |role: &str| {
        let (path, role) =
            (format!("{path}/members/{}/role", cleo.user()), json!({ "role": role }));
        write(bob, &up.url, Method::PUT, &path, key(), Some(&role))
    };
    refused(as_role("owner")?, 422, "owner-is-no-role").await?;
    refused(as_role("king")?, 422, "wrong-shape").await?;
    let back = accepted(give(bob, ada)?, 202).await?;
    ensure!(owners(ada, &path, position(&back)?).await? == [ada.user()], "Ada has it again");

    // The next owner leaves at the very moment at which they get the group.
    for round in 0..12 {
        let (given, left) = join(give(ada, bob)?.send(), leave(bob)?.send()).await;
        let (given, left) = (given?, left?);
        let told = (given.status().as_u16(), left.status().as_u16());
        let bodies: [Value; 2] = [given.json().await?, left.json().await?];
        let at = bodies.iter().filter_map(|body| position(body).ok()).max();
        let owners = owners(cleo, &path, at.context("one of them is done")?).await?;
        match told {
            (202, 409) => {
                ensure!(owners == [bob.user()], "{round}: {owners:?}");
                accepted(give(bob, ada)?, 202).await?;
            }
            (404, 202) => {
                ensure!(owners == [ada.user()], "{round}: {owners:?}");
                let path = format!("{path}/members/{}", bob.user());
                accepted(write(ada, &up.url, Method::PUT, &path, key(), None)?, 202).await?;
            }
            _ => anyhow::bail!("{round}: {told:?} {bodies:?}"),
        }
    }
    up.end().await
}

#[tokio::test]
async fn an_invitation_lets_in_whom_it_is_for_and_nobody_else() -> Result<()> {
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let [ada, bob] = people(&group);
    let (cleo, dan) = (Person::new(&up.url, "Cleo").await?, Person::new(&up.url, "Dan").await?);
    let path = format!("/v1/conversations/{}/invites", group.conversation);
    let invite = async |body: Value| {
        let once = key();
        let make = || write(ada, &up.url, Method::POST, &path, once, Some(&body));
        let made = accepted(make()?, 201).await?;
        ensure!(made == accepted(make()?, 201).await?, "the same command makes one invitation");
        anyhow::Ok(made)
    };
    let once_only = invite(json!({ "uses": 1 })).await?;
    let code = text(&once_only, "code")?;
    let at = Some(position(&once_only)?);
    let preview: Value = cleo.session.read(&format!("/v1/invites/{code}"), at).await?;
    ensure!(preview["title"] == "The round table" && preview["members_count"] == 2, "{preview}");
    ensure!(preview["uses_left"] == 1 && preview["member"] == false, "{preview}");

    // A code is good as a whole or not at all.
    let other = invite(json!({})).await?;
    let (front, back) = (&code[..20], &text(&other, "code")?[20..]);
    let id = text(&once_only, "id")?;
    for wrong in [format!("{front}{back}"), code[1..].to_owned(), id, "x".into(), "A".repeat(43)] {
        refused(join_by(&cleo, &up.url, &wrong, key())?, 404, "no-such-invite").await?;
        let look = cleo.request(&up.url, Method::GET, &format!("/v1/invites/{wrong}"))?;
        refused(look, 404, "no-such-invite").await?;
    }

    let once = key();
    let joined = accepted(join_by(&cleo, &up.url, &code, once)?, 202).await?;
    ensure!(joined["conversation"] == json!(group.conversation), "{joined}");
    ensure!(joined == accepted(join_by(&cleo, &up.url, &code, once)?, 202).await?, "a repeat");
    refused(join_by(&dan, &up.url, &code, key())?, 410, "invite-used-up").await?;
    // Who is in it already takes nobody's place.
    accepted(join_by(bob, &up.url, &code, key())?, 202).await?;
    let page: Value = ada.session.read(&path, Some(position(&joined)?)).await?;
    ensure!(page["items"].as_array().map(Vec::len) == Some(2), "{page}");
    ensure!(page["items"][1]["used"] == 1 && page["items"][1]["code"] == json!(code), "{page}");

    let revoked = text(&invite(json!({})).await?, "id")?;
    let page: Value = ada.session.read(&path, None).await?;
    let code = text(&page["items"][0], "code")?;
    let revoke = format!("{path}/{revoked}");
    let done = accepted(write(ada, &up.url, Method::DELETE, &revoke, key(), None)?, 202).await?;
    refused(join_by(&dan, &up.url, &code, key())?, 410, "invite-revoked").await?;
    let look = dan.request(&up.url, Method::GET, &format!("/v1/invites/{code}"))?;
    let look = look.header("Roundtable-After", position(&done)?.to_string());
    refused(look, 410, "invite-revoked").await?;
    for wrong in [json!({ "uses": 0 }), json!({ "expires": e2e::now() - TimeDelta::hours(1) })] {
        let make = write(ada, &up.url, Method::POST, &path, key(), Some(&wrong))?;
        refused(make, 422, "invalid-invite").await?;
    }

    let soon = e2e::now() + TimeDelta::seconds(5);
    let short = text(&invite(json!({ "expires": soon })).await?, "code")?;
    // It is past when the API says so, and not before the moment that it was told.
    let answer = loop {
        let path = format!("/v1/invites/{short}");
        let answer = dan.request(&up.url, Method::GET, &path)?.send().await?;
        if answer.status().as_u16() != 200 && answer.status().as_u16() != 404 {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    ensure!(answer.status().as_u16() == 410 && e2e::now() >= soon, "{}", answer.text().await?);
    refused(join_by(&dan, &up.url, &short, key())?, 410, "invite-expired").await?;

    let code = text(&other, "code")?;
    let ban = format!("/v1/conversations/{}/bans/{}", group.conversation, dan.user());
    accepted(write(ada, &up.url, Method::PUT, &ban, key(), None)?, 202).await?;
    refused(join_by(&dan, &up.url, &code, key())?, 403, "banned").await?;
    accepted(write(ada, &up.url, Method::DELETE, &ban, key(), None)?, 202).await?;
    let socket = dan.session.socket(None).await?;
    let joined = socket.command("conversation.join", json!({ "code": code })).await?;
    ensure!(joined["conversation"] == json!(group.conversation), "{joined}");
    dan.session.send(group.conversation, "here I am").await?;
    up.end().await
}

#[tokio::test]
async fn of_many_who_come_at_once_as_many_as_invited_are_in() -> Result<()> {
    let cluster = Cluster::start().await?;
    let group = Group::new(&cluster.url, &["Ada"]).await?;
    let ada = &group.people[0];
    let names = ["Bob", "Cleo", "Dan", "Eve", "Finn", "Gil"];
    let guests = join_all(names.map(|name| Person::new(&cluster.url, name))).await;
    let guests = guests.into_iter().collect::<Result<Vec<_>>>()?;
    let path = format!("/v1/conversations/{}", group.conversation);
    let body = json!({ "uses": 2 });
    let invites = format!("{path}/invites");
    let made = write(ada, &cluster.url, Method::POST, &invites, key(), Some(&body))?;
    let code = text(&accepted(made, 201).await?, "code")?;
    let tries = guests.iter().enumerate().map(|(index, guest)| {
        let node = &cluster.command_apis[index % 2].url;
        join_by(guest, node, &code, key()).map(RequestBuilder::send)
    });
    let answers = join_all(tries.collect::<Result<Vec<_>>>()?).await;
    let mut told = vec![];
    let mut last = Position::START;
    for answer in answers {
        let answer = answer?;
        let status = answer.status().as_u16();
        let body: Value = answer.json().await?;
        last = last.max(position(&body).unwrap_or(Position::START));
        told.push((status, body["type"].as_str().map(str::to_owned)));
    }
    let came = told.iter().filter(|(status, _)| *status == 202).count();
    ensure!(came == 2, "{told:?}");
    let others = told.iter().filter_map(|(_, problem)| problem.as_deref());
    ensure!(others.clone().all(|problem| problem.ends_with("/invite-used-up")), "{told:?}");
    let seen: Value = ada.session.read(&path, Some(last)).await?;
    ensure!(seen["members_count"] == 3, "{seen}");
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn who_is_banned_at_one_gateway_does_not_come_in_at_another() -> Result<()> {
    let cluster = Cluster::start().await?;
    let group = Group::new(&cluster.url, &["Ada", "Bob"]).await?;
    let [ada, bob] = people(&group);
    let [here, there] = [&cluster.command_apis[0].url, &cluster.command_apis[1].url];
    let path = format!("/v1/conversations/{}", group.conversation);
    let invites = format!("{path}/invites");
    let made = write(ada, here, Method::POST, &invites, key(), Some(&json!({})))?;
    let code = text(&accepted(made, 201).await?, "code")?;
    let banned = format!("{path}/bans/{}", bob.user());
    for round in 0..10 {
        let ban = write(ada, here, Method::PUT, &banned, key(), None)?;
        let (ban, joined) = join(ban.send(), join_by(bob, there, &code, key())?.send()).await;
        let done: Value = ban?.json().await?;
        let status = joined?.status().as_u16();
        ensure!(status == 202 || status == 403, "{round}: {status}");
        // Whichever was first: now he is out, everywhere, at once.
        refused(join_by(bob, there, &code, key())?, 403, "banned").await?;
        let say = format!("{path}/messages");
        let say = write(bob, there, Method::POST, &say, key(), Some(&json!({ "text": "hi" })))?;
        refused(say, 404, "no-such-conversation").await?;
        let members = members(ada, &path, position(&done)?).await?;
        ensure!(members == [ada.user()], "{round}: {members:?}");
        let bans: Value = ada.session.read(&format!("{path}/bans"), None).await?;
        ensure!(bans["items"][0]["user_id"] == json!(bob.user()), "{round}: {bans}");
        accepted(write(ada, there, Method::DELETE, &banned, key(), None)?, 202).await?;
        accepted(join_by(bob, here, &code, key())?, 202).await?;
    }
    cluster.stop().await;
    Ok(())
}

fn people<const N: usize>(group: &Group) -> [&Person; N] {
    std::array::from_fn(|index| &group.people[index])
}

/// A write with a key, at any node.
fn write(
    who: &Person,
    url: &str,
    method: Method,
    path: &str,
    key: Uuid,
    body: Option<&Value>,
) -> Result<RequestBuilder> {
    let request = who.request(url, method, path)?.header("Idempotency-Key", key.to_string());
    Ok(match body {
        Some(body) => request.json(body),
        None => request,
    })
}

fn join_by(who: &Person, url: &str, code: &str, key: Uuid) -> Result<RequestBuilder> {
    write(who, url, Method::POST, &format!("/v1/invites/{code}/join"), key, None)
}

async fn members(reader: &Person, path: &str, after: Position) -> Result<Vec<UserId>> {
    let seen: Value = reader.session.read(path, Some(after)).await?;
    let members = seen["members"].as_array().context("members")?;
    members.iter().map(|it| Ok(serde_json::from_value(it["user_id"].clone())?)).collect()
}

async fn owners(reader: &Person, path: &str, after: Position) -> Result<Vec<UserId>> {
    let seen: Value = reader.session.read(path, Some(after)).await?;
    let members = seen["members"].as_array().context("members")?;
    let owners = members.iter().filter(|it| it["role"] == "owner");
    owners.map(|it| Ok(serde_json::from_value(it["user_id"].clone())?)).collect()
}

fn position(answer: &Value) -> Result<Position> {
    serde_json::from_value(answer["position"].clone()).with_context(|| answer.to_string())
}

fn text(answer: &Value, field: &str) -> Result<String> {
    answer[field].as_str().map(ToOwned::to_owned).with_context(|| format!("{field} in {answer}"))
}

/// The status and the kind of what a command on a socket came to.
fn told(answer: Result<Value, Error>) -> Result<(u16, String)> {
    match answer {
        Ok(_) => Ok((200, String::new())),
        Err(Error::Problem(refusal)) => Ok((refusal.status, refusal.slug().to_owned())),
        Err(other) => Err(other.into()),
    }
}

/// A group with nothing in it yet, of somebody.
async fn open(owner: &Person, members: &[UserId]) -> Result<ConversationId> {
    Ok(owner.session.open_group("Matrix", members).await?.id)
}
