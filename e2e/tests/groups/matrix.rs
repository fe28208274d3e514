//! Every role and every command of a conversation, over REST and over the socket, against the
//! matrix of the domain.

use domain::conversation::{Action, MATRIX, may};
use e2e::refusal::TYPES;
use events::conversation::Role;
use roundtable::client::Socket;

use super::*;

/// What is no command of this file: other files test them, or no command is about them alone.
const ELSEWHERE: [Action; 4] =
    [Action::React, Action::Pin, Action::Moderate, Action::IgnoreSlowMode];

/// Everybody there is: one person of each role, and those whom things are done to.
struct Cast {
    up: Up,
    owner: Person,
    actors: Vec<Actor>,
    victim: UserId,
    newcomer: UserId,
    culprit: UserId,
}

/// Somebody who tries everything.
struct Actor {
    name: &'static str,
    /// Nothing, for those outside.
    role: Option<Role>,
    person: Person,
    socket: Socket,
}

/// A group in which each actor is what they are.
struct Scene {
    conversation: ConversationId,
    invite: String,
    at: Position,
}

/// A command, as the gateway and as REST call it.
struct Try {
    action: Action,
    name: &'static str,
    method: Method,
    path: String,
    body: Option<Value>,
    fields: Value,
}

impl Cast {
    async fn gather() -> Result<Self> {
        let up = Up::start().await?;
        let person = async |name| Person::new(&up.url, name).await;
        let mut actors = vec![];
        for (name, role) in [
            ("Owner", Some(Role::Owner)),
            ("Admin", Some(Role::Admin)),
            ("Member", Some(Role::Member)),
            ("Stranger", None),
            ("Banned", None),
            ("Former", None),
            ("Moderator", None),
        ] {
            let person = person(name).await?;
            let socket = person.session.socket(None).await?;
            actors.push(Actor { name, role, person, socket });
        }
        let moderator = actors.last().context("a moderator")?.person.user();
        e2e::operator::grant(&up.data(), &moderator.to_string(), "moderator").await?;
        Ok(Self {
            owner: actors[0].person.clone(),
            actors,
            victim: person("Victim").await?.user(),
            newcomer: person("Newcomer").await?.user(),
            culprit: person("Culprit").await?.user(),
            up,
        })
    }

    fn user(&self, name: &str) -> UserId {
        let actor = self.actors.iter().find(|actor| actor.name == name);
        actor.map_or(self.victim, |actor| actor.person.user())
    }

    async fn scene(&self) -> Result<Scene> {
        let inside = ["Admin", "Member", "Former"].map(|name| self.user(name));
        let members: Vec<_> = inside.into_iter().chain([self.victim]).collect();
        let conversation = open(&self.owner, &members).await?;
        let path = format!("/v1/conversations/{conversation}");
        let owner = &self.owner.session;
        let role = json!({ "role": "admin" });
        let admin = format!("{path}/members/{}/role", self.user("Admin"));
        let _: Value = owner.write(Method::PUT, &admin, Some(&role)).await?;
        let former = format!("{path}/members/{}", self.user("Former"));
        let _: Value = owner.write(Method::DELETE, &former, None).await?;
        for user in [self.user("Banned"), self.culprit] {
            let _: Value = owner.write(Method::PUT, &format!("{path}/bans/{user}"), None).await?;
        }
        let invites = format!("{path}/invites");
        let made: Value = owner.write(Method::POST, &invites, Some(&json!({}))).await?;
        let (invite, at) = (text(&made, "id")?, position(&made)?);
        Ok(Scene { conversation, invite, at })
    }

    /// Every command of somebody in a scene.
    fn tries(&self, actor: &Actor, scene: &Scene) -> Vec<Try> {
        let (at, id) = (format!("/v1/conversations/{}", scene.conversation), scene.conversation);
        let (oneself, victim) = (actor.person.user(), self.victim);
        let of = |action, name, method, path: String, body: Option<Value>, more: Value| {
            let mut fields = body.clone().unwrap_or_else(|| json!({}));
            fields["conversation"] = json!(id);
            for (field, value) in more.as_object().into_iter().flatten() {
                fields[field] = value.clone();
            }
            Try { action, name, method, path, body, fields }
        };
        let user = |user: UserId| json!({ "user": user });
        let member = |user: UserId| format!("{at}/members/{user}");
        let ban = |user: UserId| format!("{at}/bans/{user}");
        let (remove, settings) = ("conversation.remove_member", "conversation.change_settings");
        vec![
            of(
                Action::Send,
                "message.send",
                Method::POST,
                format!("{at}/messages"),
                Some(json!({ "text": "hi" })),
                json!({}),
            ),
            of(Action::Leave, remove, Method::DELETE, member(oneself), None, user(oneself)),
            of(Action::Remove, remove, Method::DELETE, member(victim), None, user(victim)),
            of(
                Action::Add,
                "conversation.add_member",
                Method::PUT,
                member(self.newcomer),
                None,
                user(self.newcomer),
            ),
            of(Action::Ban, "conversation.ban", Method::PUT, ban(victim), None, user(victim)),
            of(
                Action::Unban,
                "conversation.unban",
                Method::DELETE,
                ban(self.culprit),
                None,
                user(self.culprit),
            ),
            of(
                Action::Rename,
                settings,
                Method::PATCH,
                at.clone(),
                Some(json!({ "title": "New" })),
                json!({}),
            ),
            of(
                Action::SetSlowMode,
                settings,
                Method::PATCH,
                at.clone(),
                Some(json!({ "slow_mode_seconds": 9 })),
                json!({}),
            ),
            of(
                Action::Invite,
                "conversation.make_invite",
                Method::POST,
                format!("{at}/invites"),
                Some(json!({ "uses": 3 })),
                json!({}),
            ),
            of(
                Action::Invite,
                "conversation.revoke_invite",
                Method::DELETE,
                format!("{at}/invites/{}", scene.invite),
                None,
                json!({ "invite": scene.invite }),
            ),
            of(
                Action::ChangeRole,
                "conversation.change_role",
                Method::PUT,
                format!("{}/role", member(victim)),
                Some(json!({ "role": "admin" })),
                user(victim),
            ),
            of(
                Action::TransferOwnership,
                "conversation.transfer_ownership",
                Method::POST,
                format!("{at}/owner"),
                Some(json!({ "to": victim })),
                json!({}),
            ),
        ]
    }
}

