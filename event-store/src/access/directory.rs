//! The users, kept as events: the state of each in a stream of its own, the names in `$users`.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use uuid::Uuid;

use super::{
    Refusal,
    newest::{self, Newest, Place},
    user::User,
};
use crate::{
    committer::{Action, Answer, Refusal as Refused},
    engine::Engine,
    expected::Expected,
    grpc::{Fault, blocking},
    log::frame::{Proposed, Record},
    read::stream::{Look, look, records},
};

/// The names of all users there ever were.
const USERS: &str = "$users";
/// The stream of a user is this and the login name.
const USER: &str = "$user-";
/// Names in `$users` get their ids from here, so that a name is not written twice in a row.
const NAMES: Uuid = Uuid::from_u128(0x2f0c_7f7e_63c1_4d0e_9a5d_41c6_0f3e_8b52);
/// How often a change is tried again when others change the same user.
const TRIES: usize = 5;

/// A user, and when it was changed last, in 100 ns ticks since 1970.
pub(crate) struct Stored {
    pub(crate) user: User,
    pub(crate) changed: u64,
}

/// Whether only admins may have to do with the stream, whatever the lists say: it holds hashes.
pub(crate) fn is_guarded(stream: &[u8]) -> bool {
    stream == USERS.as_bytes() || stream.starts_with(USER.as_bytes())
}

/// Reads and writes users.
pub(crate) struct Directory {
    engine: Arc<Engine>,
    newest: Newest<Option<Stored>>,
}

impl Directory {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine, newest: Newest::new(stored) }
    }

    /// The user, and where its newest event is.
    pub(crate) async fn find(&self, login: &str) -> Result<Option<Found>, Fault> {
        // What no user can be called is not looked up: the name may be anything.
        if super::user::check_login(login).is_err() {
            return Ok(None);
        }
        let found = self.newest.of(&self.engine, &stream(login)).await?;
        Ok(found.and_then(|(place, stored)| stored.is_some().then_some(Found { place, stored })))
    }

    /// The user, who has to be there.
    pub(crate) async fn get(&self, login: &str) -> Result<Found, Fault> {
        let found = self.find(login).await?;
        found.ok_or_else(|| Refusal::UserNotFound(login.to_owned()).into())
    }

    /// Adds a user.
    pub(crate) async fn create(&self, user: &User) -> Result<(), Fault> {
        let conflict = || Fault::from(Refusal::UserConflict(user.login_name.clone()));
        if self.find(&user.login_name).await?.is_some() {
            return Err(conflict());
        }
        // The name first: a name without a user is nobody, a user without a name is not listed.
        self.write_name(&user.login_name).await?;
        let event = event("$UserCreated", user.to_event());
        match self.write(&user.login_name, Expected::NoStream, event).await {
            Err(Refused::WrongVersion { .. }) => Err(conflict()),
            answer => done(&user.login_name, answer),
        }
    }

    /// Changes a user, and writes nothing when the change changes nothing.
    pub(crate) async fn change(
        &self,
        login: &str,
        event_type: &'static str,
        change: impl Fn(&mut User),
    ) -> Result<(), Fault> {
        for _ in 0..TRIES {
            let found = self.get(login).await?;
            let mut user = found.user().clone();
            change(&mut user);
            if user == *found.user() {
                return Ok(());
            }
            if self.replace(&found, event_type, &user).await? {
                return Ok(());
            }
        }
        Err(Refusal::Busy.into())
    }

    /// Writes the new state of a user, unless it was changed since it was found.
    pub(crate) async fn replace(
        &self,
        found: &Found,
        event_type: &'static str,
        user: &User,
    ) -> Result<bool, Fault> {
        let expected = Expected::Exact(found.place.revision);
        match self.write(&user.login_name, expected, event(event_type, user.to_event())).await {
            Err(Refused::WrongVersion { .. }) => Ok(false),
            answer => done(&user.login_name, answer).map(|()| true),
        }
    }

    /// Removes a user; one of the same name may be added again.
    pub(crate) async fn delete(&self, login: &str) -> Result<(), Fault> {
        for _ in 0..TRIES {
            let found = self.get(login).await?;
            let expected = Expected::Exact(found.place.revision);
            let action = Action::SoftDelete(new_id());
            match self.engine.write(stream(login), expected, action).await {
                Err(Refused::WrongVersion { .. }) => {}
                answer => return done(login, answer),
            }
        }
        Err(Refusal::Busy.into())
    }

    /// The names of all users, and of some that are gone, in the order they came.
    pub(crate) async fn names(&self) -> Result<Vec<String>, Fault> {
        let engine = Arc::clone(&self.engine);
        blocking(move || names(&engine)).await?
    }

    /// Adds the user when there is none that can be read, and tells whether there is one now. It
    /// blocks, and needs no runtime: for the opening of the store.
    pub(crate) fn ensure(
        &self,
        login: &str,
        user: impl FnOnce() -> Option<User>,
    ) -> Result<bool, Fault> {
        let place = newest::place(&self.engine, &stream(login))?;
        if let Some(place) = place
            && stored(&newest::record(&self.engine, place.position)?).is_some()
        {
            return Ok(true);
        }
        let Some(user) = user() else { return Ok(false) };
        let event = event("$UserCreated", user.to_event());
        let expected = place.map_or(Expected::NoStream, |place| Expected::Exact(place.revision));
        futures::executor::block_on(async {
            self.write_name(login).await?;
            done(login, self.write(login, expected, event).await)
        })?;
        Ok(true)
    }

    async fn write_name(&self, login: &str) -> Result<(), Fault> {
        let id = Uuid::new_v5(&NAMES, login.as_bytes());
        let data = serde_json::to_vec(login).expect("a name can be written as JSON");
        let name = Proposed { id, ..event("$User", data) };
        let action = Action::Append(vec![name]);
        let answer = self.engine.write(Bytes::from_static(USERS.as_bytes()), Expected::Any, action);
        done(USERS, answer.await)
    }

    async fn write(&self, login: &str, expected: Expected, event: Proposed) -> Answer {
        self.engine.write(stream(login), expected, Action::Append(vec![event])).await
    }
}

