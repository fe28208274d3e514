//! The people of a slice, and what was between them before it, made on the other stack.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, bail};
use events::{UserId, conversation::ConversationKind};
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    ask::{Answer, PATIENCE, patiently},
    cast::{Cast, Room},
    issue::{Done, Issuer},
    journal::Line,
    step::{Act, Step, Talk},
};
use crate::client::{Error, Session, SignUp};

/// How many people are made at once: a password takes a while to hash.
const AT_ONCE: usize = 4;

impl Issuer {
    /// Makes the people of the slice, and what was between them before; where that was done already,
    /// the people log in again.
    pub(super) async fn prepare(&self, cast: &Cast, steps: &[Step], done: bool) -> Result<()> {
        let (mut people, mut rooms) = (BTreeSet::new(), BTreeSet::new());
        for step in steps {
            match &step.act {
                Act::Skip => continue,
                Act::Friendship { of, .. } => drop(people.insert(*of)),
                Act::Open(room) => people.extend(&room.people),
                Act::Talk(conversation, talk) => {
                    rooms.insert(*conversation);
                    if let Talk::Person { user, .. } = talk {
                        people.insert(*user);
                    }
                }
            }
            people.insert(step.by);
        }
        let rooms: Vec<Room> = cast.rooms(&rooms).collect();
        people.extend(rooms.iter().flat_map(|room| &room.people));
        let people: Vec<UserId> = people.into_iter().filter(|user| !user.uuid().is_nil()).collect();
        for some in people.chunks(AT_ONCE) {
            let sessions =
                futures::future::try_join_all(some.iter().map(|user| self.person(*user)));
            self.come(some.iter().copied().zip(sessions.await?));
        }
        if done {
            self.prepared();
            return Ok(());
        }
        for (at, one) in people.iter().enumerate() {
            for other in &people[at + 1..] {
                if cast.are_friends(*one, *other) {
                    self.befriend(*one, *other).await?;
                }
            }
        }
        for room in &rooms {
            if let Done::Made { of, there } = self.open(room).await? {
                self.journal.note(&[Line::Made { of, there }])?;
            }
        }
        self.prepared();
        self.journal.note(&[Line::Prepared])?;
        self.journal.sync()
    }

    async fn person(&self, user: UserId) -> Result<Session> {
        let SignUp { email, handle, name, password } = self.called(user);
        let body = json!({ "email": email, "handle": handle, "name": name, "password": password });
        let request = || self.client.request(Method::POST, "/v1/users").json(&body);
        let key = self.mask.request(&format!("sign up {user}"));
        match patiently(key, request).await? {
            // Only this replay knows the name: it was stopped after that.
            Answer::Refused(slug) if !slug.ends_with("-taken") => {
                bail!("nobody can sign up there: {slug}")
            }
            Answer::Stranger => bail!("nobody can sign up there"),
            Answer::Failed(slug) => bail!("nobody can sign up there: {slug}"),
            Answer::Refused(_) | Answer::Done(_) => self.log_in(user).await,
        }
    }

    /// What somebody is called there.
    fn called(&self, user: UserId) -> SignUp {
        let name = self.mask.name(user.uuid());
        SignUp {
            email: format!("{name}@replay.invalid"),
            handle: format!("r_{name}"),
            name: format!("Replayed {name}"),
            password: format!("{name}{name}"),
        }
    }

    /// Logs in somebody who has signed up there.
    pub(super) async fn log_in(&self, user: UserId) -> Result<Session> {
        let (who, begun) = (self.called(user), Instant::now());
        loop {
            match self.client.log_in(&who.email, &who.password).await {
                Err(Error::Problem(refusal))
                    if matches!(refusal.status, 429 | 503) && begun.elapsed() < PATIENCE =>
                {
                    let later = refusal.retry_after.unwrap_or(1).max(1);
                    sleep(Duration::from_secs(later)).await;
                }
                session => return session.context("a new person cannot log in"),
            }
        }
    }

    async fn befriend(&self, one: UserId, other: UserId) -> Result<()> {
        let (Some(one_there), Some(other_there)) = (self.of(one), self.of(other)) else {
            return Ok(());
        };
        let body = json!({ "to": other_there.user() });
        let key = self.mask.request(&format!("befriend {one} {other}"));
        self.ask(key, one, &Method::POST, "/v1/friend-requests", Some(body)).await?;
        let path = format!("/v1/friend-requests/{}/accept", one_there.user());
        let key = self.mask.request(&format!("befriended {one} {other}"));
        self.ask(key, other, &Method::POST, &path, None).await.map(drop)
    }

    /// Opens a conversation with the same people.
    pub(super) async fn open(&self, room: &Room) -> Result<Done> {
        let mut there = room.people.iter().filter_map(|user| Some((*user, self.of(*user)?.user())));
        let Some((owner, _)) = there.next() else { return Ok(Done::Unknown) };
        let others: Vec<UserId> = there.map(|(_, there)| there).collect();
        let body = match (room.kind, others.first()) {
            (ConversationKind::Direct, None) => return Ok(Done::Unknown),
            (ConversationKind::Direct, Some(with)) => json!({ "kind": "direct", "with": with }),
            // The room of a study session is a group there.
            (ConversationKind::Group | ConversationKind::Study, _) => {
                json!({ "kind": "group", "title": "A replay", "members": others })
            }
        };
        let key = self.mask.request(&format!("open {}", room.id));
        self.made(key, owner, room.id.uuid(), "/v1/conversations", &body).await
    }
}