/// What the matrix says of it: the status, and the kind of the problem.
fn expected(role: Option<Role>, action: Action) -> (u16, &'static str) {
    let Some(role) = role else { return (404, "no-such-conversation") };
    let roles = MATRIX.iter().find(|(row, _)| *row == action).map_or(&[][..], |(_, roles)| roles);
    match (may(role, action), action, roles) {
        (true, ..) => (200, ""),
        (false, Action::Leave, _) => (409, "owner-stays"),
        (false, _, [Role::Owner]) => (403, "not-owner"),
        (false, ..) => (403, "role-forbids"),
    }
}

/// Tries it over REST; every success is told as 200.
async fn over_rest(actor: &Actor, url: &str, this: &Try) -> Result<(u16, String)> {
    let request =
        write(&actor.person, url, this.method.clone(), &this.path, key(), this.body.as_ref())?;
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    if answer.status().is_success() {
        return Ok((200, String::new()));
    }
    let problem: Value = answer.json().await?;
    let kind = problem["type"].as_str().and_then(|kind| kind.strip_prefix(TYPES));
    Ok((status, kind.context("a problem")?.to_owned()))
}

#[tokio::test]
async fn every_role_may_exactly_what_the_matrix_says_over_rest_and_socket() -> Result<()> {
    let cast = Cast::gather().await?;
    let shared = cast.scene().await?;
    let mut tried = 0;
    for (action, _) in MATRIX {
        let elsewhere = ELSEWHERE.contains(action);
        let here = cast.tries(&cast.actors[0], &shared).iter().any(|this| this.action == *action);
        ensure!(elsewhere != here, "{action:?} is tried nowhere");
    }
    for actor in &cast.actors {
        for index in 0..cast.tries(actor, &shared).len() {
            for over_the_socket in [false, true] {
                let action = cast.tries(actor, &shared)[index].action;
                let expected = expected(actor.role, action);
                // What is refused changes nothing, so one group is enough for that.
                let fresh = if expected.0 == 200 { Some(cast.scene().await?) } else { None };
                let scene = fresh.as_ref().unwrap_or(&shared);
                let this = &cast.tries(actor, scene)[index];
                let found = if over_the_socket {
                    told(actor.socket.command(this.name, this.fields.clone()).await)?
                } else {
                    over_rest(actor, &cast.up.url, this).await?
                };
                let found = (found.0, found.1.as_str());
                let how = if over_the_socket { "the socket" } else { "REST" };
                let what = format!("{} {} over {how}", actor.name, this.name);
                ensure!(found == expected, "{what}: {found:?} instead of {expected:?}");
                tried += 1;
            }
        }
    }
    ensure!(tried == cast.actors.len() * 12 * 2, "{tried}");
    reads(&cast, &shared).await?;
    cast.up.end().await
}

/// Reading is for those inside, and what is for those who run the group is for them.
async fn reads(cast: &Cast, scene: &Scene) -> Result<()> {
    let path = format!("/v1/conversations/{}", scene.conversation);
    let get = |actor: &Actor, path: &str| -> Result<RequestBuilder> {
        let request = actor.person.request(&cast.up.url, Method::GET, path)?;
        Ok(request.header("Roundtable-After", scene.at.to_string()))
    };
    for actor in &cast.actors {
        let Some(role) = actor.role else {
            for part in ["", "/messages", "/invites", "/bans"] {
                let request = get(actor, &format!("{path}{part}"))?;
                refused(request, 404, "no-such-conversation").await.context(actor.name)?;
            }
            let list: Value = actor.person.session.read("/v1/conversations", None).await?;
            ensure!(!list.to_string().contains(&scene.conversation.to_string()), "{list}");
            continue;
        };
        let seen = accepted(get(actor, &path)?, 200).await?;
        let may_do: Vec<_> = MATRIX.iter().map(|(it, _)| *it).filter(|it| may(role, *it)).collect();
        let names: Vec<_> = may_do.iter().map(|action| action.name()).collect();
        ensure!(seen["my_permissions"] == json!(names), "{}: {seen}", actor.name);
        for (part, action) in [("/invites", Action::Invite), ("/bans", Action::Unban)] {
            let request = get(actor, &format!("{path}{part}"))?;
            if may_do.contains(&action) {
                accepted(request, 200).await.context(actor.name)?;
            } else {
                refused(request, 403, "role-forbids").await.context(actor.name)?;
            }
        }
    }
    Ok(())
}