/// A user as it was found.
pub(crate) struct Found {
    pub(crate) place: Place,
    stored: Arc<Option<Stored>>,
}

impl Found {
    pub(crate) fn user(&self) -> &User {
        &self.stored().user
    }

    pub(crate) fn stored(&self) -> &Stored {
        self.stored.as_ref().as_ref().expect("only a user that could be read is found")
    }
}

fn stream(login: &str) -> Bytes {
    format!("{USER}{login}").into()
}

/// What the event says; another server's log may hold users that cannot be used here.
fn stored(record: &Record) -> Option<Stored> {
    let user = User::from_event(&record.data)?;
    let own = record.stream.strip_prefix(USER.as_bytes()) == Some(user.login_name.as_bytes());
    own.then_some(Stored { user, changed: record.created })
}

fn names(engine: &Engine) -> Result<Vec<String>, Fault> {
    let mut reader = engine.reader();
    let Look::Present { key, first, last } =
        look(engine, USERS.as_bytes(), &mut reader).map_err(Fault::failed)?
    else {
        return Ok(Vec::new());
    };
    // The index may have moved on since the reader was made.
    reader.set_limit(engine.head());
    let (mut names, mut seen) = (Vec::new(), HashSet::new());
    let mut next = Some(first).filter(|first| *first <= last);
    while let Some(from) = next {
        let page = records(engine, key, (from, last), false, u64::MAX, &mut reader)
            .map_err(Fault::failed)?;
        next = page.next;
        for record in page.records {
            if let Ok(name) = serde_json::from_slice::<String>(&record.data)
                && seen.insert(name.clone())
            {
                names.push(name);
            }
        }
    }
    Ok(names)
}

fn done(login: &str, answer: Answer) -> Result<(), Fault> {
    match answer {
        Ok(_) => Ok(()),
        Err(refused) => Err(Fault::refused(refused, &stream(login))),
    }
}

fn event(event_type: &'static str, data: Vec<u8>) -> Proposed {
    let event_type = Bytes::from_static(event_type.as_bytes());
    let data = data.into();
    Proposed { id: new_id(), event_type, is_json: true, custom_metadata: Bytes::new(), data }
}

#[expect(clippy::disallowed_methods, reason = "the server is the edge that makes these events")]
fn new_id() -> Uuid {
    Uuid::new_v4()
}
